//! A small mutation fuzzer for parsers of foreign bytes: seeded and repeatable, it catches panics
//! and inputs that take too long, keeps what caused one, and counts executions. It looks for
//! crashes, not for meaning. What ends the whole process, an overflow of the stack or too much
//! memory, leaves no input behind, but the same seed meets it again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One parser under test.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name on the command line and in reports.
    pub name: &'static str,
    /// Inputs to start from.
    pub seeds: Vec<Vec<u8>>,
    /// Runs it; whatever it answers is fine as long as it answers.
    pub run: fn(&[u8]),
}

/// What a run found.
#[derive(Debug)]
pub struct Outcome {
    /// How many inputs were tried.
    pub executions: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The input that made it panic, or took too long.
    pub crash: Option<Vec<u8>>,
}

/// The largest input.
const INPUT_BYTES_MAX: usize = 1 << 20;
/// The largest input that is kept for further mutation.
const KEPT_BYTES_MAX: usize = 64 << 10;
/// The longest that one input may take, on a busy machine and without optimisation.
const INPUT_TIME_MAX: Duration = Duration::from_secs(10);
/// The most inputs kept for further mutation.
const CORPUS_MAX: usize = 512;
/// The most mutations of one input.
const MUTATIONS_MAX: u64 = 8;

/// Words that parsers of this project's formats know.
const WORDS: &[&str] = &[
    "# HELP ",
    "# TYPE ",
    "# EOF\n",
    "# UNIT ",
    " counter\n",
    " gauge\n",
    " histogram\n",
    " summary\n",
    "{",
    "}",
    "=\"",
    "\",",
    "le=\"+Inf\"",
    "quantile=\"0.5\"",
    "NaN",
    "+Inf",
    "-Inf",
    "\\n",
    "\\\"",
    "\\\\",
    "1e308",
    "-0",
    "9223372036854775808",
    "_total",
    "_bucket",
    "\n",
    "\r\n",
    "\t",
    "\u{feff}",
    "é",
    "\0",
    " # {trace_id=\"a\"} 1",
    "0x1p-2",
    ": ",
    "- ",
    "\n  ",
    "&a ",
    "*a",
    "!!int ",
    "|\n",
    "[",
    "]",
    "{file: x}",
    "{env: X}",
    "gateway:\n",
    "targets:\n",
    "<<: ",
];

/// A small generator (splitmix64), so that a seed gives the same run everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.draw() % limit).unwrap_or(0)
    }
}

/// Runs one target for `span`, or until it crashes.
pub fn run(target: &Target, seed: u64, span: Duration) -> Outcome {
    let begun = Instant::now();
    let mut random = Random::new(seed);
    let mut corpus = target.seeds.clone();
    corpus.push(Vec::new());
    let mut executions = 0;
    for input in corpus.clone() {
        executions += 1;
        if crashes(target, &input) {
            return Outcome {
                executions,
                elapsed: begun.elapsed(),
                crash: Some(input),
            };
        }
    }
    while begun.elapsed() < span {
        let input = next(&corpus, &mut random);
        executions += 1;
        if crashes(target, &input) {
            return Outcome {
                executions,
                elapsed: begun.elapsed(),
                crash: Some(input),
            };
        }
        keep(&mut corpus, target.seeds.len(), input, &mut random);
    }
    Outcome {
        executions,
        elapsed: begun.elapsed(),
        crash: None,
    }
}

/// Some inputs made of these seeds, for a parser that is a program of its own.
pub fn inputs(seeds: &[Vec<u8>], seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    (0..count).map(|_| next(seeds, &mut random)).collect()
}

/// An input made of one of the corpus.
fn next(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.draw() % MUTATIONS_MAX {
        mutate(&mut input, corpus, random);
    }
    if random.below(64) == 0 {
        repeat(&mut input, random);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

/// Runs every target for `span`; writes what crashed. Whether all went well.
pub fn run_all(targets: &[Target], seed: u64, span: Duration) -> bool {
    let mut is_well = true;
    for target in targets {
        println!("{}: seed {seed}", target.name);
        let outcome = run(target, seed, span);
        let rate = outcome.executions as f64 / outcome.elapsed.as_secs_f64().max(0.001);
        println!(
            "{}: {} executions, {rate:.0}/s, seed {seed}",
            target.name, outcome.executions
        );
        if let Some(input) = outcome.crash {
            is_well = false;
            println!(
                "{}: CRASH, input written to {}",
                target.name,
                write(target, &input).display()
            );
        }
    }
    is_well
}

/// Whether the target panics on this input or takes too long for it.
fn crashes(target: &Target, input: &[u8]) -> bool {
    let begun = Instant::now();
    let is_well = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok();
    let took = begun.elapsed();
    if took > INPUT_TIME_MAX {
        println!("{}: {} bytes took {took:?}", target.name, input.len());
    }
    !is_well || took > INPUT_TIME_MAX
}

/// Keeps some inputs, so that mutations build on one another; the seeds always stay.
fn keep(corpus: &mut Vec<Vec<u8>>, seeds: usize, input: Vec<u8>, random: &mut Random) {
    if input.len() > KEPT_BYTES_MAX {
        return;
    }
    if corpus.len() < CORPUS_MAX {
        corpus.push(input);
    } else if random.below(16) == 0 {
        let at = seeds + random.below(corpus.len() - seeds);
        corpus[at] = input;
    }
}

/// Changes an input once.
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let length = 1 + random.below(16);
    let end = input.len().min(at + length);
    match random.below(8) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.draw().to_le_bytes()[0],
        2 => drop(input.drain(at..end)),
        3 => {
            let copy = input[at..end].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, copy);
        }
        4 => input.truncate(at),
        5 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            let to = other.len().min(from + random.below(256));
            input.splice(at..at, other[from..to].iter().copied());
        }
        _ => {
            let word = WORDS[random.below(WORDS.len())];
            input.splice(at..at, word.bytes());
        }
    }
}

/// Repeats a piece until the input is as large as it may be: what nests, looks back or counts.
fn repeat(input: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(input.len());
    let end = input.len().min(at + 1 + random.below(64));
    let piece = input[at..end].to_vec();
    let room = INPUT_BYTES_MAX.saturating_sub(input.len());
    let times = room / piece.len().max(1);
    input.splice(at..at, piece.repeat(times));
}

/// Writes a crashing input beside the other build products.
fn write(target: &Target, input: &[u8]) -> PathBuf {
    let file = tempfile::Builder::new()
        .prefix(&format!("landline-crash-{}-", target.name))
        .tempfile();
    let (mut file, path) = file.unwrap().keep().unwrap();
    std::io::Write::write_all(&mut file, input).unwrap();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragile(input: &[u8]) {
        assert!(!input.windows(3).any(|window| window == b"}}}"), "found");
    }

    #[test]
    fn finds_a_planted_crash_again_with_the_same_seed() {
        let target = Target {
            name: "planted",
            seeds: vec![b"a{}".to_vec()],
            run: fragile,
        };
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let first = run(&target, 7, Duration::from_secs(20));
        let second = run(&target, 7, Duration::from_secs(20));
        std::panic::set_hook(hook);
        assert!(first.crash.is_some());
        assert_eq!(first.crash, second.crash);
    }
}
