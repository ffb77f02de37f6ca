//! `/api/v1/targets/relabel_steps`: what each rule of a job makes of labels, as Prometheus 3 tells it.

use serde::{Deserialize, Serialize};

use super::super::Shared;
use super::super::relabel::{LabelSet, Rule};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WantedSteps {
    #[serde(default)]
    scrape_pool: String,
    #[serde(default)]
    labels: String,
}

#[derive(Serialize)]
pub(super) struct Steps {
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    rule: ShownRule,
    output: LabelSet,
    keep: bool,
}

/// A rule under the names of the configuration.
#[derive(Serialize)]
struct ShownRule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_labels: Vec<String>,
    separator: String,
    regex: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    modulus: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    target_label: String,
    replacement: String,
    action: &'static str,
}

impl From<&Rule> for ShownRule {
    fn from(rule: &Rule) -> Self {
        Self {
            source_labels: rule.source_labels.clone(),
            separator: rule.separator.clone(),
            regex: rule.pattern.text().to_owned(),
            modulus: Some(rule.modulus).filter(|modulus| *modulus > 0),
            target_label: rule.target_label.clone(),
            replacement: rule.replacement.clone(),
            action: rule.action.word(),
        }
    }
}

/// The labels behind each rule; once they are dropped there are none.
pub(super) fn steps(shared: &Shared, wanted: &WantedSteps) -> Result<Steps, String> {
    for (name, value) in [
        ("scrapePool", &wanted.scrape_pool),
        ("labels", &wanted.labels),
    ] {
        if value.is_empty() {
            return Err(format!("no {name} parameter provided"));
        }
    }
    let mut labels: LabelSet = serde_json::from_str(&wanted.labels)
        .map_err(|error| format!("error parsing labels: {error}"))?;
    labels.retain(|_, value| !value.is_empty());
    let job = shared.job(&wanted.scrape_pool).ok_or_else(|| {
        let name = &wanted.scrape_pool;
        format!("error retrieving scrape config: there is no scrape pool {name:?}")
    })?;
    let mut keep = true;
    let steps = job.relabel.iter().map(|rule| {
        keep = keep && rule.apply(&mut labels);
        Step {
            rule: ShownRule::from(rule),
            output: if keep {
                labels.clone()
            } else {
                LabelSet::new()
            },
            keep,
        }
    });
    Ok(Steps {
        steps: steps.collect(),
    })
}
