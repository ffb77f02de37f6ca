//! Identity on both databases: what holds on SQLite holds on PostgreSQL. The tests for PostgreSQL
//! need a server; `cargo xtask test` starts one.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::assigning_clones,
    clippy::unchecked_time_subtraction,
    reason = "tests: they read the environment and the clock, and fail by panic"
)]

mod access;
mod audit;
mod joining;
mod opening;
mod people;
mod renewing;
mod rotation;
mod site;
mod tls;

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
