//! Credentials from the real MariaDB: read only, read again, and not needed once they are known
//! (vectors 5, 8 and 11).

use std::time::{Duration, Instant};

use it::configuration;
use it::mysql::{Database, Row};
use it::need::need;
use it::program::{Launch, Program};
use it::stubs::whatsapp::WhatsApp;
use it::wait::{self, SOON};
use rustix::process::Signal;
use serde_json::json;

/// A row with everything in it.
const ROW: Row<'_> = Row {
    country: "44",
    phone: "1234567890",
    username: Some("admin"),
    password: Some("secret"),
    company: "Test company",
};
const NUMBER: &str = "441234567890";

/// The program with the database as its only source.
async fn start(database: &Database, stub: &WhatsApp, refresh: &str) -> Program {
    let section = json!({"sources": [{"kind": "mysql", "url": {"env": "CREDENTIALS_URL"},
        "profile": "whatsapp", "base_url": stub.server.url(""), "refresh": refresh}]});
    let launch = Launch::new(&configuration::gateway(section));
    launch
        .variable("CREDENTIALS_URL", &database.url())
        .start()
        .await
}

/// Waits until a scrape of this name gives this status.
async fn until_status(program: &Program, name: &str, status: u16) {
    let what = format!("/metrics/{name} answers {status}");
    wait::until(&what, SOON, async || {
        Some(program.scrape(name).await).filter(|reply| reply.status == status)
    })
    .await;
}

/// The error that the program shows for its one source.
async fn source_error(program: &Program) -> Option<String> {
    let sources = program.get("/v1/gateway/targets", &[]).await.json()["sources"].clone();
    let source = sources.as_array().and_then(|list| list.first().cloned());
    let Some(source) = source else {
        panic!("no source in {sources}")
    };
    let error = source
        .as_object()?
        .iter()
        .find(|(key, _)| key.contains("error"))?
        .1
        .as_str()?;
    (!error.is_empty()).then(|| error.to_owned())
}

/// Vector 11: rows become targets, new and changed and removed ones are seen, nothing is written.
#[tokio::test]
async fn rows_are_targets_and_are_read_again() {
    let Some(admin) = need("MYSQL_ADMIN_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    database.insert(ROW).await;
    let stub = WhatsApp::plain().await;
    let program = start(&database, &stub, "1s").await;
    until_status(&program, NUMBER, 200).await;
    let page = program.scrape(NUMBER).await.text();
    let line =
        "whatsapp_cluster_health{customer=\"441234567890\",customer_name=\"Test company\"} 1";
    assert!(page.contains(line), "{page}");

    database
        .insert(Row {
            phone: "555",
            company: "Odd \" \\ name",
            ..ROW
        })
        .await;
    until_status(&program, "44555", 200).await;
    database.delete("555").await;
    until_status(&program, "44555", 404).await;
    assert_eq!(database.tables().await, ["whatsapp_config"]);
    database.remove().await;
}

/// Vector 8: a row without credentials is unconfigured; the other rows go on.
#[tokio::test]
async fn a_row_without_credentials_is_unconfigured() {
    let Some(admin) = need("MYSQL_ADMIN_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    database.insert(ROW).await;
    database
        .insert(Row {
            phone: "1",
            username: None,
            password: None,
            ..ROW
        })
        .await;
    database
        .insert(Row {
            phone: "2",
            password: Some(""),
            ..ROW
        })
        .await;
    database
        .insert(Row {
            phone: "../x@evil.example",
            ..ROW
        })
        .await;
    let stub = WhatsApp::plain().await;
    let program = start(&database, &stub, "1s").await;
    until_status(&program, NUMBER, 200).await;
    for name in ["441", "442"] {
        let reply = program.scrape(name).await;
        assert_eq!(reply.status, 503, "{name}: {}", reply.text());
        assert!(
            reply.reason().contains("unconfigured"),
            "{name}: {}",
            reply.reason()
        );
    }
    assert_eq!(program.scrape("44..%2fx@evil.example").await.status, 404);
    database.remove().await;
}

/// Vector 5: a password changed in the database ends the wait after a refused login.
#[tokio::test]
async fn a_changed_password_ends_the_wait() {
    let Some(admin) = need("MYSQL_ADMIN_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    database
        .insert(Row {
            password: Some("old"),
            ..ROW
        })
        .await;
    let stub = WhatsApp::plain().await;
    let program = start(&database, &stub, "1s").await;
    until_status(&program, NUMBER, 503).await;
    wait::until("four refused logins", Duration::from_secs(40), async || {
        assert_eq!(program.scrape(NUMBER).await.status, 503);
        (stub.logins() >= 4).then_some(())
    })
    .await;
    database.set_password("1234567890", "secret").await;
    let begun = Instant::now();
    until_status(&program, NUMBER, 200).await;
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "took {:?}",
        begun.elapsed()
    );
    database.remove().await;
}

/// Vector 11: with the database down the known targets go on, the source shows its error, and all
/// is well again when it is back.
#[tokio::test]
async fn targets_outlive_the_database() {
    let Some(admin) = need("MYSQL_ADMIN_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    database.insert(ROW).await;
    let stub = WhatsApp::plain().await;
    let program = start(&database, &stub, "1s").await;
    until_status(&program, NUMBER, 200).await;
    assert_eq!(source_error(&program).await, None);
    database.gate.set_open(false);
    wait::until("the source shows its error", SOON, async || {
        source_error(&program).await
    })
    .await;
    stub.revoke();
    assert_eq!(program.scrape(NUMBER).await.status, 200);
    let shown = program.get("/v1/gateway/targets", &[]).await.text() + &program.stderr();
    assert!(
        !shown.contains("read only") && !shown.contains("read%20only"),
        "password shown"
    );
    database.gate.set_open(true);
    database
        .insert(Row {
            phone: "556",
            ..ROW
        })
        .await;
    until_status(&program, "44556", 200).await;
    database.remove().await;
}

/// A replacement knows no targets of its own, so it is none while the database is down: the old
/// process goes on with those it has.
#[tokio::test]
async fn no_replacement_takes_over_without_the_database() {
    let Some(admin) = need("MYSQL_ADMIN_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    database.insert(ROW).await;
    let stub = WhatsApp::plain().await;
    let section = json!({"sources": [{"kind": "mysql", "url": {"env": "CREDENTIALS_URL"},
        "profile": "whatsapp", "base_url": stub.server.url(""), "refresh": "1s"}]});
    let text = configuration::with(json!({"process": {"replacement_timeout": "3s"}}), section);
    let launch = Launch::new(&text).variable("CREDENTIALS_URL", &database.url());
    let program = launch.start().await;
    until_status(&program, NUMBER, 200).await;
    database.gate.set_open(false);
    program.signal(Signal::HUP);
    wait::until("the replacement is tried", SOON, async || {
        (program.generations().len() == 2).then_some(())
    })
    .await;
    wait::until("the replacement is given up", SOON, async || {
        assert_eq!(program.scrape(NUMBER).await.status, 200, "meanwhile");
        (program.generations() == [program.pid()]).then_some(())
    })
    .await;
    let said = program.stderr();
    let names_it = |line: &str| line.contains("not ready") && line.contains(&stub.server.url(""));
    assert!(said.lines().any(names_it), "{said}");

    database.gate.set_open(true);
    program.signal(Signal::HUP);
    wait::until("the replacement serves", SOON * 3, async || {
        assert_eq!(program.scrape(NUMBER).await.status, 200, "meanwhile");
        let new = program.serving_pid().await;
        new.filter(|new| *new != program.pid())
    })
    .await;
    assert_eq!(program.scrape(NUMBER).await.status, 200);
    database.remove().await;
}

/// The number may be part of the host name.
#[tokio::test]
async fn the_number_is_part_of_the_host() {
    let Some(admin) = need("MYSQL_ADMIN_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    // 127.1 in decimal: a number as a host name reaches the loopback without any name server.
    database
        .insert(Row {
            country: "12",
            phone: "7",
            ..ROW
        })
        .await;
    let stub = WhatsApp::plain().await;
    let port = stub.server.address.port();
    let section = json!({"sources": [{"kind": "mysql", "url": {"env": "CREDENTIALS_URL"},
        "profile": "whatsapp", "base_url": format!("http://{{number}}.0.0.1:{port}")}]});
    let launch = Launch::new(&configuration::gateway(section));
    let program = launch
        .variable("CREDENTIALS_URL", &database.url())
        .start()
        .await;
    until_status(&program, "127", 200).await;
    assert_eq!(stub.logins(), 1);
    database.remove().await;
}
