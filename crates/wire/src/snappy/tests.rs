//! A block by hand, claims without bytes, and blocks that survive.

use proptest::prelude::*;

use super::{SnappyError, pack, unpack};

#[test]
fn snappy_reads_a_block_by_hand() {
    // Length 11; a literal of six bytes; five bytes from six before.
    let block = [
        11,
        5 << 2,
        b'l',
        b'a',
        b'n',
        b'd',
        b'l',
        b'a',
        0b0000_0101,
        6,
    ];
    assert_eq!(unpack(&block, 100).unwrap(), b"landlalandl");
}

#[test]
fn snappy_gives_no_memory_for_a_claim() {
    // 2^28 bytes are announced by five bytes and nothing follows.
    let block = [0x80, 0x80, 0x80, 0x80, 0x01];
    assert_eq!(unpack(&block, 1 << 30), Err(SnappyError::Malformed));
    let packed = pack(&[7; 1000]).unwrap();
    assert_eq!(
        unpack(&packed, 999),
        Err(SnappyError::TooLarge {
            bytes: 1000,
            limit: 999
        })
    );
    assert_eq!(unpack(&[], 10), Err(SnappyError::Malformed));
    assert_eq!(
        unpack(&packed[..packed.len() - 1], 1000),
        Err(SnappyError::Malformed)
    );
}

#[test]
fn snappy_takes_what_grows_most() {
    let zeros = vec![0; 1 << 20];
    let packed = pack(&zeros).unwrap();
    assert_eq!(unpack(&packed, 1 << 20).unwrap(), zeros);
}

proptest! {
    #[test]
    fn snappy_survives(plain: Vec<u8>) {
        let packed = pack(&plain).unwrap();
        prop_assert_eq!(unpack(&packed, plain.len()), Ok(plain));
    }
}
