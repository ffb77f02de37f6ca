//! Collector `mdadm`: arrays of disks that the kernel made.

use super::Machine;
use super::files::{CollectError, float};
use super::page::{Kind, Page};

/// What an array may be doing.
const STATES: [&str; 5] = ["active", "inactive", "recovering", "resync", "check"];

/// A number of an array.
type Measure = fn(&Array) -> f64;

/// An array.
#[derive(Debug, Default, PartialEq)]
struct Array {
    name: String,
    state: &'static str,
    active: f64,
    failed: f64,
    spare: f64,
    required: f64,
    blocks: f64,
    synced: f64,
}

pub(super) fn mdadm(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let arrays = parse(&machine.files.proc("mdstat")?);
    if arrays.is_empty() {
        return Ok(());
    }
    let help = "What the array is doing.";
    let mut family = page.family("node_md_state", Kind::Gauge, help);
    for array in &arrays {
        for state in STATES {
            let is_so = f64::from(u8::from(state == array.state));
            family.sample(&[("device", &array.name), ("state", state)], is_so);
        }
    }
    let help = "Disks of the array by what they do.";
    let mut family = page.family("node_md_disks", Kind::Gauge, help);
    for array in &arrays {
        let counts = [
            ("active", array.active),
            ("failed", array.failed),
            ("spare", array.spare),
        ];
        for (state, count) in counts {
            family.sample(&[("device", &array.name), ("state", state)], count);
        }
    }
    let rows: [(&str, &str, Measure); 3] = [
        (
            "node_md_disks_required",
            "Disks that the array should have.",
            |array| array.required,
        ),
        ("node_md_blocks", "Blocks that the array has.", |array| {
            array.blocks
        }),
        (
            "node_md_blocks_synced",
            "Blocks that are the same on all disks.",
            |array| array.synced,
        ),
    ];
    for (name, help, value) in rows {
        let mut family = page.family(name, Kind::Gauge, help);
        for array in &arrays {
            family.sample(&[("device", &array.name)], value(array));
        }
    }
    Ok(())
}

fn parse(text: &str) -> Vec<Array> {
    let mut arrays: Vec<Array> = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match (line.starts_with("md"), words.as_slice(), arrays.last_mut()) {
            (true, [name, ":", state, rest @ ..], _) => arrays.push(begin(name, state, rest)),
            (false, [blocks, "blocks", rest @ ..], Some(array)) => sizes(array, blocks, rest),
            (false, [bar, rest @ ..], Some(array)) if bar.starts_with('[') => {
                progress(array, rest);
            }
            (false, rest, Some(array)) => progress(array, rest),
            _ => {}
        }
    }
    arrays
}

fn begin(name: &str, state: &str, rest: &[&str]) -> Array {
    let disks = rest.iter().filter(|word| word.contains('['));
    let marked = |mark: &str| disks.clone().filter(|disk| disk.contains(mark)).count() as f64;
    let (failed, spare) = (marked("(F)"), marked("(S)"));
    let whole = disks.clone().count() as f64 - failed - spare;
    let is_active = state == "active";
    Array {
        name: name.to_owned(),
        state: if is_active { "active" } else { "inactive" },
        active: if is_active { whole } else { 0.0 },
        failed,
        spare,
        required: if is_active { whole } else { 0.0 },
        ..Array::default()
    }
}

fn sizes(array: &mut Array, blocks: &str, rest: &[&str]) {
    array.blocks = float(blocks).unwrap_or_default();
    array.synced = array.blocks;
    // `[3/2]`: three disks are wanted, two work. Arrays without copies don't say it.
    let inner = rest.iter().find_map(|word| {
        let inner = word.strip_prefix('[')?.strip_suffix(']')?;
        inner.split_once('/')
    });
    if let Some((required, active)) = inner
        && let (Some(required), Some(active)) = (float(required), float(active))
    {
        (array.required, array.active) = (required, active);
    }
}

/// `recovery = 8.5% (16775552/195310144) finish=17.0min speed=259783K/sec`, or `resync=PENDING`.
fn progress(array: &mut Array, words: &[&str]) {
    let Some(word) = words.first() else {
        return;
    };
    let state = match word.split('=').next().unwrap_or_default() {
        "recovery" | "reshape" => "recovering",
        "resync" => "resync",
        "check" => "check",
        _ => return,
    };
    array.state = state;
    let done = words.iter().find_map(|word| {
        let (done, _) = word.strip_prefix('(')?.split_once('/')?;
        float(done)
    });
    array.synced = done.unwrap_or(0.0);
}
