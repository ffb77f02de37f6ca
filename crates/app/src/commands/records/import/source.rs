//! The database of the original collector. It is only read, page by page, in the order of the ids; a
//! connection that breaks is made again for the next page.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use base::secret::Secret;
use collect::records::imported::{BATCH_MAX, GuiltyNote, ImportedRecord, NOTES_MAX};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Postgres, Row};

use super::super::{CommandError, Outcome};
use super::schema::Schema;

/// The longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// The longest wait for a page.
const PAGE_LIMIT: Duration = Duration::from_secs(90);
/// The longest wait for the count of all records: it reads the whole table.
const COUNT_LIMIT: Duration = Duration::from_mins(30);
/// Bytes of the records of a page; one record may have more.
const PAGE_BYTES_MAX: i64 = 1 << 20;
/// Characters of a comment.
const COMMENT_CHARACTERS_MAX: usize = 1_024;
/// The server ends what we forgot: milliseconds.
const SESSION: &str = "SET default_transaction_read_only = on; SET statement_timeout = 1800000; \
     SET client_min_messages = warning";
const COLUMNS: &str = "SELECT attname::text, atttypid::regtype::text FROM pg_attribute \
     WHERE attrelid = to_regclass('records') AND attnum > 0 AND NOT attisdropped";
const ABOUT: &str = "SELECT current_database()::text, current_schema()::text, \
     current_setting('server_encoding')";
const IDENTITY: &str = "SELECT system_identifier::text FROM pg_control_system()";
const IS_THERE: &str = "SELECT to_regclass($1) IS NOT NULL";

/// The database.
pub(super) struct Source {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    pub(super) schema: Schema,
    /// What errors call it: host, port and database.
    pub(super) place: String,
    /// What tells it from all other databases.
    pub(super) identity: String,
}

/// What there is.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// The lowest id from 1 on; 0 without any.
    pub(super) first: i64,
    /// The highest id.
    pub(super) last: i64,
    /// Records with ids from 1 on.
    pub(super) records: i64,
    /// Records with other ids.
    pub(super) below: i64,
    /// When the oldest came, as decimal Unix seconds.
    pub(super) oldest: Option<String>,
}

/// Some records in the order of their ids.
pub(super) struct Page {
    pub(super) records: Vec<ImportedRecord>,
    /// Up to which id there are no others.
    pub(super) through: i64,
}

/// A frame that is never guilty.
pub(super) struct Frame {
    pub(super) id: i64,
    pub(super) function: String,
    pub(super) module: String,
}

impl Source {
    /// Connects and looks which tables there are.
    pub(super) async fn open(url: &Secret) -> Outcome<Self> {
        let help = "write postgres://user:password@host:port/database";
        // The library's error could repeat the URL with its password.
        let wrong = || CommandError::wrong(format!("the database's URL is not understood; {help}"));
        let is_ours = |scheme: &str| url.expose().starts_with(scheme);
        if !is_ours("postgres://") && !is_ours("postgresql://") {
            return Err(wrong());
        }
        let options = PgConnectOptions::from_str(url.expose()).map_err(|_| wrong())?;
        let options = options
            .application_name("landline")
            .disable_statement_logging();
        let database = options.get_database().unwrap_or(options.get_username());
        let place = format!("{}:{}/{database}", options.get_host(), options.get_port());
        let mut connection = connect(&options, &place).await?;
        let failed = |error| away(&place, &error);
        let about = sqlx::query(ABOUT).fetch_one(&mut connection);
        let about = within(PAGE_LIMIT, &place, about).await?;
        let about = |index: usize| about.try_get::<Option<String>, _>(index);
        let (database, schema) = (about(0).map_err(failed)?, about(1).map_err(failed)?);
        let encoding = about(2).map_err(failed)?.unwrap_or_default();
        let rows = sqlx::query(COLUMNS).fetch_all(&mut connection);
        let mut columns = BTreeMap::new();
        for row in within(PAGE_LIMIT, &place, rows).await? {
            let column = (|| Ok((row.try_get(0)?, row.try_get(1)?)))();
            columns.extend([column.map_err(failed)?]);
        }
        // Who may not ask for it is known by the address.
        let cluster = sqlx::query(IDENTITY).fetch_one(&mut connection).await;
        let cluster = cluster.and_then(|row| row.try_get::<String, _>(0));
        let cluster =
            cluster.unwrap_or_else(|_| format!("{}:{}", options.get_host(), options.get_port()));
        let [database, folder] = [database, schema].map(Option::unwrap_or_default);
        let schema = Schema::of(&columns, encoding != "SQL_ASCII")?;
        Ok(Self {
            options,
            connection: Some(connection),
            schema,
            place,
            identity: format!("postgresql/{cluster}/{database}/{folder}"),
        })
    }

    /// How much there is.
    pub(super) async fn span(&mut self) -> Outcome<Span> {
        let sql = self.schema.span.clone();
        let rows = self.fetch(COUNT_LIMIT, query(sql)).await?;
        let read = |row: &PgRow| {
            Ok(Span {
                first: row.try_get(0)?,
                last: row.try_get(1)?,
                records: row.try_get(2)?,
                below: row.try_get(3)?,
                oldest: row.try_get(4)?,
            })
        };
        let row = rows.first().ok_or(sqlx::Error::RowNotFound);
        row.and_then(read)
            .map_err(|error| away(&self.place, &error))
    }

    /// The records after an id, as many as fit into a batch, and none above `last`.
    pub(super) async fn page(&mut self, after: i64, last: i64) -> Outcome<Page> {
        let most = i64::try_from(BATCH_MAX).unwrap_or(i64::MAX);
        let lengths = query(self.schema.lengths.clone());
        let lengths = lengths.bind(after).bind(last).bind(most);
        let lengths = self.fetch(PAGE_LIMIT, lengths).await?;
        let (mut through, mut bytes, mut fitting) = (after, 0, 0);
        for row in &lengths {
            let length = (|| Ok((row.try_get(0)?, row.try_get(1)?)))();
            let (id, length): (i64, i64) = length.map_err(|error| away(&self.place, &error))?;
            bytes += length;
            if bytes > PAGE_BYTES_MAX && through > after {
                break;
            }
            through = id;
            fitting += 1;
        }
        if fitting == lengths.len() && lengths.len() < BATCH_MAX {
            through = last;
        }
        let rows = query(self.schema.rows.clone()).bind(after).bind(through);
        let rows = self.fetch(PAGE_LIMIT, rows).await?;
        let records = rows.iter().map(record_of).collect::<Result<_, _>>();
        Ok(Page {
            records: records.map_err(|error| away(&self.place, &error))?,
            through,
        })
    }

    /// Notes on guilty frames after an id, at most as many as are sent at once.
    pub(super) async fn notes(&mut self, after: i64) -> Outcome<Vec<GuiltyNote>> {
        let sql = self.schema.notes();
        let rows = self.few("guilty", sql, after).await?;
        let note = |row: &PgRow| {
            let mut comment = text_at(row, 3)?.unwrap_or_default();
            if comment.chars().count() > COMMENT_CHARACTERS_MAX {
                comment = comment.chars().take(COMMENT_CHARACTERS_MAX).collect();
                comment.push('…');
            }
            Ok(GuiltyNote {
                id: row.try_get(0)?,
                function: text_at(row, 1)?.unwrap_or_default(),
                module: text_at(row, 2)?.unwrap_or_default(),
                comment,
                is_hidden: row.try_get(4)?,
            })
        };
        let notes = rows.iter().map(note).collect::<Result<_, _>>();
        notes.map_err(|error| away(&self.place, &error))
    }

    /// Frames that are never guilty, after an id, some of them.
    pub(super) async fn frames(&mut self, after: i64) -> Outcome<Vec<Frame>> {
        let sql = self.schema.frames();
        let rows = self.few("guilty_blacklisted", sql, after).await?;
        let frame = |row: &PgRow| {
            Ok(Frame {
                id: row.try_get(0)?,
                function: text_at(row, 1)?.unwrap_or_default(),
                module: text_at(row, 2)?.unwrap_or_default(),
            })
        };
        let frames = rows.iter().map(frame).collect::<Result<_, _>>();
        frames.map_err(|error| away(&self.place, &error))
    }

    /// Rows of a table after an id; none when there is no such table.
    async fn few(&mut self, table: &str, sql: String, after: i64) -> Outcome<Vec<PgRow>> {
        let is_there = query(IS_THERE.to_owned()).bind(table.to_owned());
        let is_there = self.fetch(PAGE_LIMIT, is_there).await?;
        let is_there = is_there.first().map(|row| row.try_get::<bool, _>(0));
        if !matches!(is_there, Some(Ok(true))) {
            return Ok(Vec::new());
        }
        let most = i64::try_from(NOTES_MAX).unwrap_or(i64::MAX);
        let rows = query(sql).bind(after).bind(most);
        self.fetch(PAGE_LIMIT, rows).await
    }

    async fn fetch(
        &mut self,
        limit: Duration,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Outcome<Vec<PgRow>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.options, &self.place).await?,
        };
        let rows = within(limit, &self.place, query.fetch_all(&mut connection)).await?;
        // Only one that answered is used again.
        self.connection = Some(connection);
        Ok(rows)
    }
}

fn query(sql: String) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(AssertSqlSafe(sql))
}

async fn connect(options: &PgConnectOptions, place: &str) -> Outcome<PgConnection> {
    let mut connection = within(CONNECT_LIMIT, place, options.connect()).await?;
    let session = sqlx::raw_sql(SESSION).execute(&mut connection);
    within(CONNECT_LIMIT, place, session).await?;
    Ok(connection)
}

async fn within<T>(
    limit: Duration,
    place: &str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Outcome<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(|error| away(place, &error)),
        Err(_) => {
            let seconds = limit.as_secs();
            let text = format!("the database at {place} does not answer within {seconds} s");
            Err(CommandError::Away(text))
        }
    }
}

/// What went wrong there. Only what the network does may be over soon.
fn away(place: &str, error: &sqlx::Error) -> CommandError {
    let text = format!("the database at {place}: {error}");
    match error {
        sqlx::Error::Io(_) => CommandError::Away(text),
        // Class 57: it is being stopped, or starts.
        sqlx::Error::Database(error)
            if error.code().is_some_and(|code| code.starts_with("57P")) =>
        {
            CommandError::Away(text)
        }
        _ => CommandError::wrong(text),
    }
}

/// Text in UTF-8, or else in Latin-1, as the original reads what clients send.
fn text_at(row: &PgRow, index: usize) -> Result<Option<String>, sqlx::Error> {
    let bytes: Option<Vec<u8>> = row.try_get(index)?;
    Ok(bytes.map(|bytes| match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
    }))
}

fn record_of(row: &PgRow) -> Result<ImportedRecord, sqlx::Error> {
    let text = |index| text_at(row, index);
    Ok(ImportedRecord {
        id: row.try_get(0)?,
        external: row.try_get(1)?,
        payload: text(2)?.unwrap_or_default(),
        payload_bytes: row.try_get(3)?,
        classification: text(4)?,
        machine_id: text(5)?,
        build: text(6)?,
        system_name: text(7)?,
        event_id: text(8)?,
        arch: text(9)?,
        host_type: text(10)?,
        kernel_version: text(11)?,
        board_name: text(12)?,
        cpu_model: text(13)?,
        bios_version: text(14)?,
        received_at: row.try_get(15)?,
        created_at: row.try_get(16)?,
        severity: row.try_get(17)?,
        record_format_version: row.try_get(18)?,
        payload_format_version: row.try_get(19)?,
        guilty: row.try_get(20)?,
    })
}
