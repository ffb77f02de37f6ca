//! Readers: a [`Section`] hands out its keys and refuses the rest; a [`Field`] becomes a value or a
//! problem. A reader that returns `None` has reported why.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Context, Node, Problem, Severity, Value, parse_bytes, parse_duration};

/// One value with its key path.
#[derive(Debug, Clone)]
pub struct Field<'a> {
    /// The value.
    pub node: &'a Node,
    /// Key path from the top.
    pub path: String,
    context: &'a Context,
}

impl<'a> Field<'a> {
    /// The top of a document.
    pub fn root(node: &'a Node, context: &'a Context) -> Self {
        Self {
            node,
            path: String::new(),
            context,
        }
    }

    /// What readers share.
    pub fn context(&self) -> &'a Context {
        self.context
    }

    /// Reports that this value is wrong.
    pub fn error(&self, message: impl Into<String>, help: Option<&str>) {
        self.report(Severity::Error, message.into(), help);
    }

    /// Reports that this value will not work as it stands, though the rest can.
    pub fn warning(&self, message: impl Into<String>, help: Option<&str>) {
        self.report(Severity::Warning, message.into(), help);
    }

    fn report(&self, severity: Severity, message: String, help: Option<&str>) {
        self.context.report(Problem {
            severity,
            path: self.path.clone(),
            line: self.node.line,
            column: self.node.column,
            span: self.node.span.clone(),
            message,
            help: help.map(str::to_owned),
        });
    }

    /// `None`, after reporting that `wanted` should stand here.
    fn refuse<T>(&self, wanted: &str, help: Option<&str>) -> Option<T> {
        // What stands here could be a secret in the wrong place, so it is not repeated.
        let found = self.node.shape();
        self.error(format!("{wanted} is expected here, not {found}"), help);
        None
    }

    /// A text. Numbers count as their digits as written.
    pub fn text(&self) -> Option<String> {
        match self.node.text() {
            Some(text) if !self.node.is_null() => Some(text.to_owned()),
            _ => self.refuse("a text", None),
        }
    }

    /// Whether it is a text, a number or the like, and neither a list nor a mapping.
    pub fn is_text(&self) -> bool {
        self.node.text().is_some() && !self.node.is_null()
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        match self.node.text() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => self.refuse("`true` or `false`", None),
        }
    }

    /// A whole number within `range`.
    pub fn integer(&self, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        match self.node.text().and_then(|text| text.parse().ok()) {
            Some(number) if range.contains(&number) => Some(number),
            _ => self.refuse(&wanted, None),
        }
    }

    /// A duration such as `30s`.
    pub fn duration(&self) -> Option<Duration> {
        match self.node.text().and_then(parse_duration) {
            Some(duration) => Some(duration),
            None => self.refuse(
                "a duration",
                Some("write it as 500ms, 30s, 5m, 1h30m or 7d"),
            ),
        }
    }

    /// A size such as `32MiB`.
    pub fn bytes(&self) -> Option<u64> {
        match self.node.text().and_then(parse_bytes) {
            Some(bytes) => Some(bytes),
            None => self.refuse("a size", Some("write it as 512B, 64KiB, 32MiB or 1GiB")),
        }
    }

    /// An IP address with a port.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.node.text().and_then(|text| text.parse().ok()) {
            Some(address) => Some(address),
            None => self.refuse(
                "an IP address and a port",
                Some("write it as 127.0.0.1:3000, 0.0.0.0:3000 or \"[::]:3000\""),
            ),
        }
    }

    /// An absolute URL with scheme http or https and a host, and no credentials in it.
    pub fn url(&self) -> Option<url::Url> {
        let help = Some("write it as https://host.example.net/path");
        let Some(url) = self.node.text().and_then(|text| url::Url::parse(text).ok()) else {
            return self.refuse("a URL", help);
        };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return self.refuse("a URL with http or https and a host", help);
        }
        if !url.username().is_empty() || url.password().is_some() {
            self.error(
                "credentials don't belong into the URL",
                Some("give them under `auth`"),
            );
            return None;
        }
        Some(url)
    }

    /// A path, resolved against the folder of the configuration file.
    pub fn path(&self) -> Option<PathBuf> {
        self.text().map(|text| self.context.resolve(&text))
    }

    /// One of `choices`, each a word and its value.
    pub fn choice<T: Clone>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.node.text().unwrap_or_default();
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let shown: String = text.chars().take(40).collect();
        let words = words.join(", ");
        if shown.is_empty() {
            return self.refuse(&format!("one of {words}"), None);
        }
        let shown = shown.escape_debug();
        self.error(
            format!("one of {words} is expected here, not `{shown}`"),
            None,
        );
        None
    }

    /// Every item of a list through `read`; items with problems are left out.
    pub fn list<T>(&self, mut read: impl FnMut(Field<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Value::Sequence(items) = &self.node.value else {
            return self.refuse(
                "a list",
                Some("write it as [a, b] or one item a line after `- `"),
            );
        };
        let fields = items.iter().enumerate().map(|(index, node)| Field {
            node,
            path: format!("{}[{index}]", self.path),
            context: self.context,
        });
        Some(fields.filter_map(&mut read).collect())
    }

    /// Every entry of a mapping whose keys are free.
    pub fn entries<T>(
        &self,
        mut read: impl FnMut(&str, Field<'a>) -> Option<T>,
    ) -> Option<Vec<(String, T)>> {
        let Value::Mapping(entries) = &self.node.value else {
            return self.refuse("a mapping of names to values", None);
        };
        let mut out = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let name = key.text().unwrap_or_default();
            let field = Field {
                node,
                path: join(&self.path, name),
                context: self.context,
            };
            if let Some(value) = read(name, field) {
                out.push((name.to_owned(), value));
            }
        }
        Some(out)
    }

    /// A mapping with known keys. Nothing (`key:` alone) is an empty one.
    pub fn section(&self) -> Option<Section<'a>> {
        let entries = match &self.node.value {
            Value::Mapping(entries) => entries.as_slice(),
            Value::Scalar { .. } if self.node.is_null() => &[],
            Value::Scalar { .. } | Value::Sequence(_) => return self.refuse("a mapping", None),
        };
        Some(Section {
            field: self.clone(),
            entries,
            known: Vec::new(),
        })
    }
}

/// A mapping whose keys are taken one by one; [`Section::finish`] refuses what was not asked for.
#[derive(Debug)]
pub struct Section<'a> {
    field: Field<'a>,
    entries: &'a [(Node, Node)],
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The section itself, for problems that concern it as a whole.
    pub fn field(&self) -> &Field<'a> {
        &self.field
    }

    /// The value at `key`, when it is there and not null.
    pub fn optional(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        let (_, node) = self
            .entries
            .iter()
            .find(|(name, _)| name.text() == Some(key))?;
        let path = join(&self.field.path, key);
        (!node.is_null()).then_some(Field {
            node,
            path,
            context: self.field.context,
        })
    }

    /// The value at `key`; reports it when it is missing.
    pub fn required(&mut self, key: &'static str) -> Option<Field<'a>> {
        let field = self.optional(key);
        if field.is_none() {
            self.field.error(format!("`{key}` is missing"), None);
        }
        field
    }

    /// Keys that are allowed but read elsewhere.
    pub fn allow(&mut self, keys: &[&'static str]) {
        self.known.extend_from_slice(keys);
    }

    /// Refuses every key that nobody asked for.
    pub fn finish(self) {
        for (key, _) in self.entries {
            let name = key.text().unwrap_or_default();
            if self.known.contains(&name) {
                continue;
            }
            let help = if self.field.context.is_full() {
                String::new()
            } else {
                self.hint(name)
            };
            let field = Field {
                node: key,
                path: join(&self.field.path, name),
                context: self.field.context,
            };
            field.error(
                format!("unknown key `{}`", name.escape_debug()),
                Some(&help),
            );
        }
    }
}

impl Section<'_> {
    /// The nearest known key, or all of them.
    fn hint(&self, name: &str) -> String {
        let near = self.known.iter().min_by_key(|known| distance(known, name));
        match near.filter(|known| distance(known, name) <= 2) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("known here: {}", self.known.join(", ")),
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Levenshtein distance, for hints; long keys are not compared.
fn distance(a: &str, b: &str) -> usize {
    const LENGTH_MAX: usize = 40;
    if a.len() > LENGTH_MAX || b.len() > LENGTH_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.chars().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(0);
            let left = row.get(j).copied().unwrap_or(0);
            let value = (diagonal + usize::from(x != y))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = value;
            }
        }
    }
    row.last().copied().unwrap_or(0)
}
