//! Why a page was refused, in words for the operator of the exporter. It does not say who sent it.

use std::fmt::Write as _;

/// Characters of the offending line that an error repeats.
const EXCERPT_CHARS_MAX: usize = 80;

/// A page that cannot be read: where, why, and the beginning of the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}: {excerpt}")]
pub struct ParseError {
    /// Number of the line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: Reason,
    /// The beginning of the line, at most 80 characters, with everything unprintable escaped.
    pub excerpt: String,
}

impl ParseError {
    pub(super) fn new(line: usize, reason: Reason, text: &[u8]) -> Self {
        Self {
            line,
            reason,
            excerpt: excerpt(text),
        }
    }
}

/// What is wrong with a line, with the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Bytes that are not UTF-8.
    #[error("the page is not UTF-8; encode it as UTF-8")]
    NotUtf8,
    /// A line over the limit.
    #[error("the line is longer than {0} bytes; split or shorten it")]
    LineTooLong(usize),
    /// More families than the limit.
    #[error("the page has more than {0} metric names; split it over several targets")]
    TooManyFamilies(usize),
    /// More sample lines than the limit.
    #[error("the page has more than {0} samples; split it over several targets")]
    TooManySamples(usize),
    /// More labels in one series than the limit.
    #[error("the series has more than {0} labels; drop some")]
    TooManyLabels(usize),
    /// No metric name where one belongs.
    #[error(
        "a metric name is missing or malformed; use letters, digits, '_' and ':', or quote it inside the braces"
    )]
    MetricName,
    /// No label name where one belongs.
    #[error("a label name is missing or malformed; use letters, digits and '_', or quote it")]
    LabelName,
    /// A label without its value, or a quote that is not closed on the line.
    #[error("a label value is missing or not closed; write name=\"value\" on one line")]
    LabelValue,
    /// Something other than a comma or a brace after a label.
    #[error("expected ',' or '}}' after a label; separate labels by commas and close the braces")]
    LabelSeparator,
    /// The same label name twice in one series.
    #[error("a label name occurs twice in the series; keep one of them")]
    LabelTwice,
    /// The value is missing or not a number.
    #[error("the value is missing or not a number; write a decimal number, NaN, +Inf or -Inf")]
    Value,
    /// The time stamp is not a number of the format's unit.
    #[error(
        "the time stamp is malformed or out of range; write whole milliseconds in the text format, seconds in OpenMetrics"
    )]
    Timestamp,
    /// Something behind the end of a sample.
    #[error("unexpected text after the sample; one sample a line")]
    TrailingText,
    /// Blanks where OpenMetrics allows none or exactly one.
    #[error("blanks that OpenMetrics does not allow; separate the parts by exactly one space")]
    Blanks,
    /// An exemplar that cannot be read.
    #[error("the exemplar is malformed; write ' # {{labels}} value' with an optional time stamp")]
    Exemplar,
    /// An exemplar on a sample that may have none.
    #[error(
        "an exemplar on a sample that may have none; only _total and _bucket samples carry one"
    )]
    ExemplarNotAllowed,
    /// A TYPE line with a word that is no type of the format.
    #[error(
        "unknown metric type; use one that the format names, such as counter, gauge or histogram"
    )]
    Type,
    /// A UNIT line whose unit does not end the metric name.
    #[error("the unit does not end the metric name; append '_' and the unit to the name")]
    Unit,
    /// A comment in OpenMetrics that is not HELP, TYPE, UNIT or EOF.
    #[error("a comment that OpenMetrics does not allow; only # HELP, # TYPE, # UNIT and # EOF are")]
    Comment,
    /// An empty line in OpenMetrics.
    #[error("an empty line, which OpenMetrics does not allow; remove it")]
    EmptyLine,
    /// The page ends without `# EOF`: it was cut off, or it is not OpenMetrics.
    #[error("the page ends without '# EOF'; it was cut off, or the content type is wrong")]
    EofMissing,
    /// Something behind `# EOF`.
    #[error("text after '# EOF'; it must be the last line")]
    AfterEof,
}

/// The beginning of a line, printable, at most [`EXCERPT_CHARS_MAX`] characters, quotes included.
fn excerpt(text: &[u8]) -> String {
    let start = text.get(..EXCERPT_CHARS_MAX * 4).unwrap_or(text);
    let mut shown = String::from("`");
    for character in String::from_utf8_lossy(start).chars() {
        let mut escaped = String::new();
        if character.is_control() {
            // Writing to a String cannot fail.
            write!(escaped, "{}", character.escape_default()).unwrap_or_default();
        } else {
            escaped.push(character);
        }
        // One character is kept for the ellipsis and one for the closing quote.
        if shown.chars().count() + escaped.chars().count() > EXCERPT_CHARS_MAX - 2 {
            shown.push('…');
            break;
        }
        shown.push_str(&escaped);
    }
    shown.push('`');
    shown
}
