//! The readiness states and what follows from them.

use super::*;

const PERIOD: Duration = Duration::from_secs(5);

fn at(start: Moment, seconds: u64) -> Moment {
    let passed = Duration::from_secs(seconds);
    Moment {
        monotonic: start.monotonic + passed,
        wall: start.wall + passed,
    }
}

#[test]
fn the_first_ok_is_enough() {
    let start = Moment::now();
    let mut component = Component::new(start);
    component.report_ok(at(start, 1), PERIOD);
    assert_eq!(component.state, State::Ok);
}

#[test]
fn recovery_takes_longer_than_two_periods() {
    let start = Moment::now();
    let mut component = Component::new(start);
    component.report_degraded(at(start, 1), "no route".to_owned());
    component.report_ok(at(start, 2), PERIOD);
    assert_eq!(component.state, State::Recovering);
    assert_eq!(component.reason.as_deref(), Some("no route"));
    component.report_ok(at(start, 12), PERIOD);
    assert_eq!(
        component.state,
        State::Recovering,
        "exactly two periods are not more than two"
    );
    component.report_ok(at(start, 13), PERIOD);
    assert_eq!(
        (component.state, component.reason.as_deref()),
        (State::Ok, None)
    );
}

#[test]
fn a_failure_while_recovering_begins_anew() {
    let start = Moment::now();
    let mut component = Component::new(start);
    component.report_degraded(start, "first".to_owned());
    component.report_ok(at(start, 1), PERIOD);
    component.report_degraded(at(start, 9), "second".to_owned());
    component.report_ok(at(start, 10), PERIOD);
    component.report_ok(at(start, 19), PERIOD);
    assert_eq!(component.state, State::Recovering);
}

#[test]
fn degraded_keeps_its_beginning_and_tells_the_newest_reason() {
    let start = Moment::now();
    let mut component = Component::new(start);
    component.report_degraded(at(start, 1), "first".to_owned());
    component.report_degraded(at(start, 2), "second".to_owned());
    assert_eq!(component.since.monotonic, at(start, 1).monotonic);
    assert_eq!(component.reason.as_deref(), Some("second"));
}

#[test]
fn the_process_is_as_well_as_its_worst_component() {
    let health = Health::new(PERIOD);
    assert_eq!(health.status(), State::Starting, "nobody has reported");
    let (one, two) = (health.component("one"), health.component("two"));
    one.ok();
    assert_eq!(health.status(), State::Starting);
    two.ok();
    assert_eq!(health.status(), State::Ok);
    two.degraded("down");
    assert_eq!(health.status(), State::Degraded);
    two.ok();
    assert_eq!(health.status(), State::Recovering);
    two.remove();
    assert_eq!(health.status(), State::Ok);
}

#[test]
fn the_numbers_are_those_of_the_contract() {
    let check = |state: State, http, gauge| {
        assert_eq!((state.http_status(), state.gauge()), (http, gauge));
    };
    check(State::Ok, 200, 0);
    check(State::Recovering, 400, 1);
    check(State::Degraded, 503, 2);
    check(State::Starting, 400, 3);
}

#[test]
fn a_note_changes_no_state() {
    let health = Health::new(PERIOD);
    health.component("gateway").ok();
    health.set_note("import", Some("one waits".to_owned()));
    health.set_note("import", Some("one waits still".to_owned()));
    assert_eq!(health.status(), State::Ok);
    let components = health.snapshot().components;
    let shown = |component: &ComponentSnapshot| (component.name.clone(), component.reason.clone());
    let note = ("import".to_owned(), Some("one waits still".to_owned()));
    assert_eq!(components.iter().map(shown).next_back(), Some(note));
    health.set_note("import", None);
    assert_eq!(health.snapshot().components.len(), 1);
}

#[test]
fn the_snapshot_is_plain_json() {
    let health = Health::new(PERIOD);
    health.component("gateway").degraded("no login");
    let mut snapshot = health.snapshot();
    snapshot.components[0].since = 7;
    assert_eq!(
        serde_json::to_value(&snapshot).unwrap(),
        serde_json::json!({"status": "degraded", "components": [
            {"name": "gateway", "state": "degraded", "reason": "no login", "since": 7}
        ]})
    );
}
