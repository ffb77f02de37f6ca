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

#[test]
fn decisions() {
    let prod = role(
        r#"{"name":"prod","allow":[{"kinds":["nodes","apps"],"verbs":["read","use"],
            "labels":{"env":["prod","stage"],"team":"*"}}]}"#,
    );
    let webs = role(
        r#"{"name":"webs","allow":[{"kinds":["nodes"],"verbs":["*"],
            "labels":{"host":"^web-[0-9]+|edge$"}}]}"#,
    );
    let careful = role(
        r#"{"name":"careful","deny":[{"kinds":["*"],"verbs":["delete","update"]},
            {"kinds":["nodes"],"verbs":["use"],"labels":{"secret":"yes"}}]}"#,
    );
    let all =
        role(r#"{"name":"all","allow":[{"kinds":["nodes"],"verbs":["read"],"labels":{"*":"*"}}]}"#);
    let built_in = |name: &str| Role::built_in(name).unwrap();
    let (admin, operator, viewer) = (built_in("admin"), built_in("operator"), built_in("viewer"));
    let (not, by_prod, by_webs) = ("not allowed", "allowed by prod", "allowed by webs");
    let by_careful = "denied by careful";

    type Row<'a> = (&'a [&'a Role], Kind, Verb, &'a str, &'a str);
    let table: &[Row<'_>] = &[
        // Nothing is allowed by omission.
        (&[], Kind::Nodes, Verb::Read, "", not),
        // And across keys, or across values; a key that is missing does not fit `*`.
        (&[&prod], Kind::Nodes, Verb::Use, "env=prod team=a", by_prod),
        (
            &[&prod],
            Kind::Apps,
            Verb::Read,
            "env=stage team=b",
            by_prod,
        ),
        (&[&prod], Kind::Nodes, Verb::Use, "env=prod", not),
        (&[&prod], Kind::Nodes, Verb::Use, "env=dev team=a", not),
        (&[&prod], Kind::Nodes, Verb::Use, "", not),
        (&[&prod], Kind::Nodes, Verb::Delete, "env=prod team=a", not),
        (&[&prod], Kind::Metrics, Verb::Read, "env=prod team=a", not),
        // Expressions are anchored on both sides, each alternative too.
        (&[&webs], Kind::Nodes, Verb::Delete, "host=web-12", by_webs),
        (&[&webs], Kind::Nodes, Verb::Use, "host=edge", by_webs),
        (&[&webs], Kind::Nodes, Verb::Use, "host=web-12x", not),
        (&[&webs], Kind::Nodes, Verb::Use, "host=an-edge", not),
        (&[&webs], Kind::Nodes, Verb::Use, "host=web-1\u{a}", not),
        // A denial wins, also over `admin`, and only where its labels fit.
        (
            &[&admin, &careful],
            Kind::Users,
            Verb::Delete,
            "",
            by_careful,
        ),
        (
            &[&careful, &admin],
            Kind::Nodes,
            Verb::Use,
            "secret=yes",
            by_careful,
        ),
        (
            &[&careful, &admin],
            Kind::Nodes,
            Verb::Use,
            "secret=no",
            "allowed by admin",
        ),
        (
            &[&careful, &admin],
            Kind::Apps,
            Verb::Use,
            "secret=yes",
            "allowed by admin",
        ),
        (&[&careful], Kind::Nodes, Verb::Read, "", not),
        // Everything, labelled or not.
        (&[&all], Kind::Nodes, Verb::Read, "", "allowed by all"),
        (&[&all], Kind::Nodes, Verb::Read, "a=b", "allowed by all"),
        // The built-in ones.
        (
            &[&admin],
            Kind::Cluster,
            Verb::Update,
            "",
            "allowed by admin",
        ),
        (
            &[&operator],
            Kind::Nodes,
            Verb::Delete,
            "",
            "allowed by operator",
        ),
        (
            &[&operator],
            Kind::Tokens,
            Verb::Create,
            "",
            "allowed by operator",
        ),
        (
            &[&operator],
            Kind::Audit,
            Verb::Read,
            "",
            "allowed by operator",
        ),
        (&[&operator], Kind::Users, Verb::Read, "", not),
        (&[&operator], Kind::Cluster, Verb::Update, "", not),
        (
            &[&viewer],
            Kind::Metrics,
            Verb::Read,
            "a=b",
            "allowed by viewer",
        ),
        (&[&viewer], Kind::Apps, Verb::Use, "", not),
        (&[&viewer], Kind::Audit, Verb::Read, "", not),
        (
            &[&viewer, &prod],
            Kind::Apps,
            Verb::Use,
            "env=prod team=a",
            by_prod,
        ),
    ];
    for (roles, kind, verb, labelled, expected) in table {
        let roles: Vec<Role> = roles.iter().map(|role| (*role).clone()).collect();
        check(&roles, *kind, *verb, labelled, expected);
    }
}

#[test]
fn roles_are_read_strictly() {
    let refused = [
        (r#"{"name":"admin"}"#, "built in"),
        (r#"{"name":"a b"}"#, "role name"),
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
