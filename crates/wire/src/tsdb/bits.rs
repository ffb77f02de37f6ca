//! A stream of bits, the highest of each byte first, and the numbers that chunks hold in it.

use super::varint::zigzag;

/// Widths of the numbers that chunks of histograms hold, after so many ones.
const WIDTHS: [u32; 8] = [0, 3, 6, 9, 12, 18, 25, 56];

/// Bits that are written one behind the other.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that nothing stands in.
    free: u32,
}

impl BitWriter {
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// The lowest so many bits of a number.
    pub(super) fn write(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let bits = value >> (left - taken) & ((1 << taken) - 1);
            let placed = u8::try_from(bits << (self.free - taken)).unwrap_or_default();
            if let Some(last) = self.bytes.last_mut() {
                *last |= placed;
            }
            self.free -= taken;
            left -= taken;
        }
    }

    /// So many ones, and a zero behind them unless there are as many as there may be.
    fn ones(&mut self, count: usize, most: usize) {
        for _ in 0..count {
            self.write(1, 1);
        }
        if count < most {
            self.write(0, 1);
        }
    }

    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.write(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.write(value, 8);
    }

    pub(super) fn signed_varint(&mut self, value: i64) {
        self.varint((value << 1 ^ value >> 63).cast_unsigned());
    }

    /// How much a difference of times differs from the one before.
    pub(super) fn time_change(&mut self, change: i64) {
        const CHANGES: [u32; 4] = [0, 14, 17, 20];
        let place = CHANGES.iter().position(|width| fits(change, *width));
        self.ones(place.unwrap_or(CHANGES.len()), CHANGES.len());
        let width = place.and_then(|place| CHANGES.get(place));
        self.write(change.cast_unsigned(), width.copied().unwrap_or(64));
    }

    /// A number of a chunk of histograms.
    pub(super) fn number(&mut self, value: i64) {
        let place = WIDTHS.iter().position(|width| fits(value, *width));
        self.of_width(value.cast_unsigned(), place);
    }

    /// The same, without a sign.
    pub(super) fn count(&mut self, value: u64) {
        let place = WIDTHS.iter().position(|width| value < 1 << width);
        self.of_width(value, place);
    }

    fn of_width(&mut self, value: u64, place: Option<usize>) {
        self.ones(place.unwrap_or(WIDTHS.len()), WIDTHS.len());
        let width = place.and_then(|place| WIDTHS.get(place));
        self.write(value, width.copied().unwrap_or(64));
    }
}

/// Whether so many bits hold a number of either sign: the highest value is positive.
fn fits(value: i64, width: u32) -> bool {
    if width == 0 {
        return value == 0;
    }
    let limit = 1_i64 << (width - 1);
    (-limit + 1..=limit).contains(&value)
}

/// Bits that are read from the beginning on.
#[derive(Debug, Clone)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

/// A number of which each is told by what differs from the one before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Xor {
    value: u64,
    leading: u32,
    trailing: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// So many bits, at most 64, as a number.
    pub(super) fn read(&mut self, count: u32) -> Option<u64> {
        let mut value = 0_u64;
        let mut left = count as usize;
        while left > 0 {
            let byte = u64::from(*self.bytes.get(self.at / 8)?);
            let have = 8 - self.at % 8;
            let taken = have.min(left);
            let bits = byte >> (have - taken) & ((1 << taken) - 1);
            value = value << taken | bits;
            self.at += taken;
            left -= taken;
        }
        Some(value)
    }

    /// The same, of either sign: the highest value is positive.
    fn signed(&mut self, count: u32) -> Option<i64> {
        let value = self.read(count)?;
        if count == 64 {
            return Some(value.cast_signed());
        }
        let limit = 1_u64 << (count.saturating_sub(1));
        let value = value.cast_signed();
        let is_negative = count > 0 && value.cast_unsigned() > limit;
        Some(if is_negative {
            value - (1_i64 << count)
        } else {
            value
        })
    }

    /// A number of groups of seven bits.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.read(8)?;
            value |= (byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The same, of either sign.
    pub(super) fn signed_varint(&mut self) -> Option<i64> {
        self.varint().map(zigzag)
    }

    /// How many ones stand before a zero, at most so many.
    fn ones(&mut self, most: usize) -> Option<usize> {
        for count in 0..most {
            if !self.bit()? {
                return Some(count);
            }
        }
        Some(most)
    }

    /// How much a difference of times differs from the one before.
    pub(super) fn time_change(&mut self) -> Option<i64> {
        match self.ones(4)? {
            0 => Some(0),
            1 => self.signed(14),
            2 => self.signed(17),
            3 => self.signed(20),
            _ => self.signed(64),
        }
    }

    fn width(&mut self) -> Option<u32> {
        let ones = self.ones(WIDTHS.len())?;
        Some(WIDTHS.get(ones).copied().unwrap_or(64))
    }

    /// A number of a chunk of histograms.
    pub(super) fn number(&mut self) -> Option<i64> {
        let width = self.width()?;
        self.signed(width)
    }

    /// The same, without a sign.
    pub(super) fn count(&mut self) -> Option<u64> {
        let width = self.width()?;
        self.read(width)
    }

    /// A double as it is.
    pub(super) fn double(&mut self) -> Option<f64> {
        self.read(64).map(f64::from_bits)
    }
}

impl Xor {
    /// The first value stands as it is.
    pub(super) fn first(bits: &mut Bits<'_>) -> Option<Self> {
        Some(Self {
            value: bits.read(64)?,
            leading: 0,
            trailing: 0,
        })
    }

    pub(super) fn value(&self) -> f64 {
        f64::from_bits(self.value)
    }

    /// The next value.
    pub(super) fn next(&mut self, bits: &mut Bits<'_>) -> Option<f64> {
        if bits.bit()? {
            if bits.bit()? {
                self.leading = u32::try_from(bits.read(5)?).ok()?;
                let width = match u32::try_from(bits.read(6)?).ok()? {
                    0 => 64,
                    width => width,
                };
                self.trailing = 64_u32.checked_sub(self.leading + width)?;
            }
            let width = 64 - self.leading - self.trailing;
            self.value ^= bits.read(width)? << self.trailing;
        }
        Some(self.value())
    }
}
