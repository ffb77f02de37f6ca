//! YAML text → a tree of nodes with their places. It gives no meaning to scalars: a reader decides
//! whether `0123` is a text or a number, so that a password of digits stays what was written.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span};

/// The most nodes a document may have, anchors and aliases counted as often as they are used.
pub(super) const NODES_MAX: usize = 500_000;
/// The most bytes of texts, anchors and aliases counted as often as they are used.
pub(super) const TEXT_BYTES_MAX: usize = 64 << 20;
/// The deepest nesting, aliases included.
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
            size: Size::default(),
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
    size: Size,
}

/// What a tree costs.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: usize,
    text_bytes: usize,
    depth: usize,
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
        self.size.nodes += 1;
        check_depth(depth, span)?;
        let (value, anchor, end) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_plain = style == ScalarStyle::Plain;
                self.size.text_bytes += text.len();
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
            Event::Alias(id) => return self.alias(id, span, depth).map(Some),
            _ => return Ok(None),
        };
        self.check_size(span)?;
        let node = place(value, span, &end);
        if anchor != 0 {
            // What is kept for aliases is a copy, and anchors nest.
            self.add(size(&node), span)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(Some(node))
    }

    fn alias(&mut self, id: usize, span: &Span, depth: usize) -> Result<Node, SyntaxError> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(at(
                span,
                "this alias names an anchor that is not complete yet",
            ));
        };
        let node = node.clone();
        let added = size(&node);
        check_depth(depth + added.depth, span)?;
        self.add(added, span)?;
        Ok(node)
    }

    fn add(&mut self, more: Size, span: &Span) -> Result<(), SyntaxError> {
        self.size.nodes += more.nodes;
        self.size.text_bytes += more.text_bytes;
        self.check_size(span)
    }

    fn check_size(&self, span: &Span) -> Result<(), SyntaxError> {
        if self.size.nodes > NODES_MAX {
            let message = format!("more than {NODES_MAX} values, aliases counted");
            return Err(at(span, &message));
        }
        if self.size.text_bytes > TEXT_BYTES_MAX {
            let limit = super::format_bytes(TEXT_BYTES_MAX as u64);
            let message = format!("more than {limit} of text, aliases counted");
            return Err(at(span, &message));
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

fn check_depth(depth: usize, span: &Span) -> Result<(), SyntaxError> {
    if depth > DEPTH_MAX {
        let message = format!("nested more than {DEPTH_MAX} levels deep");
        return Err(at(span, &message));
    }
    Ok(())
}

/// The cost of a tree; its depth is 0 when it is a scalar.
fn size(node: &Node) -> Size {
    let mut total = Size {
        nodes: 1,
        ..Size::default()
    };
    let mut add = |node: &Node| {
        let part = size(node);
        total.nodes += part.nodes;
        total.text_bytes += part.text_bytes;
        total.depth = total.depth.max(part.depth + 1);
    };
    match &node.value {
        Value::Scalar { text, .. } => total.text_bytes += text.len(),
        Value::Sequence(items) => items.iter().for_each(add),
        Value::Mapping(entries) => entries.iter().for_each(|(key, value)| {
            add(key);
            add(value);
        }),
    }
    total
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
