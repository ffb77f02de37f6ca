//! The table of families while a page is read, joined or converted: which sample name belongs to
//! which family. It does not read lines.

use std::collections::HashMap;

use bytes::Bytes;

use super::page::{Entry, Run, Suffix};
use super::{Format, Kind, Page};

/// HELP, TYPE and UNIT of one family.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    pub(super) name: Bytes,
    /// None without a TYPE line.
    pub(super) kind: Option<Kind>,
    pub(super) help: Option<Bytes>,
    pub(super) unit: Option<Bytes>,
}

/// Families by name, in order of first appearance. The map is keyed by random numbers (the standard
/// hasher), as names come from strangers.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) format: Format,
    pub(super) sources: Vec<Bytes>,
    pub(super) entries: Vec<Entry>,
    pub(super) conflicts: usize,
    index: HashMap<Bytes, usize>,
}

impl Assembly {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            sources: Vec::new(),
            entries: Vec::new(),
            conflicts: 0,
            index: HashMap::new(),
        }
    }

    /// Continues an existing page.
    pub(super) fn from_page(page: Page) -> Self {
        let index = page
            .entries
            .iter()
            .enumerate()
            .map(|(at, entry)| (entry.name.clone(), at))
            .collect();
        Self {
            format: page.format,
            sources: page.sources,
            entries: page.entries,
            conflicts: page.conflicts,
            index,
        }
    }

    /// The page, to be written family by family.
    pub(super) fn into_page(mut self) -> Page {
        self.settle();
        Page {
            format: self.format,
            sources: self.sources,
            entries: self.entries,
            conflicts: self.conflicts,
            pristine: false,
        }
    }

    /// The family of exactly that name.
    pub(super) fn exact(&self, name: &[u8]) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The family a sample of that name belongs to: the one of the same name, else the one whose
    /// kind takes the suffix.
    pub(super) fn resolve(&self, name: &[u8]) -> Option<usize> {
        self.exact(name).or_else(|| self.by_suffix(name))
    }

    fn by_suffix(&self, name: &[u8]) -> Option<usize> {
        let (base, suffix) = Suffix::split(name)?;
        let at = self.exact(base)?;
        self.entries
            .get(at)?
            .kind
            .takes(suffix, self.format)
            .then_some(at)
    }

    /// Whether a family before this one has the name of samples that this one takes by their suffix:
    /// a reader of the written page would put them there.
    pub(super) fn is_captured(&self, at: usize) -> bool {
        let Some(entry) = self.entries.get(at) else {
            return false;
        };
        Suffix::ALL
            .iter()
            .filter(|(suffix, _)| entry.kind.takes(*suffix, self.format))
            .any(|(_, text)| {
                let name = [entry.name.as_ref(), text.as_bytes()].concat();
                self.exact(&name).is_some_and(|other| other < at)
            })
    }

    /// Takes the samples away from a family.
    pub(super) fn clear(&mut self, at: usize) {
        if let Some(entry) = self.entries.get_mut(at) {
            entry.block = None;
            entry.runs.clear();
        }
    }

    /// Adds a family that is known to be absent.
    pub(super) fn insert(&mut self, entry: Entry) -> usize {
        let at = self.entries.len();
        self.index.insert(entry.name.clone(), at);
        self.entries.push(entry);
        at
    }

    /// The family a sample belongs to, added when it is new.
    pub(super) fn sampled(&mut self, name: &[u8]) -> usize {
        self.resolve(name)
            .unwrap_or_else(|| self.insert(Entry::new(Bytes::copy_from_slice(name))))
    }

    /// The family with this metadata, added when it is new. What was said first stays.
    pub(super) fn declared(&mut self, metadata: Metadata) -> usize {
        let Some(at) = self.exact(&metadata.name) else {
            return self.insert(Entry {
                kind: metadata.kind.unwrap_or(Kind::Unknown),
                typed: metadata.kind.is_some(),
                help: metadata.help,
                unit: metadata.unit,
                ..Entry::new(metadata.name)
            });
        };
        if let Some(entry) = self.entries.get_mut(at) {
            entry.block = None;
            if entry.help.is_none() {
                entry.help = metadata.help;
            }
            if entry.unit.is_none() {
                entry.unit = metadata.unit;
            }
            match metadata.kind {
                Some(kind) if !entry.typed => (entry.kind, entry.typed) = (kind, true),
                Some(kind) if entry.kind != kind => self.conflicts += 1,
                _ => {}
            }
        }
        at
    }

    /// Adds samples to a family, which from now on cannot be written as it came.
    pub(super) fn add_run(&mut self, at: usize, run: Run) {
        if let Some(entry) = self.entries.get_mut(at) {
            entry.block = None;
            entry.add_run(run);
        }
    }

    /// Moves bare families such as `x_sum` into the family `x` before them, where a reader of the
    /// written page would put them: `x` may have got its type after they were first seen.
    pub(super) fn settle(&mut self) {
        let mut moved = false;
        for at in 0..self.entries.len() {
            let Some(entry) = self.entries.get(at).filter(|entry| entry.is_bare()) else {
                continue;
            };
            let Some(target) = self.by_suffix(&entry.name).filter(|target| *target < at) else {
                continue;
            };
            let runs = self
                .entries
                .get_mut(at)
                .map(|entry| std::mem::take(&mut entry.runs));
            for run in runs.unwrap_or_default() {
                self.add_run(target, run);
            }
            moved = true;
        }
        if moved {
            self.entries
                .retain(|entry| !entry.is_bare() || !entry.runs.is_empty());
            self.index = self
                .entries
                .iter()
                .enumerate()
                .map(|(at, e)| (e.name.clone(), at))
                .collect();
        }
    }
}
