//! Everything small and mutable, in SQLite or PostgreSQL: opening, reading, the one writer,
//! migrations, and waking those who watch for a change. It knows no table but its own two; each
//! crate that owns tables brings its migrations and its statements.
//!
//! Statements are written once and run on both: placeholders are `$1`, `$2`, …; types are `BIGINT`,
//! `TEXT` and [`BYTES`](Migration#words); a time is a `BIGINT` of Unix milliseconds, a truth value
//! a `BIGINT` 0 or 1, JSON is `TEXT`. Values are bound as `i64`, `String` or `&str`, `Vec<u8>` or
//! `&[u8]`, and `Option` of these; never as `Arc<str>`, for which the SQLite driver has no place.
//! `SUM` of a `BIGINT` is cast back to `BIGINT`, and `INSERT … ON CONFLICT`, `RETURNING` and
//! `EXISTS` are at hand on both; `FOR UPDATE` is not, see [`Write::lock`]. Columns are named, never
//! `*`: a newer program may add some while an older one runs.

mod checkpoint;
mod connect;
mod error;
mod lease;
mod migrate;
mod pool;
mod session;
mod store;
mod together;
mod watch;

pub use self::connect::Location;
pub use self::error::StateError;
pub use self::migrate::Migration;
pub use self::session::{Read, Write};
pub use self::store::State;
pub use self::together::{Statement, Value};
pub use self::watch::Watch;
