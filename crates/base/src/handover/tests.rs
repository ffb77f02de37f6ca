//! Tests of `handover`.
