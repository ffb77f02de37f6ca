//! Side-by-side measurements of the gateway.
