//! `landline store …` on what Prometheus' own tools wrote, and on damage.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use it::need::need;
use it::program::command_in;
use serde_json::Value;

/// Values of three series, a minute apart.
const SAMPLES: i64 = 200;
/// 2026-11-20 00:00 UTC.
const BEGIN: i64 = 1_795_132_800;

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Runs a command of the store in a folder, which has to end with this code.
fn store(folder: &Path, arguments: &[&str], code: i32) -> Output {
    let output = command_in(folder, &[&["store"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    output
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(output)))
}

/// A data directory of Prometheus, and the lines that it was made of.
fn made(folder: &Path, promtool: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for series in ["a", "b", "c"] {
        for at in 0..SAMPLES {
            let value = (at * 37) % 1_000;
            let time = BEGIN + at * 60;
            lines.push(format!("load{{job=\"{series}\"}} {value} {time}.000"));
        }
    }
    let whole = lines.join("\n") + "\n# EOF\n";
    std::fs::write(folder.join("made.txt"), whole).unwrap();
    let output = Command::new(promtool)
        .args([
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "made.txt",
            "data",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    lines
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("landline-data/signals/segments")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn exported(folder: &Path, more: &[&str]) -> Vec<String> {
    let output = store(folder, &[&["export"], more].concat(), 0);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[test]
fn store_commands_bring_in_check_mend_and_take_out() {
    let Some(promtool) = need("PROMTOOL") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let lines = made(folder, &promtool);
    let none = text(&store(folder, &["inspect"], 1));
    assert!(none.contains("there is no store"), "{none}");
    let dry = text(&store(folder, &["import", "data", "--dry-run"], 0));
    assert!(dry.contains("2026-11-20 00:00:00Z"), "{dry}");
    let first = text(&store(folder, &["import", "data"], 0));
    assert!(first.contains("All is in"), "{first}");
    let again = text(&store(folder, &["import", "data"], 0));
    assert!(again.contains("blocks came in before"), "{again}");
    let inspected = json(&store(folder, &["inspect", "--json"], 0));
    assert_eq!(inspected["samples"], 600);
    assert_eq!(inspected["series"], 3);
    assert_eq!(exported(folder, &[]), lines);
    let one = exported(folder, &["--match", "load{job=~\"b|x\"}"]);
    assert_eq!(one.len(), 200);
    let verified = json(&store(folder, &["verify", "--json"], 0));
    assert_eq!(verified["is_whole"], true);
    store(folder, &["compact"], 0);
    let paths = segments(folder);
    assert_eq!(paths.len(), 1);
    assert_eq!(exported(folder, &[]), lines);
    mended(folder, &paths[0], &lines);
}

/// A bit that flips is found and named; what is left afterwards is right.
fn mended(folder: &Path, path: &Path, lines: &[String]) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() / 4;
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
    let found = text(&store(folder, &["verify"], 1));
    assert!(
        found.contains(path.file_name().unwrap().to_str().unwrap()),
        "{found}"
    );
    assert!(found.contains("DAMAGED"), "{found}");
    let unasked = text(&store(folder, &["repair"], 1));
    assert!(unasked.contains("--yes"), "{unasked}");
    store(folder, &["repair", "--yes"], 0);
    store(folder, &["verify"], 0);
    let left = exported(folder, &[]);
    assert!(left.iter().all(|line| lines.contains(line)));
    let kept = folder.join("landline-data/signals/damaged");
    assert_eq!(std::fs::read_dir(kept).unwrap().count(), 1);
}
