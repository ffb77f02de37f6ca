//! The section `collector` of the configuration, as far as records go: its defaults and the
//! validated values. The page for operators is `docs/operate/collector.md`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use base::config::{Field, Section, as_bytes, as_keep};
use serde::Serialize;

use super::pattern::Pattern;
use super::scrub::{self, Scrub};
use crate::artefacts::config::ArtefactsConfig;

/// The id that every client of Clear Linux sends.
pub const CLEAR_LINUX_TID: &str = "6907c830-eed9-4ce9-81ae-76daf8d88f0f";
/// The largest body that may be configured.
const BODY_LIMIT_MAX: u64 = 64 << 20;
/// Projects of one collector.
const PROJECTS_MAX: usize = 1_000;
/// Rules of one project.
const RULES_MAX: usize = 100;
pub(super) const NAME_CHARACTERS_MAX: usize = 64;

/// The section `collector`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CollectorConfig {
    /// A listener of its own beside the main one.
    pub listen: Option<SocketAddr>,
    /// Telemetry records.
    pub records: RecordsConfig,
    /// Artefacts of test runs; nothing when the section is not there.
    pub artefacts: Option<ArtefactsConfig>,
    /// Whether the section of records is there.
    #[serde(skip)]
    pub names_records: bool,
}

/// The section `collector.records`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordsConfig {
    /// An invalid record is refused with the original's message instead of kept in quarantine.
    pub strict: bool,
    /// The largest body of a record, in bytes.
    #[serde(serialize_with = "as_bytes")]
    pub body_limit: u64,
    /// Whether a record that was sent again is kept once only.
    pub drop_repeated: bool,
    /// How fast one machine may send; more is answered as usual and not kept.
    pub machine_rate: Option<Rate>,
    /// Whom the ids that clients send stand for.
    pub projects: Vec<ProjectConfig>,
}

/// A project: what one id of clients stands for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProjectConfig {
    /// Its name; the label `project` of what belongs to it.
    pub name: String,
    /// The id that clients send as `X-Telemetry-TID`.
    pub tid: String,
    /// How fast all its machines together may send.
    pub rate: Option<Rate>,
    /// What happens to records that fit; the first rule decides.
    pub rules: Vec<Rule>,
    /// What is taken out of payloads before they are kept.
    pub scrub: Vec<Scrub>,
    /// Whether ids of machines are replaced by others that tell nothing.
    pub hide_machines: bool,
    /// How long records are kept.
    pub retention: Retention,
}

/// So many in a minute, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// In a minute.
    pub per_minute: u32,
    /// At once, after a pause.
    pub burst: u32,
}

/// One rule of intake.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rule {
    /// Which records.
    pub of: Filter,
    /// What happens to them.
    pub action: Action,
}

/// Which records a rule is about: those that fit everything that is said.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Filter {
    /// Their classification; `*` stands for anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classification: Option<Pattern>,
    /// Their severity, 1 to 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<u8>,
    /// Their build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Pattern>,
    /// Their machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<Pattern>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Keeps it, whatever later rules say.
    Allow,
    /// Puts it into quarantine, from where it can be released.
    Defer,
    /// Answers as usual and does not keep it.
    Drop,
    /// Keeps one of so many, chosen by machine, so that a machine is in it whole or not at all.
    Sample(u32),
}

/// How long records are kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Retention {
    /// Those that no filter is about; for ever without it.
    #[serde(serialize_with = "as_keep")]
    pub unfiltered: Option<Duration>,
    /// The others. Of several that fit, the longest time holds.
    pub filters: Vec<Keep>,
}

/// How long some records are kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Keep {
    /// Which.
    pub of: Filter,
    /// How long; for ever without it.
    #[serde(serialize_with = "as_keep")]
    pub keep: Option<Duration>,
}

impl Default for RecordsConfig {
    fn default() -> Self {
        Self {
            strict: false,
            body_limit: 1 << 20,
            drop_repeated: true,
            machine_rate: Some(Rate {
                per_minute: 120,
                burst: 240,
            }),
            projects: vec![ProjectConfig {
                name: "clear-linux".to_owned(),
                tid: CLEAR_LINUX_TID.to_owned(),
                rate: None,
                rules: Vec::new(),
                scrub: Vec::new(),
                hide_machines: false,
                retention: Retention::default(),
            }],
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            unfiltered: Some(Duration::from_hours(35 * 24)),
            filters: Vec::new(),
        }
    }
}

impl CollectorConfig {
    /// Reads the section; reports what is wrong in it.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let listen = section.optional("listen").and_then(|field| field.address());
        let records = section
            .optional("records")
            .and_then(|field| RecordsConfig::read(&field));
        let artefacts = section
            .optional("artefacts")
            .and_then(|field| ArtefactsConfig::read(&field));
        let names_records = records.is_some();
        section.finish();
        Some(Self {
            listen,
            records: records.unwrap_or_default(),
            artefacts,
            names_records,
        })
    }
}

impl RecordsConfig {
    fn read(field: &Field<'_>) -> Option<Self> {
        let default = Self::default();
        let mut section = field.section()?;
        let strict = section.optional("strict").and_then(|field| field.boolean());
        let drop_repeated = section
            .optional("drop_repeated")
            .and_then(|field| field.boolean());
        let body_limit = section.optional("body_limit").and_then(|field| {
            let bytes = field.bytes()?;
            if !(1..=BODY_LIMIT_MAX).contains(&bytes) {
                field.error("the largest body may be 1B to 64MiB", None);
            }
            Some(bytes)
        });
        let machine_rate = match section.optional("machine_rate") {
            Some(field) => read_rate(&field),
            None => default.machine_rate,
        };
        let projects = section.optional("projects").and_then(|field| {
            let projects = field.list(|field| ProjectConfig::read(&field))?;
            check_projects(&field, &projects);
            Some(projects)
        });
        section.finish();
        Some(Self {
            strict: strict.unwrap_or(default.strict),
            body_limit: body_limit.unwrap_or(default.body_limit),
            drop_repeated: drop_repeated.unwrap_or(default.drop_repeated),
            machine_rate,
            projects: projects.unwrap_or(default.projects),
        })
    }
}

fn check_projects(field: &Field<'_>, projects: &[ProjectConfig]) {
    if projects.is_empty() {
        let help = "leave `projects` out for the one of Clear Linux";
        field.error("a collector without projects takes nothing", Some(help));
    }
    if projects.len() > PROJECTS_MAX {
        field.error(format!("at most {PROJECTS_MAX} projects"), None);
    }
    for (of, value) in [
        ("name", (|p: &ProjectConfig| &p.name) as fn(&_) -> &String),
        ("tid", |p: &ProjectConfig| &p.tid),
    ] {
        let mut seen = BTreeSet::new();
        for project in projects {
            if !seen.insert(value(project)) {
                let text = format!("two projects have the {of} {:?}", value(project));
                field.error(text, None);
            }
        }
    }
}

impl ProjectConfig {
    fn read(field: &Field<'_>) -> Option<Self> {
        let mut section = field.section()?;
        let name = section.required("name").and_then(|field| {
            let name = field.text()?;
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || name.len() > NAME_CHARACTERS_MAX || !name.chars().all(is_plain) {
                let help = "letters, digits, `-`, `_` and `.`, at most 64";
                field.error("this can't be the name of a project", Some(help));
            }
            Some(name)
        });
        let tid = section.required("tid").and_then(|field| {
            let tid = field.text()?;
            let is_visible = tid.chars().all(|c| c.is_ascii_graphic());
            if tid.is_empty() || tid.len() > 200 || !is_visible {
                field.error("clients send visible ASCII without blanks here", None);
            }
            Some(tid)
        });
        let rate = section.optional("rate").and_then(|field| read_rate(&field));
        let rules = section.optional("rules").and_then(|field| {
            let rules = field.list(|field| read_rule(&field))?;
            if rules.len() > RULES_MAX {
                field.error(format!("at most {RULES_MAX} rules"), None);
            }
            Some(rules)
        });
        let scrub = section.optional("scrub").and_then(|field| {
            let rules = field.list(|field| Scrub::read(&field))?;
            if rules.len() > scrub::RULES_MAX {
                field.error(format!("at most {} expressions", scrub::RULES_MAX), None);
            }
            Some(rules)
        });
        let hide_machines = section
            .optional("hide_machines")
            .and_then(|field| field.boolean());
        let retention = section
            .optional("retention")
            .and_then(|field| read_retention(&field));
        section.finish();
        Some(Self {
            name: name?,
            tid: tid?,
            rate,
            rules: rules.unwrap_or_default(),
            scrub: scrub.unwrap_or_default(),
            hide_machines: hide_machines.unwrap_or_default(),
            retention: retention.unwrap_or_default(),
        })
    }
}

fn read_rate(field: &Field<'_>) -> Option<Rate> {
    let mut section = field.section()?;
    let mut number = |key| {
        let number = section.required(key)?.integer(1..=1_000_000)?;
        u32::try_from(number).ok()
    };
    let (per_minute, burst) = (number("per_minute"), number("burst"));
    section.finish();
    Some(Rate {
        per_minute: per_minute?,
        burst: burst?,
    })
}

fn read_filter(section: &mut Section<'_>) -> Filter {
    let mut pattern = |key| {
        let text = section.optional(key)?.text()?;
        Some(Pattern::new(&text))
    };
    let (classification, build) = (pattern("classification"), pattern("build"));
    let machine_id = pattern("machine_id");
    let severity = section
        .optional("severity")
        .and_then(|field| field.integer(1..=4))
        .and_then(|severity| u8::try_from(severity).ok());
    Filter {
        classification,
        severity,
        build,
        machine_id,
    }
}

fn read_rule(field: &Field<'_>) -> Option<Rule> {
    let mut section = field.section()?;
    let of = read_filter(&mut section);
    let one_of = section
        .optional("one_of")
        .and_then(|field| field.integer(2..=1_000_000))
        .and_then(|number| u32::try_from(number).ok());
    let action = section.required("action").and_then(|field| {
        let sample = Action::Sample(one_of.unwrap_or(0));
        let action = field.choice(&[
            ("allow", Action::Allow),
            ("defer", Action::Defer),
            ("drop", Action::Drop),
            ("sample", sample),
        ])?;
        if (action == sample) != one_of.is_some() {
            let help = "write `action: sample` together with `one_of: 10`";
            field.error("`sample` and `one_of` belong together", Some(help));
        }
        Some(action)
    });
    section.finish();
    Some(Rule {
        of,
        action: action?,
    })
}

fn read_retention(field: &Field<'_>) -> Option<Retention> {
    let mut section = field.section()?;
    let unfiltered = match section.optional("unfiltered") {
        Some(field) => read_keep(&field)?,
        None => Retention::default().unfiltered,
    };
    let filters = section.optional("filters").and_then(|field| {
        field.list(|field| {
            let mut section = field.section()?;
            let of = read_filter(&mut section);
            let keep = section.required("keep").and_then(|field| read_keep(&field));
            section.finish();
            if of == Filter::default() {
                let help = "name a classification, severity, build or machine_id";
                field.error("this would be about all records", Some(help));
            }
            Some(Keep { of, keep: keep? })
        })
    });
    section.finish();
    Some(Retention {
        unfiltered,
        filters: filters.unwrap_or_default(),
    })
}

/// A time, or `forever`.
#[expect(
    clippy::option_option,
    reason = "whether it can be read, and whether it ends"
)]
fn read_keep(field: &Field<'_>) -> Option<Option<Duration>> {
    if field.text()? == "forever" {
        return Some(None);
    }
    let keep = field.duration()?;
    if keep.is_zero() {
        let help = "write `forever`, which 0 meant in the original, or a time such as 1d";
        field.error("nothing is kept for no time", Some(help));
    }
    Some(Some(keep))
}
