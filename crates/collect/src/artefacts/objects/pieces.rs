//! Bytes that wait to be written. A handle of bytes is larger than a byte: what comes in crumbs is
//! copied together.

use bytes::{Bytes, BytesMut};

/// Below this a piece is copied, into blocks of this size.
const COPIED_BYTES: usize = 4 << 10;

/// What waits, in its order.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    whole: Vec<Bytes>,
    copied: BytesMut,
    length: usize,
}

impl Pieces {
    /// Bytes of all together.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        self.length += bytes.len();
        if bytes.len() >= COPIED_BYTES {
            self.close();
            self.whole.push(bytes);
            return;
        }
        if self.copied.len() + bytes.len() > COPIED_BYTES {
            self.close();
        }
        if self.copied.is_empty() {
            self.copied = BytesMut::with_capacity(COPIED_BYTES);
        }
        self.copied.extend_from_slice(&bytes);
    }

    /// Takes all of it.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.close();
        self.length = 0;
        std::mem::take(&mut self.whole)
    }

    fn close(&mut self) {
        if !self.copied.is_empty() {
            self.whole.push(std::mem::take(&mut self.copied).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_are_few_pieces_in_their_order() {
        let mut pieces = Pieces::default();
        let mut expected = Vec::new();
        for at in 0..100_000_u32 {
            let byte = at.to_le_bytes()[0];
            pieces.push(Bytes::from(vec![byte]));
            expected.push(byte);
            if at == 70_000 {
                pieces.push(Bytes::from(vec![7; COPIED_BYTES]));
                expected.extend([7; COPIED_BYTES]);
            }
        }
        assert_eq!(pieces.length(), expected.len());
        let taken = pieces.take();
        assert!(taken.len() < 30, "{}", taken.len());
        assert_eq!(taken.concat(), expected);
        assert_eq!(pieces.length(), 0);
        assert!(pieces.take().is_empty());
    }
}
