//! A mix of series as a machine has them, and how many bytes they take. Prints, for people.
//!
//! Increments are even distributions whose entropy is, for each class, what the best of three
//! codecs took in the measurements before the store was written: 1.10 bytes a sample in all. What
//! is above that is ours.

use super::*;

/// Seconds between two scrapes.
const STEP_MS: i64 = 15_000;
/// Scrapes of 24 hours.
const SCRAPES: i64 = 5_760;

#[derive(Debug, Clone, Copy)]
enum Class {
    Requests,
    CpuSeconds,
    Bytes,
    Buckets,
    Memory,
    Decimals,
    NearConstant,
    Random,
}

/// As measured for the decision: 1,736 series.
const CLASSES: [(Class, usize); 8] = [
    (Class::Requests, 100),
    (Class::CpuSeconds, 250),
    (Class::Bytes, 250),
    (Class::Buckets, 400),
    (Class::Memory, 300),
    (Class::Decimals, 150),
    (Class::NearConstant, 200),
    (Class::Random, 86),
];

struct Generator {
    class: Class,
    labels: Labels,
    state: f64,
    chance: fastrand::Rng,
}

impl Generator {
    fn next(&mut self) -> f64 {
        let chance = &mut self.chance;
        match self.class {
            Class::Requests => self.state += f64::from(chance.u32(0..19)),
            Class::CpuSeconds => self.state += f64::from(chance.u32(0..286)),
            Class::Bytes => self.state += f64::from(chance.u32(0..277_000)),
            Class::Buckets => {
                self.state += f64::from(chance.u32(0..10).saturating_sub(5).div_ceil(3));
            }
            Class::Memory => {
                let step = f64::from(chance.i32(-87..=87));
                self.state = (self.state + step).max(0.0);
                return self.state * 4_096.0;
            }
            Class::Decimals => {
                let step = f64::from(chance.i32(-50..=50));
                self.state += step;
            }
            Class::NearConstant => {
                if chance.u32(0..500) == 0 {
                    self.state = f64::from(chance.u32(0..5));
                }
            }
            Class::Random => return chance.f64() * 1e3,
        }
        match self.class {
            Class::CpuSeconds | Class::Decimals => self.state / 100.0,
            _ => self.state,
        }
    }
}

fn generators() -> Vec<Generator> {
    let mut all = Vec::new();
    for (class, count) in CLASSES {
        for number in 0..count {
            let metric = format!("node_{class:?}_total");
            let cpu = (number % 8).to_string();
            let device = format!("device-{}", number / 8);
            let labels = Labels::new([
                (METRIC_NAME, metric.as_str()),
                ("instance", "host-1.example.net:9100"),
                ("job", "node"),
                ("cpu", &cpu),
                ("device", &device),
            ]);
            let mut chance = fastrand::Rng::with_seed(all.len() as u64);
            all.push(Generator {
                class,
                labels: labels.unwrap(),
                state: f64::from(chance.u32(1_000..1_000_000)),
                chance,
            });
        }
    }
    all
}

/// Fills a store as scraping would, with jitter in 2 % of the times.
fn fill(store: &Store, generators: &mut [Generator], scrapes: i64, mut every: impl FnMut(i64)) {
    let mut chance = fastrand::Rng::with_seed(7);
    let mut ids: Vec<Option<SeriesId>> = vec![None; generators.len()];
    for scrape in 0..scrapes {
        let jitter = if chance.u32(0..50) == 0 {
            chance.i64(1..5)
        } else {
            0
        };
        let time = 1_000 * 24 * HOUR + scrape * STEP_MS + jitter;
        let values: Vec<f64> = generators.iter_mut().map(Generator::next).collect();
        let batch: Vec<Entry<'_>> = generators
            .iter()
            .zip(&values)
            .zip(&ids)
            .map(|((one, value), id)| Entry {
                id: *id,
                ..entry(&one.labels, time, *value)
            })
            .collect();
        let appended = store.append(&batch, time).unwrap();
        assert_eq!(appended.taken, batch.len());
        ids = appended.ids;
        every(time);
    }
}

/// Scrapes of 20,832 series that a long log has.
const SCRAPES_OF_LOG: i64 = 400;

fn now_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds that all processors have worked for this process.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident_kib() -> u64 {
    let status = std::fs::File::open("/proc/self/status").unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(status));
    let line = lines
        .map(Result::unwrap)
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_part_of_the_mix_is_small_after_compaction() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let mut some: Vec<Generator> = generators().into_iter().step_by(17).collect();
    fill(&store, &mut some, 960, |_| {});
    let samples = some.len() * 960;
    store.compact().unwrap();
    let bytes = store.statistics().segment_bytes;
    let each = bytes as f64 / samples as f64;
    assert!(each < 1.5, "{each} bytes a sample");
}

#[test]
#[ignore = "prints bytes per sample of a day, for people: 10 million samples"]
#[expect(clippy::print_stderr, reason = "it is run to be read")]
fn bytes_per_sample_of_the_mix() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let mut all = generators();
    let mut log_most = 0;
    let mut head_most = 0;
    let mut scrape = 0;
    let begun = cpu_seconds();
    let mut upkeep = 0.0;
    fill(&store, &mut all, SCRAPES, |time| {
        scrape += 1;
        if scrape % 240 == 0 {
            let before = cpu_seconds();
            store.maintain(time).unwrap();
            upkeep += cpu_seconds() - before;
            let statistics = store.statistics();
            log_most = statistics.log_bytes.max(log_most);
            head_most = statistics.head_bytes.max(head_most);
        }
    });
    let filled = cpu_seconds() - begun - upkeep;
    let samples = all.len() as f64 * SCRAPES as f64;
    eprintln!(
        "appending {:.3} us of CPU a sample with making them, upkeep {:.3}",
        filled * 1e6 / samples,
        upkeep * 1e6 / samples
    );
    let statistics = store.statistics();
    let flushed = statistics.segment_bytes as f64 / statistics.segment_samples as f64;
    eprintln!(
        "in segments of 2 h: {flushed:.3} bytes/sample, log at most {log_most}, head at most {head_most}, resident {} KiB",
        resident_kib()
    );
    drop(store);
    let before = cpu_seconds();
    let (store, opened) = open(&disk).unwrap();
    let reopened = cpu_seconds() - before;
    eprintln!(
        "opening with {} samples in a log of {} bytes: {reopened:.3} s of CPU",
        opened.replayed,
        store.statistics().log_bytes
    );
    let before = cpu_seconds();
    store.compact().unwrap();
    let compacted = cpu_seconds() - before;
    eprintln!(
        "compaction {:.3} us of CPU a sample",
        compacted * 1e6 / samples
    );
    let before = cpu_seconds();
    let requests = [Matcher::equal(METRIC_NAME, "node_Requests_total")];
    let mut selection = store.select(&requests, 0, i64::MAX).unwrap();
    let mut read = SeriesSamples::default();
    for at in 0..selection.len() {
        selection.read(at, &mut read).unwrap();
        assert_eq!(read.floats.times.len(), 5_760);
    }
    let milliseconds = (cpu_seconds() - before) * 1e3;
    eprintln!(
        "reading {} series of 24 h: {milliseconds:.2} ms of CPU",
        selection.len()
    );
    let statistics = store.statistics();
    assert_eq!(statistics.segments, 1);
    eprintln!(
        "after compaction: {:.4} bytes/sample of {samples}",
        statistics.segment_bytes as f64 / samples
    );
    store.verify().unwrap();
}

#[test]
#[ignore = "prints memory and bytes of 20,000 series each second, for people"]
#[expect(clippy::print_stderr, reason = "it is run to be read")]
fn memory_while_scraping() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        free_percent_min: 0,
        ..Options::default()
    };
    let disk = Arc::new(crate::disk::RealDisk::new(folder.path()));
    let before = resident_kib();
    let (store, _) = Store::open(disk, options).unwrap();
    let all: Vec<Labels> = (0..20_000)
        .map(|number| {
            let code = (number % 2_000).to_string();
            let instance = format!("app-{}.example.net:9100", number / 2_000);
            Labels::new([
                (
                    METRIC_NAME,
                    ["app_requests_total", "app_temperature_celsius"][number % 2],
                ),
                ("code", &code),
                ("instance", &instance),
                ("job", "app"),
            ])
            .unwrap()
        })
        .collect();
    let mut chance = fastrand::Rng::with_seed(1);
    let mut state = vec![0_i32; all.len()];
    let mut ids = vec![None; all.len()];
    for second in 0..313_i64 {
        let time = 1_000 * 24 * HOUR + second * 1_000;
        for (number, value) in state.iter_mut().enumerate() {
            *value += match number % 5 {
                0 => 0,
                1 => i32::from(chance.u32(0..60) == 0),
                2 | 3 => chance.i32(0..100),
                _ => chance.i32(-500..=500),
            };
        }
        let values = state
            .iter()
            .enumerate()
            .map(|(number, value)| match number % 5 {
                4 => f64::from(*value) / 1_000.0,
                _ => f64::from(*value),
            });
        let batch = all.iter().zip(&ids).zip(values);
        let batch: Vec<Entry<'_>> = batch
            .map(|((one, id), value)| Entry {
                id: *id,
                ..entry(one, time, value)
            })
            .collect();
        ids = store.append(&batch, time).unwrap().ids;
        if second % 60 == 59 {
            store.maintain(time).unwrap();
        }
    }
    let samples = 313.0 * all.len() as f64;
    let statistics = store.statistics();
    eprintln!(
        "{} KiB resident more than before, {} bytes of head by own count, log {:.2} bytes/sample",
        resident_kib() - before,
        statistics.head_bytes,
        statistics.log_bytes as f64 / samples
    );
    store.compact().unwrap();
    let bytes = store.statistics().segment_bytes as f64;
    eprintln!("after compaction {:.3} bytes/sample", bytes / samples);
}

#[test]
#[ignore = "prints how fast a log is read, for people"]
#[expect(clippy::print_stderr, reason = "it is run to be read")]
fn reading_a_long_log() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let mut all = Vec::new();
    for host in 0..12 {
        let mut more = generators();
        for one in &mut more {
            let host = format!("host-{host}.example.net:9100");
            let pairs = one.labels.iter().map(|(name, value)| {
                (
                    name,
                    if name == "instance" {
                        host.as_str()
                    } else {
                        value
                    },
                )
            });
            one.labels = Labels::new(pairs).unwrap();
        }
        all.extend(more);
    }
    fill(&store, &mut all, SCRAPES_OF_LOG, |_| {});
    drop(store);
    let tries = 3;
    let samples = u64::try_from(SCRAPES_OF_LOG).unwrap() * 12 * 1_736;
    let begun = now_seconds();
    let before = cpu_seconds();
    let mut log_bytes = 0;
    for _ in 0..tries {
        let (store, opened) = open(&disk).unwrap();
        assert_eq!(opened.replayed, samples);
        log_bytes = store.statistics().log_bytes;
    }
    let each = (cpu_seconds() - before) / f64::from(tries);
    let wall = (now_seconds() - begun) / f64::from(tries);
    let second = log_bytes as f64 / each / 1e6;
    let sample = each / samples as f64 * 1e9;
    let passed = wall / samples as f64 * 1e9;
    eprintln!(
        "{log_bytes} bytes of log: {second:.0} MB a second of CPU, {sample:.1} ns of CPU a sample, {passed:.1} ns passed"
    );
}

#[test]
#[ignore = "prints memory of many series, for people"]
#[expect(clippy::print_stderr, reason = "it is run to be read")]
fn memory_of_many_series() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let before = resident_kib();
    let count = 1_000_000;
    for chunk in 0..count / 1_000 {
        let all: Vec<Labels> = (0..1_000)
            .map(|at| {
                let number = chunk * 1_000 + at;
                let pod = format!("shop-7f9c-{number:x}");
                let path = format!("/api/v1/orders/{}", number % 100);
                Labels::new([
                    (METRIC_NAME, "http_requests_total"),
                    ("code", ["200", "404", "500"][number % 3]),
                    (
                        "instance",
                        &format!("10.0.{}.{}:8080", number / 250 % 250, number % 250),
                    ),
                    ("job", "shop"),
                    ("path", &path),
                    ("pod", &pod),
                ])
                .unwrap()
            })
            .collect();
        let batch: Vec<Entry<'_>> = all.iter().map(|one| entry(one, 1_000, 1.0)).collect();
        store.append(&batch, 1_000).unwrap();
    }
    let statistics = store.statistics();
    let resident = (resident_kib() - before) * 1024 / count as u64;
    eprintln!(
        "{} bytes a series by own count, {resident} resident, disk in memory included",
        statistics.head_bytes / count
    );
    let matchers = [Matcher::equal("job", "shop")];
    for (name, matchers) in [
        ("code", &[][..]),
        ("code", &matchers),
        ("pod", &[]),
        ("pod", &matchers),
    ] {
        let before = cpu_seconds();
        let values = store.label_values(name, matchers, 0, 2_000).unwrap().len();
        let milliseconds = (cpu_seconds() - before) * 1e3;
        eprintln!(
            "{values} values of {name} with {} matchers: {milliseconds:.1} ms of CPU",
            matchers.len()
        );
    }
    let before = cpu_seconds();
    store.flush_all().unwrap();
    let seconds = cpu_seconds() - before;
    let left = store.statistics().head_bytes;
    eprintln!("flushed in {seconds:.1} s of CPU, {left} bytes of head are left");
}
