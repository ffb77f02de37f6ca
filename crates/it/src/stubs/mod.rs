//! Stubs of the systems that the gateway logs in to. Each is a real server on a free loopback
//! port, records what it was asked, and can be told to misbehave.

pub mod apps;
pub mod digest;
pub mod form;
pub mod hmac;
pub mod hostile;
pub mod jwt;
pub mod oauth2;
pub mod pages;
pub mod pushprox;
pub mod schemes;
pub mod server;
pub mod sigv4;
pub mod whatsapp;

/// A page of `series` samples in `families` of ten, as a typical exporter has.
pub fn page(series: usize) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for family in 0..series.div_ceil(10) {
        writeln!(
            text,
            "# HELP stub_family_{family} Family {family} of a made-up exporter."
        )
        .unwrap();
        writeln!(text, "# TYPE stub_family_{family} gauge").unwrap();
        for member in 0..10.min(series - family * 10) {
            let value = family * 1000 + member;
            writeln!(
                text,
                "stub_family_{family}{{member=\"{member}\",zone=\"eu-central-1\",role=\"worker\"}} {value}"
            )
            .unwrap();
        }
    }
    text
}
