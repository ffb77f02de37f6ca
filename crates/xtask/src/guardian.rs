//! The folder and the children of one run, and a guardian that ends both however the run ends.
//!
//! The guardian is a small shell process in its own process group that waits for the end of its
//! standard input. That end comes when xtask closes it, and just as well when xtask is interrupted
//! or killed, which the standard library alone could not notice. It then ends what is left and
//! removes the folder.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::failure::{Attempt, Failure};

/// Names that are tried for the folder.
const FOLDERS_MAX: u32 = 100;

/// Reads `watch T` and `forget T`, where T is a process id or, negative, a process group.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
targets=''
while read -r verb target; do
  rest=''
  for one in $targets; do [ "$one" = "$target" ] || rest="$rest $one"; done
  targets=$rest
  [ "$verb" = forget ] || targets="$targets $target"
done
send() { for one in $targets; do kill -s "$1" -- "$one" && alive=yes; done; }
send TERM
for second in 1 2 3 4 5 6 7 8; do
  alive=no
  send 0
  [ "$alive" = yes ] || break
  sleep 1
done
send KILL
rm -rf -- "$1"
"#;

/// A private folder whose contents and processes do not outlive the run.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: PathBuf,
    guardian: Child,
}

/// A folder that is named after this process; what a run in a container that was killed whole has
/// left may bear the same name.
fn new_folder() -> Result<PathBuf, Failure> {
    let base = std::env::temp_dir().join(format!("landline-test-{}", std::process::id()));
    for attempt in 0..FOLDERS_MAX {
        let folder = base.with_extension(attempt.to_string());
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made.attempt(|| format!("create {}", folder.display()))?;
                return Ok(folder);
            }
        }
    }
    Err(Failure(format!(
        "remove what is left of {}.*",
        base.display()
    )))
}

impl Stage {
    /// A new folder, open to this user only, with its guardian.
    pub(crate) fn new() -> Result<Self, Failure> {
        let folder = new_folder()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", SCRIPT, "guardian"])
            .arg(&folder)
            .current_dir("/")
            .process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let guardian = command
            .spawn()
            .attempt(|| "start the guardian (sh)".to_owned())?;
        Ok(Self { folder, guardian })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts `command`, which must not outlive the run. With a `group` of its own it is out of
    /// reach of the terminal's Ctrl-C.
    pub(crate) fn start(&mut self, command: &mut Command, group: bool) -> Result<Child, Failure> {
        if group {
            command.process_group(0);
        }
        let what = command.get_program().display().to_string();
        let child = command.spawn().attempt(|| format!("start {what}"))?;
        let sign = if group { "-" } else { "" };
        self.tell(&format!("watch {sign}{}\n", child.id()))?;
        Ok(child)
    }

    /// The child was waited for; its number may belong to someone else from now on.
    pub(crate) fn forget(&mut self, child: &Child) -> Result<(), Failure> {
        let id = child.id();
        self.tell(&format!("forget {id}\nforget -{id}\n"))
    }

    /// Ends a child started with a group of its own, at once, with everything it started.
    pub(crate) fn end(&mut self, child: &mut Child) -> Result<(), Failure> {
        let group = format!("-{}", child.id());
        // The shell's own `kill`: the program of that name is not on every machine.
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"kill -s KILL -- "$1""#, "end", &group]);
        if !crate::machine::succeeds(&mut shell) {
            child
                .kill()
                .attempt(|| format!("end process {}", child.id()))?;
        }
        child
            .wait()
            .attempt(|| format!("wait for the end of process {}", child.id()))?;
        self.forget(child)
    }

    /// Sends one instruction to the guardian.
    fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let Some(pipe) = self.guardian.stdin.as_mut() else {
            return Err(Failure::new("the guardian is gone"));
        };
        pipe.write_all(line.as_bytes())
            .attempt(|| "reach the guardian".to_owned())
    }
}

impl Drop for Stage {
    /// Closes the pipe and waits until the guardian has cleaned up.
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        if self.guardian.wait().is_err() || self.folder.exists() {
            crate::machine::say(&format!("could not remove {}", self.folder.display()));
        }
    }
}
