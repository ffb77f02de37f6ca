//! Texts with `{names}` in them, as the gateway's configuration uses them. Nothing is evaluated:
//! a name becomes its value, `{{` and `}}` become braces.

/// A `{name}` that has no value here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// Not one of the names known at this place.
    #[error("`{{{0}}}` has no meaning here")]
    Unknown(String),
    /// A brace that doesn't close or open.
    #[error("a brace that doesn't match: write {{{{ or }}}} for a brace itself")]
    Brace,
}

/// Puts values into a template.
pub(crate) fn expand<'v>(
    template: &str,
    value_of: impl Fn(&str) -> Option<&'v str>,
) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(template.len() + 32);
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' if chars.next_if_eq(&'{').is_some() => out.push('{'),
            '}' if chars.next_if_eq(&'}').is_some() => out.push('}'),
            '{' => {
                let mut name = String::new();
                loop {
                    match chars.next() {
                        Some('}') => break,
                        Some(c) => name.push(c),
                        None => return Err(TemplateError::Brace),
                    }
                }
                match value_of(&name) {
                    Some(value) => out.push_str(value),
                    None => return Err(TemplateError::Unknown(name)),
                }
            }
            '}' => return Err(TemplateError::Brace),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// Whether every name in a template is one of `names`.
pub(crate) fn check(template: &str, names: &[&str]) -> Result<(), TemplateError> {
    expand(template, |name| names.contains(&name).then_some("")).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_values() {
        let value_of = |name: &str| (name == "token").then_some("t1");
        let unknown = TemplateError::Unknown("x".to_owned());
        for (template, expected) in [
            ("Bearer {token}", Ok("Bearer t1")),
            ("{{\"a\": \"{token}\"}}", Ok("{\"a\": \"t1\"}")),
            ("", Ok("")),
            ("{x}", Err(unknown)),
            ("{token", Err(TemplateError::Brace)),
            ("a}", Err(TemplateError::Brace)),
        ] {
            assert_eq!(
                expand(template, value_of),
                expected.map(str::to_owned),
                "{template}"
            );
        }
    }
}
