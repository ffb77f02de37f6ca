//! Renewing, coming back after an absence, and being removed.

use std::time::Duration;

use identity::authority;
use identity::locks::LockTarget;
use identity::members::renew::Renewal;
use identity::names::Labels;
use identity::peer::MachineRole;
use identity::{IdentityError, Refusal};

use crate::site::{HOUR, Site, labels, operator, peer_of, refusal};
use crate::tls::{Party, handshake};

crate::on_both! {
    a_machine_renews_what_it_is_and_nothing_else,
    the_labels_of_the_token_stay,
    a_machine_comes_back_with_its_key_alone,
    a_removed_machine_is_out_at_once,
    processes_of_the_hub_need_no_token,
}

fn renewal(request: &str) -> Renewal<'_> {
    Renewal {
        request: request.as_bytes(),
        labels: None,
        web_names: &[],
        address: None,
    }
}

async fn a_machine_renews_what_it_is_and_nothing_else(site: &Site) {
    let opened = site.open().await;
    let members = opened.identity.members();
    let (first, key) = opened.join("web-1").await;
    let (other, _) = opened.join("web-2").await;
    site.advance(12 * HOUR);
    let request = authority::request_for(&key, "web-1").unwrap();
    let renewed = members
        .renew(&peer_of(&first), &renewal(&request))
        .await
        .unwrap();
    assert_eq!(renewed.uuid, first.uuid);
    assert!(renewed.expires_at >= first.expires_at + 12 * 3_600_000 - 2000);
    assert_eq!(opened.events("node.renew").await.len(), 1);

    for wanted in ["web-2", "WEB-1", &other.uuid] {
        let request = authority::request_for(&key, wanted).unwrap();
        let refused = refusal(members.renew(&peer_of(&first), &renewal(&request)).await);
        assert_eq!(refused, Refusal::OtherName, "{wanted}");
        opened.check_refused("node.renew", "other_name").await;
    }
    let mut disguised = peer_of(&first);
    "web-2".clone_into(&mut disguised.name);
    let mut promoted = peer_of(&first);
    promoted.role = MachineRole::Proxy;
    for peer in [disguised, promoted] {
        let refused = refusal(members.renew(&peer, &renewal(&request)).await);
        assert_eq!(refused, Refusal::OtherName);
    }
    let mut unknown = peer_of(&first);
    "7c9e6679-7425-40de-944b-e07fc1f90ae7".clone_into(&mut unknown.uuid);
    let refused = refusal(members.renew(&unknown, &renewal(&request)).await);
    assert_eq!(refused, Refusal::NotMember);
    opened.check_refused("node.renew", "not_member").await;
}

async fn the_labels_of_the_token_stay(site: &Site) {
    let opened = site.open().await;
    let members = opened.identity.members();
    let mut token = crate::site::new_token(&[MachineRole::Node], 1);
    token.labels = labels(&[("env", "prod")]);
    let issued = opened
        .identity
        .tokens()
        .add(&operator(), &token)
        .await
        .unwrap();
    let (_, request) = authority::new_key("web-1").unwrap();
    let join = crate::site::join_request(&issued.secret, "web-1", &request);
    let joined = members.join(&join).await.unwrap();
    let with = async |own: Labels| {
        let mut renewal = renewal(&request);
        renewal.labels = Some(&own);
        members.renew(&peer_of(&joined), &renewal).await
    };
    let renewed = with(labels(&[("rack", "8")])).await.unwrap();
    assert_eq!(renewed.labels, labels(&[("env", "prod"), ("rack", "8")]));
    let refused = refusal(with(labels(&[("env", "dev")])).await);
    assert_eq!(refused, Refusal::TokenLabel("env".to_owned()));
    let too_many: Labels = (0..40).map(|n| (format!("k{n}"), String::new())).collect();
    assert!(matches!(with(too_many).await, Err(IdentityError::Name(_))));
}

async fn a_machine_comes_back_with_its_key_alone(site: &Site) {
    let opened = site.open().await;
    let members = opened.identity.members();
    let (joined, key) = opened.join("laptop").await;
    let request = authority::request_for(&key, "laptop").unwrap();
    site.advance(3 * 24 * HOUR);
    let back = members
        .come_back(&joined.uuid, &renewal(&request))
        .await
        .unwrap();
    assert_eq!((&back.uuid, back.name.as_str()), (&joined.uuid, "laptop"));

    let (_, stolen) = authority::new_key("laptop").unwrap();
    let refused = refusal(members.come_back(&joined.uuid, &renewal(&stolen)).await);
    assert_eq!(refused, Refusal::OtherKey);
    opened.check_refused("node.come_back", "other_key").await;
    let refused = refusal(members.come_back("laptop", &renewal(&request)).await);
    assert_eq!(refused, Refusal::NotMember);

    let target = LockTarget::Node(joined.uuid.clone());
    let locks = opened.identity.locks();
    let day = Some(Duration::from_hours(24));
    locks.add(&operator(), target, "stolen", day).await.unwrap();
    let refused = refusal(members.come_back(&joined.uuid, &renewal(&request)).await);
    assert_eq!(refused, Refusal::Locked("stolen".to_owned()));
    site.advance(25 * HOUR);
    members
        .come_back(&joined.uuid, &renewal(&request))
        .await
        .unwrap();
    site.advance(32 * 24 * HOUR);
    let refused = refusal(members.come_back(&joined.uuid, &renewal(&request)).await);
    assert_eq!(refused, Refusal::AwayTooLong);
    opened
        .check_refused("node.come_back", "away_too_long")
        .await;
}

async fn a_removed_machine_is_out_at_once(site: &Site) {
    let opened = site.open().await;
    let members = opened.identity.members();
    let (key, request) = authority::new_key("hub").unwrap();
    let hub = members.enrol_local(MachineRole::Proxy, "hub", request.as_bytes(), &[]);
    let hub = hub.await.unwrap();
    let proxy = Party::new(&hub.certificate, &key, opened.identity.trust());
    let (joined, key) = opened.join("web-1").await;
    let node = Party::new(&joined.certificate, &key, opened.identity.trust());
    handshake(&node, &proxy).unwrap();

    members.remove(&operator(), &joined.uuid).await.unwrap();
    let error = handshake(&node, &proxy).unwrap_err();
    assert!(error.contains("removed from the cluster"), "{error}");
    let request = authority::request_for(&key, "web-1").unwrap();
    let refused = refusal(members.renew(&peer_of(&joined), &renewal(&request)).await);
    assert_eq!(refused, Refusal::NotMember);
    let refused = refusal(members.come_back(&joined.uuid, &renewal(&request)).await);
    assert_eq!(refused, Refusal::NotMember);
    let error = members.remove(&operator(), &joined.uuid).await;
    assert!(matches!(error, Err(IdentityError::NotFound { .. })));
    // The name is free again, for another machine.
    let (again, _) = opened.join("web-1").await;
    assert_ne!(again.uuid, joined.uuid);
}

async fn processes_of_the_hub_need_no_token(site: &Site) {
    let opened = site.open().await;
    let members = opened.identity.members();
    let (_, request) = authority::new_key("hub").unwrap();
    let enrol = |role, name: &'static str| {
        let (members, request) = (members, request.clone());
        async move {
            members
                .enrol_local(role, name, request.as_bytes(), &[])
                .await
        }
    };
    let first = enrol(MachineRole::Proxy, "hub").await.unwrap();
    let again = enrol(MachineRole::Proxy, "hub").await.unwrap();
    assert_eq!(first.uuid, again.uuid);
    assert_eq!(first.certificate.matches("BEGIN CERTIFICATE").count(), 2);
    opened.join("web-1").await;
    for (role, name) in [(MachineRole::Auth, "hub"), (MachineRole::Proxy, "web-1")] {
        let refused = refusal(enrol(role, name).await);
        assert_eq!(refused, Refusal::NameTaken(name.to_owned()));
    }
}
