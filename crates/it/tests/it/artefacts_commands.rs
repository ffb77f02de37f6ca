//! `landline artefacts …` with the real program: what is put and got is whole, what breaks off goes on, and
//! names lead nowhere else.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use it::artefacts::{Store, section};
use it::program::{Program, code, command_in, program_path, send_signal};
use it::relay::{Mode, Relay};
use it::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

/// The code of a command that was answered with no.
const NO: i32 = 1;
/// What is put in parts: eight of them, the last one short.
const LARGE_BYTES: u64 = 60_000_000;
const PART_BYTES: u64 = 8_388_608;
/// A line that is slow enough to be cut in the middle: 20 MB/s.
const SLOW: Mode = Mode::Link {
    bits_per_second: 160_000_000,
    round_trip: std::time::Duration::ZERO,
};

/// Bytes that repeat nowhere.
fn content(length: u64) -> Vec<u8> {
    let length = usize::try_from(length).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A folder from which the program is found through a relay.
struct Far {
    folder: tempfile::TempDir,
    relay: Relay,
}

impl Far {
    fn of(program: &Program) -> Self {
        let relay = Relay::start(&[program.main]);
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let listeners = json!({"main": relay.address});
        std::fs::write(data.join("listeners.json"), listeners.to_string()).unwrap();
        let configuration = json!({"roles": ["collector"], "data_dir": "./data"});
        let path = folder.path().join("landline.yaml");
        std::fs::write(path, configuration.to_string()).unwrap();
        Self { folder, relay }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn run(&self, words: &[&str]) -> Output {
        command_in(self.folder.path(), &[&["artefacts"], words].concat())
    }

    /// What a command that succeeds prints.
    fn shown(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command that is refused says.
    fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(code(output.status), NO, "{words:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// One object a line.
    fn parsed(&self, words: &[&str]) -> Vec<Value> {
        let text = self.shown(&[words, &["--json"]].concat());
        let parse = |line: &str| serde_json::from_str(line).unwrap();
        text.lines().map(parse).collect()
    }

    /// Starts a command that is to be cut off.
    fn spawn(&self, words: &[&str]) -> Child {
        let mut command = Command::new(program_path());
        command.arg("artefacts").args(words);
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped()).spawn().unwrap()
    }
}

async fn uploaded(store: &Store) -> u64 {
    let name = "landline_artefacts_uploaded_bytes_total";
    let value = store.program.metric(name, &[]).await;
    value.to_string().parse().unwrap()
}

/// Whether the upload of the large file has a part that could be gone on with.
async fn has_part(store: &Store) -> bool {
    let uploads = store.s3("GET", "", &[("uploads", "")], "").await.text();
    let id = uploads.split_once("<UploadId>").unwrap().1;
    let id = id.split('<').next().unwrap();
    let asked = [("uploadId", id)];
    let parts = store.s3("GET", "/ci/7/large.bin", &asked, "");
    parts.await.text().contains("<Part>")
}

/// Puts a large file over a slow line until some of its parts are there, and cuts it off with this signal.
async fn put_and_cut(store: &Store, far: &Far, signal: Signal) -> (u64, String) {
    far.relay.set(SLOW);
    let mut child = far.spawn(&["put", "large.bin", "ci/7"]);
    wait::until("parts have come", wait::SOON * 3, async || {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "it was too fast to be cut off");
        (uploaded(store).await >= PART_BYTES).then_some(())
    })
    .await;
    far.relay.set(Mode::BlackHole);
    send_signal(child.id(), signal);
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    wait::until("a part is noted", wait::SOON, async || {
        has_part(store).await.then_some(())
    })
    .await;
    far.relay.set(Mode::Reset);
    far.relay.set(Mode::Pass);
    wait::until("nothing is on its way any more", wait::SOON, async || {
        (store.files_below("incoming") == 0).then_some(())
    })
    .await;
    let said = String::from_utf8(output.stderr).unwrap();
    (uploaded(store).await, said)
}

/// A put that was killed goes on: parts that came are not sent again, and the whole is what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_killed_goes_on() {
    let store = Store::start(section(json!({}))).await;
    let far = Far::of(&store.program);
    let bytes = content(LARGE_BYTES);
    far.write("large.bin", &bytes);
    let (before, _) = put_and_cut(&store, &far, Signal::KILL).await;
    assert!((PART_BYTES..LARGE_BYTES).contains(&before), "{before}");
    let put = far.parsed(&["put", "large.bin", "ci/7"]);
    let kept = put[0]["kept_bytes"].as_u64().unwrap();
    assert!((PART_BYTES..=before).contains(&kept), "{put:?}");
    assert_eq!(put[0]["parts"], 8, "{put:?}");
    // What was kept has come once. A part may have come whole and be cut off before it was noted.
    assert_eq!(uploaded(&store).await, before + LARGE_BYTES - kept);
    let found = store.s3("GET", "/ci/7/large.bin", &[], "").await;
    assert!(found.body == bytes, "{} bytes differ", found.body.len());
    // Nothing is left that could be gone on with.
    let uploads = store.s3("GET", "", &[("uploads", "")], "").await.text();
    assert!(!uploads.contains("<Upload>"), "{uploads}");
    get_killed(&far, &bytes).await;
}

/// A get that was killed goes on where it was.
async fn get_killed(far: &Far, bytes: &[u8]) {
    far.relay.set(SLOW);
    let mut child = far.spawn(&["get", "ci/7/large.bin", "-o", "back.bin"]);
    let part = wait::until("some has come", wait::SOON * 3, async || {
        assert!(child.try_wait().unwrap().is_none(), "it was too fast");
        let part = find_part(far.folder.path())?;
        (part.metadata().ok()?.len() > 4_000_000).then_some(part)
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    far.relay.set(Mode::Pass);
    assert!(!far.path("back.bin").exists());
    let kept = part.metadata().unwrap().len();
    assert!(kept < bytes.len() as u64);
    let got = far.parsed(&["get", "ci/7/large.bin", "-o", "back.bin"]);
    assert_eq!(got[0]["kept_bytes"], kept, "{got:?}");
    assert_eq!(got[0]["is_checked"], true, "{got:?}");
    assert!(std::fs::read(far.path("back.bin")).unwrap() == bytes);
    assert_eq!(find_part(far.folder.path()), None);
    // What is here is not fetched again; what differs is.
    let got = far.parsed(&["get", "ci/7/large.bin", "-o", "back.bin"]);
    assert_eq!(got[0]["kept_bytes"], bytes.len(), "{got:?}");
    let mut other = bytes.to_vec();
    other[30_000_000] ^= 1;
    far.write("back.bin", &other);
    let got = far.parsed(&["get", "ci/7/large.bin", "-o", "back.bin"]);
    assert_eq!(got[0]["kept_bytes"], 0, "{got:?}");
    assert!(std::fs::read(far.path("back.bin")).unwrap() == bytes);
    // What came before and is wrong is seen, and is not in the way of the next attempt.
    std::fs::remove_file(far.path("back.bin")).unwrap();
    std::fs::write(&part, &other[..40_000_000]).unwrap();
    let said = far.refused(&["get", "ci/7/large.bin", "-o", "back.bin"]);
    assert!(said.contains("is not what the collector keeps"), "{said}");
    assert!(!far.path("back.bin").exists());
    far.shown(&["get", "ci/7/large.bin", "-o", "back.bin"]);
    assert!(std::fs::read(far.path("back.bin")).unwrap() == bytes);
}

fn find_part(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.find(|path| path.extension().is_some_and(|word| word == "part"))
}

/// Ctrl-C says how to go on; another file of the same name does not go on with its parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_parts_of_the_same_file_are_gone_on_with() {
    let store = Store::start(section(json!({}))).await;
    let far = Far::of(&store.program);
    let mut bytes = content(LARGE_BYTES);
    far.write("large.bin", &bytes);
    let (before, said) = put_and_cut(&store, &far, Signal::INT).await;
    assert!(
        said.contains("the same command goes on where it was"),
        "{said}"
    );
    bytes[0] ^= 1;
    *bytes.last_mut().unwrap() ^= 1;
    let first = bytes.clone();
    bytes[9_000_000] ^= 1;
    bytes[17_000_000] ^= 1;
    bytes[26_000_000] ^= 1;
    far.write("large.bin", &bytes);
    let put = far.parsed(&["put", "large.bin", "ci/7"]);
    assert_eq!(put[0]["kept_bytes"], 0, "{put:?}");
    assert_eq!(uploaded(&store).await, before + LARGE_BYTES);
    let found = store.s3("GET", "/ci/7/large.bin", &[], "").await;
    assert!(found.body == bytes && found.body != first);
    let put = far.parsed(&["put", "large.bin", "ci/7", "--no-resume"]);
    assert_eq!(put[0]["kept_bytes"], 0, "{put:?}");
}

/// Small files, folders, other names, archives; and what is wrong is said before anything is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_put_and_got() {
    let store = Store::start(section(json!({}))).await;
    let far = Far::of(&store.program);
    far.write("a.log", b"first");
    far.write("b #%?.log", b"second");
    far.write("empty", b"");
    far.write("sub/a.log", b"other");
    let said = far.shown(&["put", "a.log", "b #%?.log", "empty", "ci/7/logs/"]);
    assert_eq!(said.lines().count(), 3, "{said}");
    far.shown(&["put", "sub/a.log", "ci/7/named"]);
    far.shown(&["get", "ci/7", "-o", "back"]);
    let read = |name: &str| std::fs::read(far.path(name)).unwrap();
    assert_eq!(read("back/logs/a.log"), b"first");
    assert_eq!(read("back/logs/b #%?.log"), b"second");
    assert_eq!(read("back/logs/empty"), b"");
    assert_eq!(read("back/named"), b"other");
    far.shown(&["get", "ci/7/logs/", "-o", "logs"]);
    assert_eq!(read("logs/a.log"), b"first");
    assert_eq!(far.shown(&["get", "ci/7/named", "-o", "-"]), "other");
    far.shown(&["get", "ci/7", "--tar", "run.tar"]);
    assert!(read("run.tar").windows(6).any(|bytes| bytes == b"second"));
    let piped = far.run(&["get", "ci/7", "--tar", "-"]);
    assert_eq!(piped.stdout, read("run.tar"));
    // An older version stays until it is removed with the file.
    far.write("a.log", b"again");
    far.shown(&["put", "a.log", "ci/7/logs/"]);
    far.shown(&["get", "ci/7", "-o", "back"]);
    assert_eq!(read("back/logs/a.log"), b"again");
    for (words, why) in [
        (
            &["put", "a.log", "sub/a.log", "ci/8"][..],
            "two of the files would be ci/8/a.log",
        ),
        (
            &["put", "a.log", "empty", "ci/8/name"],
            "several files need a folder",
        ),
        (&["put", "nothing", "ci/8"], "nothing: No such file"),
        (&["put", "sub", "ci/8"], "is no plain file"),
        (&["get", "ci/7/nothing"], "there is no file ci/7/nothing"),
        (&["get", "ci/nothing"], "there are no files in ci/nothing/"),
        (&["get", "ci/7", "-o", "-"], "--tar -"),
        (
            &["rm", "ci/7/nothing", "--yes"],
            "there is no file ci/7/nothing",
        ),
    ] {
        let said = far.refused(words);
        assert!(said.contains(why), "{words:?}: {said}");
    }
    // Nothing of what was refused is there.
    let listed = store
        .s3("GET", "", &[("list-type", "2"), ("prefix", "ci/8")], "")
        .await;
    assert!(!listed.text().contains("<Key>"), "{}", listed.text());
}

/// A file in the way of a folder is said, and the others come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_in_the_middle_leaves_the_others() {
    let store = Store::start(section(json!({}))).await;
    let far = Far::of(&store.program);
    for name in ["a", "b/c", "d"] {
        let reply = store.s3("PUT", &format!("/ci/7/{name}"), &[], name).await;
        assert_eq!(reply.status, 200);
    }
    far.write("back/b", b"mine");
    let said = far.refused(&["get", "ci/7", "-o", "back"]);
    assert!(said.contains("1 of 3 files are missing"), "{said}");
    let read = |name: &str| std::fs::read(far.path(name)).unwrap();
    assert_eq!(
        (read("back/a"), read("back/d")),
        (b"a".to_vec(), b"d".to_vec())
    );
    assert_eq!(read("back/b"), b"mine");
    std::fs::remove_file(far.path("back/b")).unwrap();
    let got = far.parsed(&["get", "ci/7", "-o", "back"]);
    let kept = got
        .iter()
        .filter(|file| file["kept_bytes"] == file["bytes"]);
    assert_eq!(kept.count(), 2, "{got:?}");
    assert_eq!(read("back/b/c"), b"b/c");
}

/// The program of this machine, which is found without being named.
struct Here {
    program: Program,
}

impl Here {
    fn run(&self, words: &[&str]) -> Output {
        self.program.command(&[&["artefacts"], words].concat())
    }

    fn shown(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn parsed(&self, words: &[&str]) -> Vec<Value> {
        let text = self.shown(&[words, &["--json"]].concat());
        let parse = |line: &str| serde_json::from_str(line).unwrap();
        text.lines().map(parse).collect()
    }

    fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(code(output.status), NO, "{words:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn names(rows: &[Value], field: &str) -> Vec<String> {
    let names = rows.iter().filter_map(|row| row[field].as_str());
    names.map(str::to_owned).collect()
}

/// Groups, runs and files are listed; runs are pinned, and removed after a yes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_listed_pinned_and_removed() {
    let program = Program::start(
        &json!({
            "roles": ["collector"],
            "listen": "127.0.0.1:0",
            "data_dir": "./data",
            "collector": {"artefacts": {"quota": {"keep_free": "1B"}}},
        })
        .to_string(),
    )
    .await;
    let here = Here { program };
    here.program.write("a", "aa");
    here.program.write("b-00.tar", "bbb");
    here.program.write("b-01.tar", "bbb");
    here.shown(&["put", "a", "b-00.tar", "b-01.tar", "ci/7"]);
    here.shown(&["put", "a", "ci/7/logs/"]);
    here.shown(&["put", "a", "ci/8"]);
    here.shown(&["put", "a", "other/8"]);
    assert_eq!(names(&here.parsed(&["ls"]), "name"), ["ci", "other"]);
    let mut runs = names(&here.parsed(&["ls", "ci"]), "run");
    runs.sort();
    assert_eq!(runs, ["7", "8"]);
    assert_eq!(
        names(&here.parsed(&["ls", "ci", "--text", "8"]), "run"),
        ["8"]
    );
    assert!(here.parsed(&["ls", "ci", "--status", "failed"]).is_empty());
    let files = here.parsed(&["ls", "ci/7"]);
    assert_eq!(names(&files, "name"), ["a", "b-00.tar", "b-01.tar"]);
    assert_eq!(names(&files, "folder"), ["logs/"]);
    let joined: Vec<&Value> = files
        .iter()
        .filter(|row| row["joined"].is_object())
        .collect();
    assert_eq!(joined.len(), 1, "{files:?}");
    assert_eq!(joined[0]["joined"]["name"], "b.tar");
    let all = here.parsed(&["ls", "ci/7", "--recursive"]);
    assert_eq!(names(&all, "name"), ["a", "b-00.tar", "b-01.tar", "logs/a"]);
    assert_eq!(
        names(&here.parsed(&["ls", "ci/7/logs/"]), "name"),
        ["logs/a"]
    );
    let said = here.refused(&["ls", "ci/7", "--tag", "x"]);
    assert!(said.contains("for the runs of a group"), "{said}");
    groups_are_set(&here);
    runs_are_pinned(&here);
}

fn groups_are_set(here: &Here) {
    let said = here.shown(&[
        "groups",
        "set",
        "ci",
        "--retention",
        "30d",
        "--quota",
        "1GiB",
    ]);
    assert_eq!(said, "ci keeps runs for 30d, may use 1.0 GiB\n");
    assert!(here.shown(&["groups"]).contains("30d"));
    let group = here.parsed(&["groups"]).remove(0);
    assert_eq!(group["settings"]["quota"], "1GiB", "{group}");
    here.shown(&["groups", "set", "ci", "--quota", "default"]);
    let group = here.parsed(&["groups"]).remove(0);
    assert_eq!(
        (&group["quota"], &group["retention"]),
        (&Value::Null, &json!(2_592_000))
    );
}

fn runs_are_pinned(here: &Here) {
    here.shown(&["pin", "ci/7"]);
    assert_eq!(names(&here.parsed(&["ls", "ci", "--pinned"]), "run"), ["7"]);
    let said = here.refused(&["rm", "ci/7", "--yes"]);
    assert!(
        said.contains("`landline artefacts unpin ci/7` first"),
        "{said}"
    );
    assert!(
        here.shown(&["unpin", "ci/7"])
            .contains("is not pinned: it goes at")
    );
    // Nobody is there who could say yes.
    let said = here.refused(&["rm", "ci/7"]);
    assert!(
        said.contains("with its 4 files") && said.contains("--yes"),
        "{said}"
    );
    assert!(
        here.shown(&["rm", "ci/7/a"])
            .contains("with all its versions")
    );
    assert!(
        here.shown(&["rm", "ci/7", "--yes"])
            .contains("is gone, with 3 files")
    );
    assert_eq!(names(&here.parsed(&["ls", "ci"]), "run"), ["8"]);
    let said = here.refused(&["rm", "ci/7", "--yes"]);
    assert!(said.contains("there is no such run"), "{said}");
}
