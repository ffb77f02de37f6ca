//! 200 MB in eight parts over five connections, as krkn sends them, and the same into nginx; and how long
//! the last byte of a large part waits.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};

use super::dav::Dav;
use super::line::Line;
use super::{Size, round, round_seconds};
use crate::artefacts::Store;
use crate::proc;

/// Parts of one upload.
const PARTS: u64 = 8;
/// Connections that send them: krkn's threads.
const CONNECTIONS: usize = 5;
/// Large parts whose last byte is waited for.
const WAITED: usize = 3;

/// Who takes the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Landline,
    /// The client flushes each file when its answer has come.
    NginxSynced,
    Nginx,
}

/// What one way has taken, over all rounds.
#[derive(Debug, Default)]
struct Taken {
    seconds: Vec<f64>,
    cpu: f64,
}

impl Taken {
    fn report(&self, size: Size) -> Value {
        let mb = (PARTS * size.part_bytes) as f64 / 1e6;
        let mut rates: Vec<f64> = self.seconds.iter().map(|seconds| mb / seconds).collect();
        rates.sort_by(f64::total_cmp);
        let rounds = rates.len();
        json!({
            "mb_per_second": round(median(&rates)),
            "slowest": rates.first().copied().map(round),
            "fastest": rates.last().copied().map(round),
            "cpu_s_per_gb": round(self.cpu / (mb * rounds as f64 / 1e3)),
            "rounds": rounds,
        })
    }
}

/// Of what is sorted.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) && middle > 0 {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted.get(middle).copied().unwrap_or(f64::NAN)
    }
}

/// The ways take turns; before each the disk has what came before.
pub(super) async fn measure(
    size: Size,
    store: &Store,
    nginx: Option<&str>,
    pattern: &[u8],
) -> Value {
    if nginx.is_none() {
        eprintln!("SKIPPED: comparison with nginx: LANDLINE_TEST_NGINX is not set");
    }
    let body = (pattern, size.part_bytes);
    let dav = nginx.map(Dav::start);
    let (mut ours, mut synced, mut plain) = (Taken::default(), Taken::default(), Taken::default());
    // The first round warms up.
    for turn in 0..=size.rounds {
        let is_measured = turn > 0;
        let links = links(store, &format!("parts/{turn}"), "part").await;
        let mut ways = [Way::Landline, Way::NginxSynced, Way::Nginx];
        // None of them is always the one after the other.
        let count = ways.len();
        ways.rotate_left(turn % count);
        for way in ways {
            let taken = match way {
                Way::Landline => &mut ours,
                Way::NginxSynced => &mut synced,
                Way::Nginx => &mut plain,
            };
            let taken = (taken, is_measured);
            match (way, &dav) {
                (Way::Landline, _) => {
                    let cpu = || proc::cpu_seconds(store.program.pid()).unwrap_or(0.0);
                    take(taken, cpu, || send_all(store.address, body, &links, None));
                }
                (_, Some(dav)) => {
                    let flushed = (way == Way::NginxSynced).then_some(dav.folder.as_path());
                    send_to_nginx(taken, dav, (turn, body), flushed);
                }
                (_, None) => {}
            }
        }
        remove(store, &format!("/artefacts/parts/{turn}/"), PARTS);
    }
    let ratio = |other: &Taken| {
        let rates = [&ours, other].map(|taken| taken.report(size)["mb_per_second"].as_f64());
        rates[0]
            .zip(rates[1])
            .map(|(ours, theirs)| round(ours / theirs))
    };
    let has_peer = dav.is_some();
    json!({
        "landline": ours.report(size),
        "nginx_synced": has_peer.then(|| synced.report(size)),
        "nginx": has_peer.then(|| plain.report(size)),
        "ratio_to_nginx_synced": ratio(&synced).filter(|_| has_peer),
        "ratio_to_nginx": ratio(&plain).filter(|_| has_peer),
    })
}

fn send_to_nginx(
    taken: (&mut Taken, bool),
    dav: &Dav,
    (turn, body): (usize, (&[u8], u64)),
    flushed: Option<&Path>,
) {
    let paths: Vec<String> = (0..PARTS).map(|n| format!("/{turn}-{n}.tar")).collect();
    let cpu = || dav.nginx.cpu_seconds();
    take(taken, cpu, || {
        send_all(dav.nginx.address, body, &paths, flushed);
    });
    for path in &paths {
        std::fs::remove_file(dav.folder.join(path.trim_start_matches('/'))).unwrap();
    }
}

fn take((taken, is_measured): (&mut Taken, bool), cpu: impl Fn() -> f64, send: impl FnOnce()) {
    rustix::fs::sync();
    let (begun, before) = (Instant::now(), cpu());
    send();
    let seconds = begun.elapsed().as_secs_f64();
    if is_measured {
        taken.seconds.push(seconds);
        taken.cpu += cpu() - before;
    }
}

/// Sends all parts, each connection one after the other. With a folder each file in it is flushed when
/// its answer has come, and the folder.
fn send_all(address: SocketAddr, body: (&[u8], u64), paths: &[String], flushed: Option<&Path>) {
    let waiting = Mutex::new(paths.iter());
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut line = Line::open(address).unwrap();
                loop {
                    let Some(path) = waiting.lock().unwrap().next() else {
                        break;
                    };
                    let answer = line.put(path, body).unwrap();
                    assert!(
                        matches!(answer.status, 200 | 201 | 204),
                        "{}",
                        answer.status
                    );
                    if let Some(folder) = flushed {
                        File::open(folder.join(path.trim_start_matches('/')))
                            .unwrap()
                            .sync_all()
                            .unwrap();
                        File::open(folder).unwrap().sync_all().unwrap();
                    }
                }
            });
        }
    });
}

/// How long the answers to large parts take, from their last byte on.
pub(super) async fn last_byte(size: Size, store: &Store, pattern: &[u8]) -> Value {
    let mut waits = Vec::new();
    let links = links(store, "waited/1", "part").await;
    for link in links.iter().take(WAITED) {
        rustix::fs::sync();
        let mut line = Line::open(store.address).unwrap();
        let answer = line.put(link, (pattern, size.waited_bytes)).unwrap();
        assert_eq!(answer.status, 200);
        waits.push(answer.waited.as_secs_f64());
    }
    remove(store, "/artefacts/waited/1/", WAITED as u64);
    waits.sort_by(f64::total_cmp);
    json!({
        "bytes": size.waited_bytes,
        "median_s": round_seconds(median(&waits)),
        "worst_s": waits.last().copied().map(round_seconds),
    })
}

/// Links for the parts of a file, as paths.
pub(super) async fn links(store: &Store, run: &str, name: &str) -> Vec<String> {
    let mut links = Vec::new();
    for part in 0..PARTS {
        let link = store.link(run, &format!("{name}-{part:02}.tar")).await;
        let path = link
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'));
        links.push(format!("/{}", path.unwrap().1));
    }
    links
}

/// Removes the parts, so that the disk has room for what follows.
pub(super) fn remove(store: &Store, folder: &str, parts: u64) {
    let credentials = wire::auth::basic(crate::artefacts::USER, crate::artefacts::PASSWORD);
    let headers = format!("authorization: {credentials}\r\n");
    let mut line = Line::open(store.address).unwrap();
    for part in 0..parts {
        let path = format!("{folder}part-{part:02}.tar");
        let answer = line.send("DELETE", (&path, &headers), (&[], 0)).unwrap();
        assert_eq!(answer.status, 204);
    }
}
