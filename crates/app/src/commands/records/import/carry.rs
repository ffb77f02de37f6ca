//! What people said about crashes at the original collector: frames that are never guilty, comments, and
//! crashes that are hidden.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::super::Outcome;
use super::super::hub::Hub;
use super::source::{Frame, Source};

/// Bytes of the names of frames that are sent at once.
const FRAMES_BYTES_MAX: usize = 8 << 10;
/// Bytes of a function's or module's name that is taken.
const NAME_BYTES_MAX: usize = 1 << 10;
const FRAMES: &str = "/v1/records/skipped-frames";

/// What became of the frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// New here.
    pub(super) added: usize,
    /// There already.
    pub(super) known: usize,
    /// Not taken, each with its id and why.
    pub(super) left_out: Vec<Value>,
}

impl Frames {
    pub(super) fn shown(&self) -> Value {
        json!({"added": self.added, "known": self.known, "left_out": self.left_out})
    }
}

/// Looks at all frames there, and adds those that are new here, unless it is only a look.
pub(super) async fn frames(hub: &Hub, source: &mut Source, is_look: bool) -> Outcome<Frames> {
    let answer = hub.get(FRAMES).await?;
    let name = |frame: &Value, key: &str| frame.get(key)?.as_str().map(str::to_owned);
    let known = answer.get("frames").and_then(Value::as_array);
    let known = known.into_iter().flatten();
    let mut known: HashSet<(String, String)> = known
        .filter_map(|frame| Some((name(frame, "function")?, name(frame, "module")?)))
        .collect();
    let mut found = Frames::default();
    let mut after = 0;
    loop {
        let page = source.frames(after).await?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        after = last.id;
        let mut added = Vec::new();
        for frame in page {
            if let Some(why) = problem(&frame) {
                let (function, module) = (&frame.function, &frame.module);
                found.left_out.push(json!({
                    "id": frame.id, "function": function, "module": module, "reason": why,
                }));
            } else if known.insert((frame.function.clone(), frame.module.clone())) {
                added.push(frame);
            } else {
                found.known += 1;
            }
        }
        found.added += added.len();
        if !is_look {
            add(hub, &added).await?;
        }
    }
}

fn problem(frame: &Frame) -> Option<&'static str> {
    let names = [&frame.function, &frame.module];
    if names.iter().any(|name| name.is_empty()) {
        Some("a frame has a function and a module")
    } else if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
        Some("a name has at most 1,024 bytes")
    } else {
        None
    }
}

async fn add(hub: &Hub, frames: &[Frame]) -> Outcome {
    let mut rest = frames;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|frame| {
            bytes += frame.function.len() + frame.module.len();
            bytes <= FRAMES_BYTES_MAX
        });
        let count = fitting.count().max(1);
        let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        let now: Vec<Value> = now
            .iter()
            .map(|frame| json!({"function": frame.function, "module": frame.module}))
            .collect();
        hub.post(FRAMES, Some(&json!({"add": now}))).await?;
        rest = later;
    }
    Ok(())
}

/// Sends all notes on guilty frames; gives their number. Without a path it only counts.
pub(super) async fn notes(hub: &Hub, source: &mut Source, path: Option<&str>) -> Outcome<usize> {
    let (mut after, mut count) = (0, 0);
    loop {
        let page = source.notes(after).await?;
        let Some(last) = page.last() else {
            return Ok(count);
        };
        after = last.id;
        count += page.len();
        if let Some(path) = path {
            hub.post(path, Some(&json!({"notes": page}))).await?;
        }
    }
}
