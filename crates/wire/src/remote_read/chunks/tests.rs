//! Frames that are written are read, and what is wrong with them is noticed.

use super::*;

const LABELS: [(&[u8], &[u8]); 2] = [(b"__name__", b"up"), (b"job", b"shop")];

fn written(samples: i64) -> Vec<u8> {
    let mut chunks = SeriesChunks::default();
    let histogram = Histogram {
        is_float: true,
        count: 3.0,
        ..Histogram::default()
    };
    chunks.histogram(-5, &histogram);
    // Values that don't get short.
    let mut value = 1_u64;
    for time in 0..samples {
        value = value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        chunks.float(time, f64::from_bits(value >> 2));
    }
    let mut out = Vec::new();
    chunks.frames(&mut out, 7, &LABELS.into_iter());
    chunks.frames(&mut out, 8, &LABELS.into_iter());
    out
}

#[test]
fn a_series_is_one_frame_unless_it_is_long() {
    for (samples, frames) in [(0, 1), (1, 1), (120, 1), (121, 1), (300_000, 3)] {
        let out = written(samples);
        let found = read(&out).unwrap();
        assert_eq!(found.len(), frames, "{samples}");
        let mut times = Vec::new();
        for series in &found {
            assert_eq!(series.query, 7);
            assert_eq!(series.labels, [("__name__", "up"), ("job", "shop")]);
            times.extend(series.samples.iter().map(|(time, _)| *time));
        }
        assert!(times.into_iter().eq([-5].into_iter().chain(0..samples)));
    }
}

#[test]
fn a_frame_that_is_cut_off_or_changed_is_noticed() {
    let out = written(10);
    for length in 1..out.len() {
        assert!(read(&out[..length]).is_err(), "{length}");
    }
    for at in 0..out.len() {
        let mut changed = out.clone();
        changed[at] ^= 1;
        assert!(read(&changed).is_err(), "{at}");
    }
}

#[test]
fn who_likes_chunks_better_says_so_first() {
    let cases: [(&[u8], bool); 6] = [
        (b"", false),
        (b"\x12\x01\x01", true),
        (b"\x12\x02\x01\x00", true),
        (b"\x12\x02\x00\x01", false),
        (b"\x12\x02\x07\x01", true),
        (b"\x10\x07", false),
    ];
    for (message, expected) in cases {
        assert_eq!(prefers_chunks(message), Ok(expected), "{message:?}");
    }
}
