//! Throughput and cost.
