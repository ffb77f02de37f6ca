//! Tests of `listeners`.
