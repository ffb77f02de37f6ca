//! One connection in use, with a limit on every statement. It goes back to its pool when dropped,
//! unless something happened to it.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTransactionManager, AnyTypeInfo};
use sqlx::{Any, AnyConnection, Either, Execute, Executor, SqlStr};
use sqlx_core::transaction::TransactionManager;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::connect::Backend;
use crate::pool::{Held, Pool};

/// How long a statement may take to begin its answer, and then from row to row.
pub(crate) const STATEMENT_LIMIT: Duration = Duration::from_secs(10);

type Step = Result<Either<AnyQueryResult, AnyRow>, sqlx::Error>;

/// A connection in use.
pub(crate) struct Lease {
    pool: Pool,
    permit: Option<OwnedSemaphorePermit>,
    held: Option<Held>,
    /// A transaction was begun and not ended.
    is_open: bool,
    /// A statement was sent and its answer not read to the end.
    is_waiting: bool,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

impl Lease {
    pub(crate) fn new(pool: Pool, permit: OwnedSemaphorePermit, held: Held) -> Self {
        Self {
            pool,
            permit: Some(permit),
            held: Some(held),
            is_open: false,
            is_waiting: false,
        }
    }

    pub(crate) fn backend(&self) -> Backend {
        self.pool.target().backend
    }

    #[expect(clippy::expect_used, reason = "only drop takes the connection away")]
    pub(crate) fn connection(&self) -> &AnyConnection {
        let held = self.held.as_ref();
        &held
            .expect("a lease holds a connection until dropped")
            .connection
    }

    pub(crate) fn connection_mut(&mut self) -> &mut AnyConnection {
        self.parts().0
    }

    /// Begins a transaction with the statement that the database needs for it.
    pub(crate) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let statement = SqlStr::from_static(match self.backend() {
            Backend::Sqlite => "BEGIN IMMEDIATE",
            Backend::Postgres => "BEGIN",
        });
        self.is_open = true;
        let (connection, is_waiting) = self.parts();
        bounded(
            AnyTransactionManager::begin(connection, Some(statement)),
            is_waiting,
        )
        .await
    }

    /// Ends the transaction; when this returns without an error, it is on disk.
    pub(crate) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        let (connection, is_waiting) = self.parts();
        bounded(AnyTransactionManager::commit(connection), is_waiting).await?;
        self.is_open = false;
        Ok(())
    }

    /// Has the connection closed instead of used again.
    pub(crate) fn spoil(&mut self) {
        self.is_waiting = true;
    }

    #[expect(clippy::expect_used, reason = "only drop takes the connection away")]
    fn parts(&mut self) -> (&mut AnyConnection, &mut bool) {
        let held = self.held.as_mut();
        let held = held.expect("a lease holds a connection until dropped");
        (&mut held.connection, &mut self.is_waiting)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut held), Some(permit)) = (self.held.take(), self.permit.take()) else {
            return;
        };
        // A connection in the middle of an answer is closed: the database rolls back and nobody
        // has to wait for the rest. SQLite's thread takes one command after the other anyway.
        if self.is_waiting && self.backend() == Backend::Postgres {
            return;
        }
        if self.is_open {
            AnyTransactionManager::start_rollback(&mut held.connection);
            self.pool.roll_back(held, permit);
        } else {
            self.pool.put_back(held);
        }
    }
}

impl<'c> Executor<'c> for &'c mut Lease {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let (connection, is_waiting) = self.parts();
        *is_waiting = true;
        Box::pin(Rows {
            answer: connection.fetch_many(query),
            patience: Box::pin(sleep(STATEMENT_LIMIT)),
            is_waiting,
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let (connection, is_waiting) = self.parts();
        Box::pin(bounded(connection.fetch_optional(query), is_waiting))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        let (connection, is_waiting) = self.parts();
        Box::pin(bounded(
            connection.prepare_with(sql, parameters),
            is_waiting,
        ))
    }
}

/// The rows of a statement, each within [`STATEMENT_LIMIT`] of the one before.
struct Rows<'e> {
    answer: BoxStream<'e, Step>,
    patience: Pin<Box<Sleep>>,
    is_waiting: &'e mut bool,
}

impl Stream for Rows<'_> {
    type Item = Step;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Step>> {
        match self.answer.as_mut().poll_next(context) {
            Poll::Ready(None) => {
                *self.is_waiting = false;
                Poll::Ready(None)
            }
            Poll::Ready(Some(step)) => {
                if step.as_ref().is_err_and(is_harmless) {
                    *self.is_waiting = false;
                }
                self.patience
                    .as_mut()
                    .reset(Instant::now() + STATEMENT_LIMIT);
                Poll::Ready(Some(step))
            }
            Poll::Pending => self
                .patience
                .as_mut()
                .poll(context)
                .map(|()| Some(Err(no_answer()))),
        }
    }
}

/// Waits for an answer for [`STATEMENT_LIMIT`]. `is_waiting` stays set when there is none, when the
/// connection broke, and when the caller stops waiting.
async fn bounded<T>(
    work: impl Future<Output = Result<T, sqlx::Error>>,
    is_waiting: &mut bool,
) -> Result<T, sqlx::Error> {
    *is_waiting = true;
    let result = match timeout(STATEMENT_LIMIT, work).await {
        Ok(result) => result,
        Err(_) => Err(no_answer()),
    };
    *is_waiting = result.as_ref().is_err_and(|error| !is_harmless(error));
    result
}

/// Whether the connection can still be used after this error.
fn is_harmless(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        // The server says so when it closes the connection: shutdown, crash, idle for too long.
        Error::Database(answer) => !answer
            .code()
            .is_some_and(|code| code.starts_with("57P") || code.starts_with("25P03")),
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => false,
        Error::BeginFailed | Error::InvalidSavePointStatement => false,
        _ => true,
    }
}

fn no_answer() -> sqlx::Error {
    let text = format!("no answer from the database within {STATEMENT_LIMIT:?}");
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))
}
