//! Real signals, sent to this very process: under nextest each test has one of its own. They are
//! all in one test, since under a shared process they would disturb each other.

use std::time::Duration;

use rustix::process::{Signal as Kernel, getpid, kill_process};
use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn every_signal_arrives_and_pending_ones_by_urgency() {
    let mut signals = Signals::install().unwrap();
    let send = |signal| kill_process(getpid(), signal).unwrap();
    let pairs = [
        (Kernel::USR2, Signal::User2),
        (Kernel::USR1, Signal::User1),
        (Kernel::HUP, Signal::Hangup),
        (Kernel::QUIT, Signal::Quit),
        (Kernel::INT, Signal::Interrupt),
        (Kernel::TERM, Signal::Terminate),
    ];
    for (sent, expected) in pairs {
        send(sent);
        assert_eq!(signals.next().await, expected);
    }
    send(Kernel::HUP);
    send(Kernel::HUP);
    send(Kernel::TERM);
    // One runtime turn delivers all that are pending to their sources.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(signals.next().await, Signal::Terminate);
    assert_eq!(signals.next().await, Signal::Hangup);
    assert!(
        timeout(Duration::from_millis(50), signals.next())
            .await
            .is_err(),
        "once only"
    );
}

#[tokio::test]
async fn scripted_signals_keep_their_order_and_end_in_silence() {
    let (sender, receiver) = mpsc::channel(2);
    let mut signals = Signals::scripted(receiver);
    sender.send(Signal::User1).await.unwrap();
    sender.send(Signal::Terminate).await.unwrap();
    drop(sender);
    assert_eq!(signals.next().await, Signal::User1);
    assert_eq!(signals.next().await, Signal::Terminate);
    assert!(
        timeout(Duration::from_millis(20), signals.next())
            .await
            .is_err()
    );
}
