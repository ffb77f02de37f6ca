//! The audit log: complete, in order, readable in pages, and free of secrets.

use futures_util::future::join_all;
use identity::audit::{Caller, Event, Query};
use identity::{authority, names};

use crate::site::{PASSWORD, Site, join_request, operator};

crate::on_both! {
    numbers_have_no_gaps_and_follow_the_commits,
    queries_filter_and_continue,
    a_flood_of_refusals_is_bounded,
    no_secret_is_in_the_database,
}

async fn numbers_have_no_gaps_and_follow_the_commits(site: &Site) {
    let (first, second) = (site.open().await, site.open().await);
    let before = first.events("").await.len();
    let records = (0..60).map(|index| {
        let opened = if index % 2 == 0 { &first } else { &second };
        let identity = opened.identity.clone();
        async move {
            let event = Event::success("test.done", &operator(), format!("test:{index}"));
            identity
                .audit()
                .record(&[event.clone(), event])
                .await
                .unwrap();
        }
    });
    join_all(records).await;
    let events = second.events("").await;
    assert_eq!(events.len(), before + 120);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.seq, i64::try_from(index).unwrap() + 1);
    }
}

async fn queries_filter_and_continue(site: &Site) {
    let opened = site.open().await;
    let audit = opened.identity.audit();
    let other = Caller::user("other", None);
    for index in 0..30 {
        let caller = if index % 3 == 0 { &other } else { &operator() };
        let kind = if index % 2 == 0 {
            "app.used"
        } else {
            "app_x.used"
        };
        let mut event = Event::success(kind, caller, format!("app:{}", index % 5)).with("n", index);
        if index == 7 {
            event = event.refused();
        }
        audit.record(&[event]).await.unwrap();
    }
    let count = async |change: fn(&mut Query)| {
        let mut query = Query::default();
        change(&mut query);
        audit.query(&query).await.unwrap().len()
    };
    assert_eq!(count(|query| query.kind = "app.used".to_owned()).await, 15);
    assert_eq!(count(|query| query.kind = "app.".to_owned()).await, 15);
    assert_eq!(count(|query| query.kind = "app_x.".to_owned()).await, 15);
    assert_eq!(count(|query| query.kind = "%".to_owned()).await, 31);
    assert_eq!(count(|query| query.kind = "appxx.".to_owned()).await, 0);
    assert_eq!(
        count(|query| query.actor = "user:other".to_owned()).await,
        10
    );
    assert_eq!(count(|query| query.target = "app:1".to_owned()).await, 6);
    assert_eq!(count(|query| query.outcome = "refused".to_owned()).await, 1);
    assert_eq!(count(|query| query.from = Some(i64::MAX)).await, 0);
    assert_eq!(count(|query| query.to = Some(0)).await, 0);
    assert_eq!(count(|query| query.limit = 7).await, 7);
    for is_descending in [false, true] {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let query = Query {
                cursor,
                is_descending,
                limit: 4,
                ..Query::default()
            };
            let page = audit.query(&query).await.unwrap();
            let Some(last) = page.last() else { break };
            cursor = Some(last.seq);
            seen.extend(page.iter().map(|event| event.seq));
        }
        let mut expected: Vec<i64> = (1..=31).collect();
        if is_descending {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
    let last = opened.events("").await.pop().unwrap();
    let line: serde_json::Value = serde_json::from_str(&last.json_line()).unwrap();
    assert_eq!(
        (&line["details"]["n"], &line["seq"]),
        (&29.into(), &31.into())
    );
}

async fn a_flood_of_refusals_is_bounded(site: &Site) {
    let opened = site.open().await;
    let secret = opened.token(1).await;
    opened.join("web-1").await;
    let (_, request) = authority::new_key("web-1").unwrap();
    let join = join_request(&secret, "web-1", &request);
    let members = opened.identity.members();
    for _ in 0..6 {
        let results = join_all((0..25).map(|_| members.join(&join))).await;
        assert!(results.iter().all(Result::is_err));
    }
    let refused = async || {
        let events = opened.events("node.join").await;
        events
            .into_iter()
            .filter(|event| event.outcome == "refused")
            .collect::<Vec<_>>()
    };
    assert_eq!(refused().await.len(), 120);
    site.advance(std::time::Duration::from_mins(1));
    assert!(members.join(&join).await.is_err());
    assert_eq!(
        refused().await.last().unwrap().details["left_out_before"],
        30
    );
}

async fn no_secret_is_in_the_database(site: &Site) {
    let opened = site.open().await;
    let identity = &opened.identity;
    opened.user("anna", &["admin"]).await;
    let token = opened.token(5).await;
    let (_, key) = opened.join("web-1").await;
    let api = identity::api_tokens::NewApiToken {
        user: "anna".to_owned(),
        purpose: String::new(),
        scopes: vec![identity::principal::Scope::parse("*:*").unwrap()],
        life: crate::site::HOUR,
    };
    let api = identity.api_tokens().add(&operator(), &api).await.unwrap();
    let invitation = identity
        .invitations()
        .add(&operator(), "anna")
        .await
        .unwrap();
    let sign_in = identity::sessions::SignIn {
        name: "anna".to_owned(),
        password: base::secret::Secret::new(PASSWORD),
        code: None,
        address: None,
        client: String::new(),
    };
    let session = identity.sessions().sign_in(&sign_in).await.unwrap();
    let totp = identity
        .users()
        .begin_totp(&operator(), "anna")
        .await
        .unwrap();
    let shown = format!("{token:?} {api:?} {invitation:?} {sign_in:?} {session:?} {totp:?}");
    let secrets = [
        token.expose(),
        api.secret.expose(),
        invitation.secret.expose(),
        session.secret.expose(),
        totp.key.expose(),
        key.expose(),
        PASSWORD,
    ];
    let tables = [
        "SELECT details FROM audit_events",
        "SELECT hash FROM join_tokens",
        "SELECT hash FROM api_tokens",
        "SELECT hash FROM invitations",
        "SELECT hash FROM web_sessions",
        "SELECT totp_key FROM users",
        "SELECT password_hash FROM users",
    ];
    let mut kept = String::new();
    let mut read = opened.state.read().await.unwrap();
    for sql in tables {
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut read).await.unwrap();
        kept.push_str(&rows.join("\n"));
    }
    for secret in secrets {
        let start = &secret[..secret.len().min(names::NAME_BYTES_MAX)];
        assert!(!kept.contains(start), "{start} is in the database");
        assert!(!shown.contains(start), "{start} shows");
    }
}
