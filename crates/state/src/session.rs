//! What a caller holds while it reads or writes.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{Any, AnyConnection, Either, Execute, Executor, Row, SqlStr};

use crate::StateError;
use crate::connect::Backend;
use crate::lease::Lease;
use crate::watch::{CHANNEL, Hub};

const SQLITE_TOUCH: &str = "INSERT INTO changes (topic, version) VALUES ($1, 1) \
     ON CONFLICT (topic) DO UPDATE SET version = changes.version + 1 RETURNING version";
/// Delivered by the database when the transaction is committed, and only then.
const POSTGRES_TOUCH: &str = "SELECT pg_notify($1, $2)";
/// Until the end of the transaction. The first number sets our locks apart from others' ("Land").
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(1281453668, hashtext($1))";

/// A connection for reading. Each statement sees what is committed at its beginning; there is no
/// transaction around several.
///
/// Give `&mut read` to sqlx: then a statement without an answer is an error after ten seconds. It
/// also derefs to the connection itself, for what only that has, and waits as long as it takes.
#[derive(Debug)]
pub struct Read {
    lease: Lease,
}

/// A transaction. Dropping it rolls back.
///
/// Give `&mut write` to sqlx, as with [`Read`].
///
/// On SQLite there is one writer, in this process and in all that use the file; others wait for
/// their turn. On PostgreSQL writers run side by side at READ COMMITTED: a statement sees what
/// others have committed, and a row that one has changed is locked for the others. So decide and
/// change in one statement (`UPDATE … WHERE … RETURNING`), or take a [`Write::lock`] first.
#[derive(Debug)]
pub struct Write {
    lease: Lease,
    hub: Arc<Hub>,
    topics: BTreeSet<&'static str>,
    is_committing: bool,
}

impl Read {
    pub(crate) fn new(lease: Lease) -> Self {
        Self { lease }
    }

    /// Whether it is PostgreSQL, for the few things that have no words which both know.
    pub fn is_postgres(&self) -> bool {
        self.lease.backend() == Backend::Postgres
    }
}

impl Write {
    pub(crate) fn new(lease: Lease, hub: Arc<Hub>) -> Self {
        Self {
            lease,
            hub,
            topics: BTreeSet::new(),
            is_committing: false,
        }
    }

    /// Has the commit wake those who watch `topic`, in every process.
    pub fn touch(&mut self, topic: &'static str) {
        self.topics.insert(topic);
    }

    /// Waits until no other transaction holds the lock of this name, and holds it to the end. For
    /// reading before writing: take it before the first statement that reads. Take several in
    /// alphabetical order. On SQLite every transaction is alone already.
    ///
    /// Fails with class `Unavailable` when another holds it for more than five seconds.
    pub async fn lock(&mut self, name: &'static str) -> Result<(), StateError> {
        if self.lease.backend() == Backend::Postgres {
            let query = sqlx::query(POSTGRES_LOCK).bind(name);
            query.execute(&mut self.lease).await?;
        }
        Ok(())
    }

    /// The marks of so many values: `$3, $4` from the `first` on. SQLite looks each mark that has a
    /// name up among all of them, so that many take the square of their number; there they are `?`,
    /// and a statement has no others.
    pub fn marks(&self, first: usize, count: usize) -> String {
        let mark = |number| match self.lease.backend() {
            Backend::Sqlite => "?".to_owned(),
            Backend::Postgres => format!("${number}"),
        };
        let marks: Vec<String> = (first..first + count).map(mark).collect();
        marks.join(", ")
    }

    /// Whether several statements may come as one text, divided by `;`: then their values follow one
    /// another, and each ends with its result. It saves the way to SQLite's thread and back.
    pub fn takes_several(&self) -> bool {
        self.lease.backend() == Backend::Sqlite
    }

    /// Makes the transaction last and wakes the watchers. After an error nothing has happened,
    /// except that a connection which broke in the middle leaves open whether it has.
    pub async fn commit(mut self) -> Result<(), StateError> {
        let failed = |source| StateError::Commit { source };
        let mut versions = Vec::new();
        for topic in self.topics.clone() {
            let version = self.announce(topic).await.map_err(failed)?;
            versions.extend(version.map(|version| (topic, version)));
        }
        self.is_committing = true;
        self.lease.commit().await.map_err(failed)?;
        self.hub.saw(&versions);
        Ok(())
    }

    /// Tells other processes, as part of the transaction; the new version where it is counted.
    async fn announce(&mut self, topic: &'static str) -> Result<Option<i64>, sqlx::Error> {
        match self.lease.backend() {
            Backend::Sqlite => {
                let row = sqlx::query(SQLITE_TOUCH).bind(topic);
                let row = row.fetch_one(&mut self.lease).await?;
                row.try_get(0).map(Some)
            }
            Backend::Postgres => {
                let query = sqlx::query(POSTGRES_TOUCH).bind(CHANNEL).bind(topic);
                query.execute(&mut self.lease).await?;
                Ok(None)
            }
        }
    }
}

impl Drop for Write {
    /// A commit that was begun may have happened, even when its answer was not waited for.
    fn drop(&mut self) {
        if self.is_committing {
            for topic in &self.topics {
                self.hub.wake(topic);
            }
        }
    }
}

/// Deref to the connection, and statements with a limit.
macro_rules! session {
    ($name:ident) => {
        impl Deref for $name {
            type Target = AnyConnection;

            fn deref(&self) -> &AnyConnection {
                self.lease.connection()
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut AnyConnection {
                self.lease.connection_mut()
            }
        }

        impl<'c> Executor<'c> for &'c mut $name {
            type Database = Any;

            fn fetch_many<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, sqlx::Error>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Any>,
            {
                (&mut self.lease).fetch_many(query)
            }

            fn fetch_optional<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Any>,
            {
                (&mut self.lease).fetch_optional(query)
            }

            fn prepare_with<'e>(
                self,
                sql: SqlStr,
                parameters: &'e [AnyTypeInfo],
            ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
            where
                'c: 'e,
            {
                (&mut self.lease).prepare_with(sql, parameters)
            }
        }
    };
}

session!(Read);
session!(Write);
