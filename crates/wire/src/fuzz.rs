//! The entries of the fuzz targets: whatever can be read must survive joining and converting as a
//! page that can be read again. They only assert; the fuzzer lives elsewhere.

use bytes::Bytes;

use crate::exposition::{Format, Limits, Page, Shape, merge};

/// Reads the data as a page in both formats, joins what could be read with itself and with the other
/// and writes everything in both formats.
///
/// # Panics
/// When a page that was written cannot be read again or has lost a sample line.
pub fn exposition(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let mut pages = Vec::new();
    for format in [Format::Text, Format::OpenMetrics] {
        if let Ok(page) = Page::parse(body.clone(), format, Limits::default()) {
            assert_written(&page);
            if let Some(shape) = Shape::of(&page) {
                assert!(shape.matches(data, format), "a page has its own shape");
                assert_eq!(
                    page.render_whole(format),
                    data,
                    "a page with a shape goes out as it came"
                );
            }
            pages.extend([page.clone(), page]);
        }
    }
    let series: usize = pages.iter().map(Page::series).sum();
    let mut merged = merge(pages);
    assert_eq!(merged.series(), series, "a merge loses no sample");
    merged.push_gauge("pushed", "Pushed.", &[([("data", "\"\\\n")], 1.0)]);
    assert_written(&merged);
}

/// Reads the data as a document of metrics and writes it as a page.
///
/// # Panics
/// When the page cannot be read or has lost a sample.
pub fn json_metrics(data: &[u8]) {
    if let Ok(page) = crate::json_metrics::parse(data) {
        assert_written(&page);
    }
}

fn assert_written(page: &Page) {
    // What is written may be longer than what was read: a blank where a tab was, a suffix, an escape.
    let limits = Limits {
        line_bytes_max: 8 << 20,
        families_max: 1_000_000,
        samples_max: 10_000_000,
        ..Limits::default()
    };
    for format in [Format::Text, Format::OpenMetrics] {
        let written = page.render_whole(format);
        let again = Page::parse(written.clone(), format, limits);
        assert_eq!(
            again.map(|again| again.series()),
            Ok(page.series()),
            "{written:?}"
        );
    }
}
