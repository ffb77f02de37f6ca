//! The table of roles and the table of ways to log in, as they are written.

use super::{kinds, names, names_role};

#[test]
fn roles_are_read_from_their_table() {
    let text = "const ROLES: [Role; 2] = [\n    Role {\n        name: \"gateway\",\n    },\n    \
        Role { name: \"node\", doc: \"x\" },\n    // name: \"old\"\n];\n";
    let expected = [(3, "gateway".to_owned()), (5, "node".to_owned())];
    assert_eq!(names(text), expected);
}

#[test]
fn a_scenario_is_named_after_its_role() {
    assert!(names_role("gateway", "gateway"));
    assert!(names_role("gateway_oauth2", "gateway"));
    assert!(!names_role("gateways", "gateway"));
    assert!(!names_role("main", "gateway"));
}

#[test]
fn kinds_are_read_from_one_table_only() {
    let page = "## A target\n| `name` | x |\n## Ways to log in\n| `kind` | keys |\n|---|---|\n\
        | `none` | |\n| `basic` | `username` |\n## More\n| `other` | |\n";
    let expected = [(6, "none".to_owned()), (7, "basic".to_owned())];
    assert_eq!(kinds(page), expected);
}
