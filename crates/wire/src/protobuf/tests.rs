//! The examples of the encoding guide, damage, and numbers that survive.

use proptest::prelude::*;

use super::{Field, Malformed, Reader, Value, Writer, unzigzag, zigzag};

fn fields(bytes: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    while let Some(field) = reader.field()? {
        all.push(field);
    }
    Ok(all)
}

#[test]
fn protobuf_reads_the_examples_of_its_description() {
    // Encoding guide: field 1 = 150; field 2 = "testing"; packed 3, 270, 86942 in field 6.
    assert_eq!(
        fields(&[0x08, 0x96, 0x01]).unwrap(),
        [Field {
            number: 1,
            value: Value::Varint(150)
        }]
    );
    let text = fields(b"\x12\x07testing").unwrap();
    assert_eq!(text[0].text(), Ok("testing"));
    let packed = fields(&[0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05]).unwrap();
    let numbers: Vec<u64> = packed[0].varints().unwrap().map(Result::unwrap).collect();
    assert_eq!(numbers, [3, 270, 86_942]);
}

#[test]
fn protobuf_names_what_is_wrong() {
    let cases: [(&[u8], Malformed); 8] = [
        (&[0x08], Malformed::Cut),
        (&[0x08, 0x80], Malformed::Cut),
        (&[0x12, 0x05, b'a'], Malformed::Cut),
        (&[0x09, 1, 2, 3], Malformed::Cut),
        (
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            Malformed::LongNumber,
        ),
        (&[0x00, 0x01], Malformed::FieldNumber),
        (&[0x0b], Malformed::WireType(1)),
        (&[0x16], Malformed::WireType(2)),
    ];
    for (bytes, expected) in cases {
        assert_eq!(fields(bytes), Err(expected), "{bytes:?}");
    }
    let number = fields(&[0x08, 0x01]).unwrap()[0];
    assert_eq!(number.bytes(), Err(Malformed::Type(1)));
    assert_eq!(number.double(), Err(Malformed::Type(1)));
    let bytes = fields(&[0x0a, 0x01, 0xff]).unwrap()[0];
    assert_eq!(bytes.text(), Err(Malformed::Text(1)));
    assert_eq!(bytes.unsigned(), Err(Malformed::Type(1)));
    assert!(bytes.doubles().is_err(), "a double has eight bytes");
}

#[test]
fn protobuf_steps_over_a_run_of_fields() {
    let mut writer = Writer::default();
    writer.text(1, "a");
    writer.text(1, "bc");
    writer.unsigned(2, 7);
    writer.text(1, "d");
    let bytes = writer.finish();
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.run_of(0x0a), Ok(&b"\x0a\x01a\x0a\x02bc"[..]));
    assert_eq!(reader.rest(), b"\x10\x07\x0a\x01d");
    assert_eq!(Reader::new(b"\x0a\x05a").run_of(0x0a), Err(Malformed::Cut));
}

#[test]
fn protobuf_writes_lengths_of_several_bytes() {
    let mut writer = Writer::default();
    writer.message(3, |inner| inner.bytes(1, &[b'x'; 300]));
    let bytes = writer.finish();
    assert_eq!(bytes[..6], [0x1a, 0xaf, 0x02, 0x0a, 0xac, 0x02]);
    let inner = fields(&bytes).unwrap()[0].bytes().unwrap();
    assert_eq!(fields(inner).unwrap()[0].bytes().unwrap().len(), 300);
}

proptest! {
    #[test]
    fn protobuf_numbers_survive(unsigned: u64, signed: i64, double: f64, text: String) {
        let mut writer = Writer::default();
        writer.unsigned_always(1, unsigned);
        writer.signed(2, signed);
        writer.zigzag(3, signed);
        writer.double_always(4, double);
        writer.bytes(5, text.as_bytes());
        writer.varints(6, [unsigned, 0, 1].into_iter());
        writer.doubles(7, &[double, 0.0]);
        let bytes = writer.finish();
        for field in fields(&bytes).unwrap() {
            match field.number {
                1 => prop_assert_eq!(field.unsigned(), Ok(unsigned)),
                2 => prop_assert_eq!(field.signed(), Ok(signed)),
                3 => prop_assert_eq!(field.zigzag(), Ok(signed)),
                4 => prop_assert_eq!(field.double().unwrap().to_bits(), double.to_bits()),
                5 => prop_assert_eq!(field.text(), Ok(text.as_str())),
                6 => {
                    let numbers: Result<Vec<u64>, _> = field.varints().unwrap().collect();
                    prop_assert_eq!(numbers, Ok(vec![unsigned, 0, 1]));
                }
                _ => {
                    let doubles = field.doubles().unwrap();
                    prop_assert_eq!(doubles.len(), 2);
                    let bits: Vec<u64> = doubles.map(f64::to_bits).collect();
                    prop_assert_eq!(bits, vec![double.to_bits(), 0]);
                }
            }
        }
    }

    #[test]
    fn protobuf_reading_ends(bytes: Vec<u8>) {
        let mut reader = Reader::new(&bytes);
        while let Ok(Some(field)) = reader.field() {
            if let Ok(varints) = field.varints() {
                prop_assert!(varints.count() <= bytes.len());
            }
        }
    }

    #[test]
    fn protobuf_zigzag_is_undone(number: i64) {
        prop_assert_eq!(unzigzag(zigzag(number)), number);
    }
}
