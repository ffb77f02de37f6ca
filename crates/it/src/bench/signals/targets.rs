//! Targets to scrape: ten of 2,000 series each, of which a fifth never changes, a fifth changes now and
//! then, two fifths are counters, and a fifth walks at random with three decimals.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// How many there are.
pub(super) const TARGETS: usize = 10;
/// Series of each.
pub(super) const SERIES: usize = 2_000;
/// Stack of a connection's thread.
const STACK_BYTES: usize = 64 * 1024;

/// The running targets. They live as long as the process.
#[derive(Debug)]
pub(super) struct Targets {
    /// Where each listens.
    pub(super) addresses: Vec<SocketAddr>,
}

impl Targets {
    /// Starts them.
    pub(super) fn start() -> Self {
        let addresses = (0..TARGETS).map(|number| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let exporter = Arc::new(Mutex::new(Exporter::new(number)));
            spawn(move || {
                for stream in listener.incoming().flatten() {
                    let exporter = Arc::clone(&exporter);
                    spawn(move || serve(stream, &exporter));
                }
            });
            address
        });
        Self {
            addresses: addresses.collect(),
        }
    }

    /// A configuration of Prometheus that scrapes them every second.
    pub(super) fn configuration(&self) -> String {
        let targets: Vec<String> = self
            .addresses
            .iter()
            .map(|one| format!("'{one}'"))
            .collect();
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n\
             - job_name: bench\n  static_configs:\n  - targets: [{}]\n",
            targets.join(", ")
        )
    }
}

/// What one target shows. All who ask in the same second see the same.
#[derive(Debug)]
struct Exporter {
    begun: Instant,
    second: u64,
    random: u64,
    values: Vec<f64>,
    answer: Arc<Vec<u8>>,
}

impl Exporter {
    fn new(number: usize) -> Self {
        let values = (0..SERIES).map(|series| (series * 37 % 1_000) as f64);
        let mut exporter = Self {
            begun: Instant::now(),
            second: 0,
            random: 0x9e37_79b9_7f4a_7c15 ^ (number as u64) << 32,
            values: values.collect(),
            answer: Arc::default(),
        };
        exporter.answer = Arc::new(exporter.render());
        exporter
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn answer(&mut self) -> Arc<Vec<u8>> {
        let now = self.begun.elapsed().as_secs();
        if now != self.second {
            self.second = now;
            self.step();
            self.answer = Arc::new(self.render());
        }
        Arc::clone(&self.answer)
    }

    fn step(&mut self) {
        for series in 0..SERIES {
            let random = self.random();
            let value = &mut self.values[series];
            match series % 5 {
                1 if random.is_multiple_of(60) => *value += (random >> 32) as f64 % 7.0 - 3.0,
                2 | 3 => *value += ((random >> 20) % 40) as f64,
                4 => {
                    let step = ((random >> 20) % 2_001) as f64 - 1_000.0;
                    *value = ((*value * 1_000.0 + step).round()) / 1_000.0;
                }
                _ => {}
            }
        }
    }

    fn render(&self) -> Vec<u8> {
        let mut page = String::with_capacity(SERIES * 90);
        let families = [
            ("app_limit_bytes", "gauge"),
            ("app_replicas", "gauge"),
            ("app_requests_total", "counter"),
            ("app_bytes_total", "counter"),
            ("app_temperature_celsius", "gauge"),
        ];
        for (kind, (name, of_type)) in families.iter().enumerate() {
            writeln!(
                page,
                "# HELP {name} A made-up metric.\n# TYPE {name} {of_type}"
            )
            .unwrap();
            for series in (kind..SERIES).step_by(families.len()) {
                let value = self.values[series];
                let code = [200, 404, 500][series / 5 % 3];
                writeln!(
                    page,
                    "{name}{{handler=\"/api/v1/things/{}\",method=\"GET\",code=\"{code}\"}} {value}",
                    series / 5
                )
                .unwrap();
            }
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\r\n",
            page.len()
        );
        [head.into_bytes(), page.into_bytes()].concat()
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(work)
        .unwrap();
}

/// Answers requests until the peer closes.
fn serve(mut stream: TcpStream, exporter: &Mutex<Exporter>) {
    let mut buffer = Vec::with_capacity(4096);
    let mut chunk = [0; 4096];
    loop {
        let Ok(length @ 1..) = stream.read(&mut chunk) else {
            return;
        };
        buffer.extend_from_slice(&chunk[..length]);
        if !buffer.ends_with(b"\r\n\r\n") {
            continue;
        }
        buffer.clear();
        let answer = exporter.lock().unwrap().answer();
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}
