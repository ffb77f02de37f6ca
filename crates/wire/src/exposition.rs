//! Pages of metrics in the Prometheus text format 0.0.4 and in OpenMetrics 1.0: read, joined,
//! extended, converted and written, over the bytes they arrived in. It does not interpret values,
//! does not keep series apart by labels. The protobuf form has a reader of its own, for who scrapes.
//!
//! The reader is as strict as the scraper of Prometheus itself, so that a page that is let through
//! here is not refused one hop later, and a page that works without us works through us. So an
//! unknown escape such as `\d` in a label value is kept as it is, blanks may surround the tokens of a
//! line in the text format but not begin it, and time stamps there have no sign. It is stricter in
//! one thing, commas between labels, and more lenient in one that it repairs, blanks in TYPE lines.

mod assembly;
mod convert;
mod error;
mod format;
mod merge;
mod page;
mod parse;
pub mod protobuf;
mod push;
mod render;
mod scan;
mod series;
mod shape;
mod stream;
#[cfg(test)]
mod tests;
mod write;

pub use error::{ParseError, Reason};
pub use format::{Format, negotiate};
pub use merge::merge;
pub use page::{Family, Kind, Limits, Page};
pub(crate) use push::Builder;
pub(crate) use scan::{is_classic_label, is_classic_name, is_value};
pub use series::{Exemplar, SeriesLabels, exemplar, series_labels};
pub use shape::Shape;
pub use stream::{Item, SampleLine, Stream};
