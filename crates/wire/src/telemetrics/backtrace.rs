//! Backtraces in the payloads of crashes, and which of their frames the original collector blames.
//! Both the crash probe and the kernel oops parser of the client write `#N function - [module]rest`
//! after some lines about the process or the kernel; the rest is ` - file:line` or nothing.

/// Frames of a payload that are looked at. The crash probe stops after 64.
pub const FRAMES_MAX: usize = 256;

/// Crashes whose backtraces are grouped. The original does not group a panic nor the last two, which
/// the oops parser still writes in the old form for two of its patterns; all three hold the same kind
/// of backtrace as the others.
const GROUPED: [&str; 7] = [
    "org.clearlinux/crash/clr",
    "org.clearlinux/kernel/bug",
    "org.clearlinux/kernel/stackoverflow",
    "org.clearlinux/kernel/warning",
    "org.clearlinux/kernel/panic",
    "crash/kernel/bug",
    "crash/kernel/warning",
];
/// Crashes without a backtrace that says anything.
const OTHER: [&str; 3] = [
    "org.clearlinux/crash/unknown",
    "org.clearlinux/crash/clr-build",
    "org.clearlinux/crash/error",
];

/// Whether a classification is that of a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Crash {
    /// One whose payload holds a backtrace to group it by.
    Grouped,
    /// One that is shown as a crash, but not grouped.
    Other,
    /// It is not.
    No,
}

impl Crash {
    /// What the classification of a record says, by its exact text.
    pub fn of(classification: &str) -> Self {
        if GROUPED.contains(&classification) {
            Self::Grouped
        } else if OTHER.contains(&classification) {
            Self::Other
        } else {
            Self::No
        }
    }
}

/// One frame of a backtrace, in the payload's own words. Function and module are what the original
/// groups by, so nothing is taken off them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The function: `main()` of a program, with its parentheses; `do_exit` of a kernel, without;
    /// `? do_exit` where the kernel is not sure; `???` without symbols. Never empty.
    pub function: &'a str,
    /// The module: a path, or `kernel`, or a kernel module. It can be empty.
    pub module: &'a str,
    /// What follows, such as ` - main.c:12`.
    pub rest: &'a str,
    /// Whether the function is known: neither `???` nor one of which the kernel is not sure.
    pub is_known: bool,
}

/// The frame that is blamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guilty<'a> {
    /// As in [`Frame`].
    pub function: &'a str,
    /// As in [`Frame`].
    pub module: &'a str,
    /// Its place among the frames, from 0.
    pub index: usize,
}

/// The frames of the first thread, which is the one that crashed: the first [`FRAMES_MAX`] of them,
/// the innermost first.
///
/// As in the original, the first line of the payload is none, and the thread ends with the first line
/// that is no frame. Unlike there it does not end with a frame without symbols and module,
/// `#N (no symbols)`: nobody can be blamed for that, but for the frames behind it.
pub fn frames(payload: &str) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    for line in payload.lines().skip(1) {
        match read_line(line) {
            Line::Frame(frame) => frames.push(frame),
            Line::NoSymbols => {}
            Line::Other if frames.is_empty() => {}
            Line::Other => break,
        }
        if frames.len() >= FRAMES_MAX {
            break;
        }
    }
    frames
}

/// The frame to blame, by the original's rule: the first that is known and not skipped; else the first
/// that is neither known nor skipped; else the last one that is skipped. `is_skipped` gets function
/// and module of a frame. Nothing without frames.
///
/// Unlike in the original, the second and later functions of which the kernel is not sure are as
/// unknown as the first.
pub fn guilty<'a>(
    frames: &[Frame<'a>],
    is_skipped: impl Fn(&str, &str) -> bool,
) -> Option<Guilty<'a>> {
    let mut first_unknown = None;
    let mut last_skipped = None;
    for (index, frame) in frames.iter().enumerate() {
        let candidate = Guilty {
            function: frame.function,
            module: frame.module,
            index,
        };
        if is_skipped(frame.function, frame.module) {
            last_skipped = Some(candidate);
        } else if frame.is_known {
            return Some(candidate);
        } else {
            first_unknown = first_unknown.or(Some(candidate));
        }
    }
    first_unknown.or(last_skipped)
}

/// The number of the signal that ended the process, as the digits of the line `Signal: n` before the
/// backtrace; at most three of them. Kernels send none.
pub fn signal(payload: &str) -> Option<&str> {
    let signal = named(payload, "Signal: ")?;
    let is_number = (1..=3).contains(&signal.len()) && is_digits(signal);
    is_number.then_some(signal)
}

/// The program that crashed, as the line `Process: path` before the backtrace says.
pub fn program(payload: &str) -> Option<&str> {
    named(payload, "Process: ").filter(|program| !program.is_empty())
}

/// The number of the process, as the line `PID: n` before the backtrace says.
pub fn pid(payload: &str) -> Option<u32> {
    named(payload, "PID: ")?.parse().ok()
}

/// What a line before the backtrace says that begins with this.
fn named<'a>(payload: &'a str, name: &str) -> Option<&'a str> {
    let mut head = payload
        .lines()
        .take_while(|line| matches!(read_line(line), Line::Other));
    let said = head.find_map(|line| line.strip_prefix(name))?;
    Some(said.trim())
}

enum Line<'a> {
    Frame(Frame<'a>),
    NoSymbols,
    Other,
}

fn read_line(line: &str) -> Line<'_> {
    let numbered = line
        .strip_prefix('#')
        .and_then(|line| line.split_once(' '))
        .filter(|(number, _)| is_digits(number));
    let Some((_, text)) = numbered else {
        return Line::Other;
    };
    if text.starts_with("(no symbols)") {
        return Line::NoSymbols;
    }
    frame(text).map_or(Line::Other, Line::Frame)
}

/// `function - [module]rest`. The last bracket counts, and the last dash before it, so that functions
/// may contain both: `std::array<int> operator- [](int)`.
fn frame(text: &str) -> Option<Frame<'_>> {
    let (before, rest) = text.rsplit_once(']')?;
    let (function, module) = before.rsplit_once(" - [")?;
    let is_known = function != "???" && !function.starts_with("? ");
    (!function.is_empty()).then_some(Frame {
        function,
        module,
        rest,
        is_known,
    })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
