//! Lines of Markdown and the relative targets in them.

use super::links;

fn check(text: &str, expected: &[(usize, &str)]) {
    let found = links(text);
    let found: Vec<(usize, &str)> = found
        .iter()
        .map(|(line, path)| (*line, path.as_str()))
        .collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn relative_targets_are_found() {
    check(
        "see [a](b.md) and\n[c](../d#e \"title\"), [f](<g.md>)",
        &[(1, "b.md"), (2, "../d"), (2, "g.md")],
    );
    check(
        "[`code`](a.md)\n![picture](p.png)\n[name]: h.md",
        &[(1, "a.md"), (2, "p.png"), (3, "h.md")],
    );
}

#[test]
fn the_rest_is_left_alone() {
    check(
        "[a](https://example.net/x) [b](#below) [c](mailto:a@example.net)",
        &[],
    );
    check(
        "`[a](b.md)`\n```\n[a](b.md)\n```\n[c](d.md)",
        &[(5, "d.md")],
    );
}
