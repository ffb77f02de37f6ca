//! A `prometheus.yml` as it is: read with places, so that every problem names its line and key, and
//! all are told at once. What is not supported is refused by name. What later parts of the program
//! use is kept, with a warning until they do.

mod discovery;
mod global;
mod http;
mod job;
mod other;
mod relabel;
#[cfg(test)]
mod tests;
pub(super) mod values;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::config::{Context, Document, Field, Problem, Severity, SyntaxError};
use base::files;

pub use discovery::{
    Discovery, DnsConfig, DnsKind, DockerConfig, DockerHost, FileConfig, Group, HttpConfig,
};
pub use global::Global;
pub use http::{BasicAuth, ClientAuth, HttpOptions, Oauth2, Proxy, ServerUrl};
pub use job::{Escaping, Histograms, JobConfig, Limits, Protocol, Validation};
pub use other::{Alerting, Otlp, Translation};

use super::glob;

/// The largest configuration file.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files that patterns of `scrape_config_files` may name.
const FILES_MAX: usize = 1_000;

/// What a `prometheus.yml` and the files that it names say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PrometheusConfig {
    /// `global`.
    pub global: Global,
    /// `scrape_configs`, of all files, in order.
    pub jobs: Vec<Arc<JobConfig>>,
    /// `rule_files`, as written.
    pub rule_files: Vec<String>,
    /// `alerting`.
    pub alerting: Option<Alerting>,
    /// `otlp`.
    pub otlp: Otlp,
    /// The text of the file without its secrets.
    pub text: String,
}

/// A problem and the file that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// The file.
    pub file: PathBuf,
    /// The problem.
    pub problem: Problem,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem {
            path,
            line,
            column,
            message,
            help,
            ..
        } = &self.problem;
        write!(f, "{}:{line}:{column}: ", self.file.display())?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)?;
        match help.as_deref().filter(|help| !help.is_empty()) {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// All that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Errors and warnings, in the order of files and lines.
    pub problems: Vec<FileProblem>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_error = |found: &&FileProblem| found.problem.severity == Severity::Error;
        for (at, found) in self.problems.iter().filter(is_error).enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{found}")?;
        }
        Ok(())
    }
}

/// A configuration, and what will not work of it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: PrometheusConfig,
    /// Warnings.
    pub warnings: Vec<FileProblem>,
}

/// Reads a file and those that it names.
///
/// # Errors
/// Everything that is wrong with them.
pub fn load(path: &Path, environment: &BTreeMap<String, String>) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let config = read_main(path, environment, &mut problems);
    let is_wrong = problems
        .iter()
        .any(|found: &FileProblem| found.problem.severity == Severity::Error);
    match config.filter(|_| !is_wrong) {
        Some(config) => Ok(Loaded {
            config,
            warnings: problems,
        }),
        None => Err(ConfigError { problems }),
    }
}

/// What readers note of a file beside its problems.
#[derive(Debug, Default)]
struct Reading {
    /// Where secrets stand in the text.
    secrets: RefCell<Vec<Range<usize>>>,
}

/// One of the files.
struct File {
    path: PathBuf,
    text: String,
    document: Document,
    context: Context,
    reading: Reading,
}

impl File {
    fn open(
        path: &Path,
        environment: &BTreeMap<String, String>,
        problems: &mut Vec<FileProblem>,
    ) -> Option<Self> {
        let text = match files::read_text_limited(path, FILE_BYTES_MAX) {
            Ok(text) => text,
            Err(error) => {
                problems.push(whole(path, &format!("the file can't be read: {error}")));
                return None;
            }
        };
        let document = match Document::parse(&text) {
            Ok(document) => document,
            Err(error) => {
                problems.push(syntax(path, &error));
                return None;
            }
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        Some(Self {
            path: path.to_owned(),
            text,
            document,
            context: Context::new(folder, environment.clone()),
            reading: Reading::default(),
        })
    }

    fn root(&self) -> Field<'_> {
        Field::root(&self.document.root, &self.context)
    }

    fn close(self, problems: &mut Vec<FileProblem>) {
        let own = self.context.take_problems();
        problems.extend(own.into_iter().map(|problem| FileProblem {
            file: self.path.clone(),
            problem,
        }));
    }

    /// The text without secrets.
    fn shown(&self) -> String {
        let mut spans = self.reading.secrets.borrow().clone();
        spans.sort_by_key(|span| span.start);
        let mut shown = String::with_capacity(self.text.len());
        let mut at = 0;
        for span in spans {
            if span.start < at {
                continue;
            }
            shown.push_str(self.text.get(at..span.start).unwrap_or_default());
            shown.push_str("<secret>");
            // A block scalar's span ends behind its line.
            let inside = self.text.get(span.start..span.end).unwrap_or_default();
            if inside.ends_with('\n') {
                shown.push('\n');
            }
            at = span.end;
        }
        shown.push_str(self.text.get(at..).unwrap_or_default());
        shown
    }
}

fn whole(path: &Path, message: &str) -> FileProblem {
    let error = SyntaxError {
        message: message.to_owned(),
        line: 1,
        column: 1,
        offset: 0,
    };
    syntax(path, &error)
}

fn syntax(path: &Path, error: &SyntaxError) -> FileProblem {
    FileProblem {
        file: path.to_owned(),
        problem: Problem {
            severity: Severity::Error,
            path: String::new(),
            line: error.line,
            column: error.column,
            span: error.offset..error.offset,
            message: error.message.clone(),
            help: None,
        },
    }
}

fn read_main(
    path: &Path,
    environment: &BTreeMap<String, String>,
    problems: &mut Vec<FileProblem>,
) -> Option<PrometheusConfig> {
    let file = File::open(path, environment, problems)?;
    let Some(mut section) = file.root().section() else {
        file.close(problems);
        return None;
    };
    let global = section.optional("global");
    let global = global.and_then(|field| global::read(&field));
    let global = global.unwrap_or_default();
    let mut names = Names::default();
    let jobs = section.optional("scrape_configs");
    let mut jobs = read_jobs(jobs, (&global, &file.reading), &mut names);
    let patterns = section.optional("scrape_config_files");
    let patterns = patterns.and_then(|field| other::patterns(&field));
    let rule_files = section.optional("rule_files");
    let rule_files = rule_files.and_then(|field| other::rule_files(&field));
    let alerting = section.optional("alerting");
    let alerting = alerting.and_then(|field| other::alerting(&field, &file.reading));
    let otlp = section.optional("otlp");
    let otlp = otlp.and_then(|field| other::otlp(&field, &global));
    other::ignored(&mut section);
    other::refused(&mut section);
    section.finish();
    let text = file.shown();
    file.close(problems);
    for (pattern, place) in patterns.unwrap_or_default() {
        match glob::expand(&pattern, FILES_MAX) {
            Ok(paths) => {
                for found in paths {
                    let more = read_jobs_file(&found, (&global, environment), &mut names, problems);
                    jobs.extend(more);
                }
            }
            Err(reason) => problems.push(FileProblem {
                file: path.to_owned(),
                problem: Problem {
                    message: reason,
                    ..place
                },
            }),
        }
    }
    Some(PrometheusConfig {
        global,
        jobs,
        rule_files: rule_files.unwrap_or_default(),
        alerting,
        otlp: otlp.unwrap_or_default(),
        text,
    })
}

/// Names of jobs, which occur once in all files.
#[derive(Debug, Default)]
struct Names(std::collections::HashSet<String>);

fn read_jobs(
    field: Option<Field<'_>>,
    (global, reading): (&Global, &Reading),
    names: &mut Names,
) -> Vec<Arc<JobConfig>> {
    let jobs = field.and_then(|field| {
        field.list(|item| {
            let job = job::read(&item, global, reading)?;
            if !job.name.is_empty() && !names.0.insert(job.name.clone()) {
                let shown = job.name.escape_debug();
                item.error(format!("a job `{shown}` is defined already"), None);
            }
            Some(Arc::new(job))
        })
    });
    jobs.unwrap_or_default()
}

/// A file of `scrape_config_files`: nothing but `scrape_configs`.
fn read_jobs_file(
    path: &Path,
    (global, environment): (&Global, &BTreeMap<String, String>),
    names: &mut Names,
    problems: &mut Vec<FileProblem>,
) -> Vec<Arc<JobConfig>> {
    let Some(file) = File::open(path, environment, problems) else {
        return Vec::new();
    };
    let mut jobs = Vec::new();
    if let Some(mut section) = file.root().section() {
        let field = section.optional("scrape_configs");
        jobs = read_jobs(field, (global, &file.reading), names);
        section.finish();
    }
    file.close(problems);
    jobs
}
