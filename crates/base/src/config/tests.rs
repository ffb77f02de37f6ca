//! What the readers accept, and that all problems come at once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::*;

fn problems(text: &str, read: impl FnOnce(Field<'_>)) -> Vec<String> {
    let document = Document::parse(text).expect("valid YAML");
    let context = Context::new("/etc/landline", BTreeMap::new());
    read(Field::root(&document.root, &context));
    context
        .take_problems()
        .into_iter()
        .map(|p| format!("{}:{} {} {}", p.line, p.column, p.path, p.message))
        .collect()
}

#[test]
fn durations_and_sizes_read_back() {
    for (text, millis) in [
        ("500ms", 500),
        ("30s", 30_000),
        ("1h30m", 5_400_000),
        ("0", 0),
    ] {
        let duration = parse_duration(text).expect(text);
        assert_eq!(duration, Duration::from_millis(millis));
        assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
    }
    for bad in ["", "30", "s", "3x", "-1s", "99999999999999999999s", "1h 2m"] {
        assert_eq!(parse_duration(bad), None, "{bad}");
    }
    for (text, bytes) in [("512B", 512), ("32MiB", 32 << 20), ("10kB", 10_000)] {
        assert_eq!(parse_bytes(text), Some(bytes));
        assert_eq!(parse_bytes(&format_bytes(bytes)), Some(bytes));
    }
}

#[test]
fn every_problem_is_reported_with_its_place() {
    let text = "roles: [gateway]\nlisten: nowhere\nlimts: {timeout: 3}\nlimits: {timeout: 3}\n";
    let found = problems(text, |root| {
        let mut section = root.section().expect("mapping");
        section.optional("roles");
        section.optional("listen").and_then(|field| field.address());
        let mut limits = section
            .optional("limits")
            .and_then(|field| field.section())
            .expect("limits");
        limits
            .optional("timeout")
            .and_then(|field| field.duration());
        limits.finish();
        section.required("name");
        section.finish();
    });
    assert_eq!(
        found,
        [
            "1:1  `name` is missing",
            "2:9 listen an IP address and a port is expected here, not a single value",
            "3:1 limts unknown key `limts`",
            "4:19 limits.timeout a duration is expected here, not a single value",
        ]
    );
}

#[test]
fn digits_stay_text() {
    let document = Document::parse("password: 0123\nname: \"441\"\n").expect("valid");
    let context = Context::new(".", BTreeMap::new());
    let mut section = Field::root(&document.root, &context)
        .section()
        .expect("mapping");
    assert_eq!(
        section.required("password").and_then(|f| f.text()),
        Some("0123".to_owned())
    );
    assert_eq!(
        section.required("name").and_then(|f| f.text()),
        Some("441".to_owned())
    );
}

#[test]
fn hostile_documents_are_refused() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let links = [
        ("a", "b"),
        ("b", "c"),
        ("c", "d"),
        ("d", "e"),
        ("e", "f"),
        ("f", "g"),
    ];
    let lines = links.map(|(from, to)| {
        let ten = vec![format!("*{from}"); 10].join(",");
        format!("{to}: &{to} [{ten}]")
    });
    let bomb = format!("a: &a [1,1,1,1,1,1,1,1,1,1]\n{}", lines.join("\n"));
    for text in [
        deep.as_str(),
        bomb.as_str(),
        "a: 1\na: 2\n",
        "a: [1\n",
        "--- 1\n--- 2\n",
        "{[1]: 2}",
    ] {
        let error = Document::parse(text).expect_err("refused");
        assert!(error.line >= 1, "{error:?}");
    }
}

/// A text that an anchor multiplies: aliases are few values, but many bytes.
#[test]
fn aliases_multiply_neither_bytes_nor_depth() {
    let long = "x".repeat(500_000);
    let bytes = format!("a: &a {long}\nb: [{}]\n", "*a,".repeat(100_000));
    let mut depth = format!("a0: &a0 {}1{}\n", "[".repeat(40), "]".repeat(40));
    for level in 1..60 {
        let (open, close) = ("[".repeat(40), "]".repeat(40));
        let below = level - 1;
        writeln!(depth, "a{level}: &a{level} {open}*a{below}{close}").expect("written");
    }
    for (text, expected) in [(bytes, "of text"), (depth, "levels deep")] {
        let error = Document::parse(&text).expect_err("refused");
        assert!(error.message.contains(expected), "{error:?}");
    }
}

/// Shapes that make a reader slow when it looks back or ahead too far: 1 MiB of each ends in time.
#[test]
fn large_documents_end_in_time() {
    for piece in [
        "[",
        "{",
        "{a: ",
        "- ",
        "? ",
        "a: ",
        "&a ",
        "*a ",
        "\"",
        "'",
        "|\n",
        "#",
        "\t",
        "%",
        "---\n",
        "!!x ",
        "\\",
        ": ",
        ", ",
        "a\n",
        "- a\n",
        "key: value\n",
        "[a, b], ",
        "\u{feff}",
        "\r",
    ] {
        let text = piece.repeat((1 << 20) / piece.len());
        let begun = crate::clock::now();
        let outcome = Document::parse(&text).map(|_| ());
        let took = begun.elapsed();
        assert!(
            took < Duration::from_secs(10),
            "{piece:?}: {took:?} {outcome:?}"
        );
    }
}

/// Every key is unknown: their problems and hints stay few.
#[test]
fn a_flood_of_problems_is_bounded() {
    let mut text = String::new();
    for number in 0..100_000 {
        writeln!(text, "lissten{number}: 1").expect("written");
    }
    let begun = crate::clock::now();
    let found = problems(&text, |root| {
        let mut section = root.section().expect("mapping");
        section.allow(&[
            "listen", "roles", "data_dir", "gateway", "metrics", "process",
        ]);
        section.finish();
    });
    let took = begun.elapsed();
    assert_eq!(found.len(), PROBLEMS_MAX + 1);
    let document = Document::parse("a: 1\n").expect("valid YAML");
    let context = Context::new("/", BTreeMap::new());
    let root = Field::root(&document.root, &context);
    (0..=PROBLEMS_MAX + 1).for_each(|_| root.warning("secret", None));
    root.error("behind the last that is shown", None);
    let problems = context.take_problems();
    let is_error = |problem: &&Problem| problem.severity == Severity::Error;
    assert_eq!(problems.iter().filter(is_error).count(), 1);
    assert!(took < Duration::from_secs(10), "{took:?}");
}
