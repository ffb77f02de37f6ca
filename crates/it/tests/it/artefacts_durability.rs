//! What was acknowledged is there: the program is killed under uploads, nothing torn is ever seen, and
//! what was on its way is collected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use it::artefacts::{PASSWORD, Store, USER, in_bucket_of, section};
use it::client;
use it::need::need;
use it::prometheus::free_port;
use it::s3s::S3Server;
use it::wait;
use rustix::process::Signal;
use serde_json::{Value, json};
use wire::auth::basic;

/// The longest until uploads go on.
const SERVED: Duration = Duration::from_secs(30);
/// Uploads at once.
const CLIENTS: usize = 4;

/// What the clients did.
#[derive(Debug, Default)]
struct Load {
    is_over: AtomicBool,
    count: AtomicUsize,
    /// Content by key, as it was acknowledged.
    acknowledged: Mutex<BTreeMap<String, String>>,
}

/// The content of a key: long enough for several batches, and its own.
fn content(key: &str) -> String {
    let words = 1_000 + key.len() * 2_711 % 40_000;
    format!("{key} ").repeat(words / 10)
}

/// Uploads by links as krkn does, for ever: after a failure a new link.
async fn upload(address: SocketAddr, client: usize, load: Arc<Load>) {
    let credentials = basic(USER, PASSWORD);
    let mut number = 0;
    while !load.is_over.load(Ordering::Relaxed) {
        let (run, name) = (format!("g/run-{client}"), format!("part-{number:04}.tar"));
        let path = format!("/presigned-url?request_id={run}&remote_filename={name}");
        let url = format!("http://{address}{path}");
        let Ok(link) = client::get(&url, &[("authorization", &credentials)]).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let key = format!("{run}/{name}");
        let body = content(&key);
        let sent = client::send("PUT", &link.text(), &[], &body).await;
        if sent.is_ok_and(|reply| reply.status == 200) {
            load.acknowledged.lock().unwrap().insert(key, body);
            load.count.fetch_add(1, Ordering::Relaxed);
            number += 1;
        }
    }
}

async fn killed(kills: usize, section: Value) {
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut store = Store::start_at(listen, section).await;
    let load = Arc::new(Load::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(upload(store.address, client, Arc::clone(&load))))
        .collect();
    for kill in 0..kills {
        let wanted = load.count.load(Ordering::Relaxed) + 1 + kill * 7 % 11;
        wait::until("uploads are acknowledged", SERVED, async || {
            (load.count.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
        store.program.signal(Signal::KILL);
        assert_eq!(store.program.wait_exit(wait::SOON).await, -9);
        store.program.restart();
        store.program.ready().await;
    }
    load.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    let mut files = 0;
    for client in 0..CLIENTS {
        for entry in store.navigate(&format!("/g/run-{client}")).await {
            let key = format!("g/run-{client}/{}", entry["path"].as_str().unwrap());
            let found = store.s3("GET", &format!("/{key}"), &[], "").await;
            // Also what was kept without its client hearing of it is whole.
            assert_eq!(found.text(), content(&key), "{key} is torn");
            files += 1;
        }
    }
    for key in acknowledged.keys() {
        let found = store.s3("HEAD", &format!("/{key}"), &[], "").await;
        assert_eq!(found.status, 200, "{key} was acknowledged and is gone");
    }
    assert!(acknowledged.len() >= kills);
    // After a start without load there is one object for each version, and nothing on its way.
    store.program.signal(Signal::KILL);
    store.program.wait_exit(wait::SOON).await;
    store.program.restart();
    store.program.ready().await;
    let versions = versions(&store).await;
    assert!(versions >= files);
    if !store.has_folder() {
        // In a bucket orphans have to be a day old.
        return;
    }
    wait::until("orphans are collected", wait::SOON, async || {
        let is_clean = store.files_below("objects") == versions;
        (is_clean && store.files_below("incoming") == 0).then_some(())
    })
    .await;
}

/// A removal that is killed leaves a run with fewer files, each of them whole, and goes on when it is
/// asked for again; nothing is left on the disk in the end.
#[tokio::test]
async fn a_removal_that_is_killed_goes_on() {
    const FILES: usize = 500;
    const RUN: &str = "/v1/artefacts/runs/g/r";
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut store = Store::start_at(listen, section(json!({}))).await;
    let credentials = basic(USER, PASSWORD);
    let headers = [("authorization", credentials.as_str())];
    for number in 0..FILES {
        let path = format!("/artefacts/g/r/{number:04}");
        let put = store.send("PUT", &path, &headers, &content(&path)).await;
        assert_eq!(put.status, 200);
    }
    let kept = store
        .send("PUT", "/artefacts/g/other/f", &headers, "x")
        .await;
    assert_eq!(kept.status, 200);
    let url = store.url(RUN);
    let asked = credentials.clone();
    let removal = tokio::spawn(async move {
        client::send("DELETE", &url, &[("authorization", &asked)], "").await
    });
    wait::until("the removal has begun", wait::SOON, async || {
        (store.files_below("objects") <= FILES).then_some(())
    })
    .await;
    store.program.signal(Signal::KILL);
    assert_eq!(store.program.wait_exit(wait::SOON).await, -9);
    // Its answer was cut off, or it was too fast for us.
    let _answer = removal.await.unwrap();
    store.program.restart();
    store.program.ready().await;
    let left = versions(&store).await;
    wait::until("orphans are collected", wait::SOON, async || {
        (store.files_below("objects") == left).then_some(())
    })
    .await;
    for entry in store.navigate("/g/r").await {
        let path = format!("/artefacts/g/r/{}", entry["path"].as_str().unwrap());
        let found = store.send("GET", &path, &headers, "").await;
        assert_eq!(found.text(), content(&path), "{path} is torn");
    }
    let again = store.send("DELETE", RUN, &headers, "").await;
    assert!([200, 404].contains(&again.status), "{}", again.text());
    assert_eq!(store.get(RUN).await.status, 404);
    wait::until("nothing of it is left", wait::SOON, async || {
        (store.files_below("objects") == 1).then_some(())
    })
    .await;
}

/// How many versions there are of all files.
async fn versions(store: &Store) -> usize {
    let last = |page: &str, element: &str| {
        let (_, rest) = page.split_once(&format!("<{element}>"))?;
        rest.split('<').next().map(str::to_owned)
    };
    let mut count = 0;
    let mut markers = (String::new(), "0".to_owned());
    loop {
        let parameters = [
            ("versions", ""),
            ("key-marker", markers.0.as_str()),
            ("version-id-marker", &markers.1),
        ];
        let page = store.s3("GET", "", &parameters, "").await.text();
        count += page.matches("<Version>").count();
        let next = last(&page, "NextKeyMarker").zip(last(&page, "NextVersionIdMarker"));
        match next {
            Some(next) => markers = next,
            None => return count,
        }
    }
}

#[tokio::test]
async fn no_kill_tears_a_file() {
    killed(20, section(json!({}))).await;
}

#[tokio::test]
async fn no_kill_tears_a_file_in_a_bucket() {
    killed_over_a_bucket(10).await;
}

async fn killed_over_a_bucket(kills: usize) {
    let Some(program) = need("S3S_FS") else {
        return;
    };
    let server = S3Server::start(&program, "artefacts").await;
    killed(kills, in_bucket_of(&server.endpoint, S3Server::KEY)).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn no_kill_tears_a_file_two_hundred_kills() {
    killed(200, section(json!({}))).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn no_kill_tears_a_file_in_a_bucket_two_hundred_kills() {
    killed_over_a_bucket(200).await;
}

/// Vector 3: a part of 500 MB is answered within 5 s of its last byte, which is what krkn waits.
#[tokio::test]
#[ignore = "takes a minute and a quiet disk"]
async fn a_large_part_is_answered_in_time() {
    let store = Store::start(section(json!({}))).await;
    large_part(&store).await;
    let Some(program) = need("S3S_FS") else {
        return;
    };
    let server = S3Server::start(&program, "artefacts").await;
    let store = Store::start(in_bucket_of(&server.endpoint, S3Server::KEY)).await;
    large_part(&store).await;
}

/// Sends 500 MB, and looks how long the answer takes after the last byte.
async fn large_part(store: &Store) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let link = store.link("g/r", "prometheus-00.tar").await;
    let path = link.strip_prefix(&store.url("")).unwrap();
    let mut stream = tokio::net::TcpStream::connect(store.address).await.unwrap();
    let piece = vec![7; 1_000_000];
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 500000000\r\nConnection: close\r\n\r\n",
        store.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..500 {
        stream.write_all(&piece).await.unwrap();
    }
    stream.flush().await.unwrap();
    let sent = std::time::Instant::now();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let took = sent.elapsed();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// A link holds after a restart, and a folder that is not there is no empty store.
#[tokio::test]
async fn a_lost_folder_is_not_an_empty_store() {
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut store = Store::start_at(listen, section(json!({}))).await;
    assert_eq!(store.upload("g/r", "f", "x").await.status, 200);
    let link = store.link("g/r", "g").await;
    store.program.signal(Signal::TERM);
    assert_eq!(store.program.wait_exit(wait::SOON).await, 0);
    let folder = store.program.path("data/artefacts");
    let away = store.program.path("data/away");
    std::fs::rename(&folder, &away).unwrap();
    store.program.restart();
    assert_ne!(store.program.wait_exit(SERVED).await, 0);
    let log = store.program.stderr();
    assert!(log.contains("is the disk mounted?"), "{log}");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    std::fs::write(store.program.path("data/listeners.json"), "{}").unwrap();
    store.program.restart();
    store.program.ready().await;
    assert_eq!(
        client::send("PUT", &link, &[], "y").await.unwrap().status,
        200
    );
    assert_eq!(store.s3("GET", "/g/r/f", &[], "").await.text(), "x");
}
