//! Messages become bytes. What is zero or empty is left out, as the third edition of the language has
//! it, but where a method says otherwise.

use super::zigzag;

/// Gathers the fields of a message.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// The message so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Appends fields that are bytes already.
    pub fn raw(&mut self, fields: &[u8]) {
        self.out.extend_from_slice(fields);
    }

    /// A number without a tag, as it stands before delimited messages.
    pub fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(low_bits(number) | 0x80);
            number >>= 7;
        }
        self.out.push(low_bits(number));
    }

    fn tag(&mut self, number: u32, wire_type: u8) {
        self.varint(u64::from(number) << 3 | u64::from(wire_type));
    }

    /// An `uint64`, `uint32`, `bool` or enumeration.
    pub fn unsigned(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.unsigned_always(number, value);
        }
    }

    /// As [`Writer::unsigned`], and a zero as well: for alternatives (`oneof`).
    pub fn unsigned_always(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        self.varint(value);
    }

    /// An `int64` or `int32`.
    pub fn signed(&mut self, number: u32, value: i64) {
        self.unsigned(number, value.cast_unsigned());
    }

    /// An `sint64` or `sint32`.
    pub fn zigzag(&mut self, number: u32, value: i64) {
        self.unsigned(number, zigzag(value));
    }

    /// A double. A negative zero is not left out.
    pub fn double(&mut self, number: u32, value: f64) {
        if value.to_bits() != 0 {
            self.double_always(number, value);
        }
    }

    /// As [`Writer::double`], and a zero as well: for alternatives (`oneof`).
    pub fn double_always(&mut self, number: u32, value: f64) {
        self.fixed64(number, value.to_bits());
    }

    /// A `fixed64`, also when it is zero.
    pub fn fixed64(&mut self, number: u32, value: u64) {
        self.tag(number, 1);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// A text.
    pub fn text(&mut self, number: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(number, value.as_bytes());
        }
    }

    /// Bytes, also none: an entry of a repeated field.
    pub fn bytes(&mut self, number: u32, value: &[u8]) {
        self.tag(number, 2);
        self.varint(value.len() as u64);
        self.out.extend_from_slice(value);
    }

    /// A message inside this one, also an empty one.
    pub fn message(&mut self, number: u32, fill: impl FnOnce(&mut Self)) {
        self.tag(number, 2);
        self.delimited(fill);
    }

    /// A message with its length before it.
    pub fn delimited(&mut self, fill: impl FnOnce(&mut Self)) {
        let begin = self.out.len();
        fill(self);
        let length = self.out.len() - begin;
        let mut prefix = Self::default();
        prefix.varint(length as u64);
        // Messages are short, so moving them costs less than computing their lengths before.
        self.out.splice(begin..begin, prefix.out);
    }

    /// Packed numbers.
    pub fn varints(&mut self, number: u32, values: impl ExactSizeIterator<Item = u64>) {
        if values.len() > 0 {
            self.message(number, |packed| {
                for value in values {
                    packed.varint(value);
                }
            });
        }
    }

    /// Packed doubles.
    pub fn doubles(&mut self, number: u32, values: &[f64]) {
        if !values.is_empty() {
            self.tag(number, 2);
            self.varint(values.len() as u64 * 8);
            for value in values {
                self.out.extend_from_slice(&value.to_le_bytes());
            }
        }
    }
}

fn low_bits(number: u64) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or(0)
}
