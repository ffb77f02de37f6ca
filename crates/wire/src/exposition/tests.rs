//! Tests of `exposition`: tables, foreign vectors and properties. What they share stands here.

mod choosing;
mod converting;
mod joining;
mod properties;
mod reading;
mod shapes;
mod streaming;
mod vectors;

use bytes::Bytes;

use super::{Format, Limits, Page};

fn text(body: &str) -> Page {
    read(body, Format::Text)
}

fn open_metrics(body: &str) -> Page {
    read(body, Format::OpenMetrics)
}

fn read(body: &str, format: Format) -> Page {
    Page::parse(
        Bytes::copy_from_slice(body.as_bytes()),
        format,
        Limits::default(),
    )
    .unwrap_or_else(|error| panic!("{error}\n{body}"))
}

fn written(page: &Page, format: Format) -> String {
    String::from_utf8(page.render_whole(format).to_vec()).expect("pages are UTF-8")
}

/// Families as `name kind help {lines}`, to compare pages by what they say.
fn summary(page: &Page) -> Vec<String> {
    let families = page.families().map(|family| {
        let lines: Vec<&str> = family.lines().collect();
        format!(
            "{} {:?} {:?} {lines:?}",
            family.name(),
            family.kind(),
            family.help()
        )
    });
    families.collect()
}
