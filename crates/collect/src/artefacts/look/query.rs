//! What is asked for: a file of a run, perhaps one within it, and which part of it.

use wire::s3::key::{Key, percent_decode, query_pairs};

use super::error::LookError;

/// Bytes of a text, unless more or fewer are asked for.
const TEXT_BYTES: usize = 64 << 10;
/// The most of them.
const TEXT_BYTES_MAX: usize = 256 << 10;
/// The fewest that are read: the longest character, so that it always goes on.
const TEXT_BYTES_MIN: usize = 4;
/// Files of an archive, unless more or fewer are asked for.
const MEMBERS: usize = 200;
/// The most of them.
const MEMBERS_MAX: usize = 1_000;

/// A file within an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedMember {
    /// As the list shows it.
    pub(super) name: String,
    /// Where it begins, if that is known.
    pub(super) at: Option<u64>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) key: Key,
    pub(super) version: Option<i64>,
    pub(super) member: Option<WantedMember>,
    /// In an archive where it goes on, otherwise in the unpacked text.
    pub(super) offset: u64,
    limit: Option<usize>,
    /// The member, once it is what is looked at.
    within: Option<String>,
}

impl Asked {
    /// Reads the address.
    pub(super) fn read(path: &str, query: &str) -> Result<Self, LookError> {
        let invalid = |text: &str| LookError::Invalid(text.to_owned());
        let pairs = query_pairs(query).ok_or_else(|| invalid("the query can't be read"))?;
        let (mut name, mut member, mut at) = (None, None, None);
        let (mut version, mut offset, mut limit) = (None, 0, None);
        for (parameter, value) in pairs {
            match parameter.as_str() {
                "name" => name = Some(value),
                "member" => member = Some(value),
                "at" => {
                    let place = block(&value);
                    at = Some(place.ok_or_else(|| invalid("at is of a list of files"))?);
                }
                "version" => {
                    let id = value.parse().ok().filter(|id| *id > 0);
                    version = Some(id.ok_or_else(|| invalid("version is the id of one"))?);
                }
                "offset" => {
                    let number = number(&value);
                    offset = number.ok_or_else(|| invalid("offset is a number of bytes"))?;
                }
                "limit" => {
                    let number = value.parse().ok();
                    let number = number.filter(|n| (1..=TEXT_BYTES_MAX).contains(n));
                    let number =
                        number.ok_or_else(|| invalid("limit is a number from 1 to 262144"))?;
                    limit = Some(number);
                }
                _ => {
                    let name = parameter.escape_debug();
                    return Err(LookError::Invalid(format!("`{name}` is not known here")));
                }
            }
        }
        let name = name.ok_or_else(|| invalid("name is missing: a file of the run"))?;
        Ok(Self {
            key: key(path, &name)?,
            version,
            member: member.map(|name| WantedMember { name, at }),
            offset,
            limit,
            within: None,
        })
    }

    /// The same of what is in the member.
    pub(super) fn within_member(mut self) -> Self {
        self.within = self.member.take().map(|member| member.name);
        self
    }

    /// Whether a member is looked at: archives within archives stay closed.
    pub(super) fn is_within(&self) -> bool {
        self.within.is_some()
    }

    /// The name of what is looked at.
    pub(super) fn name(&self) -> &str {
        let member = self.member.as_ref().map(|member| member.name.as_str());
        let name = member.or(self.within.as_deref());
        name.unwrap_or_else(|| self.key.as_str())
    }

    pub(super) fn text_bytes(&self) -> usize {
        self.limit.unwrap_or(TEXT_BYTES).max(TEXT_BYTES_MIN)
    }

    pub(super) fn members(&self) -> usize {
        self.limit.unwrap_or(MEMBERS).min(MEMBERS_MAX)
    }

    /// Where a list of files goes on.
    pub(super) fn list_from(&self) -> Result<u64, LookError> {
        let is_block = self.offset.is_multiple_of(512);
        is_block.then_some(self.offset).ok_or(LookError::NoPlace)
    }
}

/// Offsets are numbers of JSON.
fn number(text: &str) -> Option<u64> {
    let number: i64 = text.parse().ok()?;
    u64::try_from(number).ok()
}

fn block(text: &str) -> Option<u64> {
    number(text).filter(|number| number.is_multiple_of(512))
}

/// The key of a file of the run in `/v1/artefacts/runs/{group}/{run}/look`.
fn key(path: &str, name: &str) -> Result<Key, LookError> {
    let segments = path.strip_prefix("/v1/artefacts/runs/");
    let segments = segments.and_then(|rest| rest.strip_suffix("/look")?.split_once('/'));
    let (group, run) = segments.ok_or(LookError::NoFile)?;
    // What no file can be called is none.
    let decode = |text: &str| percent_decode(text).ok_or(LookError::NoFile);
    let (group, run) = (decode(group)?, decode(run)?);
    let key = Key::new(format!("{group}/{run}/{name}")).map_err(|_| LookError::NoFile)?;
    // Rights are by the group of the key.
    let parts = key.parts();
    if parts.group != group || parts.run != run {
        return Err(LookError::NoFile);
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, query: &str) -> Result<Asked, String> {
        let path = format!("/v1/artefacts/runs/{path}/look");
        Asked::read(&path, query).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_read() {
        let asked = read(
            "a%20b/1-c",
            "name=logs%2Fx.tar&member=..%2Fy&at=1024&limit=1",
        )
        .unwrap();
        assert_eq!(asked.key.as_str(), "a b/1-c/logs/x.tar");
        let member = asked.member.clone().unwrap();
        assert_eq!((member.name.as_str(), member.at), ("../y", Some(1024)));
        assert_eq!((asked.text_bytes(), asked.members()), (4, 1));
        assert_eq!(asked.within_member().name(), "../y");
        let asked = read("g/r", "name=f&offset=512&version=3").unwrap();
        assert_eq!((asked.offset, asked.version), (512, Some(3)));
        assert_eq!((asked.text_bytes(), asked.members()), (65_536, 200));
        assert!(asked.list_from().is_ok());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (path, query) in [
            ("g/r", ""),
            ("g/r", "name="),
            ("g/r", "name=../other/f"),
            ("g/r", "name=a%00"),
            ("g%2Fx/r", "name=f"),
            ("g/r%2Fx", "name=f"),
            ("%2e%2e/r", "name=f"),
            ("g/%FF", "name=f"),
            ("g/r", "name=f&limit=0"),
            ("g/r", "name=f&limit=262145"),
            ("g/r", "name=f&offset=-1"),
            ("g/r", "name=f&offset=9223372036854775808"),
            ("g/r", "name=f&member=m&at=511"),
            ("g/r", "name=f&version=0"),
            ("g/r", "name=f&what=1"),
        ] {
            assert!(read(path, query).is_err(), "{path} {query}");
        }
        assert!(read("g/r", "name=f&offset=1").unwrap().list_from().is_err());
    }
}
