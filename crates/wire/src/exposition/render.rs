//! A page becomes bytes. Families that stand in one piece are handed out as slices of the body they
//! came in; only what must be written anew is copied.

use bytes::Bytes;

use super::page::{Entry, Span};
use super::write::Head;
use super::{Format, Page};

/// Pieces below this are copied together: a short copy is cheaper than one more buffer to send.
const SLICE_BYTES_MIN: usize = 2048;

impl Page {
    /// Writes the page in the given format, as chunks to be sent one after the other. A page that
    /// was read in this format and not touched comes back as the one body it was, comments
    /// included.
    pub fn render(&self, format: Format) -> Vec<Bytes> {
        if self.format != format {
            return self.clone().convert(format).render(format);
        }
        if let (true, [body]) = (self.pristine, self.sources.as_slice()) {
            return vec![body.clone()];
        }
        let mut chunks = Chunks {
            page: self,
            out: Vec::new(),
            text: Vec::new(),
            pending: None,
        };
        for entry in &self.entries {
            chunks.family(entry);
        }
        chunks.flush();
        if format == Format::OpenMetrics {
            chunks.text.extend_from_slice(b"# EOF\n");
        }
        chunks.flush_text();
        chunks.out
    }

    /// [`Page::render`] in one piece; copies unless there is only one chunk.
    pub fn render_whole(&self, format: Format) -> Bytes {
        let mut chunks = self.render(format);
        match (chunks.pop(), chunks.as_slice()) {
            (Some(only), []) => only,
            (last, _) => {
                chunks.extend(last);
                Bytes::from(chunks.concat())
            }
        }
    }
}

struct Chunks<'a> {
    page: &'a Page,
    out: Vec<Bytes>,
    /// Text that is not in `out` yet, and the slice that follows it.
    text: Vec<u8>,
    pending: Option<Span>,
}

impl Chunks<'_> {
    fn family(&mut self, entry: &Entry) {
        if let Some(block) = entry.block {
            self.slice(block);
            return;
        }
        self.flush();
        let head = Head {
            name: &entry.name,
            kind: entry.typed.then_some(entry.kind),
            help: entry.help.as_deref(),
            unit: entry.unit.as_deref(),
        };
        head.write(&mut self.text, self.page.format);
        for run in &entry.runs {
            self.slice(run.span);
        }
    }

    /// Lengthens the pending slice when this one follows it directly, else begins a new one.
    fn slice(&mut self, span: Span) {
        if let Some(pending) = &mut self.pending
            && pending.source == span.source
            && pending.end == span.start
        {
            pending.end = span.end;
        } else {
            self.flush();
            self.pending = Some(span);
        }
    }

    /// Puts the pending slice out, with the newline that a cut-off last line lacks.
    fn flush(&mut self) {
        let Some(span) = self.pending.take() else {
            return;
        };
        let bytes = self.page.bytes(span);
        if bytes.len() < SLICE_BYTES_MIN {
            self.text.extend_from_slice(bytes);
        } else if let Some(source) = self.page.sources.get(span.source) {
            self.flush_text();
            self.out.push(source.slice(span.start..span.end));
        }
        if bytes.last().is_some_and(|last| *last != b'\n') {
            self.text.push(b'\n');
        }
    }

    fn flush_text(&mut self) {
        if !self.text.is_empty() {
            self.out.push(Bytes::from(std::mem::take(&mut self.text)));
        }
    }
}
