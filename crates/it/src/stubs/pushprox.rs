//! A client of PushProx: the stock program when `LANDLINE_TEST_PUSHPROX_CLIENT` names it, otherwise a
//! stand-in that sends what `cmd/client/main.go` of PushProx 0.2 sends: polls one after the other, a
//! scrape beside them, an answer as Go writes it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::task::{JoinHandle, JoinSet};

use crate::{client, need};

/// The pause after a poll that failed, as `--proxy.retry.initial-wait` has it.
const RETRY: Duration = Duration::from_secs(1);

/// The running client.
#[derive(Debug)]
pub enum PushproxClient {
    /// The stock program.
    Stock(Child),
    /// The stand-in.
    StandIn(JoinHandle<()>),
}

impl PushproxClient {
    /// A client that polls `proxy` (`host:port`) as `fqdn` with this token.
    pub fn start(proxy: &str, fqdn: &str, token: &str) -> Self {
        if let Ok(program) = std::env::var("LANDLINE_TEST_PUSHPROX_CLIENT") {
            let child = Command::new(program)
                .arg(format!("--fqdn={fqdn}"))
                .arg(format!("--proxy-url=http://client:{token}@{proxy}/"))
                .arg("--metrics-addr=")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            return Self::Stock(child);
        }
        need::skip("no stock pushprox-client (LANDLINE_TEST_PUSHPROX_CLIENT): a stand-in runs");
        let stand_in = StandIn {
            proxy: format!("http://{proxy}"),
            fqdn: fqdn.to_owned(),
            authorization: format!("Basic {}", STANDARD.encode(format!("client:{token}"))),
        };
        Self::StandIn(tokio::spawn(stand_in.run()))
    }
}

impl Drop for PushproxClient {
    fn drop(&mut self) {
        match self {
            Self::Stock(child) => {
                if let Err(error) = child.kill().and_then(|()| child.wait()) {
                    eprintln!("cannot end the pushprox-client: {error}");
                }
            }
            Self::StandIn(task) => task.abort(),
        }
    }
}

#[derive(Debug, Clone)]
struct StandIn {
    proxy: String,
    fqdn: String,
    authorization: String,
}

impl StandIn {
    async fn run(self) {
        let mut scrapes = JoinSet::new();
        loop {
            let headers = [("authorization", self.authorization.as_str())];
            let url = format!("{}/poll", self.proxy);
            let polled = client::send("POST", &url, &headers, &self.fqdn).await;
            let polled = polled.ok().filter(|reply| reply.status == 200);
            match polled {
                Some(reply) => {
                    let own = self.clone();
                    scrapes.spawn(async move { own.scrape(&reply.text()).await });
                }
                None => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Does what the request says, and pushes what comes of it.
    async fn scrape(&self, request: &str) {
        let header = |name: &str| {
            let mut lines = request.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let id = header("id");
        let timeout = header("x-prometheus-scrape-timeout-seconds");
        let url = request.split(' ').nth(1).unwrap_or_default();
        let host = url::Url::parse(url).ok();
        let host = host.and_then(|url| url.host_str().map(str::to_owned));
        // What Go's `Response.Write` makes of a response that the client has made up itself.
        let failed = |reason: &str| {
            format!("HTTP/0.0 500 Internal Server Error\r\nId: {id}\r\n\r\n{reason}")
        };
        let answer = if timeout.parse::<f64>().is_err() {
            failed("strconv.ParseFloat: invalid syntax")
        } else if host.as_deref() != Some(self.fqdn.as_str()) {
            failed("scrape target doesn't match client fqdn")
        } else {
            match client::get(url, &[]).await {
                Ok(reply) => {
                    let (kind, page) = (reply.header("content-type"), reply.text());
                    format!(
                        "HTTP/1.1 {} OK\r\nTransfer-Encoding: chunked\r\nContent-Type: {kind}\r\n\
                         Id: {id}\r\nX-Prometheus-Scrape-Timeout: {timeout}\r\n\r\n{:x}\r\n{page}\r\n0\r\n\r\n",
                        reply.status,
                        page.len(),
                    )
                }
                Err(error) => failed(&format!("failed to scrape {url}: {error}")),
            }
        };
        let headers = [("authorization", self.authorization.as_str())];
        let url = format!("{}/push", self.proxy);
        drop(client::send("POST", &url, &headers, &answer).await);
    }
}
