//! Thrift's compact protocol, in which Parquet describes itself: fields by the distance of their numbers,
//! numbers in groups of seven bits.

const YES: u8 = 1;
const NUMBER: u8 = 5;
const LONG: u8 = 6;
const TEXT: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;
/// Lists of so many members have their length in a number of its own.
const LONG_LIST: usize = 15;

/// A struct that is being written.
#[derive(Debug, Default)]
pub(super) struct Compact {
    bytes: Vec<u8>,
    /// The field that was written last.
    last: u8,
    /// The same of the structs around.
    outer: Vec<u8>,
}

/// A number in groups of seven bits.
pub(super) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

impl Compact {
    /// The bytes, once the outermost struct has ended.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }

    /// A struct that is a member of a list.
    pub(super) fn begin(&mut self) {
        self.outer.push(self.last);
        self.last = 0;
    }

    /// A struct that is a field.
    pub(super) fn inner(&mut self, field: u8) {
        self.field(field, STRUCT);
        self.begin();
    }

    /// Ends the innermost struct.
    pub(super) fn end(&mut self) {
        self.bytes.push(0);
        self.last = self.outer.pop().unwrap_or_default();
    }

    pub(super) fn yes(&mut self, field: u8) {
        self.field(field, YES);
    }

    /// A number of 32 bits.
    pub(super) fn number(&mut self, field: u8, number: i64) {
        self.field(field, NUMBER);
        self.signed(number);
    }

    /// How many, as a number of 32 bits.
    pub(super) fn count(&mut self, field: u8, count: usize) {
        self.field(field, NUMBER);
        put_number(&mut self.bytes, (count as u64) << 1);
    }

    /// How many, as a number of 64 bits.
    pub(super) fn long(&mut self, field: u8, count: usize) {
        self.field(field, LONG);
        put_number(&mut self.bytes, (count as u64) << 1);
    }

    pub(super) fn text(&mut self, field: u8, text: &str) {
        self.field(field, TEXT);
        self.word(text);
    }

    pub(super) fn numbers(&mut self, field: u8, numbers: &[i64]) {
        self.list_of(field, numbers.len(), NUMBER);
        for number in numbers {
            self.signed(*number);
        }
    }

    pub(super) fn texts(&mut self, field: u8, texts: &[&str]) {
        self.list_of(field, texts.len(), TEXT);
        for text in texts {
            self.word(text);
        }
    }

    /// A list of so many structs, which follow.
    pub(super) fn list(&mut self, field: u8, count: usize) {
        self.list_of(field, count, STRUCT);
    }

    fn list_of(&mut self, field: u8, count: usize, kind: u8) {
        self.field(field, LIST);
        if count < LONG_LIST {
            self.bytes.push(count.to_le_bytes()[0] << 4 | kind);
        } else {
            self.bytes.push(0xf0 | kind);
            put_number(&mut self.bytes, count as u64);
        }
    }

    fn field(&mut self, field: u8, kind: u8) {
        // All fields of these structs are less than 16 apart.
        self.bytes.push((field - self.last) << 4 | kind);
        self.last = field;
    }

    fn word(&mut self, text: &str) {
        put_number(&mut self.bytes, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn signed(&mut self, number: i64) {
        let zigzag = (number << 1) ^ (number >> 63);
        put_number(&mut self.bytes, zigzag.cast_unsigned());
    }
}
