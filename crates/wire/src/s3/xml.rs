//! The documents of S3: what is answered, and the little that is read. Elements have no attributes that
//! matter, and no document type is taken.

mod read;

use std::fmt::Write as _;

pub use self::read::{
    CompletedPart, PARTS_MAX, Removal, XmlError, read_complete, read_delete, read_rows, read_tags,
    read_text,
};
use super::key::percent_encode;
use crate::auth::Civil;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Elements being written.
#[derive(Debug)]
struct Writer(String);

impl Writer {
    fn new(root: &str) -> Self {
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
        Self(format!("{head}<{root} xmlns=\"{NAMESPACE}\">"))
    }

    fn text(&mut self, name: &str, value: &str) {
        self.open(name);
        escape(&mut self.0, value);
        self.close(name);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.text(name, &value.to_string());
    }

    fn open(&mut self, name: &str) {
        self.0.extend(["<", name, ">"]);
    }

    fn close(&mut self, name: &str) {
        self.0.extend(["</", name, ">"]);
    }

    fn finish(mut self, root: &str) -> String {
        self.close(root);
        self.0
    }
}

/// The characters of a text as content of an element. What XML cannot hold becomes `?`.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(c),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('?'),
            _ => out.push(c),
        }
    }
}

/// `2026-11-21T16:50:00.123Z`.
pub fn timestamp(unix_milliseconds: i64) -> String {
    let time = Civil::from_unix(unix_milliseconds.div_euclid(1000));
    let milliseconds = unix_milliseconds.rem_euclid(1000);
    let mut out = format!("{:04}-{:02}-{:02}T", time.year, time.month, time.day);
    // Writing into a string does not fail.
    let _written = write!(
        out,
        "{:02}:{:02}:{:02}.{milliseconds:03}Z",
        time.hour, time.minute, time.second
    );
    out
}

/// An error, with a code of S3's list.
pub fn error(code: &str, message: &str, resource: &str) -> String {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>";
    let mut writer = Writer(head.to_owned());
    writer.text("Code", code);
    writer.text("Message", message);
    writer.text("Resource", resource);
    writer.finish("Error")
}

/// One object of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// When it came, in Unix milliseconds.
    pub modified: i64,
    /// Its tag without quotes.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its version, in lists of versions, and whether it is the newest.
    pub version: Option<(String, bool)>,
}

/// A page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with.
    pub prefix: String,
    /// What ends a common prefix; empty for none.
    pub delimiter: String,
    /// The most entries that were asked for.
    pub max_keys: u64,
    /// Keys are percent-encoded.
    pub is_encoded: bool,
    /// The token that it was asked with.
    pub token: Option<String>,
    /// The key after which it begins.
    pub start_after: Option<String>,
    /// The token of the next page.
    pub next: Option<String>,
    /// Objects in order.
    pub objects: Vec<Object>,
    /// Common prefixes in order.
    pub prefixes: Vec<String>,
}

impl Listing {
    fn shown(&self, key: &str) -> String {
        if self.is_encoded {
            percent_encode(key, true)
        } else {
            key.to_owned()
        }
    }

    fn head(&self, writer: &mut Writer) {
        writer.text("Name", &self.bucket);
        writer.text("Prefix", &self.shown(&self.prefix));
        if !self.delimiter.is_empty() {
            writer.text("Delimiter", &self.shown(&self.delimiter));
        }
        writer.number("MaxKeys", self.max_keys);
        if self.is_encoded {
            writer.text("EncodingType", "url");
        }
        let is_truncated = if self.next.is_some() { "true" } else { "false" };
        writer.text("IsTruncated", is_truncated);
    }

    fn object(&self, writer: &mut Writer, element: &str, object: &Object) {
        writer.open(element);
        writer.text("Key", &self.shown(&object.key));
        if let Some((version, is_latest)) = &object.version {
            writer.text("VersionId", version);
            writer.text("IsLatest", if *is_latest { "true" } else { "false" });
        }
        writer.text("LastModified", &timestamp(object.modified));
        writer.text("ETag", &format!("\"{}\"", object.etag));
        writer.number("Size", object.size);
        writer.text("StorageClass", "STANDARD");
        writer.close(element);
    }

    fn common(&self, writer: &mut Writer) {
        for prefix in &self.prefixes {
            writer.open("CommonPrefixes");
            writer.text("Prefix", &self.shown(prefix));
            writer.close("CommonPrefixes");
        }
    }

    /// As `ListObjectsV2` answers.
    pub fn objects_v2(&self) -> String {
        let mut writer = Writer::new("ListBucketResult");
        self.head(&mut writer);
        let count = self.objects.len() + self.prefixes.len();
        writer.number("KeyCount", u64::try_from(count).unwrap_or(u64::MAX));
        for (name, value) in [
            ("ContinuationToken", &self.token),
            ("NextContinuationToken", &self.next),
        ] {
            if let Some(value) = value {
                writer.text(name, value);
            }
        }
        if let Some(start) = &self.start_after {
            writer.text("StartAfter", &self.shown(start));
        }
        for object in &self.objects {
            self.object(&mut writer, "Contents", object);
        }
        self.common(&mut writer);
        writer.finish("ListBucketResult")
    }

    /// As `ListObjects` answers: its markers are keys.
    pub fn objects_v1(&self, next_marker: Option<&str>) -> String {
        let mut writer = Writer::new("ListBucketResult");
        self.head(&mut writer);
        let marker = self.start_after.as_deref().unwrap_or_default();
        writer.text("Marker", &self.shown(marker));
        if let Some(next) = next_marker.filter(|_| self.next.is_some()) {
            writer.text("NextMarker", &self.shown(next));
        }
        for object in &self.objects {
            self.object(&mut writer, "Contents", object);
        }
        self.common(&mut writer);
        writer.finish("ListBucketResult")
    }

    /// As `ListObjectVersions` answers; the markers of the next page are a key and a version.
    pub fn versions(&self, next: Option<(&str, &str)>) -> String {
        let mut writer = Writer::new("ListVersionsResult");
        self.head(&mut writer);
        if let Some((key, version)) = next.filter(|_| self.next.is_some()) {
            writer.text("NextKeyMarker", &self.shown(key));
            writer.text("NextVersionIdMarker", version);
        }
        for object in &self.objects {
            self.object(&mut writer, "Version", object);
        }
        self.common(&mut writer);
        writer.finish("ListVersionsResult")
    }
}

/// As `CreateMultipartUpload` answers.
pub fn initiated(bucket: &str, key: &str, upload: &str) -> String {
    let mut writer = Writer::new("InitiateMultipartUploadResult");
    writer.text("Bucket", bucket);
    writer.text("Key", key);
    writer.text("UploadId", upload);
    writer.finish("InitiateMultipartUploadResult")
}

/// As `CompleteMultipartUpload` answers.
pub fn completed(bucket: &str, key: &str, etag: &str, location: &str) -> String {
    let mut writer = Writer::new("CompleteMultipartUploadResult");
    writer.text("Location", location);
    writer.text("Bucket", bucket);
    writer.text("Key", key);
    writer.text("ETag", &format!("\"{etag}\""));
    writer.finish("CompleteMultipartUploadResult")
}

/// What `CompleteMultipartUpload` is asked with: numbers and tags, without quotes.
pub fn complete(parts: &[CompletedPart]) -> String {
    let mut writer = Writer::new("CompleteMultipartUpload");
    for part in parts {
        writer.open("Part");
        writer.number("PartNumber", part.number);
        writer.text("ETag", &format!("\"{}\"", part.etag));
        writer.close("Part");
    }
    writer.finish("CompleteMultipartUpload")
}

/// A part that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub number: u64,
    /// When it came, in Unix milliseconds.
    pub modified: i64,
    /// Its tag without quotes.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
}

/// As `ListParts` answers, with all parts; the last one's number is the next page's marker.
pub fn parts(
    (bucket, key, upload): (&str, &str, &str),
    parts: &[Part],
    is_truncated: bool,
) -> String {
    let mut writer = Writer::new("ListPartsResult");
    writer.text("Bucket", bucket);
    writer.text("Key", key);
    writer.text("UploadId", upload);
    writer.text("IsTruncated", if is_truncated { "true" } else { "false" });
    if let Some(last) = parts.last().filter(|_| is_truncated) {
        writer.number("NextPartNumberMarker", last.number);
    }
    for part in parts {
        writer.open("Part");
        writer.number("PartNumber", part.number);
        writer.text("LastModified", &timestamp(part.modified));
        writer.text("ETag", &format!("\"{}\"", part.etag));
        writer.number("Size", part.size);
        writer.close("Part");
    }
    writer.finish("ListPartsResult")
}

/// An upload that nobody has completed or given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// What it will be.
    pub key: String,
    /// Its id.
    pub id: String,
    /// When it began, in Unix milliseconds.
    pub begun: i64,
}

/// A page of such uploads, in the order of their keys and then of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uploads {
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with.
    pub prefix: String,
    /// The most that were asked for.
    pub max_uploads: u64,
    /// Keys are percent-encoded.
    pub is_encoded: bool,
    /// There are more; the last one says where they begin.
    pub is_truncated: bool,
    /// Those of this page.
    pub uploads: Vec<UnderWay>,
}

impl Uploads {
    /// As `ListMultipartUploads` answers.
    pub fn document(&self) -> String {
        let shown = |key: &str| {
            if self.is_encoded {
                percent_encode(key, true)
            } else {
                key.to_owned()
            }
        };
        let mut writer = Writer::new("ListMultipartUploadsResult");
        writer.text("Bucket", &self.bucket);
        writer.text("Prefix", &shown(&self.prefix));
        writer.number("MaxUploads", self.max_uploads);
        if self.is_encoded {
            writer.text("EncodingType", "url");
        }
        let is_truncated = if self.is_truncated { "true" } else { "false" };
        writer.text("IsTruncated", is_truncated);
        if let Some(last) = self.uploads.last().filter(|_| self.is_truncated) {
            writer.text("NextKeyMarker", &shown(&last.key));
            writer.text("NextUploadIdMarker", &last.id);
        }
        for upload in &self.uploads {
            writer.open("Upload");
            writer.text("Key", &shown(&upload.key));
            writer.text("UploadId", &upload.id);
            writer.text("Initiated", &timestamp(upload.begun));
            writer.close("Upload");
        }
        writer.finish("ListMultipartUploadsResult")
    }
}

/// As `ListBuckets` answers.
pub fn buckets(bucket: &str, created: i64) -> String {
    let mut writer = Writer::new("ListAllMyBucketsResult");
    writer.open("Buckets");
    writer.open("Bucket");
    writer.text("Name", bucket);
    writer.text("CreationDate", &timestamp(created));
    writer.close("Bucket");
    writer.close("Buckets");
    writer.finish("ListAllMyBucketsResult")
}

/// As `CopyObject` (`CopyObjectResult`) and `UploadPartCopy` (`CopyPartResult`) answer.
pub fn copied(root: &str, etag: &str, modified: i64) -> String {
    let mut writer = Writer::new(root);
    writer.text("LastModified", &timestamp(modified));
    writer.text("ETag", &format!("\"{etag}\""));
    writer.finish(root)
}

/// As `GetObjectTagging` answers: names and values.
pub fn tagging(tags: &[(String, String)]) -> String {
    let mut writer = Writer::new("Tagging");
    writer.open("TagSet");
    for (name, value) in tags {
        writer.open("Tag");
        writer.text("Key", name);
        writer.text("Value", value);
        writer.close("Tag");
    }
    writer.close("TagSet");
    writer.finish("Tagging")
}

/// As `GetBucketLocation` answers: the region that has no name.
pub fn location() -> String {
    Writer::new("LocationConstraint").finish("LocationConstraint")
}

/// As `DeleteObjects` answers: the keys that are gone, and those that are not with code and message.
pub fn deleted(gone: &[Removal], failed: &[(Removal, &str, String)]) -> String {
    let named = |writer: &mut Writer, removal: &Removal| {
        writer.text("Key", &removal.key);
        if let Some(version) = &removal.version {
            writer.text("VersionId", version);
        }
    };
    let mut writer = Writer::new("DeleteResult");
    for removal in gone {
        writer.open("Deleted");
        named(&mut writer, removal);
        writer.close("Deleted");
    }
    for (removal, code, message) in failed {
        writer.open("Error");
        named(&mut writer, removal);
        writer.text("Code", code);
        writer.text("Message", message);
        writer.close("Error");
    }
    writer.finish("DeleteResult")
}
