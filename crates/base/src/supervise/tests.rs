//! The supervisor: services, restarts, tasks, and the phases of the exit. Time is paused, so
//! limits are exact and cost nothing.

use std::future::pending;
use std::sync::atomic::AtomicUsize;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::*;
use crate::events::Delivery;

const SECOND: Duration = Duration::from_secs(1);
const GRACEFUL: Exit = Exit::Graceful {
    grace: Duration::from_mins(1),
};

fn plain<F, R>(name: &str, body: F) -> Service
where
    F: FnOnce(Scope) -> R + Send + 'static,
    R: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Service::new(name, Criticality::Plain, body)
}

/// Lasts until told to stop.
fn lasting(name: &str) -> Service {
    plain(name, |scope| async move {
        scope.stopping().await;
        Ok(())
    })
}

async fn failure(supervisor: &Supervisor) -> ServiceFailure {
    supervisor.bus().wait(&SERVICE_EXITED_WITH_ERROR).await
}

#[tokio::test(start_paused = true)]
async fn services_run_from_the_start_on_and_later_ones_at_once() {
    let supervisor = Supervisor::new();
    let (sender, mut ran) = mpsc::channel(8);
    let noting = |name: &'static str| {
        let sender = sender.clone();
        plain(name, move |_| async move {
            sender.send(name).await.map_err(Into::into)
        })
    };
    supervisor.register(noting("early"));
    sleep(SECOND).await;
    assert!(ran.try_recv().is_err(), "not started yet");
    assert_eq!(
        (supervisor.services(), supervisor.count()),
        (vec!["early".to_owned()], 1)
    );
    supervisor.start();
    assert_eq!(ran.recv().await, Some("early"));
    supervisor.register(noting("late"));
    assert_eq!(ran.recv().await, Some("late"));
    supervisor.wait().await;
    assert_eq!(supervisor.count(), 0);
    assert_eq!(supervisor.totals(), Totals::default());
    assert_eq!(
        supervisor.bus().latest(&SERVICE_EXITED_WITH_ERROR),
        None,
        "an end is no failure"
    );
}

#[tokio::test]
async fn starting_nothing_is_fine() {
    let supervisor = Supervisor::new();
    supervisor.start();
    supervisor.start();
    supervisor.wait().await;
}

#[tokio::test(start_paused = true)]
async fn an_error_is_told_with_its_causes() {
    let supervisor = Supervisor::new();
    supervisor.register(Service::new("store", Criticality::Critical, |_| async {
        let cause = "x".parse::<u8>().unwrap_err();
        Err(std::io::Error::other(cause).into())
    }));
    supervisor.start();
    let failure = failure(&supervisor).await;
    assert_eq!(
        (failure.service.as_str(), failure.critical),
        ("store", true)
    );
    assert!(failure.error.contains("invalid digit"), "{}", failure.error);
    assert_eq!(
        (supervisor.totals().failures, supervisor.totals().panics),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_failure_of_its_service() {
    let supervisor = Supervisor::new();
    let seven = 7;
    supervisor.register(plain(
        "broken",
        move |_| async move { panic!("number {seven}") },
    ));
    supervisor.start();
    assert_eq!(failure(&supervisor).await.error, "panicked: number 7");
    assert_eq!(
        (supervisor.totals().failures, supervisor.totals().panics),
        (1, 1)
    );
    assert_eq!(supervisor.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_future_is_caught_too() {
    let supervisor = Supervisor::new();
    let broken = |name: &str, restart| {
        Service::restarting(name, Criticality::Plain, restart, |scope| {
            assert!(scope.service().is_empty(), "at once");
            pending()
        })
    };
    supervisor.register(broken("again", Restart::Never));
    supervisor.start();
    assert_eq!(failure(&supervisor).await.error, "panicked: at once");
}

#[tokio::test(start_paused = true)]
async fn restarts_are_spaced_and_only_the_last_failure_is_told() {
    let supervisor = Supervisor::new();
    let restart = Restart::OnFailure {
        first: SECOND,
        ceiling: 4 * SECOND,
    };
    let (sender, mut runs) = mpsc::channel(8);
    supervisor.register(Service::restarting(
        "flaky",
        Criticality::Critical,
        restart,
        move |_| {
            let sender = sender.clone();
            async move {
                sender.send(Instant::now()).await?;
                Err("not yet".into())
            }
        },
    ));
    supervisor.start();
    let mut last = runs.recv().await.unwrap();
    for full in [1, 2, 4, 4] {
        let next = runs.recv().await.unwrap();
        let (delay, full) = (next - last, full * SECOND);
        assert!(
            delay >= full / 2 && delay <= full + Duration::from_millis(2),
            "{delay:?}"
        );
        last = next;
    }
    assert_eq!(supervisor.bus().latest(&SERVICE_EXITED_WITH_ERROR), None);
    let running = supervisor.running().services;
    assert_eq!((running[0].restarts, running[0].critical), (4, true));
    drop(supervisor.shutdown(GRACEFUL));
    assert_eq!(failure(&supervisor).await.error, "not yet");
    assert_eq!(
        (supervisor.totals().failures, supervisor.totals().restarts),
        (5, 4)
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_run_begins_the_delays_anew() {
    let restart = Restart::OnFailure {
        first: SECOND,
        ceiling: 8 * SECOND,
    };
    let mut pause = run::Pause::new(restart);
    let full = |delay: Option<Duration>| delay.unwrap().as_secs_f64().log2().ceil();
    let seen: Vec<_> = [0, 0, 0, 9]
        .map(|ran| full(pause.next(ran * SECOND)))
        .into();
    assert_eq!(seen, [0.0, 1.0, 2.0, 0.0]);
    assert_eq!(run::Pause::new(Restart::Never).next(SECOND), None);
}

#[tokio::test(start_paused = true)]
async fn a_service_lasts_as_long_as_its_tasks() {
    let supervisor = Supervisor::new();
    let (release, released) = oneshot::channel::<()>();
    supervisor.register(plain("web", |scope| async move {
        scope.spawn("connection", async {
            drop(released.await);
        });
        Ok(())
    }));
    supervisor.start();
    sleep(SECOND).await;
    let running = supervisor.running();
    assert_eq!(
        (running.services.len(), running.tasks),
        (1, vec![("connection", 1)])
    );
    release.send(()).unwrap();
    supervisor.wait().await;
    assert_eq!(supervisor.running(), Running::default());
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_the_tasks_of_its_service() {
    let supervisor = Supervisor::new();
    supervisor.register(plain("web", |scope| async move {
        scope.spawn("connection", pending());
        sleep(SECOND).await;
        Err("broken".into())
    }));
    supervisor.start();
    failure(&supervisor).await;
    assert_eq!(supervisor.running(), Running::default());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_counted_and_no_failure() {
    let supervisor = Supervisor::new();
    supervisor.spawn("login", async { panic!("oh") });
    sleep(SECOND).await;
    assert_eq!(
        supervisor.totals(),
        Totals {
            task_panics: 1,
            ..Totals::default()
        }
    );
    assert_eq!(supervisor.running(), Running::default());
}

#[tokio::test(start_paused = true)]
async fn phases_come_in_order_and_the_drain_waits_for_all_work() {
    let supervisor = Supervisor::new();
    let (sender, mut seen) = mpsc::channel(16);
    for phase in Phase::ALL.into_iter().rev() {
        let sender = sender.clone();
        supervisor.on_exit(phase, phase.as_str(), move |kind| async move {
            drop(sender.send((phase.to_string(), kind)).await);
        });
    }
    supervisor.register(lasting("web"));
    let tail = sender.clone();
    supervisor.spawn("connection", async move {
        sleep(20 * SECOND).await;
        drop(tail.send(("drained".to_owned(), ExitKind::Graceful)).await);
    });
    supervisor.start();
    drop(sender);
    let report = supervisor.shutdown(GRACEFUL).await;
    assert_eq!(
        report,
        ExitReport {
            late: Vec::new(),
            elapsed: 20 * SECOND
        }
    );
    let mut names = Vec::new();
    while let Ok((name, kind)) = seen.try_recv() {
        assert_eq!(kind, ExitKind::Graceful);
        names.push(name);
    }
    assert_eq!(
        names,
        [
            "stop-accepting",
            "announce",
            "drain",
            "drained",
            "flush",
            "close"
        ]
    );
    assert_eq!(*supervisor.phase().borrow(), Some(Phase::Close));
}

#[tokio::test(start_paused = true)]
async fn handlers_of_one_phase_run_side_by_side() {
    let supervisor = Supervisor::new();
    for name in ["one", "two"] {
        supervisor.on_exit(Phase::Flush, name, |_| sleep(10 * SECOND));
    }
    let report = supervisor.shutdown(GRACEFUL).await;
    assert_eq!((report.late.len(), report.elapsed), (0, 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_is_late_is_named_told_and_dropped() {
    let supervisor = Supervisor::new();
    let told = Arc::new(AtomicUsize::new(0));
    let counted = told.clone();
    supervisor.register(plain("stubborn", |scope| async move {
        scope.closing().await;
        counted.fetch_add(1, Ordering::SeqCst);
        pending().await
    }));
    supervisor.spawn("session", pending());
    supervisor.on_exit(Phase::StopAccepting, "ports", |_| pending());
    supervisor.on_exit(Phase::Announce, "broken", |_| async { panic!("oh") });
    supervisor.start();
    let report = supervisor.shutdown(GRACEFUL).await;
    let late = |phase, name: &str| Late {
        phase,
        name: name.to_owned(),
    };
    let expected = [
        late(Phase::StopAccepting, "handler ports"),
        late(Phase::Drain, "service stubborn"),
        late(Phase::Drain, "task session (1)"),
    ];
    assert_eq!(report.late, expected);
    assert_eq!(report.elapsed, 60 * SECOND + CLOSING_LIMIT);
    assert_eq!(told.load(Ordering::SeqCst), 1);
    supervisor.wait().await;
    assert_eq!(
        supervisor.running(),
        Running::default(),
        "dropped, not only forgotten"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fast_exit_has_three_seconds_and_returns_after_five() {
    let supervisor = Supervisor::new();
    supervisor.spawn("session", pending());
    supervisor.register(plain("stuck", |_| pending()).stops_at(Phase::Flush));
    supervisor.on_exit(Phase::Close, "stuck", |_| pending());
    supervisor.start();
    let report = supervisor.shutdown(Exit::Fast).await;
    assert!(report.elapsed <= FAST_HARD_LIMIT, "{:?}", report.elapsed);
    let phases: Vec<_> = report.late.iter().map(|late| late.phase).collect();
    assert_eq!(phases, [Phase::Drain, Phase::Flush, Phase::Close]);
}

#[tokio::test(start_paused = true)]
async fn a_fast_exit_with_only_a_session_ends_soon_after_its_grace() {
    let supervisor = Supervisor::new();
    supervisor.spawn("session", pending());
    let report = supervisor.shutdown(Exit::Fast).await;
    assert!(report.elapsed < FAST_GRACE + SECOND, "{:?}", report.elapsed);
}

#[tokio::test(start_paused = true)]
async fn the_more_urgent_exit_wins_whichever_comes_first() {
    let supervisor = Supervisor::new();
    supervisor.spawn("session", pending());
    let graceful = supervisor.shutdown(GRACEFUL);
    sleep(10 * SECOND).await;
    let fast = supervisor.shutdown(Exit::Fast);
    drop(supervisor.shutdown(GRACEFUL));
    let (one, two) = tokio::join!(graceful, fast);
    assert_eq!(one, two);
    assert!(
        one.elapsed <= 10 * SECOND + FAST_HARD_LIMIT,
        "{:?}",
        one.elapsed
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_shutdown_goes_on() {
    let supervisor = Supervisor::new();
    supervisor.register(lasting("web"));
    supervisor.start();
    drop(supervisor.shutdown(GRACEFUL));
    supervisor.wait().await;
    assert!(supervisor.is_exiting());
}

#[tokio::test(start_paused = true)]
async fn a_store_stops_after_the_work_that_uses_it() {
    let supervisor = Supervisor::new();
    supervisor.register(lasting("store").stops_at(Phase::Close));
    supervisor.spawn("session", sleep(30 * SECOND));
    supervisor.start();
    let exit = supervisor.shutdown(GRACEFUL);
    sleep(29 * SECOND).await;
    assert_eq!(supervisor.services(), ["store"]);
    assert_eq!(exit.await.elapsed, 30 * SECOND);
    assert_eq!(supervisor.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn background_tasks_are_not_waited_for() {
    let supervisor = Supervisor::new();
    supervisor.spawn_background("watch", pending());
    assert_eq!(supervisor.shutdown(GRACEFUL).await.elapsed, Duration::ZERO);
    sleep(SECOND).await;
    assert_eq!(supervisor.running(), Running::default());
}

#[tokio::test(start_paused = true)]
async fn a_handler_for_a_phase_that_has_begun_runs_at_once() {
    let supervisor = Supervisor::new();
    supervisor.spawn("session", sleep(30 * SECOND));
    drop(supervisor.shutdown(GRACEFUL));
    sleep(SECOND).await;
    let (sender, ran) = oneshot::channel();
    supervisor.on_exit(Phase::StopAccepting, "late", |kind| async move {
        sender.send(kind).unwrap();
    });
    assert_eq!(ran.await, Ok(ExitKind::Graceful));
}

#[tokio::test(start_paused = true)]
async fn a_handler_added_during_its_phase_is_waited_for() {
    let supervisor = Supervisor::new();
    let inner = supervisor.clone();
    supervisor.on_exit(Phase::Flush, "first", |_| async move {
        inner.on_exit(Phase::Flush, "second", |_| sleep(5 * SECOND));
        inner.on_exit(Phase::Flush, "broken", |_| -> std::future::Ready<()> {
            panic!("oh")
        });
    });
    let report = supervisor.shutdown(GRACEFUL).await;
    assert_eq!((report.late.len(), report.elapsed), (0, 5 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_late_handler_that_panics_harms_nobody() {
    let supervisor = Supervisor::new();
    supervisor.shutdown(GRACEFUL).await;
    for phase in [Phase::StopAccepting, Phase::Close] {
        supervisor.on_exit(phase, "broken", |_| -> std::future::Ready<()> {
            panic!("oh")
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_failure_is_told_although_a_task_blocks() {
    let supervisor = Supervisor::new();
    let (release, released) = std::sync::mpsc::sync_channel::<()>(0);
    supervisor.register(plain("store", |scope| async move {
        let blocks = Arc::new(AtomicUsize::new(0));
        let begun = blocks.clone();
        scope.spawn("writer", async move {
            begun.store(1, Ordering::SeqCst);
            assert!(released.recv().is_err(), "until released");
        });
        // Not woken by the task, behind which it would wait for the thread.
        while blocks.load(Ordering::SeqCst) == 0 {
            sleep(SECOND / 100).await;
        }
        Err("broken".into())
    }));
    supervisor.start();
    let told = tokio::time::timeout(10 * CLOSING_LIMIT, failure(&supervisor)).await;
    drop(release);
    assert_eq!(told.unwrap().error, "broken");
}

#[tokio::test(start_paused = true)]
async fn every_failure_reaches_a_listener_in_order() {
    let supervisor = Supervisor::new();
    let mut failures = supervisor.bus().listen(&SERVICE_EXITED_WITH_ERROR);
    for name in ["one", "two"] {
        supervisor.register(plain(name, |_| async { Err("broken".into()) }));
    }
    supervisor.start();
    for name in ["one", "two"] {
        match failures.next().await {
            Delivery::Value(failure) => assert_eq!(failure.service, name),
            Delivery::Lagged(count) => panic!("{count} lost"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_service_that_blocks_its_thread_does_not_hold_up_a_fast_exit() {
    let supervisor = Supervisor::new();
    let (release, released) = std::sync::mpsc::sync_channel::<()>(0);
    supervisor.register(plain("blocked", move |_| async move {
        released.recv().map_err(Into::into)
    }));
    supervisor.start();
    let report = supervisor.shutdown(Exit::Fast).await;
    assert!(
        report.elapsed < FAST_HARD_LIMIT + SECOND,
        "{:?}",
        report.elapsed
    );
    assert_eq!(report.late[0].name, "service blocked");
    release.send(()).unwrap();
}
