//! A real Prometheus sends by remote write and reads back.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Extension;
use signals::{Entry, Labels, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::*;

const PROGRAM: &str = "/usr/bin/prometheus";

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(folder: &Path, own: SocketAddr, ours: SocketAddr) -> Running {
    let configuration = format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs:\n\
         - job_name: self\n  \
           static_configs: [{{targets: ['{own}']}}]\n\
         remote_write:\n\
         - url: http://{ours}/api/v1/write\n  \
           queue_config: {{batch_send_deadline: 1s}}\n  \
           metadata_config: {{send_interval: 1s}}\n\
         remote_read:\n\
         - url: http://{ours}/api/v1/read\n  \
           read_recent: true\n"
    );
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, configuration).unwrap();
    let child = Command::new(PROGRAM)
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address={own}"))
        .stderr(Stdio::null())
        .spawn();
    Running(child.unwrap())
}

/// The answer to a query of the peer.
async fn query(peer: SocketAddr, query: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(peer).await?;
    let request = format!("GET /api/v1/query?query={query} HTTP/1.0\r\nHost: peer\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn watch(bench: &Bench, peer: SocketAddr) {
    let only_here = |store: &Store, now| {
        let labels = Labels::new([("__name__", "only_here")]).unwrap();
        let entry = Entry {
            id: None,
            labels: &labels,
            timestamp: now,
            start: 0,
            value: Value::Float(42.5),
        };
        store.append(&[entry], now).unwrap()
    };
    bench.samples.run(only_here).await.unwrap();
    loop {
        sleep(Duration::from_millis(200)).await;
        let up = bench.read("up").await;
        let samples = up
            .first()
            .map_or(0, |(_, samples)| samples.floats.times.len());
        let known = bench.store(Store::metadata).await;
        let kind = known.get("go_goroutines").map(|known| known.kind.clone());
        let read = query(peer, "only_here").await.unwrap_or_default();
        if samples > 3 && kind.as_deref() == Some("gauge") && read.contains("\"42.5\"") {
            return;
        }
    }
}

#[tokio::test]
#[ignore = "starts /usr/bin/prometheus and takes some seconds"]
async fn receive_works_with_a_prometheus() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = listener.local_addr().unwrap();
    let own = {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        free.local_addr().unwrap()
    };
    let _running = start(bench.folder.path(), own, ours);
    let local = Peer {
        address: own,
        is_tls: false,
    };
    let router = bench.router.clone();
    let router = router
        .layer(Extension(local))
        .layer(Extension(Viewer::of_everything()));
    let serving = axum::serve(listener, router).into_future();
    tokio::select! {
        ended = serving => panic!("{ended:?}"),
        watched = timeout(Duration::from_mins(1), watch(&bench, own)) => watched.unwrap(),
    }
    let page = bench.own_metrics();
    assert!(!page.contains("landline_received_refused_total"), "{page}");
    assert!(!page.contains("requests_refused_total"), "{page}");
}
