//! What was acknowledged is there: the program is killed again and again under remote write, ended in
//! order, and replaced; every sample that was answered with 204 is there afterwards, once and with its
//! value, and of what was not answered a request is there whole or not at all.

mod faults;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use it::client::Connection;
use it::program::{Program, send_signal};
use it::samples::{self, Series, point};
use it::{proc, relayed, wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use wire::remote_write::Version;

/// The longest until senders are served again.
const SERVED: Duration = Duration::from_secs(30);
/// Connections at once.
const SENDERS: usize = 4;
/// Series of each sender, all in each of its requests.
const SERIES: usize = 4;
/// Between the samples of a series, in milliseconds.
const STEP: i64 = 5;
/// How long ago the first samples are; less than what may come late.
const AGO: Duration = Duration::from_mins(50);
/// How long a sender waits before it tries again.
const PAUSE: Duration = Duration::from_millis(10);

/// What a sender was told.
#[derive(Debug, Default)]
struct Told {
    /// Numbers of requests that are on disk.
    acknowledged: BTreeSet<u32>,
    /// Answers that are neither 204 nor a request to come again.
    refused: Vec<String>,
}

/// Senders that never pause.
#[derive(Debug)]
struct Load {
    address: Arc<Mutex<SocketAddr>>,
    is_over: Arc<AtomicBool>,
    /// Milliseconds since 1970 of the first samples.
    begin: i64,
    told: Vec<Arc<Mutex<Told>>>,
    senders: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let now = SystemTime::now() - AGO;
        let begin = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let mut load = Self {
            address: Arc::new(Mutex::new(address)),
            is_over: Arc::default(),
            begin: i64::try_from(begin.as_millis()).unwrap(),
            told: Vec::new(),
            senders: Vec::new(),
        };
        for sender in 0..SENDERS {
            let told = Arc::<Mutex<Told>>::default();
            load.told.push(Arc::clone(&told));
            let (address, is_over) = (Arc::clone(&load.address), Arc::clone(&load.is_over));
            let begin = load.begin;
            let sending = deliver(sender, begin, (address, is_over), told);
            load.senders.push(tokio::spawn(sending));
        }
        load
    }

    fn redirect(&self, address: SocketAddr) {
        *self.address.lock().unwrap() = address;
    }

    fn count(&self) -> usize {
        let told = self.told.iter();
        told.map(|told| told.lock().unwrap().acknowledged.len())
            .sum()
    }

    async fn count_reaches(&self, wanted: usize) {
        wait::until("samples are acknowledged", SERVED, async || {
            (self.count() >= wanted).then_some(())
        })
        .await;
    }

    /// Ends the senders and looks at every series; gives how many requests were acknowledged.
    async fn finish(self, program: &Program) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.await.unwrap();
        }
        let mut count = 0;
        for (sender, told) in self.told.iter().enumerate() {
            let told = std::mem::take(&mut *told.lock().unwrap());
            assert!(told.refused.is_empty(), "{:?}", told.refused);
            count += told.acknowledged.len();
            assert_kept(program, sender, self.begin, &told.acknowledged).await;
        }
        count
    }
}

/// The series of a request: each sample's value says which request and which series it is of.
fn request(sender: usize, number: u32, begin: i64) -> Vec<Series> {
    let time = begin + i64::from(number) * STEP;
    let one = |series: usize| {
        let (sender, name) = (sender.to_string(), series.to_string());
        let labels = [
            ("__name__", "requests_total"),
            ("sender", &sender),
            ("series", &name),
        ];
        Series::new(&labels).at(time, value(number, series))
    };
    (0..SERIES).map(one).collect()
}

fn value(number: u32, series: usize) -> f64 {
    f64::from(number) * 10.0 + f64::from(u8::try_from(series).unwrap())
}

/// Sends one request after the other, in both versions by turns. What is not acknowledged an even
/// sender sends again, as Prometheus does; an odd one goes on.
async fn deliver(
    sender: usize,
    begin: i64,
    (address, is_over): (Arc<Mutex<SocketAddr>>, Arc<AtomicBool>),
    told: Arc<Mutex<Told>>,
) {
    let mut connection = None;
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        let version = [Version::One, Version::Two][number as usize % 2];
        let series = request(sender, number, begin);
        let mut open = match connection.take() {
            Some(open) => open,
            None => {
                let authority = address.lock().unwrap().to_string();
                match Connection::open(&authority).await {
                    Ok(open) => open,
                    Err(_) => {
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                }
            }
        };
        let reply = samples::send(&mut open, version, &series).await;
        let is_done = match reply {
            Ok(reply) => {
                let mut told = told.lock().unwrap();
                match reply.status {
                    204 => drop(told.acknowledged.insert(number)),
                    503 => {}
                    _ => told.refused.push(reply.text()),
                }
                if !open.is_closed() && reply.header("connection") != "close" {
                    connection = Some(open);
                }
                reply.status == 204
            }
            Err(_) => false,
        };
        if !is_done {
            tokio::time::sleep(PAUSE).await;
        }
        number += u32::from(is_done || sender % 2 == 1);
    }
}

/// Looks at all samples of a sender.
async fn assert_kept(program: &Program, sender: usize, begin: i64, acknowledged: &BTreeSet<u32>) {
    let authority = program.main.to_string();
    let selector = format!("requests_total{{sender=\"{sender}\"}}[2h]");
    let end = (begin + i64::try_from(AGO.as_millis()).unwrap()) as f64 / 1000.0 + 3600.0;
    let found = samples::query(&authority, &selector, end).await;
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), SERIES, "series of sender {sender}");
    let mut whole: Option<Vec<u32>> = None;
    for series in found {
        let name: usize = series["metric"]["series"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let numbers = numbers(&series["values"], name, begin);
        let have: BTreeSet<u32> = numbers.iter().copied().collect();
        assert_eq!(have.len(), numbers.len(), "{sender}/{name}: there twice");
        let lost: Vec<&u32> = acknowledged.difference(&have).collect();
        assert!(lost.is_empty(), "{sender}/{name}: lost {lost:?}");
        if let Some(whole) = &whole {
            assert!(*whole == numbers, "{sender}/{name}: a request is torn");
        }
        whole = Some(numbers);
    }
}

/// Which requests samples are of; each has to have the time and the value that it was sent with.
fn numbers(values: &Value, series: usize, begin: i64) -> Vec<u32> {
    let points = values.as_array().unwrap().iter().map(point);
    let number = |(time, found): (i64, f64)| {
        let number = u32::try_from((time - begin) / STEP).unwrap();
        assert_eq!(time, begin + i64::from(number) * STEP);
        assert_eq!(found.to_bits(), value(number, series).to_bits(), "{time}");
        number
    };
    points.map(number).collect()
}

async fn start() -> Program {
    Program::start(&samples::monitor(json!({}))).await
}

/// Kills the program so many times, each time elsewhere in its work, now and then while it starts.
async fn killed(kills: usize) {
    let mut program = start().await;
    let load = Load::start(program.main);
    let begun = std::time::Instant::now();
    for kill in 0..kills {
        load.count_reaches(load.count() + 1 + kill * 37 % 50).await;
        program.signal(Signal::KILL);
        assert_eq!(program.wait_exit(wait::SOON).await, -9);
        if kill % 4 == 3 {
            program.restart();
            let pause = u64::try_from(kill * 7 % 150).unwrap();
            tokio::time::sleep(Duration::from_millis(pause)).await;
            program.signal(Signal::KILL);
            assert_eq!(program.wait_exit(wait::SOON).await, -9);
            // It may have been too early for this file.
            program.write("data/listeners.json", "{}");
        }
        program.restart();
        program.ready().await;
        load.redirect(program.main);
    }
    let took = begun.elapsed();
    let count = load.finish(&program).await;
    assert!(count >= kills);
    relayed::note(&format!(
        "{kills} kills in {took:?}, {count} requests acknowledged"
    ));
}

#[tokio::test]
async fn no_kill_loses_a_sample() {
    killed(10).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn no_kill_loses_a_sample_thousand_kills() {
    killed(1_000).await;
}

/// An end in order answers who is being answered, and loses nothing.
#[tokio::test]
async fn an_end_in_order_loses_no_sample() {
    let mut program = start().await;
    let load = Load::start(program.main);
    for round in 1..=4 {
        load.count_reaches(round * 50).await;
        program.signal(Signal::TERM);
        assert_eq!(program.wait_exit(wait::SOON).await, 0);
        program.restart();
        program.ready().await;
        load.redirect(program.main);
    }
    assert!(load.finish(&program).await >= 200);
}

/// Replacements take the store over under load.
#[tokio::test]
async fn no_replacement_loses_a_sample() {
    let program = start().await;
    let load = Load::start(program.main);
    let mut old = program.pid();
    for _ in 0..4 {
        load.count_reaches(load.count() + 50).await;
        send_signal(old, Signal::HUP);
        wait::until("the old process has handed over", SERVED, async || {
            (!proc::is_alive(old)).then_some(())
        })
        .await;
        let new = wait::until("the new process answers", SERVED, async || {
            program.serving_pid().await
        });
        let new = new.await;
        assert_ne!(new, old);
        old = new;
    }
    assert!(load.finish(&program).await >= 200);
}
