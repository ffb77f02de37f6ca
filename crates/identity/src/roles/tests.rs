//! The table of decisions, and the forms in which roles are written.

use super::*;

fn labels(text: &str) -> Labels {
    let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn role(json: &str) -> Role {
    Role::parse(json).unwrap()
}

fn check(roles: &[Role], kind: Kind, verb: Verb, labelled: &str, expected: &str) {
    let labels = labels(labelled);
    let question = Question {
        kind,
        verb,
        labels: &labels,
    };
    let found = match decide(roles, question) {
        Decision::Allowed(role) => format!("allowed by {role}"),
        Decision::Denied(role) => format!("denied by {role}"),
        Decision::NotAllowed => "not allowed".to_owned(),
    };
    assert_eq!(found, expected, "{kind:?} {verb:?} {labelled:?}");
}

type Row<'a> = (&'a [&'a Role], Kind, Verb, &'a str, &'a str);

fn check_all(table: &[Row<'_>]) {
    for (roles, kind, verb, labelled, expected) in table {
        let roles: Vec<Role> = roles.iter().map(|role| (*role).clone()).collect();
        check(&roles, *kind, *verb, labelled, expected);
    }
}

fn prod() -> Role {
    role(
        r#"{"name":"prod","allow":[{"kinds":["nodes","apps"],"verbs":["read","use"],
            "labels":{"env":["prod","stage"],"team":"*"}}]}"#,
    )
}

fn built_in(name: &str) -> Role {
    Role::built_in(name).unwrap()
}

const NOT: &str = "not allowed";

#[test]
fn labels_match_and_across_keys_or_across_values() {
    let prod = prod();
    let webs = role(
        r#"{"name":"webs","allow":[{"kinds":["nodes"],"verbs":["*"],
            "labels":{"host":"^web-[0-9]+|edge$"}}]}"#,
    );
    let all =
        role(r#"{"name":"all","allow":[{"kinds":["nodes"],"verbs":["read"],"labels":{"*":"*"}}]}"#);
    let (by_prod, by_webs) = ("allowed by prod", "allowed by webs");
    check_all(&[
        // Nothing is allowed by omission.
        (&[], Kind::Nodes, Verb::Read, "", NOT),
        // A key that is missing does not fit `*`.
        (&[&prod], Kind::Nodes, Verb::Use, "env=prod team=a", by_prod),
        (
            &[&prod],
            Kind::Apps,
            Verb::Read,
            "env=stage team=b",
            by_prod,
        ),
        (&[&prod], Kind::Nodes, Verb::Use, "env=prod", NOT),
        (&[&prod], Kind::Nodes, Verb::Use, "env=dev team=a", NOT),
        (&[&prod], Kind::Nodes, Verb::Use, "", NOT),
        (&[&prod], Kind::Nodes, Verb::Delete, "env=prod team=a", NOT),
        (&[&prod], Kind::Metrics, Verb::Read, "env=prod team=a", NOT),
        // Expressions are anchored on both sides, each alternative too.
        (&[&webs], Kind::Nodes, Verb::Delete, "host=web-12", by_webs),
        (&[&webs], Kind::Nodes, Verb::Use, "host=edge", by_webs),
        (&[&webs], Kind::Nodes, Verb::Use, "host=web-12x", NOT),
        (&[&webs], Kind::Nodes, Verb::Use, "host=an-edge", NOT),
        (&[&webs], Kind::Nodes, Verb::Use, "host=web-1\u{a}", NOT),
        // Everything, labelled or not.
        (&[&all], Kind::Nodes, Verb::Read, "", "allowed by all"),
        (&[&all], Kind::Nodes, Verb::Read, "a=b", "allowed by all"),
    ]);
}

#[test]
fn a_denial_wins_where_its_labels_fit() {
    let admin = built_in("admin");
    let careful = role(
        r#"{"name":"careful","deny":[{"kinds":["*"],"verbs":["delete","update"]},
            {"kinds":["nodes"],"verbs":["use"],"labels":{"secret":"yes"}}]}"#,
    );
    let denied = "denied by careful";
    let allowed = "allowed by admin";
    check_all(&[
        (&[&admin, &careful], Kind::Users, Verb::Delete, "", denied),
        (
            &[&careful, &admin],
            Kind::Nodes,
            Verb::Use,
            "secret=yes",
            denied,
        ),
        (
            &[&careful, &admin],
            Kind::Nodes,
            Verb::Use,
            "secret=no",
            allowed,
        ),
        (
            &[&careful, &admin],
            Kind::Apps,
            Verb::Use,
            "secret=yes",
            allowed,
        ),
        (&[&careful], Kind::Nodes, Verb::Read, "", NOT),
    ]);
}

#[test]
fn the_built_in_roles() {
    let (admin, operator, viewer) = (built_in("admin"), built_in("operator"), built_in("viewer"));
    let prod = prod();
    let (by_admin, by_operator) = ("allowed by admin", "allowed by operator");
    check_all(&[
        (&[&admin], Kind::Cluster, Verb::Update, "", by_admin),
        (&[&operator], Kind::Nodes, Verb::Delete, "", by_operator),
        (&[&operator], Kind::Tokens, Verb::Create, "", by_operator),
        (&[&operator], Kind::Audit, Verb::Read, "", by_operator),
        (&[&operator], Kind::Users, Verb::Read, "", NOT),
        (&[&operator], Kind::Cluster, Verb::Update, "", NOT),
        (
            &[&viewer],
            Kind::Metrics,
            Verb::Read,
            "a=b",
            "allowed by viewer",
        ),
        (&[&viewer], Kind::Apps, Verb::Use, "", NOT),
        (&[&viewer], Kind::Audit, Verb::Read, "", NOT),
        (
            &[&viewer, &prod],
            Kind::Apps,
            Verb::Use,
            "env=prod team=a",
            "allowed by prod",
        ),
    ]);
}

#[test]
fn roles_are_read_strictly() {
    let refused = [
        (r#"{"name":"admin"}"#, "built in"),
        (r#"{"name":"a b"}"#, "role name"),
        (r#"{"name":"node"}"#, "one of machines"),
        (r#"{"name":"x","alow":[]}"#, "unknown field"),
        (
            r#"{"name":"x","allow":[{"kinds":["nodes"],"verbs":["red"]}]}"#,
            "unknown variant",
        ),
        (
            r#"{"name":"x","allow":[{"kinds":[],"verbs":["read"]}]}"#,
            "at least one",
        ),
        (
            r#"{"name":"x","allow":[{"kinds":["nodes"],"verbs":["read"],"labels":{"a":"^($"}}]}"#,
            "regular expression",
        ),
        (
            r#"{"name":"x","allow":[{"kinds":["nodes"],"verbs":["read"],"labels":{"a":"^a)|(b$"}}]}"#,
            "regular expression",
        ),
        (
            r#"{"name":"x","allow":[{"kinds":["nodes"],"verbs":["read"],"labels":{"*":"a"}}]}"#,
            "selector key",
        ),
        (
            r#"{"name":"x","allow":[{"kinds":["nodes"],"verbs":["read"],"labels":{"a":"^(a{9}){999}$"}}]}"#,
            "regular expression",
        ),
    ];
    for (json, expected) in refused {
        let error = Role::parse(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
    let text = r#"{"name":"x","allow":[{"kinds":["*"],"verbs":["use"],"labels":{"a":["*","^b|c$"]}}],"deny":[]}"#;
    assert_eq!(serde_json::to_string(&role(text)).unwrap(), text);
}
