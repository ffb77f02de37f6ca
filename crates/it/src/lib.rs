//! The harness of the end-to-end tests: it starts the real program, real peers (Prometheus,
//! MariaDB, nginx) and stubs of our own for the systems that hold a login, and talks to all of
//! them over real sockets. It knows the program only from outside: configuration, ports, signals.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test harness: it spawns its stubs, reads clocks and environment, and fails by panic"
)]

pub mod artefacts;
pub mod bench;
pub mod certificates;
pub mod client;
pub mod cluster;
pub mod configuration;
pub mod curl;
pub mod exposition;
pub mod fuzz;
pub mod gate;
pub mod load;
pub mod mysql;
pub mod namespace;
pub mod need;
pub mod original;
pub mod person;
pub mod postgres;
pub mod proc;
pub mod program;
pub mod prometheus;
pub mod relay;
pub mod relayed;
pub mod s3s;
pub mod samples;
pub mod stubs;
pub mod telemetrics;
pub mod tinyproxy;
pub mod wait;
