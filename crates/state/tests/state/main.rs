//! One suite for both back ends: what holds on SQLite holds on PostgreSQL. The tests for
//! PostgreSQL need a server; `cargo xtask test` starts one.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests: they read the environment and the clock, and fail by panic"
)]

mod child;
mod migrations;
mod outage;
mod relay;
mod site;
mod statements;
mod tls;
mod together;
mod transactions;
mod watching;

/// Runs each function on a new, empty database of both back ends.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let site = crate::site::Site::sqlite();
                super::$name(&site).await;
                site.finish().await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(site) = crate::site::Site::postgres().await else { return };
                super::$name(&site).await;
                site.finish().await;
            })+
        }
    };
}
pub(crate) use on_both;
