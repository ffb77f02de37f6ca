//! Join tokens and joining: what lets in, what does not, and what is recorded.

use futures_util::future::join_all;
use identity::authority;
use identity::locks::LockTarget;
use identity::members::JoinRequest;
use identity::peer::{MachineRole, Peer};
use identity::{IdentityError, Refusal};

use crate::site::{HOUR, Site, join_request, labels, new_token, operator, refusal};

crate::on_both! {
    a_token_lets_in_as_many_as_it_has_uses,
    a_machine_gets_what_the_token_says,
    expired_used_and_foreign_tokens_are_refused_and_recorded,
    roles_names_and_labels_of_the_token_hold,
    the_name_of_another_machine_is_refused,
    locks_stop_joining,
    what_makes_no_sense_is_refused,
}

async fn a_token_lets_in_as_many_as_it_has_uses(site: &Site) {
    // Two processes, as with several hubs on one database.
    let (first, second) = (site.open().await, site.open().await);
    for uses in [1_usize, 3] {
        let token = first.token(i64::try_from(uses).unwrap()).await;
        let joins: Vec<JoinRequest> = (0..50)
            .map(|index| {
                let name = format!("web-{uses}-{index}");
                let (_, request) = authority::new_key(&name).unwrap();
                join_request(&token, &name, &request)
            })
            .collect();
        let results = join_all(joins.iter().enumerate().map(|(index, join)| {
            let identity = if index % 2 == 0 {
                &first.identity
            } else {
                &second.identity
            };
            let identity = identity.clone();
            async move { identity.members().join(join).await }
        }))
        .await;
        let joined = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(joined, uses);
        for result in results.into_iter().filter(Result::is_err) {
            assert_eq!(refusal(result), Refusal::TokenUsed);
        }
    }
    assert_eq!(first.number("SELECT COUNT(*) FROM members").await, 4);
    let events = first.events("node.join").await;
    let refused = events
        .iter()
        .filter(|event| event.outcome == "refused")
        .count();
    assert_eq!((events.len(), refused), (100, 96));
}

async fn a_machine_gets_what_the_token_says(site: &Site) {
    let opened = site.open().await;
    let identity = &opened.identity;
    let mut token = new_token(&[MachineRole::Node], 1);
    token.labels = labels(&[("env", "prod")]);
    let issued = identity.tokens().add(&operator(), &token).await.unwrap();
    assert_eq!(issued.pins, identity.trust().pins().unwrap());
    let (_, request) = authority::new_key("web-1").unwrap();
    let mut join = join_request(&issued.secret, "web-1", &request);
    join.labels = labels(&[("rack", "7")]);
    let answer = identity.members().join(&join).await.unwrap();
    assert_eq!(answer.labels, labels(&[("env", "prod"), ("rack", "7")]));
    assert_eq!(answer.trust, identity.trust().bundle());
    let day = 24 * 3_600_000;
    assert!((answer.expires_at - answer.now - day).abs() < 2000);

    let peer = crate::tls::peer_of_pem(&answer.certificate);
    let Peer::Machine(peer) = peer else {
        panic!("{peer:?}");
    };
    assert_eq!((&peer.uuid, peer.name.as_str()), (&answer.uuid, "web-1"));
    let member = identity.members().get(&answer.uuid).await.unwrap().unwrap();
    assert_eq!(
        (member.token_id, member.labels),
        (issued.id.clone(), answer.labels)
    );
    assert_eq!(identity.members().list("").await.unwrap().len(), 1);
    assert_eq!(identity.members().list("web-1").await.unwrap().len(), 0);

    let event = opened.events("node.join").await.pop().unwrap();
    assert_eq!(
        (event.outcome.as_str(), event.actor.as_str()),
        ("success", "anonymous")
    );
    assert_eq!(event.address, "198.51.100.9");
    assert_eq!(event.details["token"], issued.id.as_str());
    assert!(
        identity.tokens().list().await.unwrap().is_empty(),
        "used up"
    );
}

async fn expired_used_and_foreign_tokens_are_refused_and_recorded(site: &Site) {
    let opened = site.open().await;
    let members = opened.identity.members();
    let (_, request) = authority::new_key("web-1").unwrap();

    let expired = opened.token(5).await;
    site.advance(HOUR);
    let refused = refusal(
        members
            .join(&join_request(&expired, "web-1", &request))
            .await,
    );
    assert_eq!(refused, Refusal::TokenExpired);
    opened.check_refused("node.join", "token_expired").await;

    let used = opened.token(1).await;
    members
        .join(&join_request(&used, "web-1", &request))
        .await
        .unwrap();
    let (_, other) = authority::new_key("web-2").unwrap();
    let refused = refusal(members.join(&join_request(&used, "web-2", &other)).await);
    assert_eq!(refused, Refusal::TokenUsed);
    opened.check_refused("node.join", "token_used").await;

    let elsewhere = Site::sqlite();
    let foreign = elsewhere.open().await.token(1).await;
    let refused = refusal(members.join(&join_request(&foreign, "web-2", &other)).await);
    assert_eq!(refused, Refusal::TokenUnknown);
    opened.check_refused("node.join", "token_unknown").await;

    let id = opened.token(1).await;
    let listed = opened
        .identity
        .tokens()
        .list()
        .await
        .unwrap()
        .pop()
        .unwrap();
    opened
        .identity
        .tokens()
        .remove(&operator(), &listed.id)
        .await
        .unwrap();
    let refused = refusal(members.join(&join_request(&id, "web-2", &other)).await);
    assert_eq!(refused, Refusal::TokenUnknown);
    let cut = base::secret::Secret::new(&used.expose()[..40]);
    let refused = refusal(members.join(&join_request(&cut, "web-2", &other)).await);
    assert!(matches!(refused, Refusal::Form(_)));
    opened.check_refused("node.join", "form").await;
    let error = opened
        .identity
        .tokens()
        .remove(&operator(), &listed.id)
        .await;
    assert!(matches!(error, Err(IdentityError::NotFound { .. })));
}

async fn roles_names_and_labels_of_the_token_hold(site: &Site) {
    let opened = site.open().await;
    let mut token = new_token(&[MachineRole::Node], 1);
    "web-1".clone_into(&mut token.name);
    token.labels = labels(&[("env", "prod")]);
    let issued = opened
        .identity
        .tokens()
        .add(&operator(), &token)
        .await
        .unwrap();
    let (_, request) = authority::new_key("web-1").unwrap();
    let right = join_request(&issued.secret, "web-1", &request);
    let attempt = async |change: fn(&mut JoinRequest), reason: &str| {
        let mut join = right.clone();
        change(&mut join);
        let refused = refusal(opened.identity.members().join(&join).await);
        assert_eq!(refused.code(), reason);
        opened.check_refused("node.join", reason).await;
    };
    attempt(|join| join.role = MachineRole::Proxy, "token_role").await;
    attempt(|join| join.role = MachineRole::Auth, "token_role").await;
    attempt(|join| "web-2".clone_into(&mut join.name), "token_name").await;
    attempt(
        |join| join.labels = labels(&[("env", "dev")]),
        "token_label",
    )
    .await;
    // None of these used the one use of the token.
    opened.identity.members().join(&right).await.unwrap();
}

async fn the_name_of_another_machine_is_refused(site: &Site) {
    let opened = site.open().await;
    let (held, key) = opened.join("web-1").await;
    let token = opened.token(9).await;
    let (_, request) = authority::new_key("web-1").unwrap();
    let join = join_request(&token, "web-1", &request);
    let refused = refusal(opened.identity.members().join(&join).await);
    assert_eq!(refused, Refusal::NameTaken("web-1".to_owned()));
    opened.check_refused("node.join", "name_taken").await;

    // The same key is the same machine.
    let request = authority::request_for(&key, "web-1").unwrap();
    let again = join_request(&token, "web-1", &request);
    let answer = opened.identity.members().join(&again).await.unwrap();
    assert_eq!(answer.uuid, held.uuid);

    // Of many who want a free name, one gets it.
    let joins: Vec<JoinRequest> = (0..8)
        .map(|_| join_request(&token, "web-2", &authority::new_key("web-2").unwrap().1))
        .collect();
    let members = opened.identity.members();
    let results = join_all(joins.iter().map(|join| members.join(join))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for result in results.into_iter().filter(Result::is_err) {
        assert_eq!(refusal(result), Refusal::NameTaken("web-2".to_owned()));
    }
    let listed = opened.identity.tokens().list().await.unwrap();
    assert_eq!(listed[0].uses_left, 7, "refusals used nothing");
}

async fn locks_stop_joining(site: &Site) {
    let opened = site.open().await;
    let token = opened.token(9).await;
    let id = opened.identity.tokens().list().await.unwrap()[0].id.clone();
    let (_, request) = authority::new_key("web-1").unwrap();
    let join = join_request(&token, "web-1", &request);
    for target in [LockTarget::Token(id), LockTarget::Role("node".to_owned())] {
        let locks = opened.identity.locks();
        let lock = locks
            .add(&operator(), target, "leaked", None)
            .await
            .unwrap();
        let refused = refusal(opened.identity.members().join(&join).await);
        assert_eq!(refused, Refusal::Locked("leaked".to_owned()));
        opened.check_refused("node.join", "locked").await;
        locks.remove(&operator(), &lock).await.unwrap();
    }
    opened.identity.members().join(&join).await.unwrap();
}

async fn what_makes_no_sense_is_refused(site: &Site) {
    let opened = site.open().await;
    let tokens = opened.identity.tokens();
    let right = new_token(&[MachineRole::Node], 1);
    let mut wrong = vec![right.clone(); 5];
    wrong[0].roles.clear();
    wrong[1].uses = 0;
    wrong[2].life = std::time::Duration::ZERO;
    wrong[3].life = HOUR * 24 * 400;
    "a b".clone_into(&mut wrong[4].name);
    for token in &wrong {
        assert!(tokens.add(&operator(), token).await.is_err(), "{token:?}");
    }
    let token = opened.token(1).await;
    let (_, request) = authority::new_key("web-1").unwrap();
    let members = opened.identity.members();
    for name in ["", "../web", "a b", &"x".repeat(64)] {
        let result = members.join(&join_request(&token, name, &request)).await;
        assert!(matches!(result, Err(IdentityError::Name(_))), "{name}");
    }
    let result = members
        .join(&join_request(&token, "web-1", "nonsense"))
        .await;
    assert!(matches!(result, Err(IdentityError::Authority(_))));
    members
        .join(&join_request(&token, "web-1", &request))
        .await
        .unwrap();
}
