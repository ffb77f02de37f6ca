//! Fields of protobuf messages, read where they lie and written one after the other. It knows no
//! schema: who reads says which field numbers mean what, and skips the others, as the format wants.

mod write;

pub use write::Writer;

/// Bytes of the longest number.
const VARINT_BYTES_MAX: usize = 10;

/// Why bytes are no such message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends inside a field.
    #[error("the message ends in the middle of a field")]
    Cut,
    /// A number that does not end.
    #[error("a number takes more than ten bytes")]
    LongNumber,
    /// A field whose number is 0 or beyond 2^29.
    #[error("a field has a number that protobuf does not allow")]
    FieldNumber,
    /// Groups and wire types that nobody uses.
    #[error("field {0} has a wire type that is not read here")]
    WireType(u32),
    /// Another type than the schema says.
    #[error("field {0} has another type than the schema says")]
    Type(u32),
    /// A text that is not UTF-8.
    #[error("field {0} is not UTF-8")]
    Text(u32),
    /// More entries than the limit.
    #[error("field {0} has more than {1} entries")]
    Many(u32, usize),
    /// A reference to what is not there.
    #[error("symbol {0} is referred to and not there")]
    Symbol(u64),
    /// A message that makes no sense although its bytes do.
    #[error("{0}")]
    Meaning(&'static str),
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Whole numbers, booleans and enumerations.
    Varint(u64),
    /// Doubles and fixed numbers of eight bytes.
    Fixed64(u64),
    /// Texts, messages, packed numbers.
    Bytes(&'a [u8]),
    /// Fixed numbers of four bytes.
    Fixed32(u32),
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// Its number in the schema.
    pub number: u32,
    /// What it holds.
    pub value: Value<'a>,
}

/// Reads the fields of a message in their order.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins at the first field.
    pub const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What was not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field; none at the end.
    #[inline]
    pub fn field(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed::FieldNumber)?;
        if number == 0 || number >= 1 << 29 {
            return Err(Malformed::FieldNumber);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => Value::Bytes(self.bytes()?),
            5 => Value::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(Malformed::WireType(number)),
        };
        Ok(Some(Field { number, value }))
    }

    /// Steps over all fields that begin with this tag byte and hold bytes. Returns them as they lie.
    #[inline]
    pub fn run_of(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        let begin = self.rest;
        while self.rest.first() == Some(&tag) {
            self.rest = self.rest.get(1..).unwrap_or_default();
            self.bytes()?;
        }
        let length = begin.len() - self.rest.len();
        begin.get(..length).ok_or(Malformed::Cut)
    }

    /// A number of variable length, without a tag.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            // Most are below 128.
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for (at, byte) in self.rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            // The last of ten bytes has room for one bit; what is beyond is dropped, as elsewhere.
            number |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = self.rest.get(at + 1..).unwrap_or_default();
                return Ok(number);
            }
        }
        Err(if self.rest.len() < VARINT_BYTES_MAX {
            Malformed::Cut
        } else {
            Malformed::LongNumber
        })
    }

    /// Bytes with their length before them.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Cut)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Cut)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed::Cut)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

impl<'a> Field<'a> {
    /// A message or bytes.
    #[inline]
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::Type(self.number)),
        }
    }

    /// A text.
    pub fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Text(self.number))
    }

    /// A double.
    #[inline]
    pub fn double(self) -> Result<f64, Malformed> {
        match self.value {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(Malformed::Type(self.number)),
        }
    }

    /// An `uint64`, `uint32`, `bool` or enumeration.
    #[inline]
    pub fn unsigned(self) -> Result<u64, Malformed> {
        match self.value {
            Value::Varint(number) => Ok(number),
            _ => Err(Malformed::Type(self.number)),
        }
    }

    /// An `int64` or `int32`.
    #[inline]
    pub fn signed(self) -> Result<i64, Malformed> {
        self.unsigned().map(u64::cast_signed)
    }

    /// An `sint64` or `sint32`.
    pub fn zigzag(self) -> Result<i64, Malformed> {
        self.unsigned().map(unzigzag)
    }

    /// An `sint32`.
    pub fn zigzag32(self) -> Result<i32, Malformed> {
        i32::try_from(self.zigzag()?).map_err(|_| Malformed::Type(self.number))
    }

    /// An `uint32`.
    pub fn unsigned32(self) -> Result<u32, Malformed> {
        u32::try_from(self.unsigned()?).map_err(|_| Malformed::Type(self.number))
    }

    /// Numbers of variable length of a repeated field, packed or one of them.
    pub fn varints(self) -> Result<Varints<'a>, Malformed> {
        match self.value {
            Value::Varint(number) => Ok(Varints::One(Some(number))),
            Value::Bytes(bytes) => Ok(Varints::Packed(Reader::new(bytes))),
            _ => Err(Malformed::Type(self.number)),
        }
    }

    /// Numbers of eight bytes of a repeated field, packed or one of them.
    pub fn fixed64s(self) -> Result<impl ExactSizeIterator<Item = u64> + 'a, Malformed> {
        let (one, packed) = match self.value {
            Value::Fixed64(bits) => (Some(bits.to_le_bytes()), &[][..]),
            Value::Bytes(bytes) => (None, bytes),
            _ => return Err(Malformed::Type(self.number)),
        };
        let (chunks, []) = packed.as_chunks::<8>() else {
            return Err(Malformed::Cut);
        };
        let count = chunks.len() + usize::from(one.is_some());
        let all = one.into_iter().chain(chunks.iter().copied());
        Ok(Counted(all.map(u64::from_le_bytes), count))
    }

    /// Doubles of a repeated field, packed or one of them.
    pub fn doubles(self) -> Result<impl ExactSizeIterator<Item = f64> + 'a, Malformed> {
        Ok(self.fixed64s()?.map(f64::from_bits))
    }
}

/// Numbers of variable length of a repeated field.
#[derive(Debug, Clone)]
pub enum Varints<'a> {
    /// Not packed: a field each.
    One(Option<u64>),
    /// Packed.
    Packed(Reader<'a>),
}

impl Iterator for Varints<'_> {
    type Item = Result<u64, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::One(number) => number.take().map(Ok),
            Self::Packed(reader) if reader.rest().is_empty() => None,
            Self::Packed(reader) => {
                let number = reader.varint();
                if number.is_err() {
                    // An error is said once.
                    *reader = Reader::new(&[]);
                }
                Some(number)
            }
        }
    }
}

/// An iterator that knows how much is left.
struct Counted<I>(I, usize);

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let item = self.0.next()?;
        self.1 = self.1.saturating_sub(1);
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.1, Some(self.1))
    }
}

impl<I: Iterator> ExactSizeIterator for Counted<I> {}

/// A signed number of which small ones, of either sign, take few bytes.
pub const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// What [`unzigzag`] undoes.
pub const fn zigzag(number: i64) -> u64 {
    (number << 1).cast_unsigned() ^ (number >> 63).cast_unsigned()
}

#[cfg(test)]
mod tests;
