//! New records as server-sent events: what is posted while somebody watches arrives, what came while
//! they were away as well, and in its order.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use it::telemetrics::{Collector, Form, Record, Store};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest until a record is shown to who watches.
const SHOWN: Duration = Duration::from_secs(2);

/// Somebody who watches.
struct Tail {
    body: Incoming,
    text: String,
    connection: JoinHandle<()>,
}

impl Tail {
    async fn open(collector: &Collector, query: &str, last: Option<i64>) -> Self {
        let stream = TcpStream::connect(collector.program.main).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, driver) = handshake.await.unwrap();
        let connection = tokio::spawn(async move { drop(driver.await) });
        let uri = format!("/v1/records/tail?{query}");
        let mut request = http::Request::get(uri).header("host", "localhost");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body(),
            text: String::new(),
            connection,
        }
    }

    /// The next event: its id and its record.
    async fn next(&mut self) -> (i64, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(record) = read(&event) {
                    return record;
                }
                continue;
            }
            let frame = timeout(SHOWN * 3, self.body.frame())
                .await
                .expect("an event in time");
            let frame = frame.expect("no end").unwrap();
            self.text
                .push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
        }
    }

    /// So many events, as ids.
    async fn ids(&mut self, count: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let (id, record) = self.next().await;
            assert_eq!(record["id"], json!(id));
            ids.push(id);
        }
        ids
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// The id and the data of an event; nothing for a comment.
fn read(event: &str) -> Option<(i64, Value)> {
    let field = |name: &str| {
        event
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let data = field("data")?;
    assert_eq!(field("event"), Some("record"), "{event}");
    Some((
        field("id")?.parse().unwrap(),
        serde_json::from_str(data).unwrap(),
    ))
}

async fn watched(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let before = collector.keep(Form::Headers, &Record::new()).await;
    let mut tail = Tail::open(&collector, "", None).await;
    let mut posted = Vec::new();
    for _ in 0..3 {
        let id = collector.keep(Form::Headers, &Record::new()).await;
        let (shown, record) = timeout(SHOWN, tail.next()).await.expect("it is shown soon");
        assert_eq!(shown, id, "and not {before}");
        let list = collector.json("/v1/records?limit=1").await;
        assert_eq!(record, list["records"][0]);
        posted.push(id);
    }
    drop(tail);
    for _ in 0..250 {
        posted.push(collector.keep(Form::Headers, &Record::new()).await);
    }
    let mut tail = Tail::open(&collector, "", Some(posted[1])).await;
    assert_eq!(tail.ids(posted.len() - 2).await, posted[2..]);
    let more = collector.keep(Form::Headers, &Record::new()).await;
    assert_eq!(tail.ids(1).await, [more]);
    let mut tail = Tail::open(&collector, &format!("after={before}"), None).await;
    assert_eq!(tail.ids(posted.len()).await, posted);
    collector.remove().await;
}

#[tokio::test]
async fn who_watches_sees_each_record_once_on_sqlite() {
    watched(Store::Sqlite).await;
}

#[tokio::test]
async fn who_watches_sees_each_record_once_on_postgresql() {
    watched(Store::Postgres).await;
}

/// Who asks for some sees those, and who leaves leaves nothing behind.
#[tokio::test]
async fn who_watches_may_choose() {
    let collector = Collector::start_small(json!({})).await;
    let tasks = collector.program.metric("landline_tasks", &[]).await;
    let mut tails = Vec::new();
    for _ in 0..20 {
        tails.push(Tail::open(&collector, "severity=4&classification=a/b/c", None).await);
    }
    let of = |class: &str, severity: &str| {
        Record::new()
            .set("classification", class)
            .set("severity", severity)
    };
    collector.keep(Form::Headers, &of("a/b/c", "3")).await;
    collector.keep(Form::Headers, &of("b/b/c", "4")).await;
    let wanted = collector.keep(Form::Headers, &of("a/b/c", "4")).await;
    for tail in &mut tails {
        assert_eq!(tail.ids(1).await, [wanted]);
    }
    drop(tails);
    it::wait::until("nothing is left of them", it::wait::SOON * 3, async || {
        let now = collector.program.metric("landline_tasks", &[]).await;
        (now <= tasks + 2.0).then_some(())
    })
    .await;
    for query in ["severity=9", "unknown=1"] {
        let status = collector
            .get(&format!("/v1/records/tail?{query}"))
            .await
            .status;
        assert_eq!(status, 400, "{query}");
    }
}

/// A star also stands for what nobody has sent yet.
#[tokio::test]
async fn a_star_stands_for_what_comes() {
    let collector = Collector::start_small(json!({})).await;
    let mut tail = Tail::open(&collector, "classification=a/*", None).await;
    let record = || Record::new().set("classification", "a/b/c");
    let first = collector.keep(Form::Headers, &record()).await;
    assert_eq!(tail.ids(1).await, [first]);
}
