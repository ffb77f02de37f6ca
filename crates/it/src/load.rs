//! A steady load over kept and fresh connections that counts everything that is not the right
//! answer: refused, reset, wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::client::{self, Connection, Failure, Reply};

/// What happened.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Right answers.
    pub good: usize,
    /// Everything else, by description.
    pub bad: BTreeMap<String, usize>,
    /// How often a kept connection was closed in order and had to be opened anew.
    pub reopened: usize,
    /// The longest that an answer took, right or wrong.
    pub slowest: Duration,
}

/// What to ask and what to expect.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where.
    pub address: SocketAddr,
    /// Path.
    pub path: String,
    /// Text that a right answer contains.
    pub expected: String,
    /// Workers with a kept connection.
    pub kept: usize,
    /// Workers with a fresh connection per request.
    pub fresh: usize,
    /// Time between two requests of a worker.
    pub interval: Duration,
}

/// The running load.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the workers.
    pub fn start(&self) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let worker = |is_kept| {
            tokio::spawn(work(
                self.clone(),
                is_kept,
                Arc::clone(&stop),
                Arc::clone(&tally),
            ))
        };
        let kept = (0..self.kept).map(|_| worker(true));
        let workers = kept.chain((0..self.fresh).map(|_| worker(false))).collect();
        Running {
            stop,
            tally,
            workers,
        }
    }
}

impl Running {
    /// What happened so far.
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }

    /// Ends the workers after their current request and tells what happened.
    pub async fn finish(self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        for worker in self.workers {
            worker.await.unwrap();
        }
        let tally = self.tally.lock().unwrap();
        tally.clone()
    }
}

/// One worker.
async fn work(load: Load, is_kept: bool, stop: Arc<AtomicBool>, tally: Arc<Mutex<Tally>>) {
    let mut ticks = tokio::time::interval(load.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kept: Option<Connection> = None;
    let url = format!("http://{}{}", load.address, load.path);
    while !stop.load(Ordering::SeqCst) {
        ticks.tick().await;
        let begun = Instant::now();
        let result = if is_kept {
            ask_kept(&load, &mut kept, &tally).await
        } else {
            client::get(&url, &[]).await
        };
        let verdict = judge(&result, &load.expected);
        if result.is_err() {
            kept = None;
        }
        let mut tally = tally.lock().unwrap();
        tally.slowest = tally.slowest.max(begun.elapsed());
        match verdict {
            None => tally.good += 1,
            Some(reason) => *tally.bad.entry(reason).or_default() += 1,
        }
    }
}

/// Asks on the kept connection; opens it anew only when the peer has closed it in order before, or
/// has said that it would.
async fn ask_kept(
    load: &Load,
    kept: &mut Option<Connection>,
    tally: &Mutex<Tally>,
) -> Result<Reply, Failure> {
    if kept.as_ref().is_some_and(Connection::is_closed) {
        tally.lock().unwrap().reopened += 1;
        *kept = None;
    }
    let connection = match kept {
        Some(connection) => connection,
        None => kept.insert(Connection::open(&load.address.to_string()).await?),
    };
    let reply = connection.send("GET", &load.path, &[], "").await?;
    if reply.header("connection").eq_ignore_ascii_case("close") {
        tally.lock().unwrap().reopened += 1;
        *kept = None;
    }
    Ok(reply)
}

/// What is wrong with a result.
fn judge(result: &Result<Reply, Failure>, expected: &str) -> Option<String> {
    match result {
        Ok(reply) if reply.status == 200 && reply.text().contains(expected) => None,
        Ok(reply) => Some(format!("wrong: {} {}", reply.status, reply.reason())),
        Err(error) => {
            let chain = std::iter::successors(error.source(), |error| error.source());
            let causes: Vec<String> = chain.map(ToString::to_string).collect();
            Some(format!("{error}: {}", causes.join(": ")))
        }
    }
}
