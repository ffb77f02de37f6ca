//! The contract of krkn: its requests as its client sends them, and what each is answered.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use it::artefacts::{PASSWORD, Store, USER, section};
use it::client::{self, Reply};
use serde_json::{Value, json};
use wire::auth::basic;

const RUN: &str = "default/1700000000-u1-nightly";

async fn start() -> Store {
    Store::start(section(json!({"access": "closed"}))).await
}

/// Runs each with objects in a folder, in a bucket of a collector of ours, and in one of a real S3 server.
macro_rules! on_all_stores {
    ($($vector:ident),* $(,)?) => {
        mod folder {
            $(#[tokio::test]
            async fn $vector() {
                super::$vector(&super::start().await).await;
            })*
        }
        mod bucket {
            $(#[tokio::test]
            async fn $vector() {
                let inner = super::start().await;
                let mut section = in_bucket(&inner, super::PASSWORD);
                section["access"] = super::json!("closed");
                super::$vector(&super::Store::start(section).await).await;
            })*

            use it::artefacts::in_bucket;
        }
        mod server {
            $(#[tokio::test]
            async fn $vector() {
                let Some(program) = need("S3S_FS") else { return };
                let server = S3Server::start(&program, "artefacts").await;
                let mut section = in_bucket_of(&server.endpoint, S3Server::KEY);
                section["access"] = super::json!("closed");
                super::$vector(&super::Store::start(section).await).await;
            })*

            use it::artefacts::in_bucket_of;
            use it::need::need;
            use it::s3s::S3Server;
        }
    };
}

on_all_stores!(
    people_come_to_the_pages,
    a_link_is_a_bare_address,
    a_bare_upload_is_taken,
    malicious_names_leave_nothing,
    missing_parameters_are_named,
    telemetry_is_judged_and_kept,
    lists_are_whole,
    files_are_fetched_by_links,
    what_is_sent_again_is_a_version,
    parts_are_one_file,
    a_run_is_one_archive,
);

/// The status and the text of an answer.
fn shown(reply: &Reply) -> (u16, String) {
    (reply.status, reply.text())
}

fn minimal() -> Value {
    json!({"scenarios": [], "node_summary_infos": [], "node_taints": []})
}

/// Vectors 1 and 11: people come to the pages, also without the slash that krkn leaves out.
async fn people_come_to_the_pages(store: &Store) {
    let reply = store.send("GET", "/", &[], "").await;
    assert_eq!(
        (reply.status, reply.header("location").as_str()),
        (302, "/files/")
    );
    assert_eq!(store.upload(RUN, "<a>.log", "x").await.status, 200);
    let reply = store.get(&format!("/files/{RUN}")).await;
    let page = format!("/files/{RUN}/");
    assert_eq!(
        (reply.status, reply.header("location")),
        (308, page.clone())
    );
    let reply = store.get(&page).await;
    let text = reply.text();
    assert_eq!(reply.status, 200);
    assert!(
        text.contains("&lt;a&gt;.log") && !text.contains("<a>.log"),
        "{text}"
    );
    assert!(
        text.contains(&format!("href=\"/download/{RUN}/%3Ca%3E.log\"")),
        "{text}"
    );
    assert!(
        !text.contains("http://") && !text.contains("https://"),
        "nothing is loaded from elsewhere"
    );
    assert!(
        reply
            .header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    let reply = store.get(&format!("/download/{RUN}/%3Ca%3E.log")).await;
    assert_eq!(reply.status, 302);
    let reply = client::get(&reply.header("location"), &[]).await.unwrap();
    assert_eq!(shown(&reply), (200, "x".to_owned()));
    assert_eq!(
        reply.header("content-security-policy"),
        "sandbox; default-src 'none'"
    );
    assert_eq!(store.get("/download").await.header("location"), "/files/");
}

/// Vector 2: a link is bare text, and only for who may.
async fn a_link_is_a_bare_address(store: &Store) {
    let link = store.link(RUN, "prometheus-00.tar").await;
    let expected = format!(
        "http://{}/artefacts/{RUN}/prometheus-00.tar?X-Amz-",
        store.address
    );
    assert!(link.starts_with(&expected), "{link}");
    assert!(!link.contains(['\n', '"', ' ']), "{link}");
    assert!(link.contains("X-Amz-Expires=1200"), "{link}");
    let path = "/presigned-url?request_id=g/r&remote_filename=f";
    let reply = store.send("GET", path, &[], "").await;
    assert_eq!(reply.status, 401);
    assert!(reply.header("www-authenticate").starts_with("Basic"));
    for wrong in [
        basic(USER, "other"),
        basic("other", PASSWORD),
        "Bearer x".to_owned(),
    ] {
        let reply = store
            .send("GET", path, &[("authorization", &wrong)], "")
            .await;
        assert_eq!(reply.status, 401, "{wrong}");
    }
}

/// Vector 2: where nobody is asked for a proof there is a link as well.
#[tokio::test]
async fn who_needs_no_proof_gets_a_link() {
    let path = "/presigned-url?request_id=g/r&remote_filename=f";
    for access in ["local", "open"] {
        let store = Store::start(section(json!({"access": access}))).await;
        assert_eq!(
            store.send("GET", path, &[], "").await.status,
            200,
            "{access}"
        );
    }
}

/// Vectors 3 and 4: a bare `PUT` is 200 without a body; what was changed about a link is 403.
async fn a_bare_upload_is_taken(store: &Store) {
    let reply = store.upload(RUN, "a.tar", "content").await;
    assert_eq!(shown(&reply), (200, String::new()));
    assert_eq!(reply.header("etag").len(), 66, "{}", reply.header("etag"));
    // What requests sends for an empty file.
    let link = store.link(RUN, "empty.tar").await;
    let path = link.strip_prefix(&store.url("")).unwrap();
    let request = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
        store.address
    );
    assert_eq!(
        client::raw_status(store.address, request.as_bytes()).await,
        200
    );
    let put = async |link: &str| {
        client::send("PUT", link, &[], "other")
            .await
            .unwrap()
            .status
    };
    let link = store.link(RUN, "b.tar").await;
    let changed = link.replace("b.tar", "c.tar");
    assert_eq!(put(&changed).await, 403);
    let last = if link.ends_with('0') { "1" } else { "0" };
    let changed = format!("{}{last}", link.get(..link.len() - 1).unwrap());
    assert_eq!(put(&changed).await, 403);
    assert_eq!(
        put(&link.replace("Expires=1200", "Expires=1201")).await,
        403
    );
    assert_eq!(client::get(&link, &[]).await.unwrap().status, 403);
    let names: Vec<Value> = store.navigate(&format!("/{RUN}")).await;
    let names: Vec<&str> = names
        .iter()
        .map(|entry| entry["path"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a.tar", "empty.tar"]);
    assert_eq!(put(&link).await, 200);
}

/// Vector 4: a link ends, but an upload that began in time may finish.
#[tokio::test]
async fn an_upload_that_began_in_time_may_finish() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let store = Store::start(section(json!({"link_expiration": "2s"}))).await;
    let link = store.link(RUN, "slow.tar").await;
    let path = link.strip_prefix(&store.url("")).unwrap();
    let mut stream = tokio::net::TcpStream::connect(store.address).await.unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nab",
        store.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let late = it::wait::until(
        "the link has expired",
        Duration::from_secs(20),
        async || {
            let status = client::send("PUT", &link, &[], "x").await.ok()?.status;
            (status == 403).then_some(status)
        },
    );
    assert_eq!(late.await, 403);
    stream.write_all(b"cd").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let link = store.s3("GET", &format!("/{RUN}/slow.tar"), &[], "").await;
    assert_eq!(link.text(), "abcd");
}

/// Vector 5: names that lead elsewhere leave nothing behind.
async fn malicious_names_leave_nothing(store: &Store) {
    let long = "a".repeat(1025);
    let bad = [
        "",
        "..%2F..%2Fx",
        "a%00b",
        "a%5Cb",
        "%2Fa",
        "a%2F%2Fb",
        "..",
        "a%0Ab",
        "%ff",
        long.as_str(),
    ];
    for name in bad {
        for query in [
            format!("request_id=g%2Fr&remote_filename={name}"),
            format!("request_id={name}&remote_filename=f"),
        ] {
            let reply = store.get(&format!("/presigned-url?{query}")).await;
            assert_eq!(reply.status, 400, "{query}");
            assert!(
                reply.text().starts_with("[bad request]: "),
                "{}",
                reply.text()
            );
        }
        let credentials = basic(USER, PASSWORD);
        let headers = [
            ("authorization", credentials.as_str()),
            ("content-type", "application/json"),
        ];
        for query in [
            format!("request_id={name}&telemetry_group=g"),
            format!("request_id=r&telemetry_group={name}"),
        ] {
            let path = format!("/telemetry?{query}");
            let reply = store
                .send("POST", &path, &headers, &minimal().to_string())
                .await;
            assert_eq!(reply.status, 400, "{query}");
        }
        if name.is_empty() {
            continue;
        }
        let path = format!("/artefacts/g/r/{name}");
        let headers = [("authorization", credentials.as_str())];
        assert_eq!(
            store.send("PUT", &path, &headers, "x").await.status,
            400,
            "{path}"
        );
        for path in ["/navigate/g/", "/download-url/g/r/", "/files/g/"] {
            let status = store.get(&format!("{path}{name}/")).await.status;
            assert!([400, 404].contains(&status), "{path}{name}: {status}");
        }
    }
    assert!(store.navigate("").await.is_empty());
    assert_eq!(
        store.files_below_data(),
        usize::from(store.has_folder()),
        "only store.id"
    );
    // Without a group it is of the default one.
    assert_eq!(store.upload("1700000000-u2", "f", "x").await.status, 200);
    assert_eq!(store.navigate("/default/1700000000-u2").await.len(), 1);
}

/// Vector 6: a parameter that is missing is named as the original names it.
async fn missing_parameters_are_named(store: &Store) {
    for (path, expected) in [
        (
            "/presigned-url?remote_filename=f",
            "[bad request]: missing request_id query param",
        ),
        (
            "/presigned-url?request_id=r",
            "[bad request]: missing  remote_filename query param",
        ),
        (
            "/presigned-url",
            "[bad request]: missing request_id query param",
        ),
    ] {
        assert_eq!(shown(&store.get(path).await), (400, expected.to_owned()));
    }
}

/// Vectors 7 and 8: telemetry is judged as the original judges it, and kept whole.
async fn telemetry_is_judged_and_kept(store: &Store) {
    let reply = store.post("1700000000-u1", "g", &minimal()).await;
    let expected = "record g/1700000000-u1/telemetry.json created";
    assert_eq!(shown(&reply), (200, expected.to_owned()));
    let credentials = basic(USER, PASSWORD);
    let send = async |kind: &str, query: &str, body: &str| {
        let headers = [
            ("authorization", credentials.as_str()),
            ("content-type", kind),
        ];
        let reply = store
            .send("POST", &format!("/telemetry{query}"), &headers, body)
            .await;
        shown(&reply)
    };
    let both = "?request_id=r&telemetry_group=g";
    let body = minimal().to_string();
    assert_eq!(
        send("application/json; charset=utf-8", both, &body).await.0,
        200
    );
    let refused = send("text/plain", both, &body).await;
    assert_eq!(refused, (415, "content type not supported".to_owned()));
    for (query, body, expected) in [
        (
            "?telemetry_group=g",
            body.as_str(),
            "missing request_id param",
        ),
        ("?request_id=r", &body, "missing telemetry_group param"),
        ("", &body, "missing request_id param"),
        (both, "{}", "scenarios param must be a list of object"),
        (
            both,
            r#"{"scenarios": {}}"#,
            "scenarios param must be a list of object",
        ),
        (
            both,
            r#"{"scenarios": [{"scenario": ""}], "node_summary_infos": [], "node_taints": []}"#,
            "scenario is null or empty",
        ),
    ] {
        let (status, text) = send("application/json", query, body).await;
        assert_eq!((status, text), (400, format!("[bad request]: {expected}")));
    }
    assert_eq!(send("application/json", both, "{").await.0, 400);
    let encoded = STANDARD.encode("hello");
    let wrong = json!({"scenarios": [{"parameters_base64": encoded}], "node_summary_infos": [], "node_taints": []});
    let (status, text) = send("application/json", both, &wrong.to_string()).await;
    assert_eq!(status, 400);
    assert!(
        text.starts_with("[bad request]: invalid parameters format: "),
        "{text}"
    );
    let encoded = STANDARD.encode("config: {runtime: 5}\n");
    let mut body = minimal();
    body["unknown"] = json!({"a": [1]});
    body["scenarios"] = json!([{"scenario": "pods", "parameters_base64": encoded}]);
    assert_eq!(store.post("r2", "g", &body).await.status, 200);
    let kept = store.s3("GET", "/g/r2/telemetry.json", &[], "").await;
    assert_eq!(kept.header("content-type"), "application/json");
    let kept = kept.json();
    assert_eq!(kept["unknown"], body["unknown"]);
    assert_eq!(
        kept["scenarios"][0]["parameters"],
        json!({"config": {"runtime": 5}})
    );
    assert_eq!(kept["scenarios"][0]["parameters_base64"], "");
}

/// Vector 9: everything is listed, files before folders.
async fn lists_are_whole(store: &Store) {
    assert!(store.navigate("").await.is_empty());
    for number in 0..40 {
        let name = format!("prometheus-{number:02}.tar");
        assert_eq!(store.upload("g/r", &name, "x").await.status, 200);
    }
    // An open run is there from its first link on.
    store.link("g/r-tag", "f").await;
    let files = store.navigate("/g/r").await;
    assert_eq!(files.len(), 40);
    assert_eq!(files, store.navigate("/g/r/").await, "the order is stable");
    let first = &files[0];
    assert_eq!(
        (first["type"].as_str(), first["size"].as_u64()),
        (Some("file"), Some(1))
    );
    assert_eq!(first["path"], "prometheus-00.tar");
    assert!(
        first["modified"].as_str().unwrap().ends_with(" GMT"),
        "{first}"
    );
    let folder = |name: &str| json!({"type": "folder", "path": name, "size": 0, "modified": ""});
    // As S3 orders them: a minus before a slash.
    assert_eq!(store.navigate("/g").await, [folder("r-tag/"), folder("r/")]);
    assert_eq!(store.navigate("").await, [folder("g/")]);
    assert!(store.navigate("/unknown").await.is_empty());
    assert!(store.navigate("/g/unknown").await.is_empty());
    let put = store.s3("PUT", "/top.txt", &[], "x").await;
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(store.s3("PUT", "/g/beside.txt", &[], "x").await.status, 200);
    let top = store.navigate("").await;
    assert_eq!(
        (top[0]["path"].as_str(), &top[1]),
        (Some("top.txt"), &folder("g/"))
    );
    assert_eq!(store.navigate("/g").await[0]["path"], "beside.txt");
}

/// Vector 10: a link to fetch, and what can be asked with it.
async fn files_are_fetched_by_links(store: &Store) {
    let content: String = ('a'..='z').cycle().take(1000).collect();
    assert_eq!(store.upload("g/r", "f.log", &content).await.status, 200);
    let reply = store.get("/download-url/g/r/f.log").await.json();
    let link = reply["download_link"].as_str().unwrap();
    let whole = client::get(link, &[]).await.unwrap();
    assert_eq!(shown(&whole), (200, content.clone()));
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let range = async |range: &str| {
        let reply = client::get(link, &[("range", range)]).await.unwrap();
        (reply.status, reply.header("content-range"), reply.text())
    };
    let part = |from: usize, to: usize| content.get(from..to).unwrap().to_owned();
    assert_eq!(
        range("bytes=10-19").await,
        (206, "bytes 10-19/1000".to_owned(), part(10, 20))
    );
    assert_eq!(
        range("bytes=-5").await,
        (206, "bytes 995-999/1000".to_owned(), part(995, 1000))
    );
    assert_eq!(
        range("bytes=990-").await,
        (206, "bytes 990-999/1000".to_owned(), part(990, 1000))
    );
    let outside = range("bytes=1000-").await;
    assert_eq!((outside.0, outside.1.as_str()), (416, "bytes */1000"));
    let etag = whole.header("etag");
    let same = client::get(link, &[("if-none-match", &etag)])
        .await
        .unwrap();
    assert_eq!(shown(&same), (304, String::new()));
    let missing = store.get("/download-url/g/r/none").await.json();
    let missing = client::get(missing["download_link"].as_str().unwrap(), &[])
        .await
        .unwrap();
    assert_eq!(missing.status, 404);
    assert!(
        missing.text().contains("<Code>NoSuchKey</Code>"),
        "{}",
        missing.text()
    );
}

/// Vector 13: a file that is sent again is another version, and both can be fetched.
async fn what_is_sent_again_is_a_version(store: &Store) {
    for content in ["first", "second"] {
        assert_eq!(
            store
                .upload("g/r", "logs-ns1-00.tar.gz", content)
                .await
                .status,
            200
        );
    }
    assert_eq!(store.navigate("/g/r").await.len(), 1);
    let key = "/g/r/logs-ns1-00.tar.gz";
    assert_eq!(store.s3("GET", key, &[], "").await.text(), "second");
    let list = store
        .s3("GET", "", &[("versions", ""), ("prefix", "g/r/")], "")
        .await
        .text();
    let ids: Vec<&str> = list.split("<VersionId>").skip(1).collect();
    let ids: Vec<&str> = ids
        .iter()
        .map(|rest| rest.split('<').next().unwrap())
        .collect();
    assert_eq!(ids.len(), 2, "{list}");
    let mut contents = Vec::new();
    for id in ids {
        contents.push(store.s3("GET", key, &[("versionId", id)], "").await.text());
    }
    assert_eq!(contents, ["second", "first"]);
}

/// Parts are the file that was split into them, with ranges over their seams.
async fn parts_are_one_file(store: &Store) {
    for number in (0..102).rev() {
        let name = format!("prometheus-{number:02}.tar");
        assert_eq!(
            store
                .upload("g/r", &name, &format!("[{number}]"))
                .await
                .status,
            200
        );
    }
    let pieces: Vec<String> = (0..102).map(|number| format!("[{number}]")).collect();
    let expected = pieces.concat();
    let reply = store.get("/download-url/g/r/prometheus.tar").await.json();
    let link = reply["download_link"].as_str().unwrap();
    let whole = client::get(link, &[]).await.unwrap();
    assert_eq!(shown(&whole), (200, expected.clone()));
    let range = client::get(link, &[("range", "bytes=290-309")])
        .await
        .unwrap();
    assert_eq!(
        (range.status, range.text().as_str()),
        (206, expected.get(290..310).unwrap())
    );
    // With one missing it is no file.
    assert_eq!(
        store
            .s3("DELETE", "/g/r/prometheus-07.tar", &[], "")
            .await
            .status,
        204
    );
    assert_eq!(client::get(link, &[]).await.unwrap().status, 404);
    assert_eq!(store.s3("GET", "/g/r/none.tar", &[], "").await.status, 404);
}

/// A run is fetched as an archive that tar takes apart.
async fn a_run_is_one_archive(store: &Store) {
    let long = format!("deep/{}/ü.log", "n".repeat(120));
    let empty = String::new();
    let large = "large ".repeat(100_000);
    let files = [
        ("a.log", "a"),
        ("empty", &empty),
        ("large", &large),
        (&long, "long"),
    ];
    for (name, content) in files {
        let path = format!("/g/r/{}", wire::s3::key::percent_encode(name, true));
        assert_eq!(store.s3("PUT", &path, &[], content).await.status, 200);
    }
    assert_eq!(store.upload("g/r2", "other", "x").await.status, 200);
    let reply = store.get("/download/g/r/").await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-disposition"),
        "attachment; filename*=UTF-8''r.tar"
    );
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("r.tar");
    std::fs::write(&archive, &reply.body).unwrap();
    let mut tar = std::process::Command::new("tar");
    let tar = tar.arg("-xf").arg(&archive).arg("-C").arg(folder.path());
    let output = tar.output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    for (name, content) in files {
        let found = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(found == content, "{name}");
    }
    assert!(!folder.path().join("other").exists());
    let none = store.get("/download/g/none/").await;
    assert_eq!(
        (none.status, none.body.len()),
        (200, 1024),
        "an empty archive"
    );
}
