//! Names of functions and modules, and the keys that are made of them.

use super::super::fingerprint::{
    Explanation, NAME_CHARS_MAX, VERSION, explain, is_uninteresting, module_base, normalise,
};
use super::backtraces::{OOPS, TWO_THREADS};

const CLASS: &str = "org.clearlinux/crash/clr";

fn check_names(expected: &[(&str, &str)]) {
    for (function, expected) in expected {
        assert_eq!(normalise(function), *expected, "{function}");
    }
}

#[test]
fn functions_lose_their_arguments() {
    check_names(&[
        ("main()", "main"),
        ("foo(int, char const*)", "foo"),
        ("foo(int) const", "foo"),
        ("A::operator()(int) const", "A::operator()"),
        ("operator<(A, B)", "operator<"),
        ("operator<< <int>(std::ostream&)", "operator<<"),
        ("operator<=><int>(int)", "operator<=>"),
        ("A::operator->() const", "A::operator->"),
        ("my_operator(int)", "my_operator"),
        (
            "std::vector<std::pair<int, A<B> > >::push_back(int&&)",
            "std::vector::push_back",
        ),
        ("(anonymous namespace)::f(int)", "(anonymous namespace)::f"),
        (
            "a::(anonymous namespace)::f<(x)>(int)",
            "a::(anonymous namespace)::f",
        ),
        ("f(A<(1>2)>)::g()", "f::g"),
        ("f((a<b))::g(int)", "f::g"),
        ("f<int (*)(A) -> B>(int)", "f"),
        (
            "f()::<lambda(int)>::operator()(int) const",
            "f::<lambda>::operator()",
        ),
        (
            "f()::{lambda(int)#1}::operator()(int) const",
            "f::{lambda#1}::operator()",
        ),
        (
            "<alloc::vec::Vec<T> as core::ops::Drop>::drop",
            "<alloc::vec::Vec as core::ops::Drop>::drop",
        ),
        (
            "core::fmt::num::<impl core::fmt::Display for u32>::fmt",
            "core::fmt::num::<impl core::fmt::Display for u32>::fmt",
        ),
        ("a::b::<T>::{closure#0}", "a::b::{closure#0}"),
        ("main.(*Server).Serve(int)", "main.(*Server).Serve"),
        ("(int)", "(int)"),
        ("<unknown>", "<unknown>"),
        ("f<<<)))", "f"),
        ("f>>)", "f>>)"),
        (" ", " "),
        ("", ""),
    ]);
}

#[test]
fn functions_lose_what_changes_from_build_to_build() {
    check_names(&[
        ("a::b::h0123456789abcdef", "a::b"),
        ("_ZN1a1b17h0123456789abcdefE", "_ZN1a1bE"),
        ("foo.constprop.0()", "foo"),
        ("foo.isra.0.cold", "foo"),
        ("foo.part.1.constprop.2.cold.3", "foo"),
        ("foo(int) [clone .isra.0]", "foo"),
        ("foo.part", "foo.part"),
        ("foo.7", "foo.7"),
        (".cold", ".cold"),
        ("memcpy@@GLIBC_2.14", "memcpy"),
        ("memcpy@GLIBC_2.2.5()", "memcpy"),
        ("memcpy@plt", "memcpy"),
        ("@plt", "@plt"),
        ("evict+0xa2/0x1a0", "evict"),
        ("main()+0x10", "main"),
        ("0x00007f12 in main ()", "main"),
        ("0x00007f12 main()", "main"),
        ("[<ffffffff811ae072>] ? evict+0xa2/0x1a0", "evict"),
        ("? evict", "evict"),
        ("0x00007f12", "???"),
        ("0xyz()", "0xyz"),
        ("???", "???"),
    ]);
    assert_eq!(normalise(&"ü".repeat(1000)), "ü".repeat(NAME_CHARS_MAX));
}

#[test]
fn modules_lose_path_and_version() {
    for (module, expected) in [
        ("/usr/lib64/libc-2.31.so", "libc.so"),
        ("libc.so.6", "libc.so"),
        ("libfoo.so.6.1", "libfoo.so"),
        ("/lib/ld-linux-x86-64.so.2", "ld-linux-x86-64.so"),
        ("libglib-2.0.so.0.7400.6", "libglib.so"),
        ("libpython3.11.so.1.0", "libpython.so"),
        ("/usr/bin/python3.11", "python"),
        ("/usr/bin/app (deleted)", "app"),
        ("/usr/bin/app2", "app2"),
        ("app.2", "app.2"),
        ("2.31", "2.31"),
        ("a.sort", "a.sort"),
        (".so", ".so"),
        ("kernel", "kernel"),
        ("[vdso]", "[vdso]"),
        ("/usr/lib/", "lib"),
        ("/", "/"),
        ("", ""),
    ] {
        assert_eq!(module_base(module), expected, "{module}");
    }
}

#[test]
fn uninteresting_functions_are_known_by_their_normalised_names() {
    for function in [
        "abort()",
        "raise",
        "__libc_start_main@@GLIBC_2.34",
        "_start()",
        "gsignal",
    ] {
        assert!(is_uninteresting(&normalise(function)), "{function}");
    }
    assert!(!is_uninteresting("main"));
}

fn explained(payload: &str, skipped: &[&str]) -> Explanation {
    explain(CLASS, payload, |function, _| skipped.contains(&function)).expect("frames")
}

#[test]
fn telling_frames_make_the_key() {
    let found = explained(TWO_THREADS, &[]);
    assert_eq!(found.version, VERSION);
    assert_eq!(found.signal.as_deref(), Some("6"));
    assert_eq!(
        found.key,
        "v1|org.clearlinux/crash/clr|sig 6|inner@app|main@app"
    );
    let reasons: Vec<(&str, bool, &str)> = found
        .frames
        .iter()
        .map(|frame| (frame.normalised.as_str(), frame.is_used, frame.why))
        .collect();
    let ending = "says nothing about the crash, as in every program";
    let used = "one of the innermost telling functions";
    let expected = [
        ("__pthread_kill_implementation", false, ending),
        ("raise", false, ending),
        ("abort", false, ending),
        ("???", false, "the function is not known for sure"),
        ("inner", true, used),
        ("inner", false, "the same function as the frame above"),
        ("main", true, used),
        ("__libc_start_main", false, ending),
        ("_start", false, ending),
    ];
    assert_eq!(reasons, expected);
    let unknown = found.frames.get(3).expect("a frame");
    assert_eq!(unknown.module, "/usr/lib64/libfoo.so.6.1");
    assert_eq!(unknown.module_base, "libfoo.so");

    let skipping = explained(TWO_THREADS, &["inner()"]);
    assert_eq!(skipping.key, "v1|org.clearlinux/crash/clr|sig 6|main@app");
    assert_eq!(
        explained(OOPS, &[]).key,
        "v1|org.clearlinux/crash/clr|fat_detach@fat|call_timer_fn@kernel"
    );
    assert_eq!(explain(CLASS, "hello\n\n", |_, _| false), None);
}

#[test]
fn keys_survive_a_new_build() {
    let before =
        "\nSignal: 11\n#0 f.constprop.0() - [/usr/lib/libx-1.2.so]\n#1 g<int>(int) - [/bin/app]\n";
    let after =
        "\nSignal: 11\n#0 f() - [/usr/lib64/libx.so.2]\n#1 g<long>(int) - [/opt/app] - g.c:9\n";
    assert_eq!(explained(before, &[]).key, explained(after, &[]).key);
    assert_eq!(
        explained(after, &[]).key,
        "v1|org.clearlinux/crash/clr|sig 11|f@libx.so|g@app"
    );
}

#[test]
fn at_most_five_frames_are_used_and_at_least_one() {
    let deep: Vec<String> = (0..10)
        .map(|place| format!("#{place} f{place}() - [a]\n"))
        .collect();
    let deep = deep.concat();
    let found = explained(&format!("\n{deep}"), &[]);
    assert_eq!(
        found.key,
        "v1|org.clearlinux/crash/clr|f0@a|f1@a|f2@a|f3@a|f4@a"
    );
    let sixth = found.frames.get(5).expect("a frame");
    assert_eq!(sixth.why, "further out than the frames that are used");

    let fallback = "no function is telling, so the best of the rest is used";
    for (payload, skipped, expected) in [
        (
            "\n#0 abort() - [c]\n#1 ??? - [a]\n#2 ??? - [b]\n",
            &[][..],
            "???@a",
        ),
        ("\n#0 abort() - [c]\n#1 _start() - [a]\n", &[], "_start@a"),
        ("\n#0 f() - [c]\n#1 g() - [a]\n", &["f()", "g()"], "g@a"),
        ("\n#0 0x7f12 - [a]\n", &[], "???@a"),
    ] {
        let found = explained(payload, skipped);
        assert_eq!(found.key, format!("v1|{CLASS}|{expected}"));
        let used: Vec<&str> = found
            .frames
            .iter()
            .filter(|frame| frame.is_used)
            .map(|frame| frame.why)
            .collect();
        assert_eq!(used, [fallback]);
    }
}
