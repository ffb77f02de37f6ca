//! What a caller holds while it reads or writes.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{Any, AnyConnection, Either, Execute, Executor, SqlStr};

use crate::StateError;
use crate::connect::Backend;
use crate::lease::Lease;
use crate::together::{Statement, Value};
use crate::watch::{CHANNEL, Hub};

const SQLITE_TOUCH: [&str; 2] = [
    "INSERT INTO changes (topic, version) VALUES (",
    ", 1) ON CONFLICT (topic) DO UPDATE SET version = changes.version + 1 RETURNING version",
];
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
    topics: BTreeMap<&'static str, Told>,
    is_committing: bool,
}

/// Whether the transaction holds already what tells other processes of a topic.
#[derive(Debug, Clone, Copy)]
enum Told {
    NotYet,
    /// With the version, where it is counted.
    Yes(Option<i64>),
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
            topics: BTreeMap::new(),
            is_committing: false,
        }
    }

    /// Has the commit wake those who watch `topic`, in every process.
    pub fn touch(&mut self, topic: &'static str) {
        self.topics.entry(topic).or_insert(Told::NotYet);
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

    pub(crate) fn is_sqlite(&self) -> bool {
        self.lease.backend() == Backend::Sqlite
    }

    /// The topics of which nothing is told yet.
    pub(crate) fn untold(&self) -> Vec<&'static str> {
        let topics = self.topics.iter();
        let untold = topics.filter(|(_, told)| matches!(told, Told::NotYet));
        untold.map(|(topic, _)| *topic).collect()
    }

    /// Notes what is told of a topic: the version that its [`Write::announcement`] gave.
    pub(crate) fn told(&mut self, topic: &'static str, version: Option<i64>) {
        self.topics.insert(topic, Told::Yes(version));
    }

    /// What tells other processes, as part of the transaction: on SQLite a statement that gives the new
    /// version. On PostgreSQL a column of a row; the database delivers it when the transaction is
    /// committed, and only then.
    pub(crate) fn announcement(&self, topic: &'static str) -> Statement<'static> {
        let topic = Value::Text(topic);
        if self.is_sqlite() {
            let [before, behind] = SQLITE_TOUCH;
            return Statement::new(before).value(topic).sql(behind);
        }
        let channel = [Value::Text(CHANNEL), topic];
        Statement::new("pg_notify(").list(channel).sql(")")
    }

    /// Makes the transaction last and wakes the watchers. After an error nothing has happened,
    /// except that a connection which broke in the middle leaves open whether it has.
    pub async fn commit(mut self) -> Result<(), StateError> {
        if !self.untold().is_empty() {
            self.change(Vec::new()).await?;
        }
        self.is_committing = true;
        let committed = self.lease.commit().await;
        committed.map_err(|source| StateError::Commit { source })?;
        let told = self.topics.iter();
        let versions = told.filter_map(|(topic, told)| match told {
            Told::NotYet | Told::Yes(None) => None,
            Told::Yes(Some(version)) => Some((*topic, *version)),
        });
        self.hub.saw(&versions.collect::<Vec<_>>());
        Ok(())
    }
}

impl Drop for Write {
    /// A commit that was begun may have happened, even when its answer was not waited for.
    fn drop(&mut self) {
        if self.is_committing {
            for topic in self.topics.keys() {
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
