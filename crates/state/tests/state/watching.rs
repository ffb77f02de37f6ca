//! Watching: woken by commits of this process and of others, and by nothing else for long.

use std::time::Duration;

use state::{State, Watch};
use tokio::time::{sleep, timeout};

use crate::child::Child;
use crate::site::{SOON, Site};

crate::on_both! {
    a_commit_wakes_watchers_of_its_topic,
    a_rollback_wakes_nobody,
    a_commit_of_another_process_wakes,
    watching_begins_with_the_call,
    many_topics_in_one_commit,
}

/// Longer than a change takes to be found, and than a notification takes.
const QUIET: Duration = Duration::from_millis(700);

async fn touch(state: &State, topics: &[&'static str]) {
    let mut write = state.write().await.unwrap();
    for topic in topics {
        write.touch(topic);
    }
    write.commit().await.unwrap();
}

/// Waits until nothing has come for a while.
async fn settle(watch: &mut Watch) {
    let settled = async { while timeout(QUIET, watch.changed()).await.is_ok() {} };
    timeout(SOON, settled).await.unwrap();
}

async fn assert_woken(watch: &mut Watch) {
    timeout(SOON, watch.changed()).await.unwrap();
}

async fn a_commit_wakes_watchers_of_its_topic(site: &Site) {
    let opened = [site.open().await, site.open().await];
    let mut roles = opened.each_ref().map(|opened| opened.state.watch("roles"));
    let mut nodes = opened.each_ref().map(|opened| opened.state.watch("nodes"));
    for watch in roles.iter_mut().chain(&mut nodes) {
        settle(watch).await;
    }
    for writer in &opened {
        touch(&writer.state, &["roles"]).await;
        for watch in &mut roles {
            assert_woken(watch).await;
            settle(watch).await;
        }
    }
    for watch in &mut nodes {
        assert!(timeout(QUIET, watch.changed()).await.is_err());
    }
    for opened in opened {
        opened.close().await;
    }
}

async fn a_rollback_wakes_nobody(site: &Site) {
    let opened = [site.open().await, site.open().await];
    let mut watches = opened.each_ref().map(|opened| opened.state.watch("roles"));
    for watch in &mut watches {
        settle(watch).await;
    }
    let mut write = opened[0].state.write().await.unwrap();
    write.touch("roles");
    drop(write);
    // Another topic has everybody look.
    touch(&opened[0].state, &["nodes"]).await;
    for watch in &mut watches {
        assert!(timeout(QUIET, watch.changed()).await.is_err());
    }
    for opened in opened {
        opened.close().await;
    }
}

async fn a_commit_of_another_process_wakes(site: &Site) {
    let opened = site.open().await;
    let mut watch = opened.state.watch("elsewhere");
    settle(&mut watch).await;
    assert!(Child::start(site, "touch elsewhere").wait().success());
    assert_woken(&mut watch).await;
    opened.close().await;
}

/// A change between the call and the first wait is not missed, however it falls.
async fn watching_begins_with_the_call(site: &Site) {
    let opened = [site.open().await, site.open().await];
    for round in 0..8 {
        let mut near = opened[0].state.watch("early");
        let mut far = opened[1].state.watch("early");
        touch(&opened[0].state, &["early"]).await;
        sleep(Duration::from_millis(40 * round)).await;
        assert_woken(&mut near).await;
        assert_woken(&mut far).await;
    }
    for opened in opened {
        opened.close().await;
    }
}

async fn many_topics_in_one_commit(site: &Site) {
    let opened = [site.open().await, site.open().await];
    let topics = ["one", "two", "three"];
    let mut watches = topics.map(|topic| opened[1].state.watch(topic));
    for watch in &mut watches {
        settle(watch).await;
    }
    let touches = (0..8).map(|_| touch(&opened[0].state, &topics));
    futures_util::future::join_all(touches).await;
    for watch in &mut watches {
        assert_woken(watch).await;
    }
    for opened in opened {
        opened.close().await;
    }
}
