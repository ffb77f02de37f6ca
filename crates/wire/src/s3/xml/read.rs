//! Reading: elements and texts, as far as clients of S3 write them.

/// Parts of one upload, as S3 has it.
pub const PARTS_MAX: usize = 10_000;
/// Keys of one removal.
const DELETED_MAX: usize = 1_000;
/// Tags of one document; stores take fewer.
const TAGS_MAX: usize = 100;
/// Elements within elements.
const DEPTH_MAX: usize = 8;

/// Why a document can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Not well-formed, or more than is taken.
    #[error("the XML is malformed: {0}")]
    Malformed(&'static str),
    /// Another document.
    #[error("the XML is not what this operation takes: {0}")]
    Unexpected(&'static str),
    /// Too many entries.
    #[error("the XML has too many entries")]
    TooMany,
}

/// A part that a client names to complete an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// Its number, from 1 to 10,000.
    pub number: u64,
    /// Its tag without quotes.
    pub etag: String,
}

/// What a client names to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The key.
    pub key: String,
    /// The version as it was written; the file with all of its versions when there is none.
    pub version: Option<String>,
}

/// What comes next in a document.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Open(&'a str),
    Close(&'a str),
    Text(&'a str),
}

struct Reader<'a> {
    rest: &'a str,
    /// An element that was empty, whose end is to be told.
    empty: Option<&'a str>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            empty: None,
        }
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, XmlError> {
        if let Some(name) = self.empty.take() {
            return Ok(Some(Token::Close(name)));
        }
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let Some(behind) = self.rest.strip_prefix('<') else {
                let end = self.rest.find('<').unwrap_or(self.rest.len());
                let (text, rest) = self.rest.split_at_checked(end).unwrap_or_default();
                self.rest = rest;
                return Ok(Some(Token::Text(text)));
            };
            if let Some(comment) = behind.strip_prefix("!--") {
                self.rest = after(comment, "-->")?;
            } else if let Some(instruction) = behind.strip_prefix('?') {
                self.rest = after(instruction, "?>")?;
            } else if behind.starts_with('!') {
                return Err(XmlError::Malformed("a document type or raw text"));
            } else {
                return self.tag(behind).map(Some);
            }
        }
    }

    fn tag(&mut self, behind: &'a str) -> Result<Token<'a>, XmlError> {
        let (tag, rest) = behind
            .split_once('>')
            .ok_or(XmlError::Malformed("a tag without end"))?;
        self.rest = rest;
        if let Some(name) = tag.strip_prefix('/') {
            return Ok(Token::Close(local(name.trim())));
        }
        let (tag, is_empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let name = tag.split_ascii_whitespace().next();
        let name = local(name.ok_or(XmlError::Malformed("a tag without name"))?);
        if is_empty {
            self.empty = Some(name);
        }
        Ok(Token::Open(name))
    }
}

/// A name without the prefix of its namespace.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

fn after<'a>(text: &'a str, end: &str) -> Result<&'a str, XmlError> {
    let found = text.split_once(end);
    found
        .map(|(_, rest)| rest)
        .ok_or(XmlError::Malformed("a comment or instruction without end"))
}

/// The text behind the references in it.
fn unescape(text: &str) -> Result<String, XmlError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, behind)) = rest.split_once('&') {
        out.push_str(plain);
        let (name, behind) = behind
            .split_once(';')
            .ok_or(XmlError::Malformed("a reference without end"))?;
        let number = name.strip_prefix('#').map(|digits| {
            let hex = digits.strip_prefix('x');
            hex.map_or_else(|| digits.parse(), |hex| u32::from_str_radix(hex, 16))
        });
        let c = match (name, number) {
            ("amp", _) => Some('&'),
            ("lt", _) => Some('<'),
            ("gt", _) => Some('>'),
            ("quot", _) => Some('"'),
            ("apos", _) => Some('\''),
            (_, Some(Ok(number))) => char::from_u32(number),
            (_, Some(Err(_)) | None) => None,
        };
        out.push(c.ok_or(XmlError::Malformed("an unknown reference"))?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// Gives each text with the names of the elements around it, and each end of an element.
fn walk(
    bytes: &[u8],
    mut see: impl FnMut(&[&str], Option<String>) -> Result<(), XmlError>,
) -> Result<(), XmlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| XmlError::Malformed("not UTF-8"))?;
    let mut reader = Reader::new(text.trim_start_matches('\u{feff}'));
    let mut path: Vec<&str> = Vec::new();
    let mut has_root = false;
    while let Some(token) = reader.next()? {
        match token {
            Token::Open(_) if path.is_empty() && has_root => {
                return Err(XmlError::Malformed("more than one document"));
            }
            Token::Open(_) if path.len() >= DEPTH_MAX => {
                return Err(XmlError::Malformed("nested too deep"));
            }
            Token::Open(name) => {
                has_root = true;
                path.push(name);
            }
            Token::Close(name) if path.last() == Some(&name) => {
                see(&path, None)?;
                path.pop();
            }
            Token::Close(_) => return Err(XmlError::Malformed("an end without its beginning")),
            Token::Text(text) if path.is_empty() => {
                if !text.trim().is_empty() {
                    return Err(XmlError::Malformed("text outside of all elements"));
                }
            }
            Token::Text(text) => see(&path, Some(unescape(text)?))?,
        }
    }
    if path.is_empty() && has_root {
        Ok(())
    } else {
        Err(XmlError::Malformed("it ends too early"))
    }
}

/// The parts that `CompleteMultipartUpload` names: at least one, by rising numbers.
pub fn read_complete(bytes: &[u8]) -> Result<Vec<CompletedPart>, XmlError> {
    let mut parts: Vec<CompletedPart> = Vec::new();
    let (mut number, mut etag) = (None, String::new());
    walk(bytes, |path, text| {
        match (path, text) {
            (["CompleteMultipartUpload", "Part", "PartNumber"], Some(text)) => {
                number = text.trim().parse().ok();
            }
            (["CompleteMultipartUpload", "Part", "ETag"], Some(text)) => {
                text.trim().trim_matches('"').clone_into(&mut etag);
            }
            (["CompleteMultipartUpload", "Part"], None) => {
                if parts.len() >= PARTS_MAX {
                    return Err(XmlError::TooMany);
                }
                let number = number.take();
                let is_known = |number: &u64| (1..=10_000).contains(number);
                let number = number.filter(is_known);
                let number = number.ok_or(XmlError::Unexpected("a part without its number"))?;
                let etag = std::mem::take(&mut etag);
                parts.push(CompletedPart { number, etag });
            }
            (["CompleteMultipartUpload", ..], _) => {}
            _ => return Err(XmlError::Unexpected("CompleteMultipartUpload is expected")),
        }
        Ok(())
    })?;
    if parts.is_empty() {
        return Err(XmlError::Unexpected("no parts"));
    }
    Ok(parts)
}

/// What `PutObjectTagging` names: names and values.
pub fn read_tags(bytes: &[u8]) -> Result<Vec<(String, String)>, XmlError> {
    let mut tags = Vec::new();
    let (mut name, mut value) = (String::new(), String::new());
    walk(bytes, |path, text| {
        match (path, text) {
            (["Tagging", "TagSet", "Tag", "Key"], Some(text)) => name.push_str(&text),
            (["Tagging", "TagSet", "Tag", "Value"], Some(text)) => value.push_str(&text),
            (["Tagging", "TagSet", "Tag"], None) => {
                if tags.len() >= TAGS_MAX {
                    return Err(XmlError::TooMany);
                }
                tags.push((std::mem::take(&mut name), std::mem::take(&mut value)));
            }
            (["Tagging", ..], _) => {}
            _ => return Err(XmlError::Unexpected("Tagging is expected")),
        }
        Ok(())
    })?;
    Ok(tags)
}

/// Of each element of this name directly below the root, the texts of these elements in it; empty where
/// there is none. For answers of other stores, such as the `Contents` of a list.
pub fn read_rows(
    bytes: &[u8],
    element: &str,
    fields: &[&str],
) -> Result<Vec<Vec<String>>, XmlError> {
    let mut rows = Vec::new();
    let mut row = vec![String::new(); fields.len()];
    walk(bytes, |path, text| {
        match (path, text) {
            ([_, row_name, field], Some(text)) if *row_name == element => {
                let known = fields.iter().position(|known| known == field);
                if let Some(slot) = known.and_then(|at| row.get_mut(at)) {
                    *slot = text;
                }
            }
            ([_, row_name], None) if *row_name == element => {
                if rows.len() >= PARTS_MAX {
                    return Err(XmlError::TooMany);
                }
                rows.push(std::mem::replace(
                    &mut row,
                    vec![String::new(); fields.len()],
                ));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(rows)
}

/// The text of the element of this name directly below the root.
pub fn read_text(bytes: &[u8], element: &str) -> Result<Option<String>, XmlError> {
    let mut found = None;
    walk(bytes, |path, text| {
        if let ([_, name], Some(text)) = (path, text)
            && *name == element
        {
            found = Some(text);
        }
        Ok(())
    })?;
    Ok(found)
}

/// What `DeleteObjects` names, and whether only failures are to be told.
pub fn read_delete(bytes: &[u8]) -> Result<(Vec<Removal>, bool), XmlError> {
    let mut removals = Vec::new();
    let (mut key, mut version) = (None, None);
    let mut is_quiet = false;
    walk(bytes, |path, text| {
        match (path, text) {
            (["Delete", "Object", "Key"], text) => {
                let key: &mut String = key.get_or_insert_default();
                key.push_str(&text.unwrap_or_default());
            }
            // An empty one is a version, too, which there is not: it must not be taken for all of them.
            (["Delete", "Object", "VersionId"], text) => {
                let version: &mut String = version.get_or_insert_default();
                version.push_str(&text.unwrap_or_default());
            }
            (["Delete", "Object"], None) => {
                if removals.len() >= DELETED_MAX {
                    return Err(XmlError::TooMany);
                }
                let key = key.take();
                let key = key.ok_or(XmlError::Unexpected("an object without its key"))?;
                let version = version.take();
                removals.push(Removal { key, version });
            }
            (["Delete", "Quiet"], Some(text)) => is_quiet = text.trim() == "true",
            (["Delete", ..], _) => {}
            _ => return Err(XmlError::Unexpected("Delete is expected")),
        }
        Ok(())
    })?;
    Ok((removals, is_quiet))
}
