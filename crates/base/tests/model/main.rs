//! The crate's one test binary beside its unit tests: the files that hold locks of their own,
//! compiled against a model checker's locks and run under many schedules, and what they promise
//! under a plain runtime. It does not test what is built on them.

mod sync {
    pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard, PoisonError};
}

#[path = "../../src/events.rs"]
#[allow(dead_code, unreachable_pub, reason = "the models use a part of it")]
mod events;
#[path = "../../src/single_flight.rs"]
#[allow(dead_code, unreachable_pub, reason = "the models use a part of it")]
mod single_flight;
#[path = "../../src/work.rs"]
#[allow(dead_code, unreachable_pub, reason = "the models use a part of it")]
mod work;

mod events_models;
mod events_plain;
mod flight_models;
mod work_models;

/// How many schedules each model is run under.
const SCHEDULES: usize = 2_000;

/// Runs a model under random schedules and under schedules with few preemptions.
fn check(model: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(model.clone(), SCHEDULES);
    shuttle::check_pct(model, SCHEDULES, 3);
}
