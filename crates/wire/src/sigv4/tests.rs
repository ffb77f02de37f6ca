//! Tests of `sigv4`.
