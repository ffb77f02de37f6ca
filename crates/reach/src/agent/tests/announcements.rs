//! Which announcements are believed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::line::SignedAnnouncement;

fn verify() -> Verify {
    Arc::new(|payload, signature| signature == format!("signed {}", payload.len()))
}

fn signed(announcement: &Announcement) -> SignedAnnouncement {
    let sign = |payload: &[u8]| Ok::<_, serde_json::Error>(format!("signed {}", payload.len()));
    announcement.sign(sign).unwrap()
}

fn at(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

#[test]
fn a_good_one_comes_back_as_it_was() {
    let sent = announcement(5_000_000, vec![announced("p1"), announced("p2")]);
    let read = Announcement::read(&signed(&sent), &verify(), "home", at(5_001_000)).unwrap();
    assert_eq!(read, sent);
}

#[test]
fn forged_foreign_and_old_ones_are_refused() {
    let sent = announcement(5_000_000, vec![announced("p1")]);
    let mut forged = signed(&sent);
    forged.payload.push(' ');
    let read = |signed: &SignedAnnouncement, cluster, now| {
        Announcement::read(signed, &verify(), cluster, at(now)).map_err(|error| error.to_string())
    };
    assert!(
        read(&forged, "home", 5_000_000)
            .unwrap_err()
            .contains("signature")
    );
    assert!(
        read(&signed(&sent), "away", 5_000_000)
            .unwrap_err()
            .contains("cluster")
    );
    // Three minutes of life, ten of wrong clocks.
    assert!(read(&signed(&sent), "home", 5_779_000).is_ok());
    assert!(
        read(&signed(&sent), "home", 5_781_000)
            .unwrap_err()
            .contains("check this machine's clock")
    );
    assert!(
        read(&signed(&sent), "home", 0).is_ok(),
        "a clock that is behind"
    );
    let many = announcement(1, vec![announced("p"); PROXIES_MAX + 1]);
    assert!(
        read(&signed(&many), "home", 1)
            .unwrap_err()
            .contains("at most")
    );
}

#[test]
fn unknown_fields_are_of_no_harm_and_long_names_are_left_out() {
    let payload = format!(
        r#"{{"cluster":"home","issued_ms":1,"ttl_ms":99999999999,"new":1,
            "proxies":[{{"id":"p1","weight":3}},{{"id":"{}"}}]}}"#,
        "x".repeat(300)
    );
    let signature = format!("signed {}", payload.len());
    let read = Announcement::read(
        &SignedAnnouncement { payload, signature },
        &verify(),
        "home",
        at(1),
    );
    let read = read.unwrap();
    assert_eq!(read.proxies.len(), 1);
    assert_eq!(read.ttl(), Duration::from_hours(1));
}
