//! What machines report, kept: telemetry records, and the artefacts of test runs. Who may do what is
//! decided by the program, which gives each request a [`records::Reader`] or an [`artefacts::Visitor`];
//! this crate knows no users of the cluster and no roles.

pub mod artefacts;
pub mod records;
