//! Names of functions and modules without what changes from build to build or from call to call. It
//! does not demangle.

/// Characters of a name; longer ones are cut.
pub const NAME_CHARS_MAX: usize = 256;
/// The name of a function that is not known.
pub(super) const UNKNOWN_NAME: &str = "???";

/// What compilers append to the name of a function that they cut up or copied, before a number.
const COPIES: [&str; 7] = [
    "constprop",
    "isra",
    "part",
    "cold",
    "lto_priv",
    "llvm",
    "localalias",
];
/// What follows the arguments of a C++ method.
const QUALIFIERS: [&str; 4] = [" const", " volatile", " &&", " &"];
/// A part of a C++ name that looks like arguments.
const ANONYMOUS: &str = "(anonymous namespace)";
/// The operators of C++ that contain brackets, longer ones before those they begin with.
const OPERATORS: [&str; 12] = [
    "()", "<=>", "<<=", ">>=", "->*", "->", "<<", ">>", "<=", ">=", "<", ">",
];
/// What Rust's older mangling writes before the 16 digits of a hash: their length with the `h`.
const RUST_HASH: &str = "17h";

/// The name of a function as it stays from build to build. Taken off are an address in front, the mark
/// `? ` of a kernel that is not sure, arguments, template arguments, offsets (`+0x10/0x20`), symbol
/// versions and `@plt`, the suffixes that compilers give copies (`.constprop.0`, `.cold` and so on) and
/// the hashes of Rust. An address alone becomes `???`. What would leave nothing is left as it is, so
/// that only an empty text gives an empty name. At most [`NAME_CHARS_MAX`] characters.
pub fn normalise(function: &str) -> String {
    let text = sure(function.trim());
    let Some(text) = without_address(text).map(sure) else {
        return UNKNOWN_NAME.to_owned();
    };
    let name = without_arguments(text);
    let name = before(&name, " [clone ");
    let name = before(before(name, "@"), "+0x");
    let name = without_rust_hash(without_copy_suffixes(without_qualifiers(name)));
    let candidates = [name.as_str(), text, function];
    let first = candidates.into_iter().find(|name| !name.is_empty());
    cut(first.unwrap_or_default())
}

/// The file name of a module without its version: `/usr/lib64/libc-2.31.so` and `libc.so.6` are both
/// `libc.so`, `python3.11` is `python`. A number without a dot belongs to the name: `ld-linux-x86-64`.
/// At most [`NAME_CHARS_MAX`] characters; empty for an empty text only.
pub fn module_base(module: &str) -> String {
    let path = module.strip_suffix(" (deleted)").unwrap_or(module);
    let file = path.rsplit('/').find(|part| !part.is_empty());
    let Some(file) = file else {
        return cut(module);
    };
    let library = file.split_once(".so.").map(|(stem, _)| stem);
    let library = library.or_else(|| file.strip_suffix(".so"));
    match library.filter(|stem| !stem.is_empty()) {
        Some(stem) => cut(&format!("{}.so", without_version(stem))),
        None => cut(without_version(file)),
    }
}

fn cut(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

fn sure(text: &str) -> &str {
    text.strip_prefix("? ").map_or(text, str::trim_start)
}

/// Without `0x7f… `, `0x7f… in ` or `[<ffff…>] ` in front; nothing when that is all there is.
fn without_address(text: &str) -> Option<&str> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let bracketed = first
        .strip_prefix("[<")
        .and_then(|first| first.strip_suffix(">]"));
    let digits = bracketed.or_else(|| first.strip_prefix("0x"));
    if !digits.is_some_and(is_hex) {
        return Some(text);
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("in ").map_or(rest, str::trim_start);
    (!rest.is_empty()).then_some(rest)
}

/// The part before a mark, unless nothing is before it.
fn before<'a>(text: &'a str, mark: &str) -> &'a str {
    match text.split_once(mark) {
        Some((head, _)) if !head.is_empty() => head,
        _ => text,
    }
}

/// A name while its brackets are being dropped.
#[derive(Default)]
struct Brackets {
    kept: String,
    /// Those that are open: `(` or `<`, and whether it is kept.
    open: Vec<(char, bool)>,
    open_rounds: usize,
    dropped: usize,
}

/// Without what stands in brackets that hold arguments. Brackets that belong to a name stay: those of
/// operators, anonymous namespaces, lambdas, Rust's `<T as Trait>` and Go's receivers.
fn without_arguments(text: &str) -> String {
    let mut brackets = Brackets::default();
    let mut rest = text;
    let mut previous = ' ';
    loop {
        if brackets.dropped == 0 {
            let (name_part, after) = unbracketed_part(&brackets.kept, rest);
            brackets.kept.push_str(name_part);
            rest = after;
        }
        let mut characters = rest.chars();
        let Some(character) = characters.next() else {
            return brackets.kept;
        };
        match character {
            '(' | '<' => brackets.begin(character, rest),
            ')' => brackets.end_round(),
            // The arrow before a type that is returned ends nothing.
            '>' if previous != '-' => brackets.end_angle(),
            _ => brackets.keep(character),
        }
        previous = character;
        rest = characters.as_str();
    }
}

/// What comes next and looks like brackets, but is part of the name.
fn unbracketed_part<'a>(kept: &str, rest: &'a str) -> (&'a str, &'a str) {
    let is_next = |part: &&str| rest.starts_with(*part);
    let part = if rest.starts_with(ANONYMOUS) {
        Some(ANONYMOUS)
    } else if is_operator_next(kept) {
        OPERATORS.into_iter().find(is_next)
    } else {
        None
    };
    let length = part.map_or(0, str::len);
    rest.split_at_checked(length).unwrap_or(("", rest))
}

fn is_operator_next(kept: &str) -> bool {
    let is_part_of_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let before = kept.strip_suffix("operator");
    before.is_some_and(|before| !before.bytes().next_back().is_some_and(is_part_of_word))
}

impl Brackets {
    fn keep(&mut self, character: char) {
        if self.dropped == 0 {
            self.kept.push(character);
        }
    }

    fn begin(&mut self, bracket: char, rest: &str) {
        let is_name = if bracket == '(' {
            self.kept.ends_with('.')
        } else {
            self.kept.is_empty() || rest.starts_with("<lambda") || rest.starts_with("<impl ")
        };
        let is_kept = is_name && self.dropped == 0;
        if is_kept {
            self.kept.push(bracket);
        } else {
            // Rust writes `name::<T>`.
            if bracket == '<' && self.dropped == 0 && self.kept.ends_with("::") {
                self.kept.truncate(self.kept.len() - 2);
            }
            self.dropped += 1;
        }
        self.open_rounds += usize::from(bracket == '(');
        self.open.push((bracket, is_kept));
    }

    /// A comparison inside round brackets opens an angle that nothing closes: the round one does.
    fn end_round(&mut self) {
        if self.open_rounds == 0 {
            return self.keep(')');
        }
        while let Some((bracket, is_kept)) = self.open.pop() {
            self.end(is_kept, bracket == '(', ')');
            if bracket == '(' {
                self.open_rounds -= 1;
                break;
            }
        }
    }

    fn end_angle(&mut self) {
        match self.open.last() {
            Some(('<', is_kept)) => {
                let is_kept = *is_kept;
                self.open.pop();
                self.end(is_kept, true, '>');
            }
            _ => self.keep('>'),
        }
    }

    fn end(&mut self, is_kept: bool, is_written: bool, character: char) {
        if !is_kept {
            self.dropped = self.dropped.saturating_sub(1);
        } else if is_written {
            self.kept.push(character);
        }
    }
}

fn without_qualifiers(name: &str) -> &str {
    let mut name = name.trim_end();
    while let Some(shorter) = QUALIFIERS.iter().find_map(|end| name.strip_suffix(end)) {
        name = shorter.trim_end();
    }
    name
}

/// Without `.constprop.0`, `.part.1.cold` and the like. Some compilers give the last two no number.
fn without_copy_suffixes(name: &str) -> &str {
    let mut name = name;
    while let Some((head, tail)) = name.rsplit_once('.') {
        let numbered = head.rsplit_once('.').filter(|_| is_digits(tail));
        let (head, word) = numbered.unwrap_or((head, tail));
        let is_bare = matches!(word, "cold" | "localalias");
        if head.is_empty() || !(is_bare || numbered.is_some() && COPIES.contains(&word)) {
            break;
        }
        name = head;
    }
    name
}

/// Without `::h` and 16 hexadecimal digits at the end, mangled or not.
fn without_rust_hash(name: &str) -> String {
    let is_hash = |text: &str| text.len() == 16 && is_hex(text);
    if let Some((head, hash)) = name.rsplit_once("::h")
        && is_hash(hash)
    {
        return head.to_owned();
    }
    if let Some((head, hash)) = name.rsplit_once(RUST_HASH)
        && hash.strip_suffix('E').is_some_and(is_hash)
    {
        return format!("{head}E");
    }
    name.to_owned()
}

/// Without numbers and dots at the end, if there are several numbers, and a dash before them.
fn without_version(stem: &str) -> &str {
    let head = stem.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let version = stem.strip_prefix(head).unwrap_or_default();
    let is_version = version.contains('.') && version.split('.').all(is_digits);
    let head = head.trim_end_matches(['-', '_']);
    if is_version && !head.is_empty() {
        head
    } else {
        stem
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
