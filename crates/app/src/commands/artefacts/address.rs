//! How people name groups, runs and files: `group/run/name`, as keys are.

use wire::s3::key::{Key, percent_encode};

/// A group, a run of it, or what is in the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) group: String,
    pub(super) run: Option<String>,
    /// Behind the run; a folder ends with a slash.
    pub(super) name: Option<String>,
}

impl Address {
    /// Reads `group`, `group/run`, `group/run/name` or `group/run/folder/`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let key = Key::new(text).map_err(|error| format!("{error}; say group/run/name"))?;
        let mut segments = key.as_str().splitn(3, '/');
        let mut next = || segments.next().filter(|segment| !segment.is_empty());
        let group = next().unwrap_or_default().to_owned();
        let run = next().map(str::to_owned);
        let name = next().map(str::to_owned);
        Ok(Self { group, run, name })
    }

    /// The same where a run has to be named.
    pub(super) fn parse_in_run(text: &str) -> Result<Self, String> {
        let address = Self::parse(text)?;
        if address.run.is_none() {
            return Err("say which run of the group: group/run".to_owned());
        }
        Ok(address)
    }

    /// The same where a run is meant, and nothing in it.
    pub(super) fn parse_run(text: &str) -> Result<Self, String> {
        let address = Self::parse_in_run(text)?;
        if address.name.is_some() {
            return Err("say which run, and nothing behind it: group/run".to_owned());
        }
        Ok(address)
    }

    /// The same where a group is meant.
    pub(super) fn parse_group(text: &str) -> Result<Self, String> {
        let address = Self::parse(text)?;
        if address.run.is_some() {
            return Err("say which group, and nothing behind it".to_owned());
        }
        Ok(address)
    }

    /// `group/run`, or the group alone.
    pub(super) fn run(&self) -> String {
        match &self.run {
            Some(run) => format!("{}/{run}", self.group),
            None => self.group.clone(),
        }
    }

    /// What all keys of the run begin with.
    pub(super) fn prefix(&self) -> String {
        format!("{}/", self.run())
    }

    /// The key of what is named.
    pub(super) fn key(&self) -> String {
        format!(
            "{}{}",
            self.prefix(),
            self.name.as_deref().unwrap_or_default()
        )
    }

    /// `/v1/artefacts/groups/…`
    pub(super) fn path_of_group(&self) -> String {
        format!(
            "/v1/artefacts/groups/{}",
            percent_encode(&self.group, false)
        )
    }

    /// `/v1/artefacts/runs/…`
    pub(super) fn path_of_run(&self) -> String {
        let encode = |text: &str| percent_encode(text, false);
        let run = self.run.as_deref().unwrap_or_default();
        format!("/v1/artefacts/runs/{}/{}", encode(&self.group), encode(run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, expected) in [
            ("ci", ("ci", None, None)),
            ("ci/", ("ci", None, None)),
            ("ci/7", ("ci", Some("7"), None)),
            ("ci/7/", ("ci", Some("7"), None)),
            ("ci/7/a.tar", ("ci", Some("7"), Some("a.tar"))),
            ("ci/7/logs/", ("ci", Some("7"), Some("logs/"))),
            ("ci/7/logs/a b", ("ci", Some("7"), Some("logs/a b"))),
        ] {
            let (group, run, name) = expected;
            let expected = Address {
                group: group.to_owned(),
                run: run.map(str::to_owned),
                name: name.map(str::to_owned),
            };
            assert_eq!(Address::parse(text), Ok(expected), "{text}");
        }
        for wrong in [
            "",
            "/",
            "/ci",
            "ci//7",
            "ci/../7",
            "ci/7/../x",
            "ci\\7",
            "ci/\u{0}",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Address::parse_in_run("ci").is_err());
        assert!(Address::parse_run("ci/7/a").is_err());
        assert!(Address::parse_group("ci/7").is_err());
    }

    #[test]
    fn names_with_odd_characters_are_encoded() {
        let address = Address::parse("a b/7#/x?").unwrap();
        assert_eq!(address.path_of_run(), "/v1/artefacts/runs/a%20b/7%23");
        assert_eq!(address.key(), "a b/7#/x?");
    }
}
