//! Tests of the crate as its users see it: the acceptance files of PromQL, limits, generated queries.

mod limits;
mod promqltest;
