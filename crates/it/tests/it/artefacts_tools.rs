//! Tools that people use with stores of S3: aws-cli and rclone, as they come. `cargo xtask test` brings both.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use it::artefacts::{PASSWORD, Store, USER, in_bucket_of, section};
use it::need::need;
use it::s3s::S3Server;
use serde_json::json;
use tokio::process::Command;

/// The longest that a tool may take on a busy machine.
const TOOL_LIMIT: Duration = Duration::from_mins(3);
/// More than two parts of aws-cli, which begins parts at 8 MiB.
const LARGE_BYTES: usize = 20 << 20;

/// A tool with what it needs to know.
struct Tool {
    program: PathBuf,
    variables: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl Tool {
    fn new(program: impl Into<PathBuf>, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files/deep");
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("ü +%.log"), "small").unwrap();
        // Without it aws-cli signs links for other stores than AWS in a way of before 2014.
        let own = folder.path().join(".aws");
        std::fs::create_dir(&own).unwrap();
        let config = "[default]\ns3 =\n  signature_version = s3v4\n";
        std::fs::write(own.join("config"), config).unwrap();
        std::fs::write(folder.path().join("files/empty"), "").unwrap();
        let large: Vec<u8> = (0..LARGE_BYTES)
            .map(|at| at.to_le_bytes()[at % 3])
            .collect();
        std::fs::write(folder.path().join("files/large.tar"), large).unwrap();
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            program: program.into(),
            variables: variables.collect(),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whether it ended well, what it wrote, and what it said beside it.
    async fn try_run(&self, arguments: &[&str]) -> (bool, String, String) {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            // rclone takes none by a variable that others read.
            .env_remove("AWS_CA_BUNDLE")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(TOOL_LIMIT, command.output()).await;
        let output = output.expect("it ends in time").unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (written, said) = (text(&output.stdout), text(&output.stderr));
        (output.status.success(), written, said)
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let (is_well, written, said) = self.try_run(arguments).await;
        assert!(is_well, "{arguments:?}: {written}\n{said}");
        written
    }

    /// Whether everything that was sent is in this folder again.
    fn check_back(&self, back: &str) {
        for name in ["empty", "large.tar", "deep/ü +%.log"] {
            let one = std::fs::read(self.path("files").join(name)).unwrap();
            let other = std::fs::read(self.path(back).join(name)).unwrap();
            assert!(one == other, "{name} differs in {back}");
        }
    }
}

/// With objects in a folder, and in a bucket of a real server where there is one.
async fn on_both(with: impl AsyncFn(&Store)) {
    let store = Store::start(section(json!({"access": "closed"}))).await;
    with(&store).await;
    drop(store);
    let Some(program) = need("S3S_FS") else {
        return;
    };
    let server = S3Server::start(&program, "artefacts").await;
    let mut section = in_bucket_of(&server.endpoint, S3Server::KEY);
    section["access"] = json!("closed");
    with(&Store::start(section).await).await;
}

#[tokio::test]
async fn aws_cli_works() {
    let Some(python) = need("KRKN") else { return };
    let program = Path::new(&python).with_file_name("aws");
    on_both(async |store| {
        let url = store.url("");
        aws(&Tool::new(
            program.clone(),
            &[
                ("AWS_ACCESS_KEY_ID", USER),
                ("AWS_SECRET_ACCESS_KEY", PASSWORD),
                ("AWS_ENDPOINT_URL", &url),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("AWS_MAX_ATTEMPTS", "1"),
            ],
        ))
        .await;
    })
    .await;
}

async fn aws(tool: &Tool) {
    assert!(tool.run(&["s3", "ls"]).await.contains(" artefacts"));
    tool.run(&["s3", "sync", "files", "s3://artefacts/g/r"])
        .await;
    let again = tool
        .run(&["s3", "sync", "files", "s3://artefacts/g/r"])
        .await;
    assert_eq!(again, "", "nothing has changed");
    let list = tool.run(&["s3", "ls", "s3://artefacts/g/r/"]).await;
    assert!(
        list.contains("PRE deep/") && list.contains(" large.tar"),
        "{list}"
    );
    // In the store: the large one in parts, with its tags.
    tool.run(&[
        "s3",
        "cp",
        "--recursive",
        "s3://artefacts/g/r",
        "s3://artefacts/h/r",
    ])
    .await;
    let from = "s3://artefacts/h/r/empty";
    tool.run(&["s3", "mv", from, "s3://artefacts/h/r/moved"])
        .await;
    tool.run(&["s3", "mv", "s3://artefacts/h/r/moved", from])
        .await;
    tool.run(&["s3", "cp", "--recursive", "s3://artefacts/h/r", "back"])
        .await;
    tool.check_back("back");
    let link = tool
        .run(&["s3", "presign", "s3://artefacts/h/r/large.tar"])
        .await;
    let part = it::client::get(link.trim(), &[("range", "bytes=0-2")])
        .await
        .unwrap();
    assert_eq!((part.status, part.body.len()), (206, 3));
    let put = [
        "--bucket",
        "artefacts",
        "--key",
        "g/r/once",
        "--if-none-match",
        "*",
    ];
    let put = [&["s3api", "put-object"], &put[..]].concat();
    tool.run(&put).await;
    let (is_well, _, text) = tool.try_run(&put).await;
    assert!(!is_well && text.contains("PreconditionFailed"), "{text}");
    let object = ["--bucket", "artefacts", "--key", "g/r/once"];
    let tags = ["--tagging", "TagSet=[{Key=a,Value=b}]"];
    tool.run(&[&["s3api", "put-object-tagging"], &object[..], &tags].concat())
        .await;
    let tags = tool
        .run(&[&["s3api", "get-object-tagging"], &object[..]].concat())
        .await;
    assert!(tags.contains("\"Value\": \"b\""), "{tags}");
    tool.run(&["s3", "rm", "--recursive", "s3://artefacts/g"])
        .await;
    // It says that there is nothing by a code.
    let gone = ["s3", "ls", "--recursive", "s3://artefacts/g/"];
    let (_, list, _) = tool.try_run(&gone).await;
    assert_eq!(list, "");
}

#[tokio::test]
async fn rclone_works() {
    let Some(program) = need("RCLONE") else {
        return;
    };
    on_both(async |store| {
        let url = store.url("");
        rclone(&Tool::new(
            &program,
            &[
                ("RCLONE_CONFIG_STORE_TYPE", "s3"),
                ("RCLONE_CONFIG_STORE_PROVIDER", "Other"),
                ("RCLONE_CONFIG_STORE_ACCESS_KEY_ID", USER),
                ("RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY", PASSWORD),
                ("RCLONE_CONFIG_STORE_ENDPOINT", &url),
                ("RCLONE_CONFIG_STORE_REGION", "eu-central-1"),
                ("RCLONE_RETRIES", "1"),
                ("RCLONE_LOW_LEVEL_RETRIES", "1"),
                // Parts, also of what would go whole.
                ("RCLONE_S3_UPLOAD_CUTOFF", "6Mi"),
                ("RCLONE_S3_COPY_CUTOFF", "6Mi"),
            ],
        ))
        .await;
    })
    .await;
}

async fn rclone(tool: &Tool) {
    assert!(tool.run(&["lsd", "store:"]).await.contains(" artefacts"));
    tool.run(&["copy", "files", "store:artefacts/g/r"]).await;
    let same = ["check", "--download", "files", "store:artefacts/g/r"];
    tool.run(&same).await;
    let list = ["lsf", "--recursive", "--files-only", "store:artefacts/g/r"];
    let list = tool.run(&list).await;
    let mut names: Vec<&str> = list.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["deep/ü +%.log", "empty", "large.tar"]);
    let part = [
        "cat",
        "--offset",
        "1",
        "--count",
        "3",
        "store:artefacts/g/r/deep/ü +%.log",
    ];
    assert_eq!(tool.run(&part).await, "mal");
    // In the store.
    tool.run(&["copy", "store:artefacts/g/r", "store:artefacts/h/r"])
        .await;
    tool.run(&[
        "moveto",
        "store:artefacts/h/r/empty",
        "store:artefacts/h/r/moved",
    ])
    .await;
    tool.run(&[
        "moveto",
        "store:artefacts/h/r/moved",
        "store:artefacts/h/r/empty",
    ])
    .await;
    // A time that has changed is written by a copy onto itself.
    let times = [
        "touch",
        "--no-create",
        "-t",
        "2026-01-02T03:04:05",
        "store:artefacts/h/r/large.tar",
    ];
    tool.run(&times).await;
    let list = tool.run(&["lsl", "store:artefacts/h/r"]).await;
    assert!(list.contains("2026-01-02 03:04:05"), "{list}");
    tool.run(&["copy", "store:artefacts/h/r", "back"]).await;
    tool.check_back("back");
    std::fs::remove_file(tool.path("files/empty")).unwrap();
    tool.run(&["sync", "files", "store:artefacts/g/r"]).await;
    let list = ["lsf", "--files-only", "store:artefacts/g/r"];
    assert_eq!(tool.run(&list).await, "large.tar\n");
    tool.run(&["purge", "store:artefacts/g"]).await;
    let gone = ["lsf", "--recursive", "--files-only", "store:artefacts/g"];
    let (_, list, _) = tool.try_run(&gone).await;
    assert_eq!(list, "");
}
