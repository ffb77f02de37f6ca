//! What is pushed, replaced, deleted, and there after a restart.

use axum::body::Bytes;
use http::Method;
use wire::exposition::protobuf::CONTENT_TYPE;
use wire::protobuf::Writer;

use super::super::Pushgateway;
use super::*;

const PAGE: &str = "# TYPE done counter\n# HELP done Steps.\ndone 3\n\
    # TYPE took summary\ntook{quantile=\"0.5\"} 1.5\ntook_sum 4\ntook_count 2\n";

/// A bench whose router has the paths of the Pushgateway only.
fn pushing(bench: Bench) -> (Bench, base::supervise::Service) {
    let folder = bench.folder.path().join("pushed");
    let (gateway, service) = Pushgateway::new(&bench.receiver, folder);
    let router = gateway.routes(|| Policy::Public).into_router();
    (Bench { router, ..bench }, service)
}

async fn send(bench: &Bench, method: Method, path: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::from(body.to_owned()));
    bench.ask(request.unwrap()).await
}

/// Labels and last value of all series of a metric; `-` for one that has ended.
async fn newest(bench: &Bench, metric: &str) -> Vec<String> {
    let all = bench.read(metric).await;
    let shown = all.into_iter().map(|(labels, samples)| {
        let value = *samples.floats.values.last().unwrap();
        let value = if value.to_bits() == signals::STALE {
            "-".to_owned()
        } else {
            value.to_string()
        };
        format!("{labels} {value}")
    });
    shown.collect()
}

#[tokio::test]
async fn push_puts_a_page_under_its_key() {
    let (bench, _) = pushing(Bench::new());
    let path = "/metrics/job/back%20up/shop@base64/YS9i/empty@base64/=";
    let page = PAGE.replace("done 3", "done{job=\"own\",step=\"1\"} 3");
    let answer = send(&bench, Method::PUT, path, &page).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let labels = r#"{__name__="done", job="back up", shop="a/b", step="1"} 3"#;
    assert_eq!(newest(&bench, "done").await, [labels]);
    assert_eq!(newest(&bench, "took_sum").await.len(), 1);
    let pushed = newest(&bench, "push_time_seconds").await;
    assert!(pushed[0].starts_with(r#"{__name__="push_time_seconds", job="back up""#));
    let failed = newest(&bench, "push_failure_time_seconds").await;
    assert!(failed[0].ends_with(" 0"), "{failed:?}");
    let known = bench.store(Store::metadata).await;
    assert_eq!(known.get("done").unwrap().help, "Steps.");
    assert_eq!(known.get("took").unwrap().kind, "summary");
}

#[tokio::test]
async fn push_replaces_the_group_or_families() {
    let (bench, _) = pushing(Bench::new());
    let path = "/metrics/job/a";
    for (method, page, status) in [
        (Method::POST, PAGE, 200),
        (Method::POST, "done{x=\"1\"} 4\n", 200),
    ] {
        let answer = send(&bench, method, path, page).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let series = |labels: &str| format!("{{__name__={labels}}}");
    let done = [
        series(r#""done", job="a""#) + " -",
        series(r#""done", job="a", x="1""#) + " 4",
    ];
    assert_eq!(newest(&bench, "done").await, done);
    let sum = series(r#""took_sum", job="a""#);
    assert_eq!(newest(&bench, "took_sum").await, [sum.clone() + " 4"]);
    let answer = send(&bench, Method::PUT, path, "other 1\n").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(newest(&bench, "took_sum").await, [sum + " -"]);
    let other = send(&bench, Method::PUT, "/metrics/job/b", PAGE).await;
    assert_eq!(other.status, StatusCode::OK);
    let answer = send(&bench, Method::DELETE, path, "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let ended = series(r#""other", job="a""#) + " -";
    assert_eq!(newest(&bench, "other").await, [ended]);
    let times = newest(&bench, "push_time_seconds").await;
    assert!(
        times[0].ends_with(" -") && !times[1].ends_with(" -"),
        "{times:?}"
    );
    let again = send(&bench, Method::DELETE, path, "").await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn push_takes_what_the_client_of_go_sends() {
    let (bench, _) = pushing(Bench::new());
    let mut page = Writer::default();
    page.delimited(|out| {
        out.text(1, "took");
        out.unsigned(3, 4);
        out.message(4, |out| {
            out.message(7, |out| {
                out.unsigned(1, 3);
                out.double(2, 4.5);
                out.message(3, |out| {
                    out.unsigned(1, 2);
                    out.double(2, 1e6);
                });
            });
        });
    });
    page.delimited(|out| {
        out.text(1, "native");
        out.unsigned(3, 4);
        out.message(4, |out| {
            out.message(7, |out| {
                out.unsigned(1, 3);
                out.double(6, 1e-128);
                out.message(12, |out| out.unsigned(2, 2));
                out.varints(13, [2, 2].into_iter());
            });
        });
    });
    let request = Request::put("/metrics/job/a")
        .header("content-type", CONTENT_TYPE)
        .body(Body::from(Bytes::from(page.finish())));
    let answer = bench.ask(request.unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let buckets = [
        r#"{__name__="took_bucket", job="a", le="+Inf"} 3"#,
        r#"{__name__="took_bucket", job="a", le="1e+06"} 2"#,
    ];
    assert_eq!(newest(&bench, "took_bucket").await, buckets);
    let (_, samples) = bench.read("native").await.remove(0);
    assert_eq!(samples.histograms[0].2.positive, [1.0, 2.0]);
}

#[tokio::test]
async fn push_refuses_what_it_cannot_keep() {
    let (bench, service) = pushing(Bench::new());
    let cases = [
        (
            "/metrics/job/a",
            "done 1 1700000000000\n",
            "has a timestamp",
        ),
        (
            "/metrics/job/a",
            "done{x=\"1\"} 1\ndone{x=\"1\"} 2\n",
            "twice",
        ),
        ("/metrics/job/a", "done one\n", "not a number"),
        ("/metrics/job/a/shop", "", "without a value"),
        ("/metrics/job/a/job/b", "", "given twice"),
        ("/metrics/job/a/__x/b", "", "no label may have"),
        ("/metrics/job@base64/!", "", "invalid base64"),
        ("/metrics/job@base64/=", "", "no job"),
    ];
    for (path, page, expected) in cases {
        let answer = send(&bench, Method::PUT, path, page).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {page}");
        assert!(answer.text().contains(expected), "{expected} in {answer:?}");
    }
    assert!(bench.read("done").await.is_empty());
    let answer = send(&bench, Method::GET, "/metrics/job/a", "").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    // A failure is told beside a page that is there.
    assert_eq!(
        send(&bench, Method::PUT, "/metrics/job/a", PAGE)
            .await
            .status,
        200
    );
    assert_eq!(
        send(&bench, Method::PUT, "/metrics/job/a", "done one\n")
            .await
            .status,
        400
    );
    assert_eq!(
        send(&bench, Method::POST, "/metrics/job/b", PAGE)
            .await
            .status,
        200
    );
    assert_eq!(newest(&bench, "done").await.len(), 2);
    let failures = async |is_zero: bool| {
        let all = newest(&bench, "push_failure_time_seconds").await;
        all.iter()
            .filter(|it| it.ends_with(" 0") == is_zero)
            .count()
    };
    assert_eq!(
        failures(true).await,
        2,
        "the failure is told with the next turn"
    );
    let supervisor = base::supervise::Supervisor::new();
    supervisor.register(service);
    supervisor.start();
    for _ in 0..500 {
        if failures(false).await == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no failure is told");
}

#[tokio::test]
async fn push_is_there_after_a_restart_and_stored_again() {
    let (bench, service) = pushing(Bench::new());
    for (job, page) in [("a", PAGE), ("b", PAGE), ("c", PAGE)] {
        let path = format!("/metrics/job/{job}");
        assert_eq!(send(&bench, Method::PUT, &path, page).await.status, 200);
    }
    let answer = send(&bench, Method::DELETE, "/metrics/job/b", "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    drop(service);
    // A gateway that knows nothing but the folder; its service stores what is there at once.
    let (bench, service) = pushing(bench);
    let supervisor = base::supervise::Supervisor::new();
    supervisor.register(service);
    supervisor.start();
    let mut counts = Vec::new();
    for _ in 0..500 {
        let all = bench.read("done").await.into_iter();
        counts = all.map(|(_, samples)| samples.floats.times.len()).collect();
        if counts == [2, 2, 2] {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // The second sample of the deleted one is its end.
    assert_eq!(counts, [2, 2, 2]);
    let done = newest(&bench, "done").await;
    assert!(
        done[1].ends_with(" -") && done[2].ends_with(" 3"),
        "{done:?}"
    );
}

#[tokio::test]
async fn push_goes_on_without_a_file_that_is_damaged() {
    let (mut bench, _) = pushing(Bench::new());
    let pushed = bench.folder.path().join("pushed");
    let file = pushed.join("0000000000.group");
    // The same number twice: the second does not take the place of the first.
    for turn in 0..2 {
        for path in ["/metrics/job/a", "/metrics/job/b"] {
            let answer = send(&bench, Method::PUT, path, PAGE).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        }
        let mut content = base::files::read_limited(&file, 1 << 20).unwrap();
        *content.last_mut().unwrap() ^= 1;
        std::fs::write(&file, &content).unwrap();
        (bench, _) = pushing(bench);
        let answer = send(&bench, Method::POST, "/metrics/job/b", "other 1\n").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(newest(&bench, "other").await.len(), 1);
        let aside = pushed.join(format!("damaged/0000000000.{turn}.group"));
        let kept = base::files::read_limited(&aside, 1 << 20).unwrap();
        assert!(kept == content && !file.exists());
        let count = format!("landline_pushed_files_damaged_total {}\n", turn + 1);
        assert!(bench.own_metrics().contains(&count));
        std::fs::rename(pushed.join("0000000001.group"), &file).unwrap();
        (bench, _) = pushing(bench);
    }
}
