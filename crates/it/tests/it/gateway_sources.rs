//! Where targets come from, apart from the database: a file that is followed, names that appear
//! twice, and what one source's trouble leaves alone.

use it::configuration;
use it::program::{Launch, Program};
use it::stubs::pages::{Page, Pages};
use it::wait::{self, SOON};
use rustix::process::Signal;
use serde_json::json;

use crate::process::pages;

/// A file with targets is read again when it changes, and a broken one keeps the last good.
#[tokio::test]
async fn a_file_of_targets_is_followed() {
    let pages = pages().await;
    let entry = |name: &str| {
        format!(
            "- {{name: {name}, url: \"{}\"}}\n",
            pages.server.url("/metrics")
        )
    };
    let text =
        configuration::gateway(json!({"sources": [{"kind": "file", "path": "clusters.yaml"}]}));
    let program = Launch::new(&text)
        .file("clusters.yaml", &entry("one"))
        .start()
        .await;
    let until = async |name: &str, status: u16| {
        wait::until(&format!("{name} answers {status}"), SOON, async || {
            Some(program.scrape(name).await).filter(|reply| reply.status == status)
        })
        .await
    };
    until("one", 200).await;
    program.write("clusters.yaml", &(entry("one") + &entry("two")));
    until("two", 200).await;
    program.write("clusters.yaml", "- {name: one, nonsense: yes}\n- {");
    wait::until("the source shows its error", SOON, async || {
        let sources = program.get("/v1/gateway/targets", &[]).await.json()["sources"].to_string();
        (sources.contains("clusters.yaml") && sources.contains("error")).then_some(())
    })
    .await;
    until("one", 200).await;
    program.write("clusters.yaml", &entry("two"));
    until("one", 404).await;
    until("two", 200).await;
}

/// With its file gone, a fresh start is ready at once and a replacement is not: the old process
/// has the targets.
#[tokio::test]
async fn only_a_fresh_start_goes_on_without_its_source() {
    let pages = pages().await;
    let text = configuration::with(
        json!({"process": {"replacement_timeout": "2s"}}),
        json!({"sources": [{"kind": "file", "path": "clusters.yaml"}]}),
    );
    let program = Launch::new(&text).start().await;
    let entry = json!([{"name": "one", "url": pages.server.url("/metrics")}]).to_string();
    program.write("clusters.yaml", &entry);
    wait::until("one answers", SOON, async || {
        (program.scrape("one").await.status == 200).then_some(())
    })
    .await;
    std::fs::remove_file(program.path("clusters.yaml")).unwrap();
    program.signal(Signal::HUP);
    wait::until("the replacement is tried", SOON, async || {
        (program.generations().len() == 2).then_some(())
    })
    .await;
    wait::until("the replacement is given up", SOON, async || {
        assert_eq!(program.scrape("one").await.status, 200, "meanwhile");
        (program.generations() == [program.pid()]).then_some(())
    })
    .await;
    let said = program.stderr();
    let names_it = |line: &str| line.contains("not ready:") && line.contains("clusters.yaml");
    assert!(said.lines().any(names_it), "{said}");
    assert_eq!(program.serving_pid().await, Some(program.pid()));

    program.write("clusters.yaml", &entry);
    program.signal(Signal::HUP);
    wait::until("the replacement serves", SOON, async || {
        assert_eq!(program.scrape("one").await.status, 200, "meanwhile");
        let new = program.serving_pid().await;
        new.filter(|new| *new != program.pid())
    })
    .await;
}

/// A name in two sources belongs to the first; the second is reported.
#[tokio::test]
async fn a_name_belongs_to_the_first_source() {
    let (first, second) = (
        pages().await,
        Pages::start(&[("/metrics", "second 1\n")]).await,
    );
    let entry =
        |name: &str, pages: &Pages| json!({"name": name, "url": pages.server.url("/metrics")});
    let text = configuration::gateway(json!({
        "targets": [entry("shop", &first)],
        "sources": [{"kind": "file", "path": "clusters.yaml"}],
    }));
    let clusters = json!([entry("shop", &second), entry("other", &second)]).to_string();
    let program = Launch::new(&text)
        .file("clusters.yaml", &clusters)
        .start()
        .await;
    assert!(program.scrape("other").await.text().contains("second 1"));
    assert!(program.scrape("shop").await.text().contains("shop_up 1"));
    let shown = program.get("/v1/gateway/targets", &[]).await.json()["sources"].to_string();
    assert!(
        shown.contains("shop"),
        "the second name is reported: {shown}"
    );
}

/// A name that is twice in one place is a mistake in the configuration.
#[tokio::test]
async fn a_name_twice_in_one_place_is_refused() {
    let target = json!({"name": "shop", "url": "http://127.0.0.1:1/metrics"});
    let mut program = Launch::new(&configuration::targets(&json!([target, target]))).spawn();
    let code = program.wait_exit(SOON).await;
    assert_eq!(
        code,
        crate::process::EXIT_CONFIGURATION,
        "{}",
        program.stderr()
    );
}

/// A file that does not exist yet is no reason not to start.
#[tokio::test]
async fn a_file_may_appear_later() {
    let pages = pages().await;
    let text =
        configuration::gateway(json!({"sources": [{"kind": "file", "path": "clusters.yaml"}]}));
    let program = Program::start(&text).await;
    assert_eq!(program.scrape("late").await.status, 404);
    let entry = json!([{"name": "late", "url": pages.server.url("/metrics")}]);
    program.write("clusters.yaml", &entry.to_string());
    wait::until("the file is read", SOON, async || {
        Some(program.scrape("late").await).filter(|reply| reply.status == 200)
    })
    .await;
}

/// Health of a target that is no cluster: a path that answers 200 is well.
#[tokio::test]
async fn health_by_status() {
    let pages = pages().await;
    pages.set("/ping", Page::Text("pong".to_owned()));
    let target = json!([{"name": "shop", "url": pages.server.url("/metrics"),
        "health": {"path": "/ping", "rule": "status"}}]);
    let program = Program::start(&configuration::targets(&target)).await;
    assert_eq!(program.scrape("shop").await.status, 200);
    assert_eq!(program.get("/health", &[]).await.text().trim(), "[]");
    pages.set("/ping", Page::Status(503, "not now".to_owned()));
    assert_eq!(program.scrape("shop").await.status, 200);
    let rows = program.get("/health", &[]).await.json();
    assert_eq!(rows[0][0], "shop", "{rows}");
    assert_eq!(rows[0].as_array().map(Vec::len), Some(3), "{rows}");
}
