//! Queries over what the cluster has stored: PromQL, and later LogQL beside it. It knows labels,
//! samples and histograms; where they come from is a [`source::Source`]. It opens no file and no
//! socket, reads no clock and never waits.

pub mod fuzz;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod number;
pub mod promql;
mod quote;
pub mod re2;
pub mod source;
mod sum;
