//! Text to tokens, one at a time. Which words are keywords depends on where they stand: the parser
//! knows.

use std::fmt::Write as _;

use super::ast::Span;
use super::parser::ParseError;
use crate::number;

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A name or keyword; with colons outside of brackets.
    Word(String),
    Number(f64),
    /// In milliseconds.
    Duration(i64),
    Text(Vec<u8>),
    Symbol(&'static str),
    End,
}

/// Symbols, longer ones first.
const SYMBOLS: [&str; 26] = [
    "==", "!=", "=~", "!~", "<=", ">=", "</", ">/", "(", ")", "{", "}", "[", "]", ",", "=", "<",
    ">", "+", "-", "*", "/", "%", "^", "@", ":",
];

/// Units of durations with their milliseconds, in the order in which they may follow one another.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Whether a colon is a symbol and never part of a name.
    pub(super) is_in_brackets: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer {
            text,
            at: 0,
            is_in_brackets: false,
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips blanks and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// The text of a token.
    pub(super) fn text(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Whether this symbol comes next.
    pub(super) fn is_before(&self, symbol: &str) -> bool {
        let mut ahead = self.clone();
        ahead.skip();
        ahead.rest().starts_with(symbol)
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Result<Token, ParseError> {
        self.skip();
        let start = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(self.token(start, Kind::End));
        };
        let second = rest.as_bytes().get(1).copied().unwrap_or_default();
        let kind = match first {
            '"' | '\'' | '`' => self.quoted(first)?,
            '0'..='9' => self.number()?,
            '.' if second.is_ascii_digit() => self.number()?,
            _ if self.is_word_start(first) => self.word(),
            _ => self.symbol(first)?,
        };
        Ok(self.token(start, kind))
    }

    fn token(&self, start: usize, kind: Kind) -> Token {
        let span = Span {
            start,
            end: self.at,
        };
        Token { kind, span }
    }

    fn is_word_start(&self, letter: char) -> bool {
        letter.is_ascii_alphabetic() || letter == '_' || letter == ':' && !self.is_in_brackets
    }

    fn word(&mut self) -> Kind {
        let rest = self.rest();
        let is_inside = |letter: char| self.is_word_start(letter) || letter.is_ascii_digit();
        let end = rest.find(|letter| !is_inside(letter)).unwrap_or(rest.len());
        self.at += end;
        Kind::Word(rest.get(..end).unwrap_or_default().to_owned())
    }

    fn symbol(&mut self, first: char) -> Result<Kind, ParseError> {
        let rest = self.rest();
        let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) else {
            return Err(ParseError::new(
                self.at,
                format!("unexpected character: {first:?}"),
            ));
        };
        self.at += symbol.len();
        Ok(Kind::Symbol(symbol))
    }

    /// A number, or a duration when units follow.
    fn number(&mut self) -> Result<Kind, ParseError> {
        let rest = self.rest();
        let is_hexadecimal = rest.starts_with("0x") || rest.starts_with("0X");
        let mut before = ' ';
        let end = rest.find(|letter: char| {
            let is_sign = matches!(letter, '+' | '-') && matches!(before, 'e' | 'E');
            before = letter;
            let is_inside = letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_');
            !(is_inside || is_sign && !is_hexadecimal)
        });
        let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let kind = octal(text)
            .or_else(|| number::parse(text))
            .or_else(|| separated(text))
            .map(Kind::Number)
            .or_else(|| duration(text).map(Kind::Duration));
        let Some(kind) = kind else {
            let message = format!("bad number or duration syntax: {text:?}");
            return Err(ParseError::new(self.at, message));
        };
        self.at += text.len();
        Ok(kind)
    }

    /// A text in quotes; between backticks nothing is escaped.
    fn quoted(&mut self, quote: char) -> Result<Kind, ParseError> {
        let start = self.at;
        let unclosed = || ParseError::new(start, "unterminated quoted string".to_owned());
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let letter = self.rest().chars().next().ok_or_else(unclosed)?;
            self.at += letter.len_utf8();
            match letter {
                _ if letter == quote => return Ok(Kind::Text(bytes)),
                '\n' if quote != '`' => return Err(unclosed()),
                '\\' if quote != '`' => self.escape(quote, &mut bytes)?,
                _ => bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
    }

    fn escape(&mut self, quote: char, bytes: &mut Vec<u8>) -> Result<(), ParseError> {
        let start = self.at - 1;
        let unknown = || ParseError::new(start, "unknown escape sequence".to_owned());
        let letter = self.rest().chars().next().ok_or_else(unknown)?;
        self.at += letter.len_utf8();
        let (digits, radix) = match letter {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => {
                self.at -= 1;
                (3, 8)
            }
            _ => {
                let byte = match letter {
                    'a' => 7,
                    'b' => 8,
                    'f' => 12,
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    'v' => 11,
                    '\\' => b'\\',
                    _ if letter == quote => u8::try_from(letter).map_err(|_| unknown())?,
                    _ => return Err(unknown()),
                };
                bytes.push(byte);
                return Ok(());
            }
        };
        let text = self
            .text
            .get(self.at..self.at + digits)
            .ok_or_else(unknown)?;
        let code = u32::from_str_radix(text, radix).map_err(|_| unknown())?;
        self.at += digits;
        if matches!(letter, 'u' | 'U') {
            let letter = char::from_u32(code).ok_or_else(unknown)?;
            bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes());
        } else {
            bytes.push(u8::try_from(code).map_err(|_| unknown())?);
        }
        Ok(())
    }
}

/// A whole number with underscores between its digits, such as `1_000` or `0x_ffff`.
fn separated(text: &str) -> Option<f64> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let is_decimal = digits.is_none();
    let digits = digits.map_or(text, |digits| digits.strip_prefix('_').unwrap_or(digits));
    let is_digit = |letter: char| {
        let is_own = letter.is_ascii_digit() || !is_decimal && letter.is_ascii_hexdigit();
        is_own || letter == '_'
    };
    let is_whole = digits.chars().all(is_digit) && !digits.split('_').any(str::is_empty);
    let plain = text.replace('_', "");
    let number = || octal(&plain).or_else(|| number::parse(&plain));
    is_whole.then(number).flatten()
}

/// A number with a zero before it counts in eights, if it can.
fn octal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('0').filter(|digits| !digits.is_empty())?;
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = u64::from_str_radix(digits, 8).ok().filter(|_| is_plain)?;
    Some(number as f64)
}

/// A duration in milliseconds as [`duration`] reads it, and Prometheus writes it: years and weeks only
/// where nothing remains.
pub(super) fn duration_text(milliseconds: i64) -> String {
    let mut rest = milliseconds.unsigned_abs();
    let mut text = String::new();
    for (unit, size) in UNITS {
        let size = size.unsigned_abs();
        let is_rough = matches!(unit, "y" | "w");
        if rest < size || is_rough && !rest.is_multiple_of(size) {
            continue;
        }
        let count = rest / size;
        rest %= size;
        // Writing to a text does not fail.
        write!(text, "{count}{unit}").unwrap_or_default();
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// Milliseconds of a duration such as `1h30m`: units from large to small, each once.
pub fn duration(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (count, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|letter: char| letter.is_ascii_digit());
        let (unit, after) = after.split_at_checked(letters.unwrap_or(after.len()))?;
        let (_, milliseconds) = units.find(|(name, _)| *name == unit)?;
        let count: i64 = count.parse().ok()?;
        total = total.checked_add(count.checked_mul(*milliseconds)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}
