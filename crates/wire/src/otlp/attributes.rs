//! Attributes: names with values of any type, as text.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use super::Attribute;
use super::read::ATTRIBUTES_MAX;
use crate::protobuf::{Malformed, Reader};

/// Lists inside lists.
const DEPTH_MAX: usize = 8;

/// Adds a `KeyValue`.
pub(super) fn push<'a>(
    into: &mut Vec<Attribute<'a>>,
    number: u32,
    message: &'a [u8],
) -> Result<(), Malformed> {
    if into.len() >= ATTRIBUTES_MAX {
        return Err(Malformed::Many(number, ATTRIBUTES_MAX));
    }
    let (name, value) = key_value(message)?;
    into.push((name, text(value)?));
    Ok(())
}

/// The parts of a `KeyValue`.
fn key_value(message: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let (mut name, mut value) = ("", &[][..]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field.number {
            1 => name = field.text()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// An `AnyValue` as text; one of no type is empty.
fn text(message: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    let mut found = Cow::Borrowed("");
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        found = match field.number {
            1 => Cow::Borrowed(field.text()?),
            2..=7 => match json(message, 0)? {
                Json::String(text) => Cow::Owned(text),
                Json::Null => Cow::Borrowed(""),
                other => Cow::Owned(other.to_string()),
            },
            _ => continue,
        };
    }
    Ok(found)
}

fn json(message: &[u8], depth: usize) -> Result<Json, Malformed> {
    if depth >= DEPTH_MAX {
        return Err(Malformed::Meaning(
            "an attribute has too many lists inside lists",
        ));
    }
    let mut found = Json::Null;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        found = match field.number {
            1 => Json::from(field.text()?),
            2 => Json::from(field.unsigned()? != 0),
            3 => Json::from(field.signed()?),
            // What JSON has no number for is told as a word.
            4 => match Json::from(field.double()?) {
                Json::Null => Json::from(field.double()?.to_string()),
                number => number,
            },
            5 => list(field.bytes()?, depth)?,
            6 => object(field.bytes()?, depth)?,
            7 => Json::from(STANDARD.encode(field.bytes()?)),
            _ => continue,
        };
    }
    Ok(found)
}

fn list(message: &[u8], depth: usize) -> Result<Json, Malformed> {
    let mut entries = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if field.number == 1 {
            entries.push(json(field.bytes()?, depth + 1)?);
        }
    }
    Ok(Json::Array(entries))
}

fn object(message: &[u8], depth: usize) -> Result<Json, Malformed> {
    let mut entries = Map::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if field.number == 1 {
            let (name, value) = key_value(field.bytes()?)?;
            entries.insert(name.to_owned(), json(value, depth + 1)?);
        }
    }
    Ok(Json::Object(entries))
}
