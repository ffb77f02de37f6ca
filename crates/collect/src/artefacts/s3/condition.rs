//! Conditions of writes: `If-None-Match: *` and `If-Match`. They are looked at before the body is read, and
//! again in the transaction that makes the file.

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use wire::s3::key::Key;

use super::Asked;
use crate::artefacts::Shared;
use crate::artefacts::catalogue::Condition;
use crate::artefacts::error::Trouble;

/// Tags that one condition may name.
const TAGS_MAX: usize = 32;

/// What the file has to be, as the headers say.
pub(super) fn condition_of(headers: &HeaderMap) -> Result<Condition, Trouble> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    match (text(IF_MATCH), text(IF_NONE_MATCH)) {
        (None, None) => Ok(Condition::Any),
        (None, Some("*")) => Ok(Condition::Absent),
        (Some("*"), None) => Ok(Condition::Present),
        (Some(tags), None) => {
            let tags = tags.split(',').map(|tag| tag.trim().trim_matches('"'));
            let tags: Vec<String> = tags.take(TAGS_MAX + 1).map(str::to_owned).collect();
            if tags.len() > TAGS_MAX {
                return Err(Trouble::Invalid("If-Match has too many tags".to_owned()));
            }
            Ok(Condition::Tagged(tags))
        }
        // S3 takes no other; done without it, it would overwrite what it must not.
        (_, Some(_)) => Err(Trouble::NotImplemented),
    }
}

/// The condition of a request, if it can still hold.
pub(super) async fn check_condition(
    shared: &Shared,
    asked: &Asked,
    key: &Key,
) -> Result<Condition, Trouble> {
    let condition = condition_of(&asked.head.headers)?;
    if condition == Condition::Any {
        return Ok(condition);
    }
    let found = shared.catalogue.find(key, None).await?;
    let etag = found.map(|version| version.etag);
    match (&condition, condition.holds(etag.as_deref())) {
        (_, true) => Ok(condition),
        (Condition::Present | Condition::Tagged(_), false) if etag.is_none() => {
            Err(Trouble::NoFile)
        }
        (_, false) => Err(Trouble::Unmet),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn conditions_are_read_as_s3_has_them() {
        let read = |headers: &[(HeaderName, &str)]| {
            let headers = headers.iter().cloned();
            let headers = headers.map(|(name, value)| (name, value.parse().unwrap()));
            condition_of(&headers.collect())
        };
        let tagged = |tags: &[&str]| {
            let tags = tags.iter().map(|tag| (*tag).to_owned());
            Condition::Tagged(tags.collect())
        };
        for (headers, expected) in [
            (vec![], Condition::Any),
            (vec![(IF_NONE_MATCH, "*")], Condition::Absent),
            (vec![(IF_MATCH, "*")], Condition::Present),
            (vec![(IF_MATCH, "\"a\"")], tagged(&["a"])),
            (vec![(IF_MATCH, "a, \"b\"")], tagged(&["a", "b"])),
        ] {
            assert_eq!(read(&headers).ok(), Some(expected), "{headers:?}");
        }
        for headers in [
            vec![(IF_NONE_MATCH, "\"a\"")],
            vec![(IF_NONE_MATCH, "*"), (IF_MATCH, "\"a\"")],
        ] {
            assert!(matches!(read(&headers), Err(Trouble::NotImplemented)));
        }
        let many = "a,".repeat(TAGS_MAX + 1);
        assert!(matches!(
            read(&[(IF_MATCH, &many)]),
            Err(Trouble::Invalid(_))
        ));
        assert!(tagged(&["a"]).holds(Some("a")) && !tagged(&["a"]).holds(Some("b")));
        assert!(!tagged(&["a"]).holds(None) && !Condition::Absent.holds(Some("a")));
    }
}
