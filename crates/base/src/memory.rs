//! How the process's memory is managed, where that is ours to say. There is `unsafe` here, since the C
//! library is told by a call of its own.

use std::num::NonZero;
use std::thread::available_parallelism;

/// Threads that run at once are more than the processors, since some of them wait for others: with one
/// arena for each processor, two thirds of the locks that intake of records waited for were those of
/// memory.
const ARENAS_PER_PROCESSOR: usize = 2;

/// Has the C library keep two arenas of memory for each processor. By itself it takes eight, so that
/// each of our threads gets one, and what is free in one is of no use to the others: it was a sixth of
/// the resident memory of a process that scrapes. To be called before there are other threads. Where
/// the C library is another, or refuses, nothing changes.
pub fn limit_arenas() {
    let processors = available_parallelism().map_or(1, NonZero::get);
    let arenas = processors.saturating_mul(ARENAS_PER_PROCESSOR);
    set_arenas_max(i32::try_from(arenas).unwrap_or(i32::MAX));
}

/// A buffer of this size is memory as any other, and twice as much is kept when it is free.
const KEPT_BYTES: usize = 1 << 20;

/// Has the C library keep what was freed instead of giving it back to the system piece by piece, which
/// takes it again a moment later as pages that have to be cleared. It learns that from the largest block
/// that was freed; a process whose buffers are 64 KiB would not teach it.
pub fn keep_freed() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_BYTES)));
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
