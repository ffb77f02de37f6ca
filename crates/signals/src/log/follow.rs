//! Reading the log behind those who write it, as far as it is on disk: for who passes on what the store
//! has taken. Each file stands alone, so that a follower needs no more than its place.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::recover::{Found, Scan, damage};
use super::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES};
use crate::damage::Damage;
use crate::disk::DiskError;
use crate::extra::{Exemplar, Metadata};
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::record::{self, Visitor};
use crate::store::{Store, Value};

/// Items of a frame that are in memory at once. A frame may have millions; it is read several times
/// then.
const WINDOW_ITEMS: usize = 100_000;
/// Bytes of an item beside its labels and buckets.
const ITEM_BYTES: usize = 32;

/// A place in the log: before an item of a frame of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPlace {
    /// The number of the file.
    pub file: u32,
    /// Where the frame begins.
    pub offset: u64,
    /// Items of the frame that were read.
    pub taken: u64,
}

impl LogPlace {
    /// The first place of a file.
    pub fn begin_of(file: u32) -> Self {
        Self {
            file,
            offset: FILE_HEADER_BYTES as u64,
            taken: 0,
        }
    }
}

/// Something that the store has taken.
#[derive(Debug, Clone)]
pub enum Followed {
    /// A sample of a series.
    Sample {
        /// The series.
        labels: Labels,
        /// In milliseconds since 1970.
        time: i64,
        /// When the counter began; 0 is not known.
        start: i64,
        /// What was measured.
        value: Value,
    },
    /// An exemplar. Each file of the log begins with those that were known.
    Exemplar(Exemplar),
    /// What is known of a metric. Each file of the log begins with all of it.
    Metadata(String, Metadata),
}

impl Followed {
    /// About how many bytes it has.
    fn bytes(&self) -> usize {
        ITEM_BYTES
            + match self {
                Self::Sample { labels, value, .. } => {
                    let buckets = match value {
                        Value::Float(_) => 0,
                        Value::Histogram(value) => value.positive.len() + value.negative.len(),
                    };
                    labels.as_bytes().len() + 8 * buckets
                }
                Self::Exemplar(one) => one.series.as_bytes().len() + one.labels.as_bytes().len(),
                Self::Metadata(name, known) => name.len() + known.help.len() + known.unit.len(),
            }
    }
}

/// How much is read at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Items.
    pub items: usize,
    /// About how many bytes, but for the last item.
    pub bytes: usize,
    /// Nothing from here on.
    pub until: Option<LogPlace>,
}

/// Reads the log of a store.
#[derive(Debug)]
pub struct Follower {
    place: LogPlace,
    /// The series of the file that are described before the place, once it was read for them.
    names: HashMap<u32, Labels, foldhash::fast::RandomState>,
    is_named: bool,
    frame: Option<Frame>,
    /// Samples whose series stood in a part that can't be read.
    orphans: u64,
}

/// The frame at the place.
#[derive(Debug)]
struct Frame {
    records: Vec<u8>,
    pending: VecDeque<Option<Followed>>,
    /// Nothing but what is pending is left.
    is_last: bool,
}

/// What a step came to.
enum Step {
    More,
    End,
    Damaged(Damage),
}

impl Follower {
    pub(crate) fn new(place: LogPlace) -> Self {
        Self {
            place,
            names: HashMap::default(),
            is_named: false,
            frame: None,
            orphans: 0,
        }
    }

    /// What is read next.
    pub fn place(&self) -> LogPlace {
        self.place
    }

    /// Samples that were passed over so far because nothing says whose they are: that was damaged.
    pub fn orphans(&self) -> u64 {
        self.orphans
    }

    /// Adds what comes next to `out`, as far as it is on disk. It stops where something is damaged, and
    /// goes on behind that the next time.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn read(
        &mut self,
        store: &Store,
        limits: &Limits,
        out: &mut Vec<Followed>,
    ) -> Result<Option<Damage>, DiskError> {
        let mut scan = None;
        let mut bytes = 0;
        loop {
            while let Some(frame) = &mut self.frame {
                let is_done = limits.until.is_some_and(|until| self.place >= until);
                if is_done || out.len() >= limits.items || bytes >= limits.bytes {
                    return Ok(None);
                }
                let Some(item) = frame.pending.pop_front() else {
                    break;
                };
                self.place.taken += 1;
                match item {
                    Some(item) => {
                        bytes += item.bytes();
                        out.push(item);
                    }
                    None => self.orphans += 1,
                }
            }
            if limits.until.is_some_and(|until| self.place >= until) {
                return Ok(None);
            }
            match self.step(store, &mut scan)? {
                Step::More => {}
                Step::End => return Ok(None),
                Step::Damaged(damage) => return Ok(Some(damage)),
            }
        }
    }

    /// Passes over what is left of the file, unless it is the one that is being written. Returns how many
    /// samples that were.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn skip_file(&mut self, store: &Store) -> Result<u64, DiskError> {
        let next = self.place.file.saturating_add(1);
        if next > store.log().durable().0 {
            return Ok(0);
        }
        let limits = Limits {
            items: WINDOW_ITEMS,
            bytes: usize::MAX,
            until: Some(LogPlace::begin_of(next)),
        };
        let mut samples = 0;
        let mut passed = Vec::new();
        while self.place.file < next {
            self.read(store, &limits, &mut passed)?;
            let is_sample = |item: &&Followed| matches!(item, Followed::Sample { .. });
            samples += passed.iter().filter(is_sample).count() as u64;
            passed.clear();
        }
        Ok(samples)
    }

    /// Decodes more of the frame, or goes to the next one.
    fn step<'a>(
        &mut self,
        store: &'a Store,
        scan: &mut Option<Scan<'a>>,
    ) -> Result<Step, DiskError> {
        if let Some(frame) = self.frame.take() {
            if !frame.is_last {
                return Ok(self.decode(store, frame.records));
            }
            self.place.offset += (FRAME_HEADER_BYTES + frame.records.len()) as u64;
            self.place.taken = 0;
        }
        // In this order: what is on disk now is in the file.
        let (last, written) = store.log().durable();
        if scan
            .as_ref()
            .is_none_or(|scan| scan.found.number != self.place.file)
        {
            *scan = self.open(store)?;
        }
        let Some(scan) = scan else {
            let what = "the file is missing, or its header is wrong";
            return Ok(self.give_up(store, last, what));
        };
        let is_written = scan.found.number == last;
        scan.length = if is_written {
            written
        } else {
            scan.whole_length()?
        };
        self.name(store, scan)?;
        if self.place.offset >= scan.length {
            if is_written || scan.found.number > last {
                return Ok(Step::End);
            }
            self.enter(self.place.file + 1);
            return Ok(Step::More);
        }
        match scan.frame_at(self.place.offset)? {
            Found::Frame { records, .. } => Ok(self.decode(store, records)),
            Found::Wrong(what) => {
                let offset = self.place.offset;
                let next = scan.frame_after(offset)?.unwrap_or(scan.length);
                (self.place.offset, self.place.taken) = (next, 0);
                let number = scan.found.number;
                Ok(Step::Damaged(damage(store.disk(), number, offset, what)))
            }
        }
    }

    /// The file of the place; none when it is not there, or not what it was.
    fn open<'a>(&self, store: &'a Store) -> Result<Option<Scan<'a>>, DiskError> {
        let mut scan = match Scan::open(store.disk(), self.place.file) {
            Err(error) if error.is_missing() => return Ok(None),
            opened => opened?,
        };
        Ok(scan.has_whole_header()?.then_some(scan))
    }

    fn give_up(&mut self, store: &Store, last: u32, what: &'static str) -> Step {
        if self.place.file >= last {
            return Step::End;
        }
        let damage = damage(store.disk(), self.place.file, 0, what);
        self.enter(self.place.file + 1);
        Step::Damaged(damage)
    }

    fn enter(&mut self, file: u32) {
        self.place = LogPlace::begin_of(file);
        self.names.clear();
        self.is_named = false;
    }

    /// Learns the series that were described before the place.
    fn name(&mut self, store: &Store, scan: &Scan<'_>) -> Result<(), DiskError> {
        if self.is_named {
            return Ok(());
        }
        let mut offset = FILE_HEADER_BYTES as u64;
        while offset < self.place.offset.min(scan.length) {
            match scan.frame_at(offset)? {
                Found::Frame { records, .. } => {
                    let mut naming = Decoding {
                        store,
                        names: &mut self.names,
                        skip: u64::MAX,
                        seen: 0,
                        out: VecDeque::new(),
                    };
                    // What makes no sense was told of when it was read.
                    record::read(&records, &mut naming);
                    offset += (FRAME_HEADER_BYTES + records.len()) as u64;
                }
                Found::Wrong(_) => offset = scan.frame_after(offset)?.unwrap_or(scan.length),
            }
        }
        self.is_named = true;
        Ok(())
    }

    /// Reads what follows of the frame at the place.
    fn decode(&mut self, store: &Store, records: Vec<u8>) -> Step {
        let skip = self.place.taken;
        let mut decoding = Decoding {
            store,
            names: &mut self.names,
            skip,
            seen: 0,
            out: VecDeque::new(),
        };
        let read = record::read(&records, &mut decoding);
        let (pending, seen) = (decoding.out, decoding.seen);
        let is_last = seen.saturating_sub(skip) <= pending.len() as u64;
        self.frame = Some(Frame {
            records,
            pending,
            is_last,
        });
        if read.is_none() && is_last {
            let (file, offset) = (self.place.file, self.place.offset);
            let what = "the records make no sense";
            return Step::Damaged(damage(store.disk(), file, offset, what));
        }
        Step::More
    }
}

/// Takes some items of a frame, and all descriptions.
struct Decoding<'a> {
    store: &'a Store,
    names: &'a mut HashMap<u32, Labels, foldhash::fast::RandomState>,
    skip: u64,
    seen: u64,
    out: VecDeque<Option<Followed>>,
}

impl Decoding<'_> {
    fn item(&mut self, make: impl FnOnce(&Self) -> Option<Followed>) {
        self.seen += 1;
        if self.seen > self.skip && self.out.len() < WINDOW_ITEMS {
            let item = make(self);
            self.out.push_back(item);
        }
    }

    fn sample(&mut self, id: u32, (time, start): (i64, i64), value: impl FnOnce() -> Value) {
        self.item(|own| {
            Some(Followed::Sample {
                labels: own.names.get(&id)?.clone(),
                time,
                start,
                value: value(),
            })
        });
    }
}

impl Visitor for Decoding<'_> {
    fn series(&mut self, id: u32, labels: Labels) {
        // The head has them in memory already.
        self.names.insert(id, self.store.known_labels(labels));
    }

    fn float(&mut self, id: u32, time: i64, value: f64, start: i64) {
        self.sample(id, (time, start), || Value::Float(value));
    }

    fn histogram(&mut self, id: u32, time: i64, start: i64, value: Histogram) {
        self.sample(id, (time, start), || Value::Histogram(Arc::new(value)));
    }

    fn delete(&mut self, _: &[Matcher], _: i64, _: i64) {}

    fn exemplar(&mut self, exemplar: Exemplar) {
        self.item(|_| Some(Followed::Exemplar(exemplar)));
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.item(|_| Some(Followed::Metadata(metric.to_owned(), metadata)));
    }

    fn closed(&mut self) {}
}
