//! End-to-end tests: the real program, real peers, real sockets. One module per subject.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests spawn their load, read clocks, and fail by panic"
)]

mod stubs;
