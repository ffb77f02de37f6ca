//! Looking into files without fetching them: archives as other programs write them, texts by windows,
//! what is packed, and what is damaged.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use it::artefacts::{PASSWORD, Store, in_bucket, section};
use it::need::need;
use serde_json::{Value, json};
use wire::auth::basic;
use wire::s3::key::percent_encode;
use wire::tar;

const RUN: &str = "perf/1-a";

/// What a look gives, which has to be one.
async fn look(store: &Store, name: &str, more: &str) -> Value {
    let (status, look) = try_look(store, name, more).await;
    assert_eq!(status, 200, "{name} {more}: {look}");
    look
}

async fn try_look(store: &Store, name: &str, more: &str) -> (u16, Value) {
    let name = percent_encode(name, false);
    let path = format!("/v1/artefacts/runs/{RUN}/look?name={name}{more}");
    let reply = store.get(&path).await;
    (reply.status, reply.json())
}

/// All files of an archive, a few at a time.
async fn members(store: &Store, name: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut offset = 0;
    loop {
        let page = look(store, name, &format!("&limit=2&offset={offset}")).await;
        assert_eq!(page["kind"], "archive");
        assert_eq!(page["problem"], Value::Null, "{page}");
        all.extend(page["members"].as_array().unwrap().clone());
        match page["next"].as_u64() {
            Some(next) => offset = next,
            None => return all,
        }
    }
}

/// The text of a file of an archive, by its name and by its place.
async fn member_text(store: &Store, name: &str, member: &Value) -> String {
    let encoded = percent_encode(member["name"].as_str().unwrap(), false);
    let by_name = look(store, name, &format!("&member={encoded}")).await;
    let at = &member["at"];
    let by_place = look(store, name, &format!("&member={encoded}&at={at}")).await;
    assert_eq!(by_name, by_place);
    by_name["text"].as_str().unwrap().to_owned()
}

/// All of a text, by windows.
async fn whole_text(store: &Store, name: &str, more: &str, limit: usize) -> String {
    let mut whole = String::new();
    let mut offset = 0;
    loop {
        let page = look(
            store,
            name,
            &format!("{more}&limit={limit}&offset={offset}"),
        )
        .await;
        assert_eq!(page["offset"], offset);
        let text = page["text"].as_str().unwrap();
        assert!(text.len() <= limit.max(4), "{}", text.len());
        whole.push_str(text);
        match page["next"].as_u64() {
            Some(next) => offset = next,
            None => return whole,
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An archive with these files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in files {
        out.extend(tar::head(
            name,
            u64::try_from(bytes.len()).unwrap(),
            1_700_000_000,
        ));
        out.extend(*bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.extend(tar::end());
    out
}

fn name_of(member: &Value) -> &str {
    member["name"].as_str().unwrap()
}

/// A folder as the archives below have it.
fn fill(folder: &Path) {
    std::fs::create_dir_all(folder.join("logs/ns-1")).unwrap();
    std::fs::write(folder.join("logs/ns-1/pod.log"), "one\ntwo\n").unwrap();
    std::fs::write(folder.join("logs/empty"), "").unwrap();
    let long = format!("logs/{}.log", "n".repeat(120));
    std::fs::write(folder.join(long), "long\n").unwrap();
    std::os::unix::fs::symlink("ns-1/pod.log", folder.join("logs/link")).unwrap();
}

/// What a look at such an archive has to give, whoever wrote it.
async fn check(store: &Store, name: &str, has_long: bool) {
    let members = members(store, name).await;
    let find = |end: &str| {
        let found = members.iter().find(|member| name_of(member).ends_with(end));
        found.unwrap_or_else(|| panic!("{name} has no {end}: {members:?}"))
    };
    let pod = find("ns-1/pod.log");
    assert_eq!((&pod["type"], &pod["bytes"]), (&json!("file"), &json!(8)));
    assert!(pod["changed_at"].as_str().unwrap().starts_with("20"));
    assert_eq!(member_text(store, name, pod).await, "one\ntwo\n");
    assert_eq!(find("logs/empty")["bytes"], 0);
    assert_eq!(member_text(store, name, find("logs/empty")).await, "");
    assert_eq!(find("logs/link")["type"], "link");
    let folders = members.iter().filter(|member| member["type"] == "folder");
    assert_eq!(folders.count(), 2, "{name}");
    if has_long {
        let long = format!("logs/{}.log", "n".repeat(120));
        assert_eq!(member_text(store, name, find(&long)).await, "long\n");
    }
    let (status, refused) = try_look(store, name, "&member=logs%2Flink").await;
    assert_eq!(status, 409, "{refused}");
}

/// GNU tar writes four formats.
#[tokio::test]
async fn archives_of_gnu_tar_are_looked_into() {
    let store = Store::start(section(json!({}))).await;
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    for format in ["gnu", "oldgnu", "posix", "ustar", "v7"] {
        let has_long = !matches!(format, "ustar" | "v7");
        let mut command = Command::new("tar");
        command.arg(format!("--format={format}"));
        if !has_long {
            command.arg("--exclude=nnn*");
        }
        command
            .arg("-C")
            .arg(folder.path())
            .args(["-cf", "-", "logs"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let name = format!("{format}.tar");
        store.upload_bytes(RUN, &name, &output.stdout).await;
        check(&store, &name, has_long).await;
        let name = format!("{format}.tar.gz");
        store.upload_bytes(RUN, &name, &gzip(&output.stdout)).await;
        check(&store, &name, has_long).await;
    }
}

/// Files with holes, as GNU tar writes them in its own format and in POSIX's, are listed with what is
/// behind them, and refused by name.
#[tokio::test]
async fn sparse_files_are_refused_by_name() {
    let store = Store::start(section(json!({}))).await;
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("holes")).unwrap();
    file.set_len(40 << 20).unwrap();
    // Data every MiB: the map takes more than the room in the head.
    for at in 0..40 {
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", at << 20).unwrap();
    }
    drop(file);
    std::fs::write(folder.path().join("next"), "next").unwrap();
    for format in ["gnu", "posix"] {
        let mut command = Command::new("tar");
        command.arg(format!("--format={format}")).arg("--sparse");
        command.arg("-C").arg(folder.path());
        let output = command
            .args(["-cf", "-", "holes", "next"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let name = format!("{format}.tar");
        store.upload_bytes(RUN, &name, &output.stdout).await;
        let members = members(&store, &name).await;
        assert_eq!(name_of(&members[0]), "holes", "{members:?}");
        assert_eq!(members[0]["bytes"], 40 << 20, "{members:?}");
        assert_eq!(member_text(&store, &name, &members[1]).await, "next");
        let (status, refused) = try_look(&store, &name, "&member=holes").await;
        let message = refused["error"]["message"].as_str().unwrap();
        assert_eq!(status, 409);
        assert!(message.contains("\"holes\" is a sparse file"), "{message}");
    }
}

/// What has Python write an archive in the format of its first argument.
const SCRIPT: &str = r#"
import io, sys, tarfile
form = getattr(tarfile, sys.argv[1] + "_FORMAT")
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=form) as archive:
    def add(name, data=b"", kind=tarfile.REGTYPE):
        member = tarfile.TarInfo(name)
        member.size, member.type, member.mtime = len(data), kind, 1700000000
        archive.addfile(member, io.BytesIO(data))
    add("logs", kind=tarfile.DIRTYPE)
    add("logs/ns-1", kind=tarfile.DIRTYPE)
    add("logs/ns-1/pod.log", b"one\ntwo\n")
    add("logs/empty")
    add("logs/link", kind=tarfile.SYMTYPE)
    if sys.argv[1] != "USTAR":
        add("logs/" + "n" * 120 + ".log", b"long\n")
        add("../../\u00fc\x1b[2J", b"outside\n")
"#;

/// Python's tarfile writes three formats, and names that no file system has.
#[tokio::test]
async fn archives_of_python_are_looked_into() {
    let Some(python) = need("PYTHON") else {
        return;
    };
    let store = Store::start(section(json!({}))).await;
    for format in ["PAX", "GNU", "USTAR"] {
        let mut command = Command::new(&python);
        let output = command.args(["-c", SCRIPT, format]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let name = format!("{format}.tar");
        store.upload_bytes(RUN, &name, &output.stdout).await;
        let has_long = format != "USTAR";
        check(&store, &name, has_long).await;
        let members = members(&store, &name).await;
        assert_eq!(members[2]["changed_at"], "2023-11-14T22:13:20.000Z");
        if has_long {
            let last = members.last().unwrap();
            assert_eq!(name_of(last), "../../ü\\u{1b}[2J");
            assert_eq!(member_text(&store, &name, last).await, "outside\n");
        }
    }
}

/// Parts as krkn sends them are looked into as one file, and each by itself as far as it goes.
async fn parts_are_one_archive(store: &Store) {
    let inner = gzip("a packed line\n".repeat(1000).as_bytes());
    let large = vec![b'x'; 300_000];
    let whole = archive(&[
        ("prometheus/wal/000", &large),
        ("prometheus/logs/pod.log.gz", &inner),
        ("prometheus/end", b"the end\n"),
    ]);
    for (number, part) in whole.chunks(200_000).enumerate() {
        let name = format!("prometheus-{number:02}.tar");
        store.upload_bytes(RUN, &name, part).await;
    }
    let members = members(store, "prometheus.tar").await;
    let names: Vec<_> = members.iter().map(name_of).collect();
    assert_eq!(
        names,
        [
            "prometheus/wal/000",
            "prometheus/logs/pod.log.gz",
            "prometheus/end"
        ]
    );
    assert_eq!(
        member_text(store, "prometheus.tar", &members[2]).await,
        "the end\n"
    );
    let packed = format!("&member={}", percent_encode(names[1], false));
    let text = look(store, "prometheus.tar", &packed).await;
    assert_eq!(
        (&text["kind"], &text["is_packed"]),
        (&json!("text"), &json!(true))
    );
    assert_eq!(
        (&text["total"], &text["next"]),
        (&json!(14_000), &Value::Null)
    );
    assert!(
        text["text"]
            .as_str()
            .unwrap()
            .ends_with("\na packed line\n")
    );
    // The seam of the parts is within this file.
    let seam = "&member=prometheus%2Fwal%2F000&offset=199000&limit=2000";
    let text = look(store, "prometheus.tar", seam).await;
    assert_eq!(text["text"].as_str().unwrap(), "x".repeat(2000));
    assert_eq!(
        (&text["total"], &text["next"]),
        (&json!(300_000), &json!(201_000))
    );
    let part = look(store, "prometheus-00.tar", "").await;
    assert_eq!(part["members"].as_array().unwrap().len(), 1);
    let problem = part["problem"].as_str().unwrap();
    assert!(
        problem.contains("in the middle of \"prometheus/wal/000\""),
        "{problem}"
    );
}

#[tokio::test]
async fn parts_are_looked_into_as_one() {
    parts_are_one_archive(&Store::start(section(json!({}))).await).await;
}

#[tokio::test]
async fn files_in_a_bucket_are_looked_into() {
    let inner = Store::start(section(json!({"access": "closed"}))).await;
    let store = Store::start(in_bucket(&inner, PASSWORD)).await;
    parts_are_one_archive(&store).await;
    let lines = "a line\n".repeat(40_000);
    store.upload(RUN, "plain.log", &lines).await;
    store
        .upload_bytes(RUN, "packed.log.gz", &gzip(lines.as_bytes()))
        .await;
    for name in ["plain.log", "packed.log.gz"] {
        assert!(
            whole_text(&store, name, "", 100_000).await == lines,
            "{name}"
        );
    }
}

/// Windows of a text join to the whole of it, packed or not, in an archive or not; they end with lines
/// where there are lines, and with characters where there are none.
#[tokio::test]
async fn texts_are_read_by_windows() {
    let store = Store::start(section(json!({}))).await;
    let lines = "ein Gruß, 3 €\n".repeat(20_000);
    let endless = "ü€😀".repeat(3_000);
    for (name, text, limit) in [("lines", &lines, 60_001), ("endless", &endless, 1_000)] {
        let (plain, packed) = (format!("{name}.log"), format!("{name}.log.gz"));
        let gz = gzip(text.as_bytes());
        store.upload(RUN, &plain, text).await;
        store.upload_bytes(RUN, &packed, &gz).await;
        let tar = archive(&[(plain.as_str(), text.as_bytes()), (packed.as_str(), &gz)]);
        store.upload_bytes(RUN, "all.tar", &tar).await;
        store.upload_bytes(RUN, "all.tar.gz", &gzip(&tar)).await;
        for (file, member) in [
            (plain.as_str(), ""),
            (&packed, ""),
            ("all.tar", &plain),
            ("all.tar", &packed),
            ("all.tar.gz", &plain),
            ("all.tar.gz", &packed),
        ] {
            let more = match member {
                "" => String::new(),
                member => format!("&member={member}"),
            };
            let read = whole_text(&store, file, &more, limit).await;
            assert!(read == *text, "{file} {member}");
        }
    }
    let first = look(&store, "lines.log", "").await;
    assert!(first["text"].as_str().unwrap().ends_with("€\n"));
    assert_eq!(first["total"], lines.len());
    assert!(first["next"].as_u64().unwrap() <= 65_536);
    let tiny = look(&store, "endless.log", "&limit=1").await;
    assert_eq!((&tiny["text"], &tiny["next"]), (&json!("ü"), &json!(2)));
    let behind = look(&store, "lines.log", "&offset=999999999").await;
    assert_eq!(
        (&behind["text"], &behind["next"]),
        (&json!(""), &Value::Null)
    );
    // Several members of gzip are one text.
    let twice = [gzip(b"one\n"), gzip(b"two\n")].concat();
    store.upload_bytes(RUN, "twice.gz", &twice).await;
    assert_eq!(look(&store, "twice.gz", "").await["text"], "one\ntwo\n");
    // An older version is still there.
    let prefix = format!("{RUN}/all.tar.gz");
    let parameters = [("versions", ""), ("prefix", prefix.as_str())];
    let versions = store.s3("GET", "", &parameters, "").await.text();
    let oldest = versions.rsplit("<VersionId>").next().unwrap();
    let oldest = oldest.split('<').next().unwrap();
    let old = look(&store, "all.tar.gz", &format!("&version={oldest}")).await;
    assert_eq!(old["members"][0]["name"], "lines.log", "{old}");
    let new = look(&store, "all.tar.gz", "").await;
    assert_eq!(new["members"][0]["name"], "endless.log", "{new}");
}

/// What is no text is said so.
#[tokio::test]
async fn contents_are_told_apart() {
    let store = Store::start(section(json!({}))).await;
    let png = [&b"\x89PNG\r\n\x1a\n"[..], &[0; 50]].concat();
    let binary: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let both = archive(&[
        ("a.png", &png),
        ("b.bin", &binary),
        ("c.json", b"{\"a\": 1}"),
    ]);
    for (name, bytes) in [
        ("a.png", png.clone()),
        ("b.bin", binary.clone()),
        ("c.json", b"{\"a\": 1}".to_vec()),
        ("both.tar", both.clone()),
        ("both.tgz", gzip(&both)),
    ] {
        store.upload_bytes(RUN, name, &bytes).await;
    }
    for (name, more) in [
        ("a.png", ""),
        ("both.tar", "&member=a.png"),
        ("both.tgz", "&member=a.png"),
    ] {
        let image = look(&store, name, more).await;
        let expected = json!({"kind": "image", "media_type": "image/png", "bytes": 58});
        assert_eq!(image, expected, "{name}");
    }
    for (name, more) in [
        ("b.bin", ""),
        ("both.tar", "&member=b.bin"),
        ("both.tgz", "&member=b.bin"),
    ] {
        let shown = look(&store, name, more).await;
        assert_eq!(
            (&shown["kind"], &shown["bytes"]),
            (&json!("binary"), &json!(1000))
        );
        let start = shown["start"].as_str().unwrap();
        assert!(
            start.starts_with("00010203") && start.len() == 512,
            "{start}"
        );
    }
    for (name, more) in [
        ("c.json", ""),
        ("both.tar", "&member=c.json"),
        ("both.tgz", "&member=c.json"),
    ] {
        let json = look(&store, name, more).await;
        assert_eq!(
            (&json["media"], &json["total"]),
            (&json!("json"), &json!(8))
        );
    }
}

/// An archive in an archive stays closed, and one without files is none the less one.
#[tokio::test]
async fn archives_may_hold_archives_or_nothing() {
    let store = Store::start(section(json!({}))).await;
    let inner = archive(&[("a", b"a")]);
    let packed = gzip(&inner);
    let outer = archive(&[("both.tar", &inner), ("both.tgz", &packed)]);
    let empty = vec![0; 10_240];
    for (name, bytes) in [
        ("within.tar", &outer),
        ("empty.tar", &empty),
        ("empty", &Vec::new()),
    ] {
        store.upload_bytes(RUN, name, bytes).await;
    }
    for member in ["both.tar", "both.tgz"] {
        let shown = look(&store, "within.tar", &format!("&member={member}")).await;
        assert_eq!(shown["kind"], "binary");
    }
    let empty = look(&store, "empty.tar", "").await;
    assert_eq!(
        (&empty["members"], &empty["next"]),
        (&json!([]), &Value::Null)
    );
    let empty = look(&store, "empty", "").await;
    assert_eq!(
        (&empty["kind"], &empty["text"]),
        (&json!("text"), &json!(""))
    );
}

/// What is damaged is said by name, and what was whole before it is shown.
#[tokio::test]
async fn damage_is_named() {
    let store = Store::start(section(json!({}))).await;
    let text = "a line\n".repeat(30_000);
    let whole = archive(&[("one", b"1"), ("two", text.as_bytes())]);
    let packed = gzip(&whole);
    let lying = tar::head("lying", 1 << 40, 0);
    let mut torn = archive(&[("one", b"1")]);
    torn.truncate(1024);
    torn.extend([b'x'; 2048]);
    let numbers: Vec<u8> = (0..200_000_u32)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect();
    let mut damaged = gzip(&numbers);
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    for (name, bytes) in [
        ("cut.tar", &whole[..whole.len() / 2]),
        ("cut.tar.gz", &packed[..packed.len() / 2]),
        ("lying.tar", &lying),
        ("lying.tar.gz", &gzip(&lying)),
        ("torn.tar", &torn),
        ("damaged.gz", &damaged),
    ] {
        store.upload_bytes(RUN, name, bytes).await;
    }
    for (name, members, problem) in [
        ("cut.tar", 2, "ends in the middle of \"two\""),
        ("cut.tar.gz", 2, "the gzip data is damaged or cut off"),
        ("lying.tar", 1, "ends in the middle of \"lying\""),
        ("lying.tar.gz", 1, "ends in the middle of \"lying\""),
        ("torn.tar", 1, "no head of a file at byte 1024"),
    ] {
        let page = look(&store, name, "").await;
        assert_eq!(page["members"].as_array().unwrap().len(), members, "{page}");
        let said = page["problem"].as_str().unwrap();
        assert!(said.contains(problem), "{name}: {said}");
        assert_eq!(page["next"], Value::Null);
    }
    for (name, member) in [
        ("cut.tar", "two"),
        ("lying.tar", "lying"),
        ("lying.tar.gz", "lying"),
    ] {
        let (status, refused) = try_look(&store, name, &format!("&member={member}")).await;
        let message = refused["error"]["message"].as_str().unwrap();
        assert_eq!(status, 409, "{name}");
        assert!(
            message.contains(&format!("in the middle of {member:?}")),
            "{message}"
        );
    }
    // The beginning can be read.
    let first = look(&store, "damaged.gz", "&limit=1000").await;
    assert!(first["text"].as_str().unwrap().starts_with("0\n1\n"));
    let (status, refused) = try_look(&store, "damaged.gz", "&offset=1200000").await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (409, &json!("conflict"))
    );
    for (name, more, expected) in [
        ("cut.tar", "&member=none", 409),
        ("torn.tar", "&member=one", 200),
        ("lying.tar", "&offset=100", 409),
        ("damaged.gz", "&member=x", 409),
        ("none.tar", "", 404),
        ("damaged.gz", "&limit=0", 400),
        ("damaged.gz", "&version=999", 404),
    ] {
        let (status, answer) = try_look(&store, name, more).await;
        assert_eq!(status, expected, "{name}{more}: {answer}");
    }
}

/// Who may not see a group finds nothing in it.
#[tokio::test]
async fn a_look_shows_what_may_be_seen() {
    let users = json!([
        {"name": "krkn", "password": {"file": "krkn.password"}},
        {"name": "eye", "password": "eye-password", "groups": ["other"], "rights": ["read"]},
        {"name": "hand", "password": "hand-password", "groups": ["perf"], "rights": ["create"]},
        {"name": "reader", "password": "reader-password", "groups": ["perf"], "rights": ["read"]},
    ]);
    let store = Store::start(section(json!({"users": users, "access": "closed"}))).await;
    store.upload(RUN, "f.log", "secret\n").await;
    let paths = [
        format!("/v1/artefacts/runs/{RUN}/look?name=f.log"),
        format!("/v1/artefacts/runs/{RUN}/look?name=none"),
        // Not by way of another group.
        "/v1/artefacts/runs/other/x/look?name=../../perf/1-a/f.log".to_owned(),
        "/v1/artefacts/runs/other%2F..%2Fperf/1-a/look?name=f.log".to_owned(),
    ];
    for (user, password, expected) in [
        ("reader", "reader-password", [200, 404, 404, 404]),
        ("eye", "eye-password", [404, 404, 404, 404]),
        ("hand", "hand-password", [404, 404, 404, 404]),
    ] {
        let credentials = basic(user, password);
        let headers = [("authorization", credentials.as_str())];
        for (path, expected) in paths.iter().zip(expected) {
            let reply = store.send("GET", path, &headers, "").await;
            assert_eq!(reply.status, expected, "{user} {path}: {}", reply.text());
        }
    }
    assert_eq!(store.send("GET", &paths[0], &[], "").await.status, 401);
}
