//! Several pages become one: families of the same name are joined under one HELP and TYPE. Series
//! that occur in more than one page are all kept; telling them apart is the scraper's matter.

use super::assembly::{Assembly, Metadata};
use super::page::{Entry, Run, Span, line_ranges};
use super::scan::Scanner;
use super::{Format, Kind, Page, write};

/// Joins pages in their order. Families keep the order of their first appearance and the HELP, TYPE
/// and UNIT that were said first; a second, different type is ignored and counted in
/// [`Page::conflicts`], and its samples go where a reader would put them under the first type.
///
/// Pages of another format than the first are converted to that of the first; call
/// [`Page::convert`] on all of them before, with the format the result is to be written in, to lose
/// nothing on the way. No pages make an empty text page.
pub fn merge(pages: Vec<Page>) -> Page {
    let mut pages = pages.into_iter();
    let Some(first) = pages.next() else {
        return Page::empty(Format::Text);
    };
    if pages.len() == 0 {
        return first;
    }
    let format = first.format;
    let mut assembly = Assembly::from_page(first);
    for page in pages {
        join(&mut assembly, page.convert(format));
    }
    assembly.into_page()
}

fn join(assembly: &mut Assembly, page: Page) {
    let shift = assembly.sources.len();
    let moved = |span: Span| Span {
        source: span.source + shift,
        ..span
    };
    assembly.sources.extend(page.sources);
    assembly.conflicts += page.conflicts;
    for mut entry in page.entries {
        entry.block = entry.block.map(moved);
        for run in &mut entry.runs {
            run.span = moved(run.span);
        }
        join_family(assembly, entry);
    }
}

fn join_family(assembly: &mut Assembly, entry: Entry) {
    let target = if entry.is_bare() {
        assembly.resolve(&entry.name)
    } else {
        assembly.exact(&entry.name)
    };
    let Some(target) = target else {
        let runs = entry.runs.clone();
        let target = assembly.insert(entry);
        if assembly.is_captured(target) {
            assembly.clear(target);
            for run in runs {
                scatter(assembly, run);
            }
        }
        return;
    };
    let before = assembly.conflicts;
    let Some(existing) = assembly.entries.get_mut(target) else {
        return;
    };
    existing.duplicate |= entry.duplicate;
    if existing.name == entry.name {
        assembly.declared(Metadata {
            name: entry.name,
            kind: entry.typed.then_some(entry.kind),
            help: entry.help,
            unit: entry.unit,
        });
    }
    let is_conflict = assembly.conflicts > before && entry.kind != Kind::Unknown;
    let is_scattered = is_conflict || assembly.is_captured(target);
    for run in entry.runs {
        if is_scattered {
            scatter(assembly, run);
        } else {
            assembly.add_run(target, run);
        }
    }
}

/// Puts each line of a run to the family its sample name belongs to.
fn scatter(assembly: &mut Assembly, run: Run) {
    let Some(source) = assembly.sources.get(run.span.source).cloned() else {
        return;
    };
    let bytes = source.get(run.span.start..run.span.end).unwrap_or_default();
    let mut scanner = Scanner::new(assembly.format, usize::MAX);
    for range in line_ranges(bytes) {
        let line = bytes.get(range.clone()).unwrap_or_default();
        let Ok(sample) = scanner.sample(line) else {
            continue;
        };
        let name = write::unescaped(&source, sample.name, sample.quoted);
        let target = assembly.sampled(&name);
        let start = run.span.start + range.start;
        let end = (run.span.start + range.end + 1).min(run.span.end);
        assembly.add_run(
            target,
            Run {
                span: Span {
                    start,
                    end,
                    ..run.span
                },
                series: 1,
                ..run
            },
        );
    }
}
