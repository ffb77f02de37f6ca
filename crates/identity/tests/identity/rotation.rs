//! Changing the authority under way: through all phases, and back, with a client and a server that
//! never fail a handshake.

use base::secret::Secret;
use identity::assertions::Claims;
use identity::authorities::{AuthorityKind, Pace};
use identity::authority;
use identity::members::JoinAnswer;
use identity::members::renew::Renewal;
use identity::peer::MachineRole;
use identity::rotation::{Phase, Usage};
use identity::trust::Trust;
use identity::{Identity, IdentityError};

use crate::site::{HOUR, Opened, Site, operator, peer_of};
use crate::tls::{Party, handshake};

crate::on_both! {
    a_rotation_never_breaks_a_handshake,
    a_rotation_goes_back_from_every_phase,
    a_rotation_waits_for_those_it_would_cut_off,
    ssh_authorities_rotate_too,
    other_processes_follow,
    one_goes_on_by_itself_when_nobody_is_cut_off,
    keys_of_assertions_are_told_for_a_while_after_they_were_replaced,
}

const X509: AuthorityKind = AuthorityKind::X509;
const FORCED: Pace = Pace {
    is_forced: true,
    is_automatic: false,
};

/// A machine as it is in the field: key, certificate, and what it was told to trust last.
struct Machine {
    party: Party,
    answer: JoinAnswer,
    key: Secret,
}

impl Machine {
    fn new(answer: JoinAnswer, key: Secret) -> Self {
        let trust = Trust::new(answer.trust.clone()).unwrap();
        let party = Party::new(&answer.certificate, &key, trust);
        Self { party, answer, key }
    }

    async fn node(opened: &Opened, name: &str) -> Self {
        let (answer, key) = opened.join(name).await;
        Self::new(answer, key)
    }

    async fn proxy(opened: &Opened) -> Self {
        let (key, request) = authority::new_key("hub").unwrap();
        let members = opened.identity.members();
        let enrolled = members.enrol_local(MachineRole::Proxy, "hub", request.as_bytes(), &[]);
        Self::new(enrolled.await.unwrap(), key)
    }

    /// Is told what is trusted now, and says that it knows.
    async fn learn(&self, identity: &Identity) {
        let bundle = identity.trust().bundle();
        self.party.trust.replace(bundle.clone()).unwrap();
        let members = identity.members();
        let known = members.acknowledge_trust(&self.answer.uuid, bundle.generation);
        known.await.unwrap();
    }

    async fn renew(&mut self, identity: &Identity) {
        let request = authority::request_for(&self.key, &self.answer.name).unwrap();
        let renewal = Renewal {
            request: request.as_bytes(),
            labels: None,
            web_names: &[],
            address: None,
        };
        let peer = peer_of(&self.answer);
        self.answer = identity.members().renew(&peer, &renewal).await.unwrap();
        self.party
            .own
            .install(&self.answer.certificate, &self.key)
            .unwrap();
    }
}

async fn rotate(identity: &Identity, to: Phase) {
    let authorities = identity.authorities();
    authorities
        .rotate(&operator(), X509, to, Pace::default())
        .await
        .unwrap();
}

#[track_caller]
fn check(nodes: &[&Machine], proxy: &Machine) {
    for node in nodes {
        let peer = handshake(&node.party, &proxy.party);
        assert!(peer.is_ok(), "{}: {peer:?}", node.answer.name);
    }
}

/// The authority's mark is in the issuer's name of a certificate.
fn pins(identity: &Identity) -> Vec<String> {
    identity.trust().pins().unwrap()
}

async fn a_rotation_never_breaks_a_handshake(site: &Site) {
    let opened = site.open().await;
    let identity = &opened.identity;
    let mut proxy = Machine::proxy(&opened).await;
    let mut quick = Machine::node(&opened, "quick").await;
    let mut slow = Machine::node(&opened, "slow").await;
    check(&[&quick, &slow], &proxy);
    let old = pins(identity);

    rotate(identity, Phase::Init).await;
    assert_eq!(pins(identity).len(), 2);
    check(&[&quick, &slow], &proxy);
    // In any order: who has learned and who has not yet understand one another.
    for index in 0..3 {
        [&proxy, &quick, &slow][index].learn(identity).await;
        check(&[&quick, &slow], &proxy);
    }
    quick.renew(identity).await;
    check(&[&quick, &slow], &proxy);

    rotate(identity, Phase::UpdateClients).await;
    check(&[&quick, &slow], &proxy);
    quick.renew(identity).await;
    check(&[&quick, &slow], &proxy);
    proxy.renew(identity).await;
    check(&[&quick, &slow], &proxy);
    let late = Machine::node(&opened, "late").await;
    check(&[&quick, &slow, &late], &proxy);

    rotate(identity, Phase::UpdateServers).await;
    check(&[&quick, &slow, &late], &proxy);
    proxy.renew(identity).await;
    check(&[&quick, &slow, &late], &proxy);
    slow.renew(identity).await;
    check(&[&quick, &slow, &late], &proxy);

    rotate(identity, Phase::Standby).await;
    check(&[&quick, &slow, &late], &proxy);
    let new = pins(identity);
    assert!(new.len() == 1 && new != old, "{new:?}");
    for machine in [&proxy, &quick, &slow, &late] {
        machine.learn(identity).await;
        check(&[&quick, &slow, &late], &proxy);
    }
    let kinds: Vec<String> = opened
        .events("authority.rotated")
        .await
        .iter()
        .map(|event| event.details["to"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        ["init", "update_clients", "update_servers", "standby"]
    );
}

async fn a_rotation_goes_back_from_every_phase(site: &Site) {
    let opened = site.open().await;
    let identity = &opened.identity;
    let mut proxy = Machine::proxy(&opened).await;
    let mut node = Machine::node(&opened, "web-1").await;
    let old = pins(identity);
    let way = [Phase::Init, Phase::UpdateClients, Phase::UpdateServers];
    for length in 1..=way.len() {
        for to in &way[..length] {
            rotate(identity, *to).await;
            for machine in [&proxy, &node] {
                machine.learn(identity).await;
            }
            node.renew(identity).await;
            proxy.renew(identity).await;
            check(&[&node], &proxy);
        }
        rotate(identity, Phase::Rollback).await;
        check(&[&node], &proxy);
        node.renew(identity).await;
        check(&[&node], &proxy);
        proxy.renew(identity).await;
        check(&[&node], &proxy);
        rotate(identity, Phase::Standby).await;
        assert_eq!(pins(identity), old, "after {length} phases");
        proxy.learn(identity).await;
        check(&[&node], &proxy);
        node.learn(identity).await;
        check(&[&node], &proxy);
    }
}

async fn a_rotation_waits_for_those_it_would_cut_off(site: &Site) {
    let opened = site.open().await;
    let identity = &opened.identity;
    let authorities = identity.authorities();
    let proxy = Machine::proxy(&opened).await;
    let node = Machine::node(&opened, "web-1").await;
    let try_to = async |to| {
        authorities
            .rotate(&operator(), X509, to, Pace::default())
            .await
    };
    assert!(matches!(
        try_to(Phase::Standby).await,
        Err(IdentityError::Phase(_))
    ));
    rotate(identity, Phase::Init).await;
    let error = try_to(Phase::UpdateClients).await.unwrap_err();
    assert!(error.to_string().contains("hub, web-1"), "{error}");
    assert!(matches!(
        try_to(Phase::Init).await,
        Err(IdentityError::Phase(_))
    ));
    let status = authorities.rotation(X509).await.unwrap();
    assert_eq!((status.phase, status.waits_for.len()), (Phase::Init, 1));
    proxy.learn(identity).await;
    node.learn(identity).await;
    assert!(
        authorities
            .rotation(X509)
            .await
            .unwrap()
            .waits_for
            .is_empty()
    );
    rotate(identity, Phase::UpdateClients).await;
    rotate(identity, Phase::UpdateServers).await;
    let error = try_to(Phase::Standby).await.unwrap_err();
    assert!(error.to_string().contains("hub, web-1"), "{error}");
    // Whose certificate has ended is not waited for.
    site.advance(25 * HOUR);
    rotate(identity, Phase::Standby).await;
    // Force goes over it, and the log tells over whom.
    rotate(identity, Phase::Init).await;
    let late = Machine::node(&opened, "late").await;
    late.learn(identity).await;
    let other = opened.join("other").await.0;
    rotate(identity, Phase::UpdateClients).await;
    rotate(identity, Phase::UpdateServers).await;
    let forced = authorities
        .rotate(&operator(), X509, Phase::Standby, FORCED)
        .await;
    forced.unwrap();
    let event = opened.events("authority.rotated").await.pop().unwrap();
    let over = event.details["forced_over"].to_string();
    assert!(over.contains("late, other"), "{over} {}", other.name);
}

async fn ssh_authorities_rotate_too(site: &Site) {
    let opened = site.open().await;
    let identity = &opened.identity;
    let (joined, _) = opened.join("web-1").await;
    let peer = peer_of(&joined);
    let caller = identity::audit::Caller::machine(&peer, None);
    let (key, _) = identity::ssh_authority::SshAuthority::generate("host").unwrap();
    let public = key.public_key().unwrap();
    let certificates = identity.certificates();
    certificates
        .sign_host(&peer, &caller, &public)
        .await
        .unwrap();
    let old = identity.trust().bundle().ssh_hosts;
    let authorities = identity.authorities();
    let go = async |to| {
        authorities
            .rotate(&operator(), AuthorityKind::SshHost, to, Pace::default())
            .await
    };
    go(Phase::Init).await.unwrap();
    assert_eq!(identity.trust().bundle().ssh_hosts.len(), 2);
    go(Phase::UpdateClients).await.unwrap();
    go(Phase::UpdateServers).await.unwrap();
    let error = go(Phase::Standby).await.unwrap_err();
    assert!(matches!(error, IdentityError::NotReady(_)), "{error}");
    site.advance(25 * HOUR);
    go(Phase::Standby).await.unwrap();
    let bundle = identity.trust().bundle();
    assert!(bundle.ssh_hosts.len() == 1 && bundle.ssh_hosts != old);
    assert_eq!(bundle.authorities.len(), 1);
}

async fn other_processes_follow(site: &Site) {
    let (first, second) = (site.open().await, site.open().await);
    let before = second.identity.trust().bundle().generation;
    rotate(&first.identity, Phase::Init).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while second.identity.trust().bundle().generation == before {
        assert!(
            std::time::Instant::now() < deadline,
            "the other process did not follow"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(
        second.identity.trust().bundle(),
        first.identity.trust().bundle()
    );
}

/// Waits for a phase; the service of the identity looks every second.
async fn reached(identity: &Identity, phase: Phase) {
    for _ in 0..100 {
        if identity.authorities().rotation(X509).await.unwrap().phase == phase {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!(
        "not in {phase}: {:?}",
        identity.authorities().rotation(X509).await.unwrap()
    );
}

async fn one_goes_on_by_itself_when_nobody_is_cut_off(site: &Site) {
    let opened = site.open().await;
    let identity = &opened.identity;
    let mut proxy = Machine::proxy(&opened).await;
    let mut node = Machine::node(&opened, "node").await;
    let old = pins(identity);
    identity
        .authorities()
        .rotate_by_itself(&operator(), X509)
        .await
        .unwrap();
    proxy.learn(identity).await;
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    let status = identity.authorities().rotation(X509).await.unwrap();
    assert!(status.is_automatic);
    assert_eq!(status.phase, Phase::Init);
    assert!(status.waits_for[0].ends_with(": node"), "{status:?}");
    node.learn(identity).await;
    reached(identity, Phase::UpdateServers).await;
    check(&[&node], &proxy);
    let bundle = identity.trust().bundle();
    assert!(!node.party.own.is_of_signer(&bundle, Usage::Client));
    node.renew(identity).await;
    assert!(node.party.own.is_of_signer(&bundle, Usage::Client));
    proxy.renew(identity).await;
    assert!(proxy.party.own.is_of_signer(&bundle, Usage::Server));
    reached(identity, Phase::Standby).await;
    let status = identity.authorities().rotation(X509).await.unwrap();
    assert!(!status.is_automatic);
    assert!(pins(identity).iter().all(|pin| !old.contains(pin)));
    let listed = identity.authorities().list().await.unwrap();
    let listed: Vec<_> = listed.iter().filter(|one| one.kind == "x509").collect();
    assert_eq!(listed.len(), 1);
    assert_eq!(vec![listed[0].public.clone()], pins(identity));
}

async fn keys_of_assertions_are_told_for_a_while_after_they_were_replaced(site: &Site) {
    let (opened, other) = (site.open().await, site.open().await);
    let claims = Claims {
        issuer: "https://hub".to_owned(),
        subject: "anna".to_owned(),
        audience: "api@web-1".to_owned(),
        roles: Vec::new(),
        issued_at: 0,
        expires_at: 300,
    };
    let ids = async |identity: &Identity| {
        let keys = identity.assertions().list().await.unwrap();
        keys.into_iter().map(|key| key.id).collect::<Vec<_>>()
    };
    let told = async |identity: &Identity| {
        let keys = identity.assertions().keys().await.unwrap();
        keys["keys"].as_array().unwrap().len()
    };
    let before = opened.identity.assertions().sign(&claims).await.unwrap();
    let also = other.identity.assertions().sign(&claims).await.unwrap();
    let old = ids(&opened.identity).await;
    let head = |signed: &str| signed.split('.').next().unwrap().to_owned();
    assert_eq!(head(&before), head(&also));
    site.advance(HOUR);
    let assertions = opened.identity.assertions();
    assertions.rotate(&operator()).await.unwrap();
    let after = opened.identity.assertions().sign(&claims).await.unwrap();
    assert_ne!(head(&before), head(&after));
    // The other process hears of it, and both keys are told.
    for _ in 0..100 {
        let signed = other.identity.assertions().sign(&claims).await.unwrap();
        if head(&signed) == head(&after) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let signed = other.identity.assertions().sign(&claims).await.unwrap();
    assert_eq!(head(&signed), head(&after));
    assert_eq!(told(&other.identity).await, 2);
    assert!(ids(&opened.identity).await.contains(&old[0]));
    site.advance(HOUR);
    assert_eq!(told(&other.identity).await, 1);
    assert!(!ids(&opened.identity).await.contains(&old[0]));
}
