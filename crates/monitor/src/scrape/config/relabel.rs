//! `relabel_configs` and `metric_relabel_configs`.

use base::config::{Field, Section};

use super::job::Validation;
use super::values::{integer, is_null, item, text, texts};
use crate::scrape::relabel::{Action, DEFAULT_REPLACEMENT, DEFAULT_SEPARATOR, Pattern, Rule};

/// Rules of one list.
const RULES_MAX: usize = 10_000;

const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

/// Reads a list of rules.
pub(super) fn read(field: &Field<'_>, validation: Validation) -> Option<Vec<Rule>> {
    let rules = field.list(|item| read_rule(&item, validation))?;
    if rules.len() > RULES_MAX {
        field.error(format!("more than {RULES_MAX} rules"), None);
    }
    Some(rules)
}

/// Which keys a rule has.
struct Given {
    source_labels: bool,
    separator: bool,
    regex: bool,
    modulus: bool,
    target_label: bool,
    replacement: bool,
}

fn read_rule(field: &Field<'_>, validation: Validation) -> Option<Rule> {
    let mut section = item(field, "rule")?;
    if is_null(&section, "action") {
        section.field().error("`action` is empty", None);
    }
    let action = section.optional("action");
    let action = action.and_then(|field| read_action(&field));
    let sources = section.optional("source_labels");
    let sources = sources.and_then(|field| texts(&field));
    let separator = text(&mut section, "separator");
    let regex = section.optional("regex");
    let pattern = regex.as_ref().and_then(read_pattern);
    let modulus = integer(&mut section, "modulus");
    let target = text(&mut section, "target_label");
    let replacement = text(&mut section, "replacement");
    let has_regex = regex.is_some();
    if has_regex && pattern.is_none() {
        section.finish();
        return None;
    }
    let given = Given {
        source_labels: sources.is_some(),
        separator: separator
            .as_ref()
            .is_some_and(|text| text != DEFAULT_SEPARATOR),
        regex: pattern
            .as_ref()
            .is_some_and(|pattern| !pattern.is_default()),
        modulus: modulus.is_some_and(|modulus| modulus > 0),
        target_label: target.as_ref().is_some_and(|text| !text.is_empty()),
        replacement: replacement
            .as_ref()
            .is_some_and(|text| text != DEFAULT_REPLACEMENT),
    };
    // A separator that is empty is one; a null one is the default.
    let rule = Rule {
        source_labels: sources.unwrap_or_default(),
        separator: separator.unwrap_or_else(|| DEFAULT_SEPARATOR.to_owned()),
        pattern: pattern.unwrap_or_default(),
        modulus: modulus.unwrap_or_default(),
        target_label: target.unwrap_or_default(),
        replacement: replacement.unwrap_or_else(|| DEFAULT_REPLACEMENT.to_owned()),
        action: action.unwrap_or(Action::Replace),
        validation,
    };
    check(&section, &rule, &given);
    section.finish();
    Some(rule)
}

fn read_action(field: &Field<'_>) -> Option<Action> {
    let text = field.text()?.to_lowercase();
    let found = ACTIONS.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let words: Vec<&str> = ACTIONS.iter().map(|(word, _)| *word).collect();
        let help = format!("known: {}", words.join(", "));
        field.error("this is no action", Some(&help));
    }
    found.map(|(_, action)| *action)
}

fn read_pattern(field: &Field<'_>) -> Option<Pattern> {
    match Pattern::new(&field.text()?) {
        Ok(pattern) => Some(pattern),
        Err(reason) => {
            field.error(format!("this is no regular expression: {reason}"), None);
            None
        }
    }
}

/// What an action needs and what it can't use, as the original has it.
fn check(section: &Section<'_>, rule: &Rule, given: &Given) {
    use Action::{
        DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace,
        Uppercase,
    };
    let field = section.field();
    let word = rule.action.word();
    let needs_target = matches!(
        rule.action,
        Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual
    );
    if rule.action == HashMod && !given.modulus {
        field.error("`hashmod` needs a `modulus` above 0", None);
    }
    if needs_target && !given.target_label {
        field.error(format!("`{word}` needs a `target_label`"), None);
        return;
    }
    let has_variable = rule.action == Replace && rule.target_label.contains('$');
    if needs_target && !has_variable && !rule.validation.allows_label(&rule.target_label) {
        field.error(format!("`target_label` of `{word}` is no label"), None);
    }
    let is_other_case = matches!(rule.action, Lowercase | Uppercase);
    if is_other_case && given.replacement {
        field.error(format!("`{word}` has no `replacement`"), None);
    }
    let map_is_label =
        rule.replacement.contains('$') || rule.validation.allows_label(&rule.replacement);
    if rule.action == LabelMap && !map_is_label {
        field.error("`replacement` of `labelmap` is no label", None);
    }
    let is_comparison = matches!(rule.action, KeepEqual | DropEqual);
    if is_comparison && (given.regex || given.modulus || given.separator || given.replacement) {
        let message = format!("`{word}` has `source_labels` and `target_label` only");
        field.error(message, None);
    }
    let is_selection = matches!(rule.action, LabelDrop | LabelKeep);
    let has_more = given.source_labels
        || given.target_label
        || given.modulus
        || given.separator
        || given.replacement;
    if is_selection && has_more {
        field.error(format!("`{word}` has a `regex` only"), None);
    }
}
