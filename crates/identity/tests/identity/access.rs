//! API tokens, roles, and certificates of people.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::api_tokens::NewApiToken;
use identity::assertions::Claims;
use identity::certificates::UserRequest;
use identity::locks::LockTarget;
use identity::names::Labels;
use identity::peer::Peer;
use identity::principal::{Principal, Scope};
use identity::roles::{Kind, Role, Verb};
use identity::sessions::SignIn;
use identity::{IdentityError, Refusal, authority};

use crate::site::{HOUR, Opened, PASSWORD, Site, labels, new_user, operator, peer_of, refusal};

crate::on_both! {
    an_api_token_allows_what_user_and_scopes_allow,
    roles_act_at_once_and_go_only_when_nobody_has_them,
    a_user_who_signed_in_gets_certificates,
    hosts_get_certificates_for_their_own_names,
    all_processes_sign_assertions_with_one_key,
}

fn api_token(user: &str, scopes: &[&str]) -> NewApiToken {
    NewApiToken {
        user: user.to_owned(),
        purpose: "a script".to_owned(),
        scopes: scopes
            .iter()
            .map(|text| Scope::parse(text).unwrap())
            .collect(),
        life: HOUR,
    }
}

fn may(principal: &Principal, kind: Kind, verb: Verb) -> bool {
    principal.check(kind, verb, &Labels::new()).is_allowed()
}

async fn session(opened: &Opened, name: &str) -> Principal {
    let sign_in = SignIn {
        name: name.to_owned(),
        password: Secret::new(PASSWORD),
        code: None,
        address: None,
        client: String::new(),
    };
    let session = opened.identity.sessions().sign_in(&sign_in).await.unwrap();
    opened
        .identity
        .sessions()
        .verify(&session.secret)
        .await
        .unwrap()
}

async fn an_api_token_allows_what_user_and_scopes_allow(site: &Site) {
    let opened = site.open().await;
    opened.user("anna", &["operator"]).await;
    let tokens = opened.identity.api_tokens();
    let new = api_token("anna", &["nodes:read", "audit:*"]);
    let issued = tokens.add(&operator(), &new).await.unwrap();
    let principal = tokens.verify(&issued.secret, None).await.unwrap();
    assert!(may(&principal, Kind::Nodes, Verb::Read));
    assert!(may(&principal, Kind::Audit, Verb::Read));
    assert!(
        !may(&principal, Kind::Audit, Verb::Delete),
        "the user may not"
    );
    assert!(!may(&principal, Kind::Nodes, Verb::Use), "the scopes don't");
    let listed = tokens.list("anna").await.unwrap();
    assert!(listed[0].used_at > 0 && listed[0].scopes == new.scopes);

    // A user's own token can't be used as another kind of credential.
    let session = opened.identity.sessions().verify(&issued.secret).await;
    assert!(matches!(refusal(session), Refusal::Form(_)));
    let target = LockTarget::Token(issued.id.clone());
    let locks = opened.identity.locks();
    let lock = locks
        .add(&operator(), target, "leaked", None)
        .await
        .unwrap();
    let locked = tokens.verify(&issued.secret, None).await;
    assert_eq!(refusal(locked), Refusal::Locked("leaked".to_owned()));
    locks.remove(&operator(), &lock).await.unwrap();
    tokens.verify(&issued.secret, None).await.unwrap();
    site.advance(HOUR);
    let expired = tokens.verify(&issued.secret, None).await;
    assert_eq!(refusal(expired), Refusal::TokenExpired);
    opened
        .check_refused("api_token.used", "token_expired")
        .await;

    let issued = tokens
        .add(&operator(), &api_token("anna", &["*:*"]))
        .await
        .unwrap();
    tokens.remove(&operator(), &issued.id).await.unwrap();
    let removed = tokens.verify(&issued.secret, None).await;
    assert_eq!(refusal(removed), Refusal::TokenUnknown);
    assert!(tokens.remove(&operator(), &issued.id).await.is_err());
    let nobody = tokens
        .add(&operator(), &api_token("nobody", &["*:*"]))
        .await;
    assert!(matches!(nobody, Err(IdentityError::NotFound { .. })));
    assert!(
        tokens
            .add(&operator(), &api_token("anna", &[]))
            .await
            .is_err()
    );
}

async fn roles_act_at_once_and_go_only_when_nobody_has_them(site: &Site) {
    let opened = site.open().await;
    let roles = opened.identity.roles();
    let role = |verb: &str| {
        let json = format!(
            r#"{{"name":"webs","allow":[{{"kinds":["nodes"],"verbs":["{verb}"],"labels":{{"env":"prod"}}}}]}}"#
        );
        Role::parse(&json).unwrap()
    };
    roles.put(&operator(), &role("read")).await.unwrap();
    opened.user("anna", &["webs"]).await;
    let prod = labels(&[("env", "prod")]);
    let principal = session(&opened, "anna").await;
    assert!(principal.check(Kind::Nodes, Verb::Read, &prod).is_allowed());
    assert!(
        !principal
            .check(Kind::Nodes, Verb::Read, &Labels::new())
            .is_allowed()
    );
    roles.put(&operator(), &role("use")).await.unwrap();
    let principal = session(&opened, "anna").await;
    assert!(!principal.check(Kind::Nodes, Verb::Read, &prod).is_allowed());

    let error = roles.remove(&operator(), "webs").await.unwrap_err();
    assert!(error.to_string().contains("anna"), "{error}");
    let users = opened.identity.users();
    users
        .update(&operator(), &new_user("anna", &["viewer"]))
        .await
        .unwrap();
    roles.remove(&operator(), "webs").await.unwrap();
    assert_eq!(roles.list().await.unwrap().len(), 3);
    for name in ["admin", "webs"] {
        assert!(roles.remove(&operator(), name).await.is_err(), "{name}");
    }
    let built_in = Role::built_in("viewer").unwrap();
    assert!(roles.put(&operator(), &built_in).await.is_err());
}

async fn a_user_who_signed_in_gets_certificates(site: &Site) {
    let opened = site.open().await;
    opened.user("anna", &["viewer"]).await;
    let certificates = opened.identity.certificates();
    let (_, request) = authority::new_key("anna").unwrap();
    let (_, ssh_key) = ssh_key();
    let wanted = UserRequest {
        request: Some(request.as_bytes()),
        ssh_public_key: Some(&ssh_key),
        life: Some(48 * HOUR),
    };
    let principal = session(&opened, "anna").await;
    let caller = principal.caller(None);
    let signed = certificates
        .sign_user(&principal, &caller, &wanted)
        .await
        .unwrap();
    assert!(
        signed.expires_at <= site.now() + 12 * 3_600_000,
        "no longer than 12 hours"
    );
    let peer = crate::tls::peer_of_pem(&signed.certificate.unwrap());
    let Peer::User(peer) = peer else {
        panic!("{peer:?}");
    };
    let ssh = signed.ssh_certificate.unwrap();
    let ssh = ssh_key::Certificate::from_openssh(&ssh).unwrap();
    assert_eq!(
        (ssh.key_id(), ssh.valid_principals()),
        ("anna", &["deploy".to_owned()][..])
    );

    let by_certificate = opened.identity.user_of_certificate(&peer).await.unwrap();
    assert!(may(&by_certificate, Kind::Nodes, Verb::Read));
    let again = certificates
        .sign_user(&by_certificate, &caller, &wanted)
        .await;
    assert!(matches!(refusal(again), Refusal::Certificate(_)));
    opened
        .check_refused("certificate.signed", "certificate")
        .await;
    opened
        .identity
        .users()
        .remove(&operator(), "anna")
        .await
        .unwrap();
    let gone = opened.identity.user_of_certificate(&peer).await;
    assert!(matches!(refusal(gone), Refusal::Certificate(_)));
}

async fn hosts_get_certificates_for_their_own_names(site: &Site) {
    let opened = site.open().await;
    let (joined, _) = opened.join("web-1").await;
    let certificates = opened.identity.certificates();
    let (_, key) = ssh_key();
    let peer = peer_of(&joined);
    let caller = identity::audit::Caller::machine(&peer, None);
    let signed = certificates.sign_host(&peer, &caller, &key).await.unwrap();
    let signed = ssh_key::Certificate::from_openssh(&signed).unwrap();
    assert!(signed.valid_principals().contains(&"web-1.home".to_owned()));
    let mut other = peer.clone();
    "web-2".clone_into(&mut other.name);
    let refused = certificates.sign_host(&other, &caller, &key).await;
    assert_eq!(refusal(refused), Refusal::NotMember);
}

async fn all_processes_sign_assertions_with_one_key(site: &Site) {
    let (first, second) = (site.open().await, site.open().await);
    let claims = Claims {
        issuer: "https://hub.example.net".to_owned(),
        subject: "anna".to_owned(),
        audience: "api@web-1".to_owned(),
        roles: vec!["operator".to_owned()],
        issued_at: 1_000,
        expires_at: 1_300,
    };
    let (one, other) = (first.identity.assertions(), second.identity.assertions());
    let (one, other) = tokio::join!(one.sign(&claims), other.sign(&claims));
    let keys = second.identity.assertions().keys().await.unwrap();
    let keys = keys["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let coordinate = |name: &str| decode(keys[0][name].as_str().unwrap());
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    for signed in [one.unwrap(), other.unwrap()] {
        let (text, signature) = signed.rsplit_once('.').unwrap();
        key.verify(text.as_bytes(), &decode(signature)).unwrap();
        let (head, body) = text.split_once('.').unwrap();
        let head: serde_json::Value = serde_json::from_slice(&decode(head)).unwrap();
        assert_eq!(
            (&head["alg"], &head["kid"]),
            (&"ES256".into(), &keys[0]["kid"])
        );
        let body: serde_json::Value = serde_json::from_slice(&decode(body)).unwrap();
        assert_eq!(
            (&body["sub"], &body["exp"]),
            (&"anna".into(), &1_300.into())
        );
    }
}

/// A key pair of an SSH user or host.
fn ssh_key() -> (Secret, String) {
    let (key, secret) = identity::ssh_authority::SshAuthority::generate("key").unwrap();
    (secret, key.public_key().unwrap())
}
