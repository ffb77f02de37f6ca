//! Configurations as text: from values (JSON is YAML), and from the documented examples with the
//! host and the ports replaced by those of a stub.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A whole configuration around a `gateway` section; ports are free ones where none are given.
pub fn gateway(section: Value) -> String {
    with(json!({}), section)
}

/// A whole configuration with these inline targets.
pub fn targets(targets: &Value) -> String {
    gateway(json!({ "targets": targets }))
}

/// Like [`gateway`], with more top-level keys.
pub fn with(top: Value, mut section: Value) -> String {
    if section["listen"].is_null() {
        section["listen"] = json!("127.0.0.1:0");
    }
    let mut whole = json!({
        "roles": ["gateway"],
        "listen": "127.0.0.1:0",
        "data_dir": "./data",
        "gateway": section,
    });
    if let (Value::Object(whole), Value::Object(top)) = (&mut whole, top) {
        whole.extend(top);
    }
    serde_json::to_string_pretty(&whole).unwrap()
}

/// The folder of the documented examples.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/gateway")
}

/// All examples as written, to start mutations from.
pub fn all_examples() -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(examples()).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| std::fs::read(path).unwrap();
    paths.iter().map(read).collect()
}

/// An example as written, with `replacements` made and its listeners moved to free ports. Every
/// replacement must match something, so that an example cannot drift away from its test.
pub fn example(name: &str, replacements: &[(&str, &str)]) -> String {
    let path = examples().join(format!("{name}.yaml"));
    let mut text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let fixed = [
        ("127.0.0.1:3000", "127.0.0.1:0"),
        ("./landline-data", "./data"),
    ];
    for (from, to) in replacements.iter().chain(&fixed) {
        assert!(text.contains(from), "{name}.yaml does not contain {from:?}");
        text = text.replace(from, to);
    }
    format!("listen: 127.0.0.1:0\n{text}")
}
