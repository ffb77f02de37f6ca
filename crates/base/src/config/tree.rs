//! YAML text → a tree of nodes with their places. It gives no meaning to scalars: a reader decides
//! whether `0123` is a text or a number, so that a password of digits stays what was written.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span};

/// The most nodes a document may have, aliases counted as often as they are used.
pub(super) const NODES_MAX: usize = 500_000;
/// The deepest nesting.
pub(super) const DEPTH_MAX: usize = 64;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// Bytes of the document.
    pub span: Range<usize>,
}

/// The three shapes of YAML.
#[derive(Debug, Clone)]
pub enum Value {
    /// A text as written, and whether it stood without quotes.
    Scalar {
        /// The text after escapes.
        text: String,
        /// No quotes around it, so `null`, `true` and `12` have their special meaning.
        is_plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys with their places, and values, in order.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// What an operator calls this shape.
    pub fn shape(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    /// `key:` with nothing after it, `~` or `null`.
    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, is_plain } => {
                *is_plain && matches!(text.as_str(), "" | "~" | "null")
            }
            Value::Sequence(_) | Value::Mapping(_) => false,
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }
}

/// One YAML document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its top.
    pub root: Node,
}

/// Why a text is not a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// Byte where it was noticed.
    pub offset: usize,
}

impl Document {
    /// Reads a text of one document; an empty text is an empty mapping.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut builder = Builder {
            parser: Parser::new_from_str(text),
            anchors: HashMap::new(),
            nodes: 0,
        };
        let root = builder.document()?;
        Ok(Self {
            root: root.unwrap_or_else(empty_mapping),
        })
    }
}

fn empty_mapping() -> Node {
    Node {
        value: Value::Mapping(Vec::new()),
        line: 1,
        column: 1,
        span: 0..0,
    }
}

struct Builder<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), SyntaxError> {
        match self.parser.next_event() {
            Some(Ok(item)) => Ok(item),
            Some(Err(error)) => {
                let marker = error.marker();
                Err(SyntaxError {
                    message: format!("not valid YAML: {}", error.info()),
                    line: marker.line(),
                    column: marker.col() + 1,
                    offset: marker.byte_offset().unwrap_or(0),
                })
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Option<Node>, SyntaxError> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    return Err(at(
                        &span,
                        "more than one document in the file: keep only one",
                    ));
                }
                event => root = self.node(event, &span, 0)?,
            }
        }
    }

    /// The node that `event` begins; `None` for events that are no node.
    fn node(
        &mut self,
        event: Event<'a>,
        span: &Span,
        depth: usize,
    ) -> Result<Option<Node>, SyntaxError> {
        self.nodes += 1;
        if depth > DEPTH_MAX {
            return Err(at(
                span,
                &format!("nested more than {DEPTH_MAX} levels deep"),
            ));
        }
        let (value, anchor, end) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_plain = style == ScalarStyle::Plain;
                (
                    Value::Scalar {
                        text: text.into_owned(),
                        is_plain,
                    },
                    anchor,
                    *span,
                )
            }
            Event::SequenceStart(_, anchor, _) => {
                let (items, end) = self.sequence(depth)?;
                (Value::Sequence(items), anchor, end)
            }
            Event::MappingStart(_, anchor, _) => {
                let (entries, end) = self.mapping(depth)?;
                (Value::Mapping(entries), anchor, end)
            }
            Event::Alias(id) => return self.alias(id, span).map(Some),
            _ => return Ok(None),
        };
        self.check_count(span)?;
        let node = place(value, span, &end);
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(Some(node))
    }

    fn alias(&mut self, id: usize, span: &Span) -> Result<Node, SyntaxError> {
        let Some(node) = self.anchors.get(&id).cloned() else {
            return Err(at(
                span,
                "this alias names an anchor that is not complete yet",
            ));
        };
        self.nodes += count(&node);
        self.check_count(span)?;
        Ok(node)
    }

    fn check_count(&self, span: &Span) -> Result<(), SyntaxError> {
        if self.nodes > NODES_MAX {
            return Err(at(
                span,
                &format!("more than {NODES_MAX} values, aliases counted"),
            ));
        }
        Ok(())
    }

    fn sequence(&mut self, depth: usize) -> Result<(Vec<Node>, Span), SyntaxError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::SequenceEnd | Event::StreamEnd => return Ok((items, span)),
                event => items.extend(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<(Vec<(Node, Node)>, Span), SyntaxError> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                return Ok((entries, span));
            }
            let Some(key) = self.node(event, &span, depth + 1)? else {
                continue;
            };
            let Some(text) = key.text() else {
                return Err(at(&span, "a key must be a single value"));
            };
            if !seen.insert(text.to_owned()) {
                return Err(at(&span, &format!("the key `{text}` is here twice")));
            }
            let (event, span) = self.next()?;
            if let Some(value) = self.node(event, &span, depth + 1)? {
                entries.push((key, value));
            }
        }
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::Sequence(items) => items.iter().map(count).sum(),
        Value::Mapping(entries) => entries.iter().map(|(_, value)| 1 + count(value)).sum(),
    }
}

fn place(value: Value, start: &Span, end: &Span) -> Node {
    let from = start.start.byte_offset().unwrap_or(0);
    let to = end.end.byte_offset().unwrap_or(from).max(from);
    Node {
        value,
        line: start.start.line(),
        column: start.start.col() + 1,
        span: from..to,
    }
}

fn at(span: &Span, message: &str) -> SyntaxError {
    SyntaxError {
        message: message.to_owned(),
        line: span.start.line(),
        column: span.start.col() + 1,
        offset: span.start.byte_offset().unwrap_or(0),
    }
}
