//! How the process's memory is managed, where that is ours to say. There is `unsafe` here, since the C
//! library is told by a call of its own.

use std::num::NonZero;
use std::thread::available_parallelism;

/// Threads that may block are more than the processors.
const ARENAS_MIN: usize = 2;

/// Has the C library keep one arena of memory for each processor. By itself it takes eight, so that
/// each of our threads gets one, and what is free in one is of no use to the others: it was a sixth of
/// the resident memory of a process that scrapes. To be called before there are other threads. Where
/// the C library is another, or refuses, nothing changes.
pub fn limit_arenas() {
    let processors = available_parallelism().map_or(ARENAS_MIN, NonZero::get);
    set_arenas_max(i32::try_from(processors.max(ARENAS_MIN)).unwrap_or(i32::MAX));
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no other way to tell the C library")]
fn set_arenas_max(count: i32) {
    // SAFETY: the call takes two numbers and changes only how many arenas are made from now on; what
    // was allocated stays where it is.
    let is_set = unsafe { libc::mallopt(libc::M_ARENA_MAX, count) } == 1;
    if !is_set {
        tracing::debug!("the C library does not limit its arenas");
    }
}

#[cfg(not(target_env = "gnu"))]
fn set_arenas_max(_: i32) {}
