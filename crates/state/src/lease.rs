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
    health: Health,
}

/// Whether a connection can be used again.
#[derive(Debug, Default)]
struct Health {
    /// A statement was sent and its answer not read to the end.
    is_waiting: bool,
    /// An error says that the connection is lost.
    is_broken: bool,
}

impl Health {
    /// A statement ended with this.
    fn note<T>(&mut self, result: &Result<T, sqlx::Error>) {
        self.is_waiting = false;
        if result.as_ref().is_err_and(|error| !is_harmless(error)) {
            self.is_broken = true;
        }
    }
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
            health: Health::default(),
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
        let (connection, health) = self.parts();
        bounded(
            AnyTransactionManager::begin(connection, Some(statement)),
            health,
        )
        .await
    }

    /// Ends the transaction; when this returns without an error, it is on disk.
    pub(crate) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        let (connection, health) = self.parts();
        let committed = bounded(AnyTransactionManager::commit(connection), health).await;
        if committed.is_err() {
            // Whether a transaction is still open, only the database knows: SQLite ends it by itself when
            // the disk is full.
            self.spoil();
        }
        committed?;
        self.is_open = false;
        self.pool.note_commit();
        Ok(())
    }

    /// Has the connection closed instead of used again.
    pub(crate) fn spoil(&mut self) {
        self.health.is_broken = true;
    }

    /// Closes the connection and gives back the right to one.
    #[expect(clippy::expect_used, reason = "only this and drop take it away")]
    pub(crate) fn into_permit(mut self) -> OwnedSemaphorePermit {
        let permit = self.permit.take();
        permit.expect("a lease holds a permit until dropped")
    }

    #[expect(clippy::expect_used, reason = "only drop takes the connection away")]
    fn parts(&mut self) -> (&mut AnyConnection, &mut Health) {
        let held = self.held.as_mut();
        let held = held.expect("a lease holds a connection until dropped");
        (&mut held.connection, &mut self.health)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut held), Some(permit)) = (self.held.take(), self.permit.take()) else {
            return;
        };
        // A connection in the middle of an answer is closed: the server rolls back and nobody has
        // to wait for the rest. SQLite's thread takes one command after the other anyway.
        let is_late = self.health.is_waiting && self.backend() == Backend::Postgres;
        if is_late || self.health.is_broken {
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
        let (connection, health) = self.parts();
        health.is_waiting = true;
        Box::pin(Rows {
            answer: connection.fetch_many(query),
            patience: Box::pin(sleep(STATEMENT_LIMIT)),
            health,
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
        let (connection, health) = self.parts();
        Box::pin(bounded(connection.fetch_optional(query), health))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        let (connection, health) = self.parts();
        Box::pin(bounded(connection.prepare_with(sql, parameters), health))
    }
}

/// The rows of a statement, each within [`STATEMENT_LIMIT`] of the one before.
struct Rows<'e> {
    answer: BoxStream<'e, Step>,
    patience: Pin<Box<Sleep>>,
    health: &'e mut Health,
}

impl Stream for Rows<'_> {
    type Item = Step;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Step>> {
        let step = match self.answer.as_mut().poll_next(context) {
            Poll::Pending if self.patience.as_mut().poll(context).is_pending() => {
                return Poll::Pending;
            }
            Poll::Pending => Some(Err(no_answer())),
            Poll::Ready(step) => step,
        };
        match &step {
            None => self.health.is_waiting = false,
            Some(step) if step.is_err() => self.health.note(step),
            Some(_) => {
                let next = Instant::now() + STATEMENT_LIMIT;
                self.patience.as_mut().reset(next);
            }
        }
        Poll::Ready(step)
    }
}

/// Waits for an answer for [`STATEMENT_LIMIT`].
async fn bounded<T>(
    work: impl Future<Output = Result<T, sqlx::Error>>,
    health: &mut Health,
) -> Result<T, sqlx::Error> {
    // Stays set when the caller stops waiting.
    health.is_waiting = true;
    let result = match timeout(STATEMENT_LIMIT, work).await {
        Ok(result) => result,
        Err(_) => Err(no_answer()),
    };
    health.note(&result);
    result
}

/// Whether the connection can still be used after this error.
fn is_harmless(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        // The server says so when it closes the connection: shutdown, crash, idle for too long. After
        // some errors (out of memory, input or output, disk full) SQLite has ended the transaction,
        // which sqlx takes for open.
        Error::Database(answer) => !answer.code().is_some_and(|code| {
            let number: Option<i64> = code.parse().ok();
            let ends_transaction = number.is_some_and(|code| matches!(code & 0xff, 7 | 10 | 13));
            code.starts_with("57P")
                || code.starts_with("25P03")
                || (code.len() < 5 && ends_transaction)
        }),
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => false,
        Error::BeginFailed | Error::InvalidSavePointStatement => false,
        _ => true,
    }
}

fn no_answer() -> sqlx::Error {
    let text = format!("no answer from the database within {STATEMENT_LIMIT:?}");
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))
}
