//! File names with `*` and `?` in their last part, as Prometheus' configuration has them.

use std::path::{Path, PathBuf};

/// The files that a pattern names, sorted; a pattern without wildcards names itself, whether the
/// file is there or not.
///
/// # Errors
/// Its folder can't be read, or holds too many of them.
pub(crate) fn expand(pattern: &Path, files_max: usize) -> Result<Vec<PathBuf>, String> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains(['*', '?', '[']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let folder = pattern
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // A folder that is not there holds no file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| format!("{}: {error}", folder.display()))?;
        if !matches(&name, &entry.file_name().to_string_lossy()) {
            continue;
        }
        if found.len() >= files_max {
            return Err(format!("`{name}` names more than {files_max} files"));
        }
        found.push(folder.join(entry.file_name()));
    }
    found.sort();
    Ok(found)
}

/// Whether a name fits a pattern: `*` is any text, `?` any letter, `[ab]` and `[a-z]` one of them.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut place) = (0, 0);
    // Where the last star stands, and up to where it has eaten.
    let mut star: Option<(usize, usize)> = None;
    while place < name.len() {
        match step(&pattern, at, &name, place) {
            Step::Star => {
                star = Some((at, place));
                at += 1;
            }
            Step::One(next) => {
                at = next;
                place += 1;
            }
            Step::No => match star {
                Some((from, eaten)) => {
                    star = Some((from, eaten + 1));
                    (at, place) = (from + 1, eaten + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|letter| *letter == '*')
}

enum Step {
    Star,
    One(usize),
    No,
}

fn step(pattern: &[char], at: usize, name: &[char], place: usize) -> Step {
    let letter = name.get(place).copied().unwrap_or_default();
    match pattern.get(at) {
        Some('*') => Step::Star,
        Some('?') => Step::One(at + 1),
        Some('[') => class(pattern, at, letter),
        Some('\\') if pattern.get(at + 1) == Some(&letter) => Step::One(at + 2),
        Some(wanted) if *wanted == letter => Step::One(at + 1),
        Some(_) | None => Step::No,
    }
}

fn class(pattern: &[char], at: usize, letter: char) -> Step {
    let inside = pattern.get(at + 1..).unwrap_or_default();
    let is_negated = inside.first() == Some(&'^');
    let skipped = usize::from(is_negated);
    let inside = inside.get(skipped..).unwrap_or_default();
    let Some(end) = inside.iter().position(|letter| *letter == ']') else {
        return Step::No;
    };
    let members = inside.get(..end).unwrap_or_default();
    let mut is_member = false;
    let mut rest = members;
    while let Some((first, after)) = rest.split_first() {
        if let [dash, last, more @ ..] = after
            && *dash == '-'
        {
            is_member |= (*first..=*last).contains(&letter);
            rest = more;
        } else {
            is_member |= *first == letter;
            rest = after;
        }
    }
    if is_member == is_negated {
        Step::No
    } else {
        Step::One(at + 1 + skipped + end + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_files() {
        let cases = [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "aXbYbc", true),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("*", "", true),
            ("[a", "a", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_folder_is_read_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.json", "a.json", "c.txt"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let found = expand(&folder.path().join("*.json"), 2).expect("read");
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()).collect();
        assert_eq!(names, ["a.json", "b.json"]);
        assert!(expand(&folder.path().join("*"), 2).is_err());
        let missing = expand(&folder.path().join("no/*.json"), 2).expect("nothing");
        assert!(missing.is_empty());
    }
}
