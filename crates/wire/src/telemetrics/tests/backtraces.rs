//! Payloads in the form of the crash probe and of the kernel oops parser, and who is blamed.

use super::super::backtrace::{Crash, FRAMES_MAX, frames, guilty, pid, program, signal};

/// What crashprobe sends of a program with two threads.
pub(super) const TWO_THREADS: &str = "\
Process: /usr/bin/app
PID: 4711
Signal: 6

Backtrace (TID 4711):
#0 __pthread_kill_implementation() - [/usr/lib64/libc-2.31.so]
#1 raise() - [/usr/lib64/libc-2.31.so]
#2 abort() - [/usr/lib64/libc-2.31.so]
#3 ??? - [/usr/lib64/libfoo.so.6.1]
#4 inner() - [/usr/bin/app] - /src/app.c:12
#5 inner() - [/usr/bin/app] - /src/app.c:14
#6 main() - [/usr/bin/app] - /src/app.c:20
#7 __libc_start_main() - [/usr/lib64/libc-2.31.so]
#8 _start() - [/usr/bin/app]

Backtrace (TID 4712):
#0 worker() - [/usr/bin/app]
";

/// What klogscanner sends.
pub(super) const OOPS: &str = "\
Crash Report:
Reason: WARNING: at net/sched/sch_generic.c:303 dev_watchdog+0x272/0x280()
Kernel Version : 4.4.8-199.container
Tainted : Not tainted
Modules : e1000e fat
Backtrace :
Register RIP: 10
#1 dump_stack - [kernel]
#2 warn_slowpath_common - [kernel]
#3 ? __queue_work - [kernel]
#4 ? dev_deactivate_queue.constprop.30 - [kernel]
#5 fat_detach - [fat]
#6 call_timer_fn - [kernel]
";

fn blamed(payload: &str, skipped: &[(&str, &str)]) -> Option<(String, String, usize)> {
    let found = frames(payload);
    let guilty = guilty(&found, |function, module| {
        skipped.contains(&(function, module))
    })?;
    let frame = found.get(guilty.index).expect("a frame");
    assert_eq!(
        (frame.function, frame.module),
        (guilty.function, guilty.module)
    );
    Some((
        guilty.function.to_owned(),
        guilty.module.to_owned(),
        guilty.index,
    ))
}

#[track_caller]
fn check_blamed(payload: &str, skipped: &[(&str, &str)], expected: (&str, &str, usize)) {
    let (function, module, index) = blamed(payload, skipped).expect("someone");
    assert_eq!((function.as_str(), module.as_str(), index), expected);
}

#[test]
fn only_the_first_thread_counts() {
    let found = frames(TWO_THREADS);
    assert_eq!(found.len(), 9);
    let inner = found.get(4).expect("a frame");
    assert_eq!(inner.function, "inner()");
    assert_eq!(inner.module, "/usr/bin/app");
    assert_eq!(inner.rest, " - /src/app.c:12");
    assert!(inner.is_known);
    let unknown = found.get(3).expect("a frame");
    assert_eq!((unknown.function, unknown.is_known), ("???", false));
    assert_eq!(signal(TWO_THREADS), Some("6"));
}

#[test]
fn frames_are_told_from_other_lines() {
    for (line, expected) in [
        ("#0 main() - [a]", Some(("main()", "a", ""))),
        ("#10 f - [a] - f.c:1\r", Some(("f", "a", " - f.c:1"))),
        ("#0 ??? - []", Some(("???", "", ""))),
        (
            "#0 operator- [](a) - [b] - c",
            Some(("operator- [](a)", "b", " - c")),
        ),
        ("#0 f - [a] - [b]", Some(("f - [a]", "b", ""))),
        ("#0  f - [a]", Some((" f", "a", ""))),
        ("#0 (no symbols)", None),
        ("#0  - [a]", None),
        ("#0 f [a]", None),
        ("#0 f - [a", None),
        ("#0f - [a]", None),
        ("# f - [a]", None),
        ("0 f - [a]", None),
        (" #0 f - [a]", None),
        ("", None),
    ] {
        let payload = format!("first\n{line}\n");
        let found = frames(&payload);
        let found = found
            .first()
            .map(|frame| (frame.function, frame.module, frame.rest));
        assert_eq!(found, expected, "{line}");
    }
    assert_eq!(
        frames("#0 first() - [a]\n#1 second() - [a]").len(),
        1,
        "the first line is none"
    );
    let split = "\n#0 a() - [m]\n#1 (no symbols)\n#2 b() - [m]\nend\n#3 c() - [m]\n";
    assert_eq!(
        frames(split).len(),
        2,
        "no symbols end no thread, another line does"
    );
    assert_eq!(frames(&"#0 f - [a]\n".repeat(10_000)).len(), FRAMES_MAX);
    assert!(frames("").is_empty());
}

#[test]
fn the_first_known_frame_that_is_not_skipped_is_guilty() {
    let libc = "/usr/lib64/libc-2.31.so";
    check_blamed(
        TWO_THREADS,
        &[],
        ("__pthread_kill_implementation()", libc, 0),
    );
    let ending = [
        ("__pthread_kill_implementation()", libc),
        ("raise()", libc),
        ("abort()", libc),
    ];
    check_blamed(TWO_THREADS, &ending, ("inner()", "/usr/bin/app", 4));
    check_blamed(
        TWO_THREADS,
        &[("raise()", "elsewhere")],
        ("__pthread_kill_implementation()", libc, 0),
    );
    check_blamed(
        "\n#0 a - [m]\n#1 b - [m]\n",
        &[("a", "m"), ("b", "m")],
        ("b", "m", 1),
    );
    check_blamed(
        "\n#0 a - [m]\n#1 ??? - [m]\n#2 ??? - [n]\n",
        &[("a", "m")],
        ("???", "m", 1),
    );
    check_blamed(
        "\n#0 ??? - [m]\n#1 ??? - [n]\n",
        &[("???", "m")],
        ("???", "n", 1),
    );
    check_blamed("\n#0 ??? - [m]\n", &[("???", "m")], ("???", "m", 0));
    assert_eq!(blamed("Process: x\n", &[]), None);
}

#[test]
fn kernel_frames_that_are_not_sure_are_passed_over() {
    let noise = [("dump_stack", "kernel"), ("warn_slowpath_common", "kernel")];
    // The original would take the second one of them, `dev_deactivate_queue`.
    check_blamed(OOPS, &noise, ("fat_detach", "fat", 4));
    assert_eq!(frames(OOPS).len(), 6);
    assert_eq!(signal(OOPS), None);
    check_blamed(
        "\n#1 ? a - [kernel]\n#2 ? b - [kernel]\n",
        &[],
        ("? a", "kernel", 0),
    );
}

#[test]
fn signals_are_read_before_the_backtrace_only() {
    for (payload, expected) in [
        ("Signal: 11\n", Some("11")),
        ("\nSignal: 11 \nSignal: 6\n", Some("11")),
        ("Signal: eleven\n", None),
        ("Signal: 1111\n", None),
        ("Signal: \n", None),
        ("#0 f - [a]\nSignal: 11\n", None),
        ("", None),
    ] {
        assert_eq!(signal(payload), expected, "{payload:?}");
    }
}

#[test]
fn classes_of_crashes_are_known() {
    for (classification, expected) in [
        ("org.clearlinux/crash/clr", Crash::Grouped),
        ("org.clearlinux/kernel/bug", Crash::Grouped),
        ("org.clearlinux/kernel/stackoverflow", Crash::Grouped),
        ("org.clearlinux/kernel/warning", Crash::Grouped),
        ("org.clearlinux/kernel/panic", Crash::Grouped),
        ("crash/kernel/bug", Crash::Grouped),
        ("crash/kernel/warning", Crash::Grouped),
        ("org.clearlinux/crash/unknown", Crash::Other),
        ("org.clearlinux/crash/clr-build", Crash::Other),
        ("org.clearlinux/crash/error", Crash::Other),
        ("org.clearlinux/hello/world", Crash::No),
        ("org.clearlinux/crash/clr2", Crash::No),
        ("", Crash::No),
    ] {
        assert_eq!(Crash::of(classification), expected, "{classification}");
    }
}

#[test]
fn what_the_head_says_is_read_before_the_backtrace_only() {
    assert_eq!(program(TWO_THREADS), Some("/usr/bin/app"));
    assert_eq!(pid(TWO_THREADS), Some(4711));
    assert_eq!((program(OOPS), pid(OOPS)), (None, None));
    for (payload, expected) in [
        ("Process: \nPID: 12a\n", (None, None)),
        ("PID: 4294967296\nProcess:  a b \n", (Some("a b"), None)),
        ("x\n#0 f - [a]\nProcess: y\nPID: 1\n", (None, None)),
    ] {
        assert_eq!((program(payload), pid(payload)), expected, "{payload}");
    }
}
