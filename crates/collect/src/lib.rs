//! What machines report, kept: telemetry records. Who may read is decided by the program, which
//! gives each request a [`records::Reader`]; this crate knows no users and no roles.

pub mod records;
