//! `landline store …`: the samples of a monitor that does not run. Each command takes the store's lock,
//! so that a running process and it never meet.

mod check;
mod export;
mod import;
mod inspect;
mod remote;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use base::supervise::Supervisor;
use clap::Subcommand;
use monitor::config::MonitorConfig;
use signals::disk::RealDisk;
use signals::{Objects, Options, SegmentFacts, Store, StoreError};
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::runtime::Runtime;

use super::asking;
use super::asking::output::Output;
use super::asking::progress::{Progress, Unit};
use super::asking::{CommandError, Outcome, text};
use crate::config;
use crate::environment::Environment;

/// What every store has.
const MANIFEST: &str = "MANIFEST";

/// `landline store …`
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Show segments, times, series, bytes, and the labels with most values
    #[command(after_help = "Example: landline store inspect --json")]
    Inspect(InspectArguments),
    /// Read every byte and name what is damaged; nothing is changed
    #[command(after_help = "Example: landline store verify")]
    Verify(InspectArguments),
    /// Bring all to its smallest form: one segment for ten days, nothing that was deleted
    #[command(after_help = "Example: landline store compact")]
    Compact(CompactArguments),
    /// Save what can be read of damaged segments and of a damaged log
    ///
    /// Originals of what is damaged are kept in the folder `damaged` of the store.
    #[command(after_help = "Example: landline store repair")]
    Repair(RepairArguments),
    /// Write samples as OpenMetrics with time stamps, or as Parquet
    #[command(
        after_help = "Examples:\n  landline store export --match 'up{job=\"node\"}' --since 7d --output up.txt\n  landline store export --parquet samples.parquet"
    )]
    Export(ExportArguments),
    /// Bring in the data directory of a Prometheus with its log, a snapshot of it, or what a server
    /// gives by remote read
    ///
    /// After an interruption the same command goes on where it was.
    #[command(
        after_help = "Examples:\n  landline store import /var/lib/prometheus/metrics2\n  landline store import --remote-read http://127.0.0.1:9090/api/v1/read --from 30d"
    )]
    Import(ImportArguments),
}

/// Which store.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The folder of the store [default: `signals` in the data directory]
    #[arg(long, value_name = "FOLDER")]
    store: Option<PathBuf>,
    /// The configuration file [default: landline.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Which store, and for whom the answer is.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArguments {
    #[command(flatten)]
    place: Place,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// Which store.
#[derive(Debug, clap::Args)]
pub(crate) struct CompactArguments {
    #[command(flatten)]
    place: Place,
}

/// Which store, and whether to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct RepairArguments {
    #[command(flatten)]
    place: Place,
    /// Don't ask
    #[arg(long)]
    yes: bool,
}

/// Which samples, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArguments {
    /// Only series that this selector matches
    #[arg(long = "match", value_name = "SELECTOR")]
    selector: Option<String>,
    /// Only samples from this time on: 7d, 2026-11-21, or 2026-11-21T16:50:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only samples before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The file; it appears once it is whole [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A file of Parquet with a row for each sample, for DuckDB, pandas and others
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    parquet: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// From where.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArguments {
    /// The data directory of a Prometheus that does not run, or a folder below its `snapshots`
    #[arg(
        required_unless_present = "remote_read",
        conflicts_with = "remote_read"
    )]
    folder: Option<PathBuf>,
    /// The URL of a server's remote read, such as http://127.0.0.1:9090/api/v1/read
    #[arg(long, value_name = "URL", requires = "from")]
    remote_read: Option<String>,
    #[command(flatten)]
    stretch: Stretch,
    /// Only say what would come in
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

/// What is asked for by remote read, and with which proof.
#[derive(Debug, clap::Args)]
pub(crate) struct Stretch {
    /// Samples from this time on: 30d, 2026-11-21, or 2026-11-21T16:50:00Z
    #[arg(long, value_name = "TIME", requires = "remote_read")]
    from: Option<String>,
    /// Samples before this time [default: now]
    #[arg(long, value_name = "TIME", requires = "remote_read")]
    to: Option<String>,
    /// Only series that this selector matches
    #[arg(long = "match", value_name = "SELECTOR", requires = "remote_read")]
    selector: Option<String>,
    /// A file with a token that is sent as `Authorization: Bearer`
    #[arg(long, value_name = "FILE", requires = "remote_read")]
    token_file: Option<PathBuf>,
    /// A file with `name:password`, sent as `Authorization: Basic`
    #[arg(
        long,
        value_name = "FILE",
        requires = "remote_read",
        conflicts_with = "token_file"
    )]
    login_file: Option<PathBuf>,
    /// A file of authorities that replaces the system's
    #[arg(long, value_name = "FILE", requires = "remote_read")]
    ca: Option<PathBuf>,
}

/// Runs `landline store …`
pub(crate) fn run(command: &StoreCommand, environment: &Environment) -> ExitCode {
    // Each segment has an open file.
    base::descriptors::raise_limit();
    asking::end(answer(command, environment))
}

fn answer(command: &StoreCommand, environment: &Environment) -> Outcome {
    let output = &mut Output::new();
    let found = |place: &Place| Found::of(place, environment);
    match command {
        StoreCommand::Inspect(arguments) => {
            inspect::inspect(&found(&arguments.place)?, arguments.json, output)
        }
        StoreCommand::Verify(arguments) => {
            check::verify(&found(&arguments.place)?, arguments.json, output)
        }
        StoreCommand::Compact(arguments) => compact(&found(&arguments.place)?, output),
        StoreCommand::Repair(arguments) => {
            check::repair(&found(&arguments.place)?, arguments.yes, output)
        }
        StoreCommand::Export(arguments) => export::export(&found(&arguments.place)?, arguments),
        StoreCommand::Import(arguments) => {
            let found = found(&arguments.place)?;
            let is_dry = arguments.dry_run;
            match (&arguments.folder, &arguments.remote_read) {
                (Some(folder), _) => import::import(&found, (folder, is_dry), output),
                (None, Some(url)) => {
                    // Nothing of it is read from the bucket, whose connections can't be waited for here.
                    let here = found.without_bucket();
                    asking::wait(remote::import(
                        &here,
                        (url, &arguments.stretch, is_dry),
                        output,
                    ))
                }
                (None, None) => Err(CommandError::wrong("name a folder, or --remote-read")),
            }
        }
    }
}

/// The store, and how it is opened.
struct Found {
    folder: PathBuf,
    options: Options,
    /// Drives the connections to the bucket, if there is one.
    _runtime: Option<Runtime>,
}

impl Found {
    fn of(place: &Place, environment: &Environment) -> Outcome<Self> {
        let file = place.config.as_deref();
        let loaded = config::load(file, &environment.folder, &environment.variables);
        if loaded.config.is_none() && (place.config.is_some() || place.store.is_none()) {
            return Err(CommandError::wrong(
                "the configuration can't be read; see `landline config check`, or name the folder with --store",
            ));
        }
        let (data_dir, _) = loaded.place();
        let mut runtime = None;
        let options = match &loaded.config {
            Some(config) => {
                let bucket = bucket(&config.monitor, environment)?;
                let (objects, driver) = bucket.unzip();
                runtime = driver;
                config.monitor.options(objects)
            }
            None => Options::default(),
        };
        let folder = place.store.clone();
        let folder = folder.unwrap_or_else(|| data_dir.join(monitor::FOLDER));
        let remotes = folder
            .parent()
            .map(|above| above.join(monitor::remote::FOLDER));
        Ok(Self {
            options: Options {
                // What waits in the log for other stores; the next start lets it go if there are none.
                keep_log: remotes.is_some_and(|remotes| remotes.is_dir()),
                ..options
            },
            folder,
            _runtime: runtime,
        })
    }

    /// The same store without what lies in the bucket.
    fn without_bucket(&self) -> Self {
        Self {
            folder: self.folder.clone(),
            options: Options {
                objects: None,
                ..self.options.clone()
            },
            _runtime: None,
        }
    }

    /// The store's files. There has to be a store.
    fn disk(&self) -> Outcome<Arc<RealDisk>> {
        if !self.folder.join(MANIFEST).is_file() {
            let folder = self.folder.display();
            return Err(CommandError::wrong(format!(
                "there is no store of samples in {folder}; --store names another folder"
            )));
        }
        Ok(self.new_disk())
    }

    /// The same, where a store may be made.
    fn new_disk(&self) -> Arc<RealDisk> {
        Arc::new(RealDisk::new(&self.folder))
    }

    fn open(&self, disk: Arc<RealDisk>) -> Outcome<Store> {
        let opened = Store::open(disk, self.options.clone()).map_err(|error| failed(&error))?;
        let (store, opened) = opened;
        if let Some(cut) = opened.cut {
            eprintln!("landline: a write that nobody was told of was cut off: {cut}");
        }
        Ok(store)
    }
}

/// The bucket of the configuration, and what drives its connections while the command blocks.
fn bucket(
    config: &MonitorConfig,
    environment: &Environment,
) -> Outcome<Option<(Arc<dyn Objects>, Runtime)>> {
    let Some(objects) = &config.objects else {
        return Ok(None);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let supervisor = Supervisor::new();
    let driver = (runtime.handle().clone(), &supervisor);
    let bucket = monitor::objects::connect(objects, &environment.variables, driver);
    let bucket = bucket.map_err(|error| {
        let text = base::client::chain(&error);
        CommandError::wrong(format!("keys of the bucket (`monitor.objects`): {text}"))
    })?;
    Ok(Some((bucket, runtime)))
}

/// An error of the store with what helps.
fn failed(error: &StoreError) -> CommandError {
    let text = base::client::chain(error);
    CommandError::wrong(match error {
        StoreError::Damage(_) => {
            format!("{text}; `landline store repair` saves what can be saved")
        }
        StoreError::Locked(folder) => {
            format!("{folder} is used by a running landline; stop it first")
        }
        _ => text,
    })
}

/// `landline store compact`
fn compact(found: &Found, output: &mut Output) -> Outcome {
    let store = found.open(found.disk()?)?;
    let before = bytes_of(&found.folder) + store.object_facts().bytes;
    let samples = store.statistics().segment_samples + store.head_facts().samples;
    let mut progress = Progress::new(Unit::Samples, samples, 0);
    let done = store.compact_told(&mut |more| progress.add(more));
    progress.clear();
    done.map_err(|error| failed(&error))?;
    store.close().map_err(|error| failed(&error))?;
    let after = bytes_of(&found.folder) + store.object_facts().bytes;
    let segments = store.segment_facts();
    let samples: u64 = segments.iter().map(|segment| segment.samples).sum();
    output.line(&format!(
        "{} samples in {} segments: {} before, {} now, {} a sample",
        text::number(samples),
        segments.len(),
        text::bytes(before),
        text::bytes(after),
        per_sample(after, samples),
    ))?;
    output.flush()
}

/// Bytes of the files of a store: its segments and its log.
fn bytes_of(folder: &Path) -> u64 {
    let folders = ["segments", "wal"].map(|name| folder.join(name));
    let entries = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok());
    let lengths = entries.flatten().filter_map(|entry| {
        let found = entry.ok()?.metadata().ok()?;
        found.is_file().then_some(found.len())
    });
    lengths.sum()
}

/// Where a segment lies.
fn place(facts: &SegmentFacts) -> &'static str {
    if facts.is_object { "bucket" } else { "disk" }
}

/// With two decimals.
fn per_sample(bytes: u64, samples: u64) -> String {
    if samples == 0 {
        return "-".to_owned();
    }
    format!("{:.2} B", bytes as f64 / samples as f64)
}

/// A time in milliseconds since 1970, as people read it.
fn shown(milliseconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000);
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    let text = time.ok().and_then(|time| time.format(form).ok());
    text.unwrap_or_else(|| format!("{milliseconds} ms"))
}
