//! A stable name for a crash: its class, its signal and its innermost telling functions, without what
//! changes from build to build. It explains its choice frame by frame. Callers make a hash of the key.
//!
//! A key begins with the version of these rules. Whoever changes a rule, a list or a number here counts
//! the version up, or stored groups fall apart silently.

mod names;

use super::backtrace::{Frame, frames, guilty, signal};
use names::UNKNOWN_NAME;
pub use names::{NAME_CHARS_MAX, module_base, normalise};

/// The version of the rules.
pub const VERSION: u8 = 1;
/// Frames that make a key.
pub const USED_FRAMES_MAX: usize = 5;

/// Functions, by their normalised names, that stand on top of a crash or below `main` and say nothing
/// about it: how a process ends itself, how a thread begins, how a kernel reports.
const UNINTERESTING: &[&str] = &[
    "abort",
    "__GI_abort",
    "raise",
    "__GI_raise",
    "gsignal",
    "kill",
    "__GI_kill",
    "tgkill",
    "pthread_kill",
    "__pthread_kill",
    "__pthread_kill_internal",
    "__pthread_kill_implementation",
    "__restore_rt",
    "__assert",
    "__assert_fail",
    "__assert_fail_base",
    "__assert_perror_fail",
    "__GI___assert_fail",
    "__libc_message",
    "__libc_fatal",
    "__fortify_fail",
    "__GI___fortify_fail",
    "__chk_fail",
    "__stack_chk_fail",
    "malloc_printerr",
    "__cxa_throw",
    "__cxa_rethrow",
    "std::terminate",
    "__cxxabiv1::__terminate",
    "__gnu_cxx::__verbose_terminate_handler",
    "__verbose_terminate_handler",
    "_ZSt9terminatev",
    "_ZN9__gnu_cxx27__verbose_terminate_handlerEv",
    "_ZN10__cxxabiv111__terminateEPFvvE",
    "g_logv",
    "g_log",
    "g_assertion_message",
    "g_assertion_message_expr",
    "_start",
    "__libc_start_main",
    "__libc_start_main_impl",
    "__libc_start_call_main",
    "start_thread",
    "clone",
    "__clone",
    "clone3",
    "__clone3",
    "__GI___clone3",
    "dump_stack",
    "dump_stack_lvl",
    "warn_on_slowpath",
    "warn_slowpath_common",
    "warn_slowpath_fmt",
    "warn_slowpath_null",
    "panic",
];

/// How the name of a crash came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The version of the rules, [`VERSION`].
    pub version: u8,
    /// The digits of the signal's number, if the payload tells one.
    pub signal: Option<String>,
    /// The frames of the first thread, the innermost first.
    pub frames: Vec<ChosenFrame>,
    /// Version, classification, signal and used frames with `|` between, such as
    /// `v1|org.clearlinux/crash/clr|sig 11|inner@app|main@app`.
    pub key: String,
}

/// A frame, and whether it is part of the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenFrame {
    /// As in the payload.
    pub function: String,
    /// As in the payload.
    pub module: String,
    /// The function without what changes from build to build: [`normalise`].
    pub normalised: String,
    /// The module without path and version: [`module_base`].
    pub module_base: String,
    /// Whether it is part of the key.
    pub is_used: bool,
    /// Why it is or is not, as a sentence for people.
    pub why: &'static str,
}

const USED: &str = "one of the innermost telling functions";
const FALLBACK: &str = "no function is telling, so the best of the rest is used";
const SKIPPED: &str = "on the skip list";
const IS_UNINTERESTING: &str = "says nothing about the crash, as in every program";
const UNKNOWN: &str = "the function is not known for sure";
const REPEATED: &str = "the same function as the frame above";
const FURTHER_OUT: &str = "further out than the frames that are used";

/// Whether a function, by its normalised name, is one of those that say nothing in any program.
pub fn is_uninteresting(normalised: &str) -> bool {
    UNINTERESTING.contains(&normalised)
}

/// Names the crash that a payload reports. The first five frames are used whose functions are known,
/// not skipped by `is_skipped` – which gets function and module as the payload writes them –, not
/// uninteresting in any program and not a repetition, as deep recursion makes many. If there is none,
/// the frame that the original would blame is used. Nothing when the payload has no frames.
pub fn explain(
    classification: &str,
    payload: &str,
    is_skipped: impl Fn(&str, &str) -> bool,
) -> Option<Explanation> {
    let found = frames(payload);
    let mut chosen: Vec<ChosenFrame> = Vec::with_capacity(found.len());
    let mut used_count = 0;
    for frame in &found {
        let mut next = unused(frame);
        let why_not = if is_skipped(frame.function, frame.module) {
            Some(SKIPPED)
        } else {
            why_not(frame, &next, chosen.last())
        };
        if why_not.is_none() && used_count < USED_FRAMES_MAX {
            used_count += 1;
            next.is_used = true;
            next.why = USED;
        } else {
            next.why = why_not.unwrap_or(FURTHER_OUT);
        }
        chosen.push(next);
    }
    if used_count == 0 {
        let is_passed_over = |function: &str, module: &str| {
            is_skipped(function, module) || is_uninteresting(&normalise(function))
        };
        let blamed = guilty(&found, is_passed_over)?;
        let blamed = chosen.get_mut(blamed.index)?;
        blamed.is_used = true;
        blamed.why = FALLBACK;
    }
    let signal = signal(payload).map(str::to_owned);
    Some(Explanation {
        version: VERSION,
        key: key(classification, signal.as_deref(), &chosen),
        signal,
        frames: chosen,
    })
}

/// A frame before anything is known about its use.
fn unused(frame: &Frame<'_>) -> ChosenFrame {
    ChosenFrame {
        function: frame.function.to_owned(),
        module: frame.module.to_owned(),
        normalised: normalise(frame.function),
        module_base: module_base(frame.module),
        is_used: false,
        why: FURTHER_OUT,
    }
}

/// What speaks against the frame itself; `above` is the one called by it.
fn why_not(
    frame: &Frame<'_>,
    named: &ChosenFrame,
    above: Option<&ChosenFrame>,
) -> Option<&'static str> {
    let is_same = |above: &ChosenFrame| {
        above.normalised == named.normalised && above.module_base == named.module_base
    };
    if !frame.is_known || named.normalised == UNKNOWN_NAME {
        Some(UNKNOWN)
    } else if is_uninteresting(&named.normalised) {
        Some(IS_UNINTERESTING)
    } else if above.is_some_and(is_same) {
        Some(REPEATED)
    } else {
        None
    }
}

fn key(classification: &str, signal: Option<&str>, frames: &[ChosenFrame]) -> String {
    let mut parts = vec![format!("v{VERSION}"), classification.to_owned()];
    parts.extend(signal.map(|signal| format!("sig {signal}")));
    let used = frames.iter().filter(|frame| frame.is_used);
    parts.extend(used.map(|frame| format!("{}@{}", frame.normalised, frame.module_base)));
    parts.join("|")
}
