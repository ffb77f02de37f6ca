//! What intake hands to the committer: a record that passed its checks, or a submission that goes
//! into quarantine.

use aws_lc_rs::digest::{Context, SHA256};
use wire::telemetrics::Record;

/// Something to keep.
#[derive(Debug)]
pub(crate) enum Entry {
    Record(Box<NewRecord>),
    Quarantine(Box<NewSubmission>),
}

/// A record of a project.
#[derive(Debug)]
pub(crate) struct NewRecord {
    pub(crate) project: i64,
    pub(crate) record: Record,
    /// What tells it from others: a client that sends it again sends the same.
    pub(crate) digest: i64,
    pub(crate) crash: Option<Crash>,
}

/// To which crashes it belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Crash {
    pub(crate) fingerprint: String,
    pub(crate) function: String,
    pub(crate) module: String,
}

/// A submission that is no valid record, or one that a rule put aside.
#[derive(Debug)]
pub(crate) struct NewSubmission {
    pub(crate) project: i64,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// Its fields as a JSON object.
    pub(crate) fields: String,
    pub(crate) payload: String,
    pub(crate) digest: i64,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: i64,
    /// Unix milliseconds.
    pub(crate) received_at: i64,
    /// It was there already.
    pub(crate) is_repeated: bool,
}

impl Entry {
    /// About how much memory it takes, for the bound on what waits.
    pub(crate) fn bytes(&self) -> usize {
        const FIELDS: usize = 1 << 10;
        FIELDS
            + match self {
                Self::Record(new) => new.record.payload.len(),
                Self::Quarantine(new) => new.payload.len() + new.fields.len(),
            }
    }
}

/// 63 bits of a hash over texts, each with its length so that none runs into the next.
pub(crate) fn digest(project: i64, texts: &[&str]) -> i64 {
    let mut context = Context::new(&SHA256);
    context.update(&project.to_be_bytes());
    for text in texts {
        context.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(text.as_bytes());
    }
    let hash = context.finish();
    let first = hash
        .as_ref()
        .first_chunk::<8>()
        .copied()
        .unwrap_or_default();
    i64::from_be_bytes(first) & i64::MAX
}

/// The digest of a record: everything that its client chose.
pub(crate) fn record_digest(project: i64, record: &Record) -> i64 {
    let created = record.created.to_string();
    let texts = [
        &record.machine_id,
        &record.event_id,
        &created,
        &record.classification,
        &record.build,
        &record.payload,
    ];
    beside(record.created, digest(project, &texts.map(String::as_str)))
}

/// A digest that nothing else has, for collectors that keep what is sent again.
pub(crate) fn random_digest() -> i64 {
    fastrand::i64(0..=i64::MAX)
}

/// A digest that begins with the second of creation: those of a batch stand side by side in their index and
/// change few of its pages, where others would change one each. Its other 32 bits are enough, since what
/// has the same digest is compared.
fn beside(created: i64, digest: i64) -> i64 {
    const DIGEST_BITS: u32 = 32;
    const SECOND_BITS: u32 = 63 - DIGEST_BITS;
    let second = created & ((1 << SECOND_BITS) - 1);
    (second << DIGEST_BITS) | (digest & ((1 << DIGEST_BITS) - 1))
}

/// The short form of what a group of crashes is named by.
pub(crate) fn fingerprint(key: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&SHA256, key.as_bytes());
    wire::auth::hex(hash.as_ref().get(..16).unwrap_or_default())
}

/// A record for tests, which change of it what matters to them.
#[cfg(test)]
pub(crate) fn plain_record() -> Record {
    Record {
        record_format_version: 4,
        severity: 1,
        classification: "a/b/c".to_owned(),
        machine_id: "m".to_owned(),
        created: 1_700_000_000,
        arch: "x86_64".to_owned(),
        is_unusual_arch: false,
        host_type: String::new(),
        kernel_version: String::new(),
        board_name: String::new(),
        cpu_model: String::new(),
        bios_version: String::new(),
        event_id: "1".to_owned(),
        build: "1".to_owned(),
        system_name: "linux".to_owned(),
        payload_format_version: 1,
        external: false,
        payload: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_begin_with_their_second() {
        assert_eq!(beside(0, 7), 7);
        assert_eq!(beside(2, i64::MAX), (2 << 32) | 0xffff_ffff);
        assert!(beside(1_800_000_000, i64::MAX) < beside(1_800_000_001, 0));
        for created in [i64::MIN, -1, i64::MAX] {
            assert!(beside(created, i64::MAX) >= 0, "{created}");
        }
    }
}
