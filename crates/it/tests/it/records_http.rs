//! What of HTTP clients of a collector use: every form of it works, and what is not for them is refused
//! in order.

use it::client::{self, Connection};
use it::program::Program;
use it::telemetrics::{self, Collector, Form, Record};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::records_limits::{TOLD, connect, head, hear, send_encoded};

/// How often a record is sent again.
const RESENT_MAX: usize = 30;

async fn start() -> Collector {
    Collector::start_small(json!({})).await
}

/// A client that asks before it sends is told to go on, or that it is too much.
#[tokio::test]
async fn a_client_may_ask_first() {
    let collector = start().await;
    let record = Record::new();
    let mut stream = connect(&collector).await;
    let length = record.payload.len();
    let lines =
        |length| format!("Expect: 100-continue\r\nConnection: close\r\nContent-Length: {length}");
    stream
        .write_all(&head(&record, &lines(length)))
        .await
        .unwrap();
    assert_eq!(hear(&mut stream, TOLD).await.status, 100);
    stream.write_all(&record.payload).await.unwrap();
    assert_eq!(hear(&mut stream, TOLD).await.status, 201);
    let mut stream = connect(&collector).await;
    stream
        .write_all(&head(&Record::new(), &lines((1 << 20) + 1)))
        .await
        .unwrap();
    assert_eq!(hear(&mut stream, TOLD).await.status, 413);
}

/// HTTP/1.0, and 1,000 records one after the other over one connection.
#[tokio::test]
async fn connections_are_kept_and_need_not_be() {
    let collector = start().await;
    let old = String::from_utf8(Record::new().request(Form::Headers)).unwrap();
    let old = old
        .replacen("HTTP/1.1", "HTTP/1.0", 1)
        .replacen("Connection: close\r\n", "", 1);
    assert_eq!(collector.raw(old.as_bytes()).await.status, 201);
    let mut connection = Connection::open(&collector.program.main.to_string())
        .await
        .unwrap();
    let mut last = 0;
    for number in 0..1_000 {
        let record = Record::new();
        let form = Form::ALL[number % 2];
        let body = String::from_utf8(record.body(form)).unwrap();
        let headers = record.headers(form).into_iter();
        let headers = headers.map(|(name, value)| (name, std::str::from_utf8(value).unwrap()));
        let headers: Vec<_> = headers.collect();
        let mut reply = connection
            .send("POST", form.path(), &headers, &body)
            .await
            .unwrap();
        // A disk that is busy for a second has it sent again, as clients do: over this connection.
        for _ in 0..RESENT_MAX {
            if reply.status != 503 {
                break;
            }
            let again = connection.send("POST", form.path(), &headers, &body);
            reply = again.await.unwrap();
        }
        let id = reply.json()["id"].as_i64().unwrap();
        assert!(
            reply.status == 201 && id > last,
            "{number}: {}",
            reply.text()
        );
        last = id;
    }
    assert!(!connection.is_closed());
}

/// Other methods are not served, and a person who looks is sent to the pages.
#[tokio::test]
async fn people_are_sent_to_the_pages() {
    let more = json!({"collector": {"listen": "127.0.0.1:0"}});
    let configuration = telemetrics::configuration(&more, json!({}));
    let program = Program::start(&configuration).await;
    let listeners = std::fs::read(program.path("data/listeners.json")).unwrap();
    let listeners: Value = serde_json::from_slice(&listeners).unwrap();
    let own = listeners["collector"].as_str().unwrap().to_owned();
    for address in [program.main.to_string(), own.clone()] {
        for path in ["/v2/collector", "/v3/collector"] {
            let url = format!("http://{address}{path}");
            for method in ["PUT", "DELETE", "PATCH"] {
                let reply = client::send(method, &url, &[], "").await.unwrap();
                assert_eq!(reply.status, 405, "{method} {url}");
            }
            let reply = client::get(&url, &[]).await.unwrap();
            assert!((300..400).contains(&reply.status), "{url} {}", reply.status);
            assert_eq!(reply.header("location"), "/telemetryui");
        }
    }
    let reply = client::get(&format!("http://{own}/"), &[]).await.unwrap();
    assert_eq!(reply.header("location"), "/telemetryui");
    let record = Record::new().request_to(Form::Headers, "/");
    assert_eq!(
        telemetrics::exchange(own.parse().unwrap(), &record)
            .await
            .status,
        201
    );
}

/// What is no JSON object with a payload is nobody's record: it is refused and not put aside.
#[tokio::test]
async fn a_body_that_is_no_object_is_refused() {
    let collector = start().await;
    let many: serde_json::Map<_, _> = (0..300)
        .map(|number| (number.to_string(), Value::Null))
        .collect();
    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for (body, message) in [
        ("", "the body is not JSON"),
        ("hello", "the body is not JSON"),
        ("{\"payload\":\"x\"", "the body is not JSON"),
        (&nested, "the body is not JSON"),
        ("[]", "the body is not a JSON object"),
        ("\"x\"", "the body is not a JSON object"),
        ("{}", "the body has no key `payload`"),
        (
            "{\"payload\":{}}",
            "the value of `payload` is not a text or a number",
        ),
        (
            "{\"payload\":\"\",\"severity\":[1]}",
            "the value of `severity` is not a text or a number",
        ),
        (
            &Value::from(many).to_string(),
            "the body has more than 256 keys",
        ),
    ] {
        let reply = send_encoded(&collector, (Form::Json, "identity"), body.as_bytes()).await;
        assert_eq!(
            (reply.status, reply.json()),
            (400, json!({"message": message}))
        );
    }
    assert_eq!(collector.newest().await, (0, 0));
}
