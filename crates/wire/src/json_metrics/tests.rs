//! Tests of `json_metrics`.
