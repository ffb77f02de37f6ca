//! Small sources and the functions in them.

use super::functions;
use crate::tidy::mask::code_of;

fn check(source: &str, expected: &[(&str, usize, usize, bool)]) {
    let found = functions(&code_of(source));
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.name.as_str(), one.line, one.length, one.in_test))
        .collect();
    assert_eq!(found, expected, "{source}");
}

#[test]
fn measures_from_fn_to_brace() {
    check(
        "fn a() {}\n\npub async fn b(\n    x: [u8; 3],\n) -> u8\n{\n    1\n}\n",
        &[("a", 1, 1, false), ("b", 3, 6, false)],
    );
}

#[test]
fn braces_in_texts_do_not_count() {
    check(
        "fn a() {\n    let x = \"}\"; // }\n    let y = '}';\n}\nfn b() {}",
        &[("a", 1, 4, false), ("b", 5, 1, false)],
    );
}

#[test]
fn only_functions_with_a_body_count() {
    check(
        "trait T { fn a(&self); fn b(&self) {\n} }\ntype F = fn(u8) -> u8;\n",
        &[("b", 1, 2, false)],
    );
}

#[test]
fn inner_functions_are_found() {
    check(
        "fn a() {\n    fn b() {\n    }\n}\n",
        &[("a", 1, 4, false), ("b", 2, 2, false)],
    );
}

#[test]
fn tests_are_told_apart() {
    let source = "fn a() {}\n#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n  fn b() {}\n}\nfn c() {}";
    check(
        source,
        &[("a", 1, 1, false), ("b", 5, 1, true), ("c", 7, 1, false)],
    );
    check("#[cfg(test)]\nmod tests;\nfn a() {}", &[("a", 3, 1, false)]);
    check("#[cfg(not(test))]\nfn a() {}", &[("a", 2, 1, false)]);
    check("#[cfg(all(test, unix))]\nfn a() {}", &[("a", 2, 1, true)]);
}
