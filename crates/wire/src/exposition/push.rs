//! Families of our own on a page: names made fit, help and labels escaped. No histograms: they are
//! several families' worth of rules for nobody who asked.

use bytes::Bytes;

use super::assembly::{Assembly, Metadata};
use super::page::{Run, Span};
use super::scan::is_classic_name;
use super::{Format, Kind, Page, write};

impl Page {
    /// Adds a gauge with one sample for each pair of labels and value:
    /// `page.push_gauge("up", "Is it up.", &[([("part", "db")], 1.0)])`. Characters that a classic
    /// name cannot have become underscores, and of two labels with the same name the first stays.
    /// Samples of a family the page already has are put behind its own, under its HELP and TYPE.
    pub fn push_gauge<'a, L>(&mut self, name: &str, help: &str, samples: &[(L, f64)])
    where
        L: AsRef<[(&'a str, &'a str)]>,
    {
        self.push(Kind::Gauge, name, help, samples);
    }

    /// Adds a counter; its name ends in `_total`. Otherwise as [`Page::push_gauge`].
    pub fn push_counter<'a, L>(&mut self, name: &str, help: &str, samples: &[(L, f64)])
    where
        L: AsRef<[(&'a str, &'a str)]>,
    {
        let name = if name.ends_with("_total") {
            name.to_owned()
        } else {
            format!("{name}_total")
        };
        self.push(Kind::Counter, &name, help, samples);
    }

    fn push<'a, L>(&mut self, kind: Kind, name: &str, help: &str, samples: &[(L, f64)])
    where
        L: AsRef<[(&'a str, &'a str)]>,
    {
        let mut builder = Builder::new(std::mem::replace(self, Self::empty(self.format)));
        let samples = samples
            .iter()
            .map(|(labels, value)| (labels.as_ref().iter().copied(), *value));
        builder.family(kind, name, help, samples);
        *self = builder.finish();
    }
}

/// Adds many families to a page in one go.
#[derive(Debug)]
pub(crate) struct Builder {
    assembly: Assembly,
    /// The sample lines; they become the last source.
    text: Vec<u8>,
    source: usize,
}

impl Builder {
    pub(crate) fn new(page: Page) -> Self {
        let assembly = Assembly::from_page(page);
        Self {
            source: assembly.sources.len(),
            assembly,
            text: Vec::new(),
        }
    }

    /// Adds a family of a kind whose samples bear its name: counter, gauge or unknown. No HELP line
    /// when the help is empty.
    pub(crate) fn family<'a, L>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        samples: impl Iterator<Item = (L, f64)>,
    ) where
        L: Iterator<Item = (&'a str, &'a str)>,
    {
        let name = write::classic(name, is_classic_name);
        let start = self.text.len();
        let mut series = 0;
        for (labels, value) in samples {
            write::sample(&mut self.text, &name, labels, value);
            series += 1;
        }
        let family = match (kind, self.assembly.format) {
            (Kind::Counter, Format::OpenMetrics) => name.strip_suffix(b"_total").unwrap_or(&name),
            _ => &name,
        };
        let at = self.assembly.declared(Metadata {
            name: Bytes::copy_from_slice(family),
            kind: Some(kind),
            help: (!help.is_empty()).then(|| Bytes::copy_from_slice(help.as_bytes())),
            unit: None,
        });
        if series > 0 {
            let span = Span {
                source: self.source,
                start,
                end: self.text.len(),
            };
            self.assembly.add_run(
                at,
                Run {
                    span,
                    series,
                    plain: true,
                },
            );
        }
    }

    pub(crate) fn finish(mut self) -> Page {
        self.assembly.sources.push(Bytes::from(self.text));
        self.assembly.into_page()
    }
}
