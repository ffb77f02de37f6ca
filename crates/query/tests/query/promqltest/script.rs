//! The language of the acceptance files: `load`, `clear`, `eval` with what is expected of it.

use query::labels::Labels;
use query::promql::parser::metric;

use super::notation::{Value, duration, starts, values};

/// A command, and the line on which it begins.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// Series to store.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) step_ms: i64,
    /// Whether classic histograms are stored as native ones, too.
    pub(crate) with_custom_buckets: bool,
    pub(crate) series: Vec<LoadSeries>,
}

#[derive(Debug)]
pub(crate) struct LoadSeries {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<Option<Value>>,
    /// Since when each value counts, relative to its time.
    pub(crate) starts: Vec<Option<i64>>,
}

/// A query and what it must give.
#[derive(Debug)]
pub(crate) struct Eval {
    pub(crate) expression: String,
    pub(crate) when: When,
    pub(crate) expected: Expected,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) scalar: Option<f64>,
    pub(crate) text: Option<String>,
    pub(crate) series: Vec<(Labels, Vec<Option<Value>>)>,
    pub(crate) is_ordered: bool,
    /// The samples of a range, from a time, with a step.
    pub(crate) range_vector: Option<(i64, i64)>,
    pub(crate) fails: Option<Message>,
    pub(crate) warnings: Vec<Message>,
    pub(crate) infos: Vec<Message>,
    pub(crate) has_no_warning: bool,
    pub(crate) has_no_info: bool,
}

/// What a message must be.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Any,
    Exactly(String),
    Matching(regex::Regex),
}

impl Message {
    pub(crate) fn fits(&self, message: &str) -> bool {
        match self {
            Message::Any => true,
            Message::Exactly(expected) => expected == message,
            Message::Matching(regex) => regex.is_match(message),
        }
    }

    fn parse(text: &str) -> Result<Message, String> {
        let text = text.trim();
        if text.is_empty() {
            Ok(Message::Any)
        } else if let Some(message) = text.strip_prefix("msg:") {
            Ok(Message::Exactly(message.trim().to_owned()))
        } else if let Some(pattern) = text.strip_prefix("regex:") {
            let regex = regex::Regex::new(pattern.trim()).map_err(|error| error.to_string())?;
            Ok(Message::Matching(regex))
        } else {
            Err(format!("unknown message: {text}"))
        }
    }
}

/// Reads a file.
pub(crate) fn parse(text: &str) -> Result<Vec<Command>, String> {
    // A comment ends a command like an empty line.
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let first = lines[at];
        let line = at + 1;
        at += 1;
        if first.is_empty() {
            continue;
        }
        let mut body = Vec::new();
        if first != "clear" {
            while at < lines.len() && !lines[at].is_empty() {
                body.push(lines[at].to_owned());
                at += 1;
            }
        }
        let kind = if first == "clear" {
            Ok(Kind::Clear)
        } else if first.starts_with("load") {
            parse_load(first, &body).map(Kind::Load)
        } else {
            parse_eval(first, &body).map(|eval| Kind::Eval(Box::new(eval)))
        };
        let kind = kind.map_err(|error| format!("{line}: {error}"))?;
        commands.push(Command { line, kind });
    }
    Ok(commands)
}

/// Reads `load 5m` with its series.
pub(crate) fn parse_load(first: &str, body: &[String]) -> Result<Load, String> {
    let (word, step) = first.split_once(' ').ok_or("load without a step")?;
    let mut load = Load {
        step_ms: duration(step.trim()).ok_or_else(|| format!("no duration: {step}"))?,
        with_custom_buckets: word == "load_with_nhcb",
        series: Vec::new(),
    };
    let mut begun: Option<(Labels, Vec<Option<i64>>)> = None;
    for line in body {
        let (labels, taken) = metric(line).map_err(|error| error.to_string())?;
        let rest = &line[taken..];
        if let Some(rest) = rest.strip_prefix("@st") {
            begun = Some((labels, starts(rest)?));
            continue;
        }
        let starts = match begun.take() {
            Some((of, starts)) if of == labels => starts,
            _ => Vec::new(),
        };
        let values = values(rest)?;
        // The same series once more takes the place of the first.
        load.series.retain(|series| series.labels != labels);
        load.series.push(LoadSeries {
            labels,
            values,
            starts,
        });
    }
    Ok(load)
}

fn parse_eval(first: &str, body: &[String]) -> Result<Eval, String> {
    let (word, rest) = first.split_once(' ').ok_or("eval without a query")?;
    let mut expected = Expected::default();
    match word {
        "eval" => {}
        "eval_fail" => expected.fails = Some(Message::Any),
        "eval_warn" => expected.warnings.push(Message::Any),
        "eval_info" => expected.infos.push(Message::Any),
        "eval_ordered" => expected.is_ordered = true,
        _ => return Err(format!("unknown command: {first}")),
    }
    let (when, expression) = parse_when(rest.trim())?;
    for line in body {
        parse_expected(line, &mut expected)?;
    }
    Ok(Eval {
        expression,
        when,
        expected,
    })
}

/// Takes a word, and says what follows.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

/// Takes `from 10s` and the like.
fn time<'a>(text: &'a str, keyword: &str) -> Result<(i64, &'a str), String> {
    let (found, rest) = word(text);
    let (time, rest) = word(rest);
    let milliseconds = duration(time).filter(|_| found == keyword);
    let milliseconds = milliseconds.ok_or_else(|| format!("expected {keyword}: {text}"))?;
    Ok((milliseconds, rest))
}

fn parse_when(text: &str) -> Result<(When, String), String> {
    let (kind, rest) = word(text);
    if kind == "instant" {
        let (at, expression) = time(rest, "at")?;
        return Ok((When::Instant(at), expression.trim().to_owned()));
    }
    let (start, rest) = time(rest, "from")?;
    let (end, rest) = time(rest, "to")?;
    let (step, expression) = time(rest, "step")?;
    let when = When::Range { start, end, step };
    Ok((when, expression.trim().to_owned()))
}

fn parse_expected(line: &str, expected: &mut Expected) -> Result<(), String> {
    if let Some(rest) = line.strip_prefix("expect ") {
        let (what, rest) = word(rest);
        match what {
            "fail" => expected.fails = Some(Message::parse(rest)?),
            "warn" => expected.warnings.push(Message::parse(rest)?),
            "info" => expected.infos.push(Message::parse(rest)?),
            "no_warn" => expected.has_no_warning = true,
            "no_info" => expected.has_no_info = true,
            "ordered" => expected.is_ordered = true,
            "string" => {
                let quoted =
                    query::promql::parser::parse(rest).map_err(|error| error.to_string())?;
                let query::promql::ast::Node::Text(text) = quoted.node else {
                    return Err(format!("no string: {rest}"));
                };
                expected.text = Some(String::from_utf8(text).map_err(|error| error.to_string())?);
            }
            "range" => {
                let (_, rest) = word(rest);
                let (start, rest) = time(rest, "from")?;
                let (_, rest) = time(rest, "to")?;
                let (step, _) = time(rest, "step")?;
                expected.range_vector = Some((start, step));
            }
            _ => return Err(format!("unknown expectation: {line}")),
        }
        return Ok(());
    }
    if let Some(number) = query::number::parse(line) {
        expected.scalar = Some(number);
        return Ok(());
    }
    let (labels, taken) = metric(line).map_err(|error| format!("{error}: {line}"))?;
    expected.series.push((labels, values(&line[taken..])?));
    Ok(())
}
