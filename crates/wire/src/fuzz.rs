//! The entry of the fuzz target for exposition pages: whatever can be read must survive joining and
//! converting as a page that can be read again. It only asserts; the fuzzer lives elsewhere.

use bytes::Bytes;

use crate::exposition::{Format, Limits, Page, merge};

/// Reads the data as a page in both formats, joins what could be read with itself and with the other
/// and writes everything in both formats.
///
/// # Panics
/// When a page that was written cannot be read again or has lost a sample line.
pub fn fuzz(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let mut pages = Vec::new();
    for format in [Format::Text, Format::OpenMetrics] {
        if let Ok(page) = Page::parse(body.clone(), format, Limits::default()) {
            assert_written(&page);
            pages.extend([page.clone(), page]);
        }
    }
    let series: usize = pages.iter().map(Page::series).sum();
    let mut merged = merge(pages);
    assert_eq!(merged.series(), series, "a merge loses no sample");
    merged.push_gauge("pushed", "Pushed.", &[([("data", "\"\\\n")], 1.0)]);
    assert_written(&merged);
}

fn assert_written(page: &Page) {
    for format in [Format::Text, Format::OpenMetrics] {
        let written = page.render_whole(format);
        let again = Page::parse(written.clone(), format, Limits::default());
        assert_eq!(
            again.map(|again| again.series()),
            Ok(page.series()),
            "{written:?}"
        );
    }
}
