//! Tests of the verifiers, with handshakes in memory.

use rustls::ServerConnection;

use super::*;
use crate::authority::{Authority, Subject};
use crate::locks::Lock;
use crate::own_certificate::OwnCertificate;
use crate::test_support::{self as support, CLUSTER, bundle, certified, machine, now};

const NODE: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
const PROXY: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
const PROXIES: &[MachineRole] = &[MachineRole::Proxy];

/// One authority with a proxy, a node and what everybody trusts.
struct Cluster {
    authority: Authority,
    trust: Trust,
    proxy: OwnCertificate,
    node: OwnCertificate,
}

impl Cluster {
    fn new() -> Self {
        let (authority, _) = Authority::generate(CLUSTER, now()).unwrap();
        Self {
            trust: Trust::new(bundle(1, &[&authority])).unwrap(),
            proxy: certified(&authority, machine(MachineRole::Proxy, PROXY, "hub"), now()),
            node: certified(&authority, machine(MachineRole::Node, NODE, "web-1"), now()),
            authority,
        }
    }

    fn connect(
        &self,
        client: &OwnCertificate,
        server: &OwnCertificate,
    ) -> Result<ServerConnection, String> {
        let clients = self.trust.client_verifier(ClientCertificates::Required);
        let servers = self.trust.server_verifier(PROXIES, None);
        support::handshake(
            &support::client(client, servers),
            &support::server(server, clients),
        )
    }

    fn refuses(&self, client: &OwnCertificate, server: &OwnCertificate, expected: &str) {
        let error = self.connect(client, server).unwrap_err();
        assert!(error.contains(expected), "expected {expected:?}: {error}");
    }
}

fn unix_now() -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_millis(now().unsigned_abs()))
}

#[test]
fn a_node_and_a_proxy_recognise_one_another() {
    let cluster = Cluster::new();
    let connection = cluster.connect(&cluster.node, &cluster.proxy).unwrap();
    let peer = cluster
        .trust
        .client_of(connection.peer_certificates(), unix_now());
    let Ok(Peer::Machine(peer)) = peer else {
        panic!("{peer:?}");
    };
    assert_eq!((peer.uuid.as_str(), peer.name.as_str()), (NODE, "web-1"));
    assert_eq!(
        (peer.role, peer.cluster.as_str()),
        (MachineRole::Node, CLUSTER)
    );
    let missing = cluster.trust.client_of(None, unix_now());
    assert_eq!(missing, Err(PeerError::Missing));
}

#[test]
fn certificates_of_another_authority_are_refused_on_both_sides() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    ours.refuses(&theirs.node, &ours.proxy, "server: ");
    ours.refuses(&theirs.node, &ours.proxy, "does not trust");
    ours.refuses(&ours.node, &theirs.proxy, "client: ");
    // The same authority, but a name of another cluster.
    let subject = Subject::Machine {
        cluster: "elsewhere",
        role: MachineRole::Node,
        uuid: NODE,
        name: "web-1",
        web_names: &[],
    };
    let stranger = certified(&ours.authority, subject, now());
    ours.refuses(&stranger, &ours.proxy, "elsewhere");
}

#[test]
fn roles_times_and_the_dialled_machine_are_checked() {
    let cluster = Cluster::new();
    let hour = 3_600_000;
    let subject = machine(MachineRole::Node, NODE, "web-1");
    let expired = certified(&cluster.authority, subject, now() - 2 * hour);
    cluster.refuses(&expired, &cluster.proxy, "expired");
    let early = certified(&cluster.authority, subject, now() + hour);
    cluster.refuses(&early, &cluster.proxy, "not valid yet");
    // A node's certificate is none for servers, and an auth is not a proxy.
    cluster.refuses(&cluster.node, &cluster.node, "client: ");
    let auth = certified(
        &cluster.authority,
        machine(MachineRole::Auth, PROXY, "hub"),
        now(),
    );
    cluster.refuses(&cluster.node, &auth, "one of role auth, not proxy");
    cluster.refuses(&OwnCertificate::new(), &cluster.proxy, "no certificates");

    let clients = cluster.trust.client_verifier(ClientCertificates::Required);
    let server = support::server(&cluster.proxy, clients);
    for (uuid, is_right) in [(PROXY, true), (NODE, false)] {
        let servers = cluster
            .trust
            .server_verifier(PROXIES, Some(uuid.to_owned()));
        let client = support::client(&cluster.node, servers);
        assert_eq!(
            support::handshake(&client, &server).is_ok(),
            is_right,
            "{uuid}"
        );
    }
}

#[test]
fn locks_act_on_the_next_handshake_and_on_resumed_ones() {
    let cluster = Cluster::new();
    let connection = cluster.connect(&cluster.node, &cluster.proxy).unwrap();
    let lock = Lock {
        id: "1".to_owned(),
        target: LockTarget::Node(NODE.to_owned()),
        reason: "stolen".to_owned(),
        expires_at: None,
        created_at: 0,
        created_by: "anna".to_owned(),
    };
    cluster.trust.set_locks(LockSet::new(vec![lock]));
    cluster.refuses(&cluster.node, &cluster.proxy, "stolen");
    let peer = cluster
        .trust
        .client_of(connection.peer_certificates(), unix_now());
    assert_eq!(peer, Err(PeerError::Locked("stolen".to_owned())));
    cluster.trust.set_locks(LockSet::default());
    cluster.connect(&cluster.node, &cluster.proxy).unwrap();
}

#[test]
fn a_browser_needs_no_certificate_at_the_shared_door() {
    let cluster = Cluster::new();
    let clients = cluster.trust.client_verifier(ClientCertificates::Optional);
    let server = support::server(&cluster.proxy, clients);
    let servers = cluster.trust.server_verifier(PROXIES, None);
    let browser = support::client(&OwnCertificate::new(), servers.clone());
    let connection = support::handshake(&browser, &server).unwrap();
    assert!(connection.peer_certificates().is_none());
    let stranger = support::client(&Cluster::new().node, servers);
    assert!(support::handshake(&stranger, &server).is_err());
}

#[test]
fn a_pin_proves_the_server_of_a_first_contact() {
    let cluster = Cluster::new();
    let clients = cluster.trust.client_verifier(ClientCertificates::Optional);
    let server = support::server(&cluster.proxy, clients);
    let connect = |pins: Vec<String>| {
        let client = support::client(&OwnCertificate::new(), pinned_verifier(pins));
        support::handshake(&client, &server).map(|_| ())
    };
    let pins = cluster.trust.pins().unwrap();
    assert_eq!(connect(pins.clone()), Ok(()));
    let other = Cluster::new().trust.pins().unwrap();
    assert_eq!(connect([other.clone(), pins].concat()), Ok(()));
    let error = connect(other).unwrap_err();
    assert!(error.contains("ca_pin"), "{error}");
    assert!(connect(Vec::new()).is_err());

    // A stranger who shows our authority's certificate has not got its signature.
    let stranger = Cluster::new();
    let (key, request) = crate::authority::new_key("hub").unwrap();
    let request = crate::authority::Request::parse(request.as_bytes()).unwrap();
    let subject = machine(MachineRole::Node, PROXY, "hub");
    let issued = stranger
        .authority
        .issue(subject, &request, now(), support::HOUR)
        .unwrap();
    let own = OwnCertificate::new();
    let chain = format!(
        "{}{}",
        issued.chain_pem,
        cluster.authority.certificate_pem()
    );
    own.install(&chain, &key).unwrap();
    let clients = cluster.trust.client_verifier(ClientCertificates::Optional);
    let pins = cluster.trust.pins().unwrap();
    let client = support::client(&OwnCertificate::new(), pinned_verifier(pins));
    assert!(support::handshake(&client, &support::server(&own, clients)).is_err());
}

#[test]
fn bundles_go_forward_only() {
    let cluster = Cluster::new();
    let (other, _) = Authority::generate(CLUSTER, now()).unwrap();
    let both = bundle(3, &[&cluster.authority, &other]);
    assert!(cluster.trust.replace(both.clone()).unwrap());
    assert!(!cluster.trust.replace(bundle(2, &[&other])).unwrap());
    assert!(!cluster.trust.replace(bundle(3, &[&other])).unwrap());
    assert_eq!(cluster.trust.bundle(), both);
    let mut foreign = bundle(9, &[&other]);
    "elsewhere".clone_into(&mut foreign.cluster);
    let error = cluster.trust.replace(foreign).unwrap_err();
    assert!(matches!(error, TrustError::Cluster { .. }), "{error}");
    assert!(matches!(
        Trust::new(bundle(1, &[])),
        Err(TrustError::Count(0))
    ));
    let mut broken = bundle(9, &[&other]);
    "nothing".clone_into(&mut broken.authorities[0]);
    assert!(cluster.trust.replace(broken).is_err());
    let json = serde_json::to_string(&both).unwrap();
    assert_eq!(serde_json::from_str::<TrustBundle>(&json).unwrap(), both);
}
