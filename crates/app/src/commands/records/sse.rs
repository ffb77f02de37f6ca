//! Server-sent events as they come over a connection: in pieces that end anywhere.

/// The longest event.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// An event with data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    /// The last identifier that was sent, with this event or before it.
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// The peer sends what is longer than any event of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// What is known of a stream.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    /// The last line ended with a carriage return: a line feed behind it belongs to it.
    has_return: bool,
    name: String,
    id: Option<String>,
    data: String,
    has_data: bool,
}

impl Parser {
    /// Takes a piece and gives the events that it completes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for byte in bytes {
            let follows_return = std::mem::take(&mut self.has_return);
            match byte {
                b'\n' if follows_return => {}
                b'\n' | b'\r' => {
                    self.has_return = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end_line(&String::from_utf8_lossy(&line)));
                }
                byte => self.line.push(*byte),
            }
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // Comments, which keep the connection, and fields that we don't use.
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<Event> {
        let event = Event {
            name: std::mem::take(&mut self.name),
            id: self.id.clone(),
            data: std::mem::take(&mut self.data),
        };
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\n\nevent: record\nid: 7\ndata: {\"a\":\ndata: \"é\"}\n\n\
        event: record\r\nid:8\r\ndata:x\r\n\r\n:\n\nid: 9\n\nevent: other\rdata: y\r\r\
        data\n\nretry: 5\ndata: unfinished";

    fn event(name: &str, id: &str, data: &str) -> Event {
        Event {
            name: name.to_owned(),
            id: Some(id.to_owned()),
            data: data.to_owned(),
        }
    }

    fn expected() -> Vec<Event> {
        vec![
            event("record", "7", "{\"a\":\n\"é\"}"),
            event("record", "8", "x"),
            event("other", "9", "y"),
            event("", "9", ""),
        ]
    }

    #[test]
    fn events_may_be_cut_anywhere() {
        let bytes = STREAM.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut parser = Parser::default();
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                let found = pieces.iter().flat_map(|piece| parser.feed(piece).unwrap());
                assert_eq!(found.collect::<Vec<_>>(), expected(), "{first} {second}");
            }
        }
    }

    #[test]
    fn byte_by_byte_it_is_the_same() {
        let mut parser = Parser::default();
        let pieces = STREAM.as_bytes().chunks(1);
        let found: Vec<Event> = pieces
            .flat_map(|piece| parser.feed(piece).unwrap())
            .collect();
        assert_eq!(found, expected());
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 64 << 10];
        let mut pieces = (0..=16).map(|_| parser.feed(&piece));
        assert!(pieces.any(|fed| fed == Err(TooLong)));
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(1000));
        let mut lines = (0..2000).map(|_| parser.feed(line.as_bytes()));
        assert!(lines.any(|fed| fed == Err(TooLong)));
    }
}
