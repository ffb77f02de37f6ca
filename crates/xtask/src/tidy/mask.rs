//! Blanks out everything in Rust source that is not code: comments and the insides of strings and
//! character literals become spaces, line ends stay. What is left can be searched for words and
//! braces without being fooled.

/// The code of `source`, character for character in the same place.
pub(super) fn code_of(source: &str) -> Vec<char> {
    let mut scanner = Scanner {
        input: source.chars().collect(),
        output: Vec::new(),
    };
    while scanner.position() < scanner.input.len() {
        scanner.step();
    }
    scanner.output
}

/// Whether a character can be part of a name.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The input and what was written so far; both have the same length at the end.
struct Scanner {
    input: Vec<char>,
    output: Vec<char>,
}

impl Scanner {
    /// How far the input is read.
    fn position(&self) -> usize {
        self.output.len()
    }

    /// The character `ahead` places further on; NUL after the end.
    fn peek(&self, ahead: usize) -> char {
        self.input
            .get(self.position() + ahead)
            .copied()
            .unwrap_or('\0')
    }

    /// Takes over `count` characters as code.
    fn keep(&mut self, count: usize) {
        let end = (self.position() + count).min(self.input.len());
        self.output
            .extend_from_slice(self.input.get(self.position()..end).unwrap_or_default());
    }

    /// Blanks `count` characters.
    fn blank(&mut self, count: usize) {
        for _ in 0..count {
            match self.peek(0) {
                '\0' if self.position() >= self.input.len() => return,
                '\n' => self.output.push('\n'),
                _ => self.output.push(' '),
            }
        }
    }

    /// Reads one token, or one character of what needs no care.
    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.line_comment(),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.text(),
            ('\'', _) => self.quote(),
            (first, _) if is_word(first) => self.word(),
            _ => self.keep(1),
        }
    }

    /// `// …` up to the line's end.
    fn line_comment(&mut self) {
        while self.position() < self.input.len() && self.peek(0) != '\n' {
            self.blank(1);
        }
    }

    /// `/* … */`, nested.
    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.position() < self.input.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.blank(2);
                }
                ('*', '/') => {
                    depth -= 1;
                    self.blank(2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.blank(1),
            }
        }
    }

    /// `"…"` with escapes; the quotes stay.
    fn text(&mut self) {
        self.keep(1);
        while self.position() < self.input.len() {
            match self.peek(0) {
                '\\' => self.blank(2),
                '"' => return self.keep(1),
                _ => self.blank(1),
            }
        }
    }

    /// `r"…"` and `r#"…"#` after the `r`: no escapes, ends at a quote with as many hashes.
    fn raw_text(&mut self, hashes: usize) {
        self.keep(hashes + 1);
        while self.position() < self.input.len() {
            let closes = self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#');
            if closes {
                return self.keep(hashes + 1);
            }
            self.blank(1);
        }
    }

    /// A character literal, or the mark of a lifetime or label.
    fn quote(&mut self) {
        let literal = self.peek(1) == '\\' || self.peek(2) == '\'';
        self.keep(1);
        if !literal {
            return;
        }
        self.blank(if self.peek(0) == '\\' { 2 } else { 1 });
        while self.position() < self.input.len() && self.peek(0) != '\'' {
            self.blank(1);
        }
        self.keep(1);
    }

    /// A name, a keyword, a number, or the letters before a raw string.
    fn word(&mut self) {
        let start = self.position();
        while is_word(self.peek(0)) {
            self.keep(1);
        }
        let word: String = self
            .output
            .get(start..)
            .unwrap_or_default()
            .iter()
            .collect();
        if !matches!(word.as_str(), "r" | "br" | "cr") {
            return;
        }
        let mut hashes = 0;
        while self.peek(hashes) == '#' {
            hashes += 1;
        }
        if self.peek(hashes) == '"' {
            self.raw_text(hashes);
        }
    }
}

#[cfg(test)]
mod tests;
