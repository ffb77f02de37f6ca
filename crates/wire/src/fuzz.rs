//! The entries of the fuzz targets: whatever can be read must survive joining and converting as a
//! page that can be read again. They only assert; the fuzzer lives elsewhere.

use bytes::Bytes;

use crate::exposition::{
    Format, Item as Line, Limits, Page, Shape, Stream, merge, protobuf, series_labels,
};
use crate::otlp::{self, Attribute, Metric, Point, Visitor};
use crate::protobuf::Malformed;
use crate::remote_read;
use crate::remote_write::{Encoder, Item, Points, Request, Version};
use crate::s3::chunked::Decoder;
use crate::s3::key::Key;
use crate::s3::request::{BodyForm, Incoming};
use crate::s3::xml;
use crate::tar::{Step, Walker};
use crate::telemetrics::{Strictness, Submission, check, fingerprint};

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
            assert_streamed(&page, data, format);
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

/// What is read as a page is read line by line as well, whatever series are expected.
fn assert_streamed(page: &Page, data: &[u8], format: Format) {
    let mut expected: Vec<&[u8]> = Vec::new();
    for _ in 0..2 {
        let mut stream = Stream::new(data, format, Limits::default());
        let mut known = std::mem::take(&mut expected).into_iter();
        let mut wanted = known.next().unwrap_or_default();
        while let Some(Ok(item)) = stream.next(wanted) {
            if let Line::Sample(sample) = item {
                assert!(series_labels(sample.series).is_ok(), "a series has labels");
                expected.push(sample.series);
                wanted = known.next().unwrap_or_default();
            }
        }
        assert_eq!(expected.len(), page.series(), "no sample is lost");
    }
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

/// Reads the data as a telemetry record in both forms: the fields of a request with headers stand one a
/// line before an empty line, the rest is its body. What passes the checks is explained as a crash.
///
/// # Panics
/// When what a check lets through is not what it promises.
pub fn telemetrics(data: &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = data.split_at_checked(end.unwrap_or(0)).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let headers = lines.map(|(name, value)| (name, value.as_bytes()));
    let mut submissions = vec![Submission::from_headers(headers, body)];
    submissions.extend(Submission::from_json(data, None, None));
    for submission in submissions {
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            let Ok(record) = check(&submission, strictness) else {
                continue;
            };
            assert!((1..=4).contains(&record.severity), "a severity is in range");
            assert_eq!(record.payload, submission.payload(), "a payload stays");
            assert_eq!(record.classification.split('/').count(), 3);
        }
        let class = "org.clearlinux/crash/clr";
        let explained = fingerprint::explain(class, submission.payload(), |_, _| false);
        if let Some(explained) = explained {
            let is_used = explained.frames.iter().any(|frame| frame.is_used);
            assert!(is_used, "a name is made of frames");
        }
    }
}

/// Reads the data as what strangers send to a store of objects: a key, a query with a signature, a body
/// in chunks, the documents that are taken.
///
/// # Panics
/// When a key could lead elsewhere, or a body is longer than what it came in.
pub fn s3(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(key) = Key::decode(&text) {
        assert!(!key.as_str().split('/').any(|segment| segment == ".."));
        assert_eq!(
            Key::decode(&key.encode()),
            Ok(key),
            "a key survives its encoding"
        );
    }
    let headers: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .collect();
    for query in ["", &text] {
        let incoming = Incoming {
            method: "PUT",
            path: &text,
            query,
            headers: &headers,
        };
        if let Ok(Some(claim)) = incoming.claim() {
            let verified = claim.verify(&incoming, &[("a", "")], ("secret", 1_369_353_600));
            assert!(verified.is_err(), "nobody guesses a signature");
        }
    }
    let mut decoder = Decoder::new(&BodyForm::UnsignedChunks, None);
    let mut length = 0;
    for piece in data.chunks(7) {
        let mut input = Bytes::copy_from_slice(piece);
        let Some(reader) = &mut decoder else { break };
        loop {
            match reader.next(&mut input) {
                Ok(Some(data)) => length += data.len(),
                Ok(None) => break,
                Err(_) => {
                    decoder = None;
                    break;
                }
            }
        }
    }
    assert!(length <= data.len(), "a payload is a part of its body");
    drop(xml::read_delete(data));
    if let Ok(tags) = xml::read_tags(data) {
        assert!(tags.len() <= 100, "tags are bounded");
    }
    if let Ok(parts) = xml::read_complete(data) {
        assert!(parts.iter().all(|part| (1..=10_000).contains(&part.number)));
    }
}

/// Reads the data as remote write of both versions, packed and not, and writes what could be read anew.
///
/// # Panics
/// When a request that was written cannot be read again, or says something else.
pub fn remote_write(data: &[u8]) {
    if let Ok(plain) = crate::snappy::unpack(data, 1 << 20) {
        assert!(plain.len() <= 1 << 20, "unpacked bytes are bounded");
    }
    for version in [Version::One, Version::Two] {
        // A message that was written has no unknown fields and no scattered ones; the second writing is
        // the same as the first.
        if let Ok(written) = rewrite(version, data) {
            assert_eq!(rewrite(version, &written), Ok(written), "it is read again");
        }
    }
}

fn rewrite(version: Version, data: &[u8]) -> Result<Vec<u8>, Malformed> {
    let request = Request::read(version, data)?;
    let mut encoder = Encoder::new(version);
    let mut labels = Vec::new();
    for series in request.series() {
        let series = series?;
        series.labels(&mut labels)?;
        let (mut samples, mut histograms, mut exemplars) = (Vec::new(), Vec::new(), Vec::new());
        for item in series.items() {
            match item? {
                Item::Sample(sample) => samples.push(sample),
                Item::Histogram(sample) => {
                    // What is checked may be stored, and comes back the same.
                    let is_sound = sample.histogram.check().is_ok();
                    histograms.extend(is_sound.then_some(*sample));
                }
                Item::Exemplar(exemplar) => exemplars.push(exemplar),
            }
        }
        let points = Points {
            samples: &samples,
            histograms: &histograms,
            exemplars: &exemplars,
            metadata: series.metadata()?,
        };
        encoder.series(labels.iter().copied(), &points);
    }
    for metadata in request.metadata() {
        let (name, metadata) = metadata?;
        encoder.metadata(&String::from_utf8_lossy(name), &metadata);
    }
    Ok(encoder.finish())
}

/// Reads the data as a request of remote read, and as an answer.
///
/// # Panics
/// When a request that was written cannot be read again, or says something else.
pub fn remote_read(data: &[u8]) {
    if let Ok(request) = remote_read::Request::read(data) {
        let written = request.write();
        assert_eq!(remote_read::Request::read(&written), Ok(request));
    }
    if let Ok(results) = remote_read::results(data) {
        let series = results.iter().flat_map(Request::series);
        assert!(series.count() <= data.len(), "each takes a byte at least");
    }
}

/// Reads the data as a page of metrics in protobuf.
///
/// # Panics
/// When more is read than was sent.
pub fn exposition_protobuf(data: &[u8]) {
    let mut parts = 0;
    let mut labels = Vec::new();
    for family in protobuf::Families::new(data).map_while(Result::ok) {
        for metric in family.metrics().map_while(Result::ok) {
            parts += 1;
            if metric.labels(&mut labels).is_ok() {
                parts += labels.len();
            }
            if let protobuf::Value::Histogram(histogram) = &metric.value {
                parts += histogram.buckets.len() + histogram.exemplars.len();
                // What is wrong with it is a fine answer, too.
                if let Some(native) = &histogram.native {
                    native.check().ok();
                }
            }
        }
    }
    assert!(parts <= data.len(), "each part takes a byte at least");
}

/// Reads the data as metrics of OpenTelemetry.
///
/// # Panics
/// When a name is made that Prometheus would not take, or more is said than was sent.
pub fn otlp(data: &[u8]) {
    /// Counts what it is told.
    struct Counts(usize);

    impl Visitor for Counts {
        fn resource(&mut self, attributes: &[Attribute<'_>]) {
            self.0 += attributes.len();
        }

        fn metric(&mut self, metric: &Metric<'_>) {
            let name = otlp::metric_name(metric);
            let is_name = |it: char| it.is_ascii_alphanumeric() || "_:".contains(it);
            assert!(name.chars().all(is_name), "{name}");
            assert!(!name.starts_with(|it: char| it.is_ascii_digit()), "{name}");
        }

        fn point(&mut self, point: &Point<'_>) {
            self.0 += point.attributes.len() + point.exemplars.len();
        }

        fn resource_end(&mut self) {}
    }

    let mut counts = Counts(0);
    // What is wrong is a fine answer, too.
    otlp::read(data, &mut counts).ok();
    assert!(counts.0 <= data.len(), "each part takes a byte at least");
    let mut counts = Counts(0);
    otlp::read_json(data, &mut counts).ok();
    assert!(counts.0 <= data.len(), "each part takes a byte at least");
}

/// Reads the data as an archive, head by head.
///
/// # Panics
/// When it does not get on, or a name could steer what shows it.
pub fn tar(data: &[u8]) {
    let mut walker = Walker::new(0);
    loop {
        let wanted = walker.wanted();
        let piece = usize::try_from(wanted.offset).ok();
        let piece = piece.and_then(|begin| data.get(begin..begin.checked_add(wanted.length)?));
        let step = walker.feed(piece.unwrap_or_default());
        if let Ok(Step::Member(member)) = &step {
            assert!(!member.name.contains(char::is_control), "names are shown");
            assert!(member.begin < member.data, "a head stands before its bytes");
            assert!(member.data + member.stored <= walker.begin());
        }
        if !matches!(step, Ok(Step::More | Step::Member(_))) {
            break;
        }
        assert!(walker.wanted().offset > wanted.offset, "it gets on");
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
