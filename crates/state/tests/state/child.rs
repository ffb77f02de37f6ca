//! Another process that uses the same database: this test program once more, with a task in its
//! environment.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, ExitStatus, Stdio};

use base::secret::Secret;
use state::Location;

use crate::site::{Opened, Site};
use crate::transactions::add_one;

const TASK: &str = "STATE_TEST_CHILD_TASK";
const SQLITE: &str = "STATE_TEST_CHILD_SQLITE";
const POSTGRES: &str = "STATE_TEST_CHILD_POSTGRES";
/// A line for each commit begins so.
const COMMITTED: &str = "committed";

pub(crate) struct Child {
    process: std::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    pub(crate) fn start(site: &Site, task: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child::entry", "--nocapture"]);
        command.env(TASK, task).env_remove("LANDLINE_TEST_SKIPS");
        match &site.location {
            Location::Sqlite(path) => command.env(SQLITE, path),
            Location::Postgres(url) => command.env(POSTGRES, url.expose()),
        };
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        for line in self.lines.by_ref() {
            line.unwrap();
        }
        self.process.wait().unwrap()
    }

    /// Kills it once it has committed so often, and returns how often it said to have.
    pub(crate) fn kill_after_lines(&mut self, count: u64) -> u64 {
        let mut seen = 0;
        let mut is_killed = false;
        while let Some(Ok(line)) = self.lines.next() {
            seen += u64::from(line.contains(COMMITTED));
            if seen >= count && !is_killed {
                self.process.kill().unwrap();
                is_killed = true;
            }
        }
        assert!(is_killed, "it ended by itself after {seen} commits");
        self.process.wait().unwrap();
        seen
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill() {
            println!("the child was gone: {error}");
        }
        self.process.wait().unwrap();
    }
}

/// Does what the environment says; as a test among others it does nothing.
#[tokio::test]
async fn entry() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let location = match (std::env::var(SQLITE), std::env::var(POSTGRES)) {
        (Ok(path), _) => Location::Sqlite(PathBuf::from(path)),
        (_, Ok(url)) => Location::Postgres(Secret::new(url)),
        _ => panic!("no database"),
    };
    let opened = Opened::at(&location).await;
    let (verb, argument) = task.split_once(' ').unwrap();
    match verb {
        "add" => {
            for index in 0..argument.parse().unwrap() {
                add_one(&opened).await;
                writeln!(std::io::stdout(), "{COMMITTED} {index}").unwrap();
            }
        }
        "touch" => {
            let mut write = opened.state.write().await.unwrap();
            write.touch(argument.to_owned().leak());
            write.commit().await.unwrap();
        }
        other => panic!("no such task: {other}"),
    }
    opened.close().await;
}
