//! Pairs of source and what is left of it.

use super::code_of;

fn check(source: &str, expected: &str) {
    let code: String = code_of(source).into_iter().collect();
    assert_eq!(code, expected, "{source}");
    assert_eq!(code.chars().count(), source.chars().count(), "{source}");
}

#[test]
fn comments_go() {
    check("a // { b\nc", "a       \nc");
    check("a /* { /* } */ \n */ b", "a              \n    b");
    check("a / b", "a / b");
}

#[test]
fn strings_are_emptied() {
    check(r#"f("}\"{", x)"#, r#"f("    ", x)"#);
    check(r##"f(r#"}"{"#, x)"##, r##"f(r#"   "#, x)"##);
    check(r#"f(br"\", b"{")"#, r#"f(br" ", b" ")"#);
    check("r#fn()", "r#fn()");
}

#[test]
fn characters_are_not_lifetimes() {
    check("x('{', '\\'', '\\u{1f}')", "x(' ', '  ', '      ')");
    check(
        "fn f<'a>(x: &'a str) -> &'static str {",
        "fn f<'a>(x: &'a str) -> &'static str {",
    );
    check("b'{' 'outer: loop {", "b' ' 'outer: loop {");
    check("'é' '\"' {", "' ' ' ' {");
}

#[test]
fn what_never_ends_ends_with_the_file() {
    check("\"abc", "\"   ");
    check("/* abc", "      ");
    check("r#\"abc", "r#\"   ");
    check("'\\", "' ");
}
