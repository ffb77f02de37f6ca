//! Tokens to a tree: precedence climbing, with bounds on length and depth. The rules that grammar
//! cannot say are checked in [`check`].

mod aggregate;
mod binary;
mod check;
mod duration;
mod metric;
mod selector;

use std::fmt;

pub(crate) use self::check::type_of;
pub use self::metric::metric;
use super::ast::{Call, Expression, Node, Number, Span};
use super::functions;
use super::lexer::{Kind, Lexer, Token};

/// Bytes of an expression.
pub const EXPRESSION_BYTES_MAX: usize = 256 << 10;
/// How deep expressions may stand within one another; a thread with 2 MiB of stack has room for so many,
/// also without optimization.
pub const DEPTH_MAX: u32 = 100;
/// What a level of nesting adds to the height of an expression, of which a further operator in a chain
/// adds one: chains are walked along and not descended into.
const NESTED: u32 = 10;
/// Members of one list: labels, matchers, arguments.
const LIST_MAX: usize = 4096;
/// Regular expressions of one expression: each may take some memory.
const REGEXES_MAX: usize = 128;

/// Keywords that are no metric's name without quotes; all others can be.
const RESERVED: [&str; 6] = [
    "atan2",
    "bool",
    "group_left",
    "group_right",
    "ignoring",
    "on",
];

/// Symbols that messages show as operators.
const OPERATORS: [&str; 17] = [
    "+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">=", "</", ">/", "=~", "!~", "@",
];

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The byte at which it is noticed.
    pub position: usize,
    /// Its line and column, from one.
    pub place: (usize, usize),
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    pub(super) fn new(position: usize, message: String) -> ParseError {
        ParseError {
            position,
            place: (1, position + 1),
            message,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.place;
        write!(f, "{line}:{column}: parse error: {}", self.message)
    }
}

impl std::error::Error for ParseError {}

/// Line and column of a byte of a text, from one; columns count bytes.
pub fn place(text: &str, position: usize) -> (usize, usize) {
    let before = text.get(..position).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before.len() - begin + 1)
}

/// Reads an expression.
///
/// # Errors
/// What is wrong with it first, with its place.
pub fn parse(text: &str) -> Result<Expression, ParseError> {
    let located = |mut error: ParseError| {
        error.place = place(text, error.position);
        error
    };
    if text.len() > EXPRESSION_BYTES_MAX {
        let message = format!("expression is longer than {EXPRESSION_BYTES_MAX} bytes");
        return Err(ParseError::new(0, message));
    }
    let mut parser = Parser::new(text).map_err(located)?;
    let parsed = parser.whole().map_err(located)?;
    check::check(&parsed).map_err(located)?;
    Ok(parsed)
}

/// Whether a metric's name can stand outside of braces, and without quotes.
pub(crate) fn is_bare(name: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    let begins = name
        .bytes()
        .next()
        .is_some_and(|byte| !byte.is_ascii_digit());
    let is_reserved = RESERVED.iter().any(|word| name.eq_ignore_ascii_case(word));
    begins && name.bytes().all(is_inside) && !is_reserved && crate::number::parse(name).is_none()
}

/// Reads tokens, one ahead.
pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Token,
    /// Where the last token that was taken ends.
    end: usize,
    depth: u32,
    /// Regular expressions so far.
    regexes: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Result<Parser<'a>, ParseError> {
        let mut lexer = Lexer::new(text);
        let ahead = lexer.next()?;
        Ok(Parser {
            lexer,
            ahead,
            end: 0,
            depth: 0,
            regexes: 0,
        })
    }

    fn whole(&mut self) -> Result<Expression, ParseError> {
        if self.ahead.kind == Kind::End {
            return Err(ParseError::new(
                0,
                "no expression found in input".to_owned(),
            ));
        }
        let parsed = self.binary(0)?;
        if self.ahead.kind != Kind::End {
            return Err(self.unexpected(""));
        }
        Ok(parsed)
    }

    fn advance(&mut self) -> Result<Token, ParseError> {
        let next = self.lexer.next()?;
        let taken = std::mem::replace(&mut self.ahead, next);
        self.end = taken.span.end;
        Ok(taken)
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.ahead.kind, Kind::Symbol(found) if found == symbol)
    }

    /// Whether the next token is this word, in any case.
    fn is_word(&self, word: &str) -> bool {
        matches!(&self.ahead.kind, Kind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    /// Takes this symbol if it comes next.
    fn accept(&mut self, symbol: &str) -> Result<bool, ParseError> {
        let is_next = self.is_symbol(symbol);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn expect(&mut self, symbol: &str, place: &str) -> Result<Token, ParseError> {
        if self.is_symbol(symbol) {
            return self.advance();
        }
        if symbol == ")" && self.ahead.kind == Kind::End {
            let message = "unclosed left parenthesis".to_owned();
            return Err(ParseError::new(self.ahead.span.start, message));
        }
        Err(self.unexpected(place))
    }

    /// The next token is not what can stand there; `place` says where, and what could.
    fn unexpected(&self, place: &str) -> ParseError {
        let text = self.lexer.text(self.ahead.span);
        let found = match &self.ahead.kind {
            Kind::End => "end of input".to_owned(),
            Kind::Word(word) => format!("identifier {word:?}"),
            Kind::Number(_) => format!("number {text:?}"),
            Kind::Duration(_) => format!("duration {text:?}"),
            Kind::Text(_) => format!("string {}", crate::quote::quoted(text.as_bytes())),
            Kind::Symbol(")") if place.is_empty() => "right parenthesis ')'".to_owned(),
            Kind::Symbol("]") if place.is_empty() => "right bracket ']'".to_owned(),
            Kind::Symbol(symbol) if OPERATORS.contains(symbol) => format!("<op:{symbol}>"),
            Kind::Symbol(symbol) => format!("{symbol:?}"),
        };
        let place = if place.is_empty() {
            String::new()
        } else {
            format!(" in {place}")
        };
        ParseError::new(self.ahead.span.start, format!("unexpected {found}{place}"))
    }

    /// An expression that begins at a byte and ends with the last token; `inner` is the height of what
    /// stands in it.
    fn made(&self, start: usize, node: Node, inner: u32) -> Result<Expression, ParseError> {
        self.with_height(start, node, inner + NESTED)
    }

    fn with_height(&self, start: usize, node: Node, height: u32) -> Result<Expression, ParseError> {
        if height > DEPTH_MAX * NESTED {
            let message = format!("expression is nested deeper than {DEPTH_MAX}");
            return Err(ParseError::new(start, message));
        }
        Ok(Expression {
            span: Span {
                start,
                end: self.end,
            },
            node,
            height,
        })
    }

    /// Runs a step of the descent, one deeper.
    fn deeper<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth >= DEPTH_MAX {
            let message = format!("expression is nested deeper than {DEPTH_MAX}");
            return Err(ParseError::new(self.ahead.span.start, message));
        }
        self.depth += 1;
        let result = step(self);
        self.depth -= 1;
        result
    }

    /// What stands between operators, with its sign and what follows it.
    fn unary(&mut self) -> Result<Expression, ParseError> {
        let start = self.ahead.span.start;
        let negates = self.is_symbol("-");
        if !negates && !self.is_symbol("+") {
            let primary = self.primary()?;
            return self.postfix(primary);
        }
        self.advance()?;
        let inner = self.deeper(|parser| parser.binary(super::ast::Operator::Power.binding()))?;
        if let Node::Number(mut number) = inner.node {
            if negates {
                number.value = -number.value;
            }
            return self.made(start, Node::Number(number), 0);
        }
        let height = inner.height;
        let inner = Box::new(inner);
        self.made(start, Node::Unary { negates, inner }, height)
    }

    fn primary(&mut self) -> Result<Expression, ParseError> {
        let start = self.ahead.span.start;
        let node = match &self.ahead.kind {
            Kind::Number(number) => Node::Number(Number::plain(*number)),
            Kind::Duration(milliseconds) => Node::Number(Number::duration(*milliseconds)),
            Kind::Text(text) => Node::Text(text.clone()),
            Kind::Symbol("(") => return self.parenthesized(start),
            Kind::Symbol("{") => return self.selector(start, None),
            Kind::Word(_) => return self.word(start),
            Kind::Symbol(_) | Kind::End => return Err(self.unexpected("")),
        };
        self.advance()?;
        self.made(start, node, 0)
    }

    fn parenthesized(&mut self, start: usize) -> Result<Expression, ParseError> {
        self.advance()?;
        let inner = self.deeper(|parser| parser.binary(0))?;
        self.expect(")", "")?;
        let height = inner.height;
        self.made(start, Node::Parenthesized(Box::new(inner)), height)
    }

    /// A number by name, an aggregation, a call or the name of a metric.
    fn word(&mut self, start: usize) -> Result<Expression, ParseError> {
        let Kind::Word(word) = self.ahead.kind.clone() else {
            return Err(self.unexpected(""));
        };
        if let Some(number) = crate::number::parse(&word) {
            self.advance()?;
            return self.made(start, Node::Number(Number::plain(number)), 0);
        }
        let is_called = self.lexer.is_before("(");
        if let Some(operation) = super::ast::Aggregation::named(&word) {
            let is_grouped = || {
                let mut ahead = self.lexer.clone();
                matches!(ahead.next(), Ok(Token { kind: Kind::Word(next), .. })
                    if next.eq_ignore_ascii_case("by") || next.eq_ignore_ascii_case("without"))
            };
            if is_called || is_grouped() {
                self.advance()?;
                return self.aggregate(start, operation);
            }
        }
        if !is_called {
            if RESERVED.iter().any(|word| self.is_word(word)) {
                return Err(self.unexpected(""));
            }
            self.advance()?;
            return self.selector(start, Some(word));
        }
        let Some(function) = functions::named(&word) else {
            let message = format!("unknown function with name {word:?}");
            return Err(ParseError::new(start, message));
        };
        self.advance()?;
        let arguments = self.deeper(Self::arguments)?;
        let height = arguments.iter().map(|inner| inner.height).max();
        let call = Call {
            function,
            arguments,
        };
        self.made(start, Node::Call(call), height.unwrap_or(0))
    }

    /// `(a, b)`
    fn arguments(&mut self) -> Result<Vec<Expression>, ParseError> {
        self.expect("(", "call")?;
        let mut arguments = Vec::new();
        if self.accept(")")? {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.binary(0)?);
            if arguments.len() > LIST_MAX {
                return Err(self.unexpected("call with too many arguments"));
            }
            let comma = self.ahead.span.start;
            if !self.accept(",")? {
                self.expect(")", "")?;
                return Ok(arguments);
            }
            if self.is_symbol(")") {
                let message = "trailing commas not allowed in function call args".to_owned();
                return Err(ParseError::new(comma, message));
            }
        }
    }
}

#[cfg(test)]
mod tests;
