//! Tests of `digest`: the examples of RFC 7616 and RFC 2069 servers, and odd headers.

use proptest::prelude::*;

use super::*;

const MUFASA: Answer<'static> = Answer {
    username: "Mufasa",
    password: "Circle of Life",
    method: "GET",
    uri: "/dir/index.html",
    body: b"",
    cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    nonce_count: 1,
};

fn response(value: &str) -> &str {
    let (_, behind) = value.split_once("response=\"").expect("a response");
    behind.split('"').next().expect("closed")
}

/// RFC 7616 section 3.9.1: both challenges, SHA-256 is chosen; MD5 when it stands alone.
#[test]
fn example_of_the_standard() {
    let parameters = "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
    let sha = format!("Digest {parameters}, algorithm=SHA-256");
    let md5 = format!("Digest {parameters}, algorithm=MD5");
    let expected = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", uri=\"/dir/index.html\", response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
    let joined = format!("{md5}, {sha}");
    let mixed = format!("Negotiate YII/abc+==, Basic realm=\"a, Digest b\", {md5},,{sha}");
    for headers in [
        vec![md5.as_str(), &sha],
        vec![&sha, &md5],
        vec![&joined],
        vec![&mixed],
    ] {
        let challenge = choose(headers.iter().copied()).expect("one can be answered");
        assert_eq!(
            challenge.authorization(&MUFASA).as_deref(),
            Ok(expected),
            "{headers:?}"
        );
    }
    let challenge = choose([md5.as_str()]).expect("valid");
    let value = challenge
        .authorization(&MUFASA)
        .expect("no control characters");
    assert_eq!(response(&value), "8ca523f5e9506fed4657c9700eebdbec");
}

/// Expected responses computed by hand from the formulas of RFC 7616 section 3.4 with Python's
/// hashlib.
#[test]
fn variants() {
    let answer = Answer {
        username: "user",
        password: "pass",
        method: "POST",
        uri: "/metrics?a=b",
        body: b"body",
        cnonce: "0a4f113b",
        nonce_count: 0x2a,
    };
    for (parameters, expected) in VARIANTS {
        let header = format!("Digest realm=\"r\", nonce=\"n\"{parameters}");
        let challenge = choose([header.as_str()]).expect("valid");
        let value = challenge
            .authorization(&answer)
            .expect("no control characters");
        assert_eq!(response(&value), *expected, "{parameters}");
        assert_eq!(
            value.contains("nc=0000002a"),
            parameters.contains("qop"),
            "{value}"
        );
        assert_eq!(
            value.contains("algorithm="),
            parameters.contains("algorithm"),
            "{value}"
        );
    }
}

const VARIANTS: &[(&str, &str)] = &[
    ("", "b01a2a6c0286f81df99159cdf4e7ec8e"),
    (", qop=auth", "4b6b40d78954543e9e6bd6015c6c49ab"),
    (", qop=\"auth-int\"", "b38d9ff13330c210c4863bde437623b7"),
    (
        ", qop=\"auth\", algorithm=MD5-sess",
        "d3c51fadf7d540e392e94d9bad5a60d3",
    ),
    (
        ", qop=\"auth\", algorithm=sha-256-SESS",
        "89fe316cd8fee38a102b6c61241572f5b289a3dfd27d551850121c43450a7c06",
    ),
    (
        ", algorithm=SHA-512-256",
        "1d5d03a5b2e292287c53303450d3d598a6862eec3c6e6af2b0dc64151017888f",
    ),
];

#[test]
fn challenges_are_read() {
    let header = r#"digest REALM="a \"b\" \\ c, Basic x" , nonce = abc ,opaque="",stale=TRUE,qop=auth,domain="/x",userhash=true"#;
    let challenge = choose([header]).expect("valid");
    assert_eq!(challenge.realm, "a \"b\" \\ c, Basic x");
    assert_eq!(
        (challenge.nonce.as_str(), challenge.opaque.as_deref()),
        ("abc", Some(""))
    );
    assert!(challenge.is_stale && !challenge.is_session && !challenge.is_algorithm_named);
    assert_eq!(
        (challenge.algorithm, challenge.protection),
        (Algorithm::Md5, Protection::Auth)
    );
    let value = challenge
        .authorization(&MUFASA)
        .expect("no control characters");
    assert!(
        value.contains(r#"realm="a \"b\" \\ c, Basic x""#),
        "{value}"
    );
}

#[test]
fn names_outside_ascii_are_extended_values() {
    let challenge = choose(["Digest realm=r, nonce=n, qop=auth"]).expect("valid");
    let value = challenge.authorization(&Answer {
        username: "Jäsøn D",
        ..MUFASA
    });
    let value = value.expect("no control characters");
    assert!(
        value.starts_with("Digest username*=UTF-8''J%C3%A4s%C3%B8n%20D, realm"),
        "{value}"
    );
}

#[test]
fn refusals_say_why() {
    for (headers, error) in [
        (vec![], DigestError::NoDigest),
        (vec!["Basic realm=\"x\", Bearer"], DigestError::NoDigest),
        (vec!["Digest"], DigestError::Missing("realm")),
        (vec!["Digest realm=r"], DigestError::Missing("nonce")),
        (
            vec!["Digest realm=r, nonce=n, algorithm=SHA3"],
            DigestError::Unsupported("SHA3".into()),
        ),
        (
            vec!["Digest realm=r, nonce=n, qop=\"x\""],
            DigestError::Unsupported("MD5".into()),
        ),
    ] {
        assert_eq!(choose(headers.iter().copied()), Err(error), "{headers:?}");
    }
    let challenge = choose(["Digest realm=r, nonce=n"]).expect("valid");
    let error = challenge.authorization(&Answer {
        username: "a\r\nb",
        ..MUFASA
    });
    assert_eq!(error, Err(DigestError::ControlCharacter("user name")));
    assert!(!format!("{MUFASA:?}").contains("Circle"));
}

proptest! {
    #[test]
    fn any_header_ends(header in "(Digest|Basic|realm|nonce|=|\"|,| |\\\\|/|ü|abc){0,40}") {
        drop(choose([header.as_str()]));
    }
}
