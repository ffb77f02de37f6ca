//! Files of the pages in the codings that they were compressed with when they were built, and which of
//! them a browser gets (RFC 9110, 12.5.3 and 13.1.2).

#[cfg(test)]
mod tests;

/// A file of the pages.
#[derive(Debug)]
pub(super) struct File {
    /// Its path below `web/dist`.
    pub(super) name: &'static str,
    /// Differs when the content does.
    pub(super) tag: &'static str,
    /// As it is.
    pub(super) plain: &'static [u8],
    /// Compressed, if that is shorter.
    pub(super) gzip: Option<&'static [u8]>,
    pub(super) brotli: Option<&'static [u8]>,
}

/// What is sent of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) content: &'static [u8],
    /// The value of `Content-Encoding`.
    pub(super) coding: Option<&'static str>,
    /// The value of `ETag`: one for each coding.
    pub(super) tag: String,
}

impl File {
    /// The shortest form that a browser with this `Accept-Encoding` takes.
    pub(super) fn chosen(&self, accepted: &str) -> Chosen {
        let forms = [("br", self.brotli), ("gzip", self.gzip)];
        let mut forms = forms
            .into_iter()
            .filter_map(|(coding, content)| Some((coding, content?)));
        match forms.find(|(coding, _)| takes(accepted, coding)) {
            Some((coding, content)) => Chosen {
                content,
                coding: Some(coding),
                tag: format!("\"{}-{coding}\"", self.tag),
            },
            None => Chosen {
                content: self.plain,
                coding: None,
                tag: format!("\"{}\"", self.tag),
            },
        }
    }
}

/// Whether an `Accept-Encoding` names a coding, by itself or with a star, and not with a weight of 0.
fn takes(accepted: &str, coding: &str) -> bool {
    let mut takes_others = false;
    for item in accepted.split(',') {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let weight = parameters.trim().strip_prefix("q=");
        let weight = weight.map_or(1.0, |text| text.trim().parse().unwrap_or(0.0));
        let is_taken = weight > 0.0_f32;
        match name.trim() {
            "*" => takes_others = is_taken,
            name if name.eq_ignore_ascii_case(coding) => return is_taken,
            _ => {}
        }
    }
    takes_others
}

/// Whether an `If-None-Match` has this tag.
pub(super) fn is_among(tags: &str, tag: &str) -> bool {
    let mut tags = tags.split(',').map(str::trim);
    tags.any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}
