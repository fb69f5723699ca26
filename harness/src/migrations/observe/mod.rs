//! What a migration does to those who use the database meanwhile: every statement is executed on tables with rows, and
//! looked at from within its transaction, before anybody else could see it.
//!
//! What a statement does is read from the server, not from its text: a rewrite from the table's file, a full scan from
//! the rows that were read, locks from the lock table, and changes of columns and constraints from the catalogs. So it
//! does not matter whether it was written as `ALTER TABLE` or done by a function that is called.

mod change;
mod lock;
mod look;
mod queries;
mod relations;
mod replay;
mod rows;
mod run;
mod stall;
mod survive;
mod words;
mod zone;

use std::collections::HashMap;
use std::time::Duration;

pub use change::{Change, ConstraintKind};
pub use lock::LockMode;
pub(crate) use look::{document, roll_back, run};
pub use queries::OldQuery;
pub(crate) use replay::sandbox;
pub use replay::{Refused, observe};
pub use stall::Stall;
pub use survive::{Loss, LostRows};
pub(crate) use words::{is_transaction_control, tokens, words};
pub use zone::ZoneDependence;

use super::sandbox::Refusal;

/// Fewer rows than these say nothing about what is done to many.
pub(crate) const MANY_ROWS: i64 = 10;

/// What all migrations did, each on the tables of those before it, with rows in them.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// One for each step of the project.
    pub steps: Vec<Passage>,
}

/// What one migration did.
#[derive(Debug, Clone, Default)]
pub struct Passage {
    /// What its statements did, those that were executed.
    pub statements: Vec<Observed>,
    /// What the server refused although tables had rows, and whether it refuses it without them.
    pub refused: Option<Refused>,
    /// Queries of those who know the schema before it, and do not run any more.
    pub broken: Vec<OldQuery>,
    /// How long others had to wait for a table while it ran.
    pub stalls: HashMap<String, Stall>,
    /// Columns whose values depend on the zone of the session.
    pub zones: Vec<ZoneDependence>,
    /// Rows that were there before, and are not any more as they were.
    pub lost_rows: Vec<LostRows>,
    /// Views that went although no statement names them, each with the statement that took them.
    pub lost_views: Vec<(usize, String)>,
}

/// What one statement did.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Its number in the script.
    pub statement: usize,
    /// The number of the transaction that it ran in, within the migration.
    pub transaction: usize,
    /// How long the server took.
    pub elapsed: Duration,
    /// How long it would have waited for a lock, in milliseconds; zero is without end.
    pub lock_timeout_ms: i64,
    /// It cannot run in a transaction, so that its locks were not seen.
    pub alone: bool,
    /// The tables that it touched, of those that were there before the migration.
    pub tables: Vec<Touched>,
}

/// What one statement did to one table that was there before the migration.
#[derive(Debug, Clone)]
pub struct Touched {
    /// The object identifier.
    pub id: i64,
    /// The qualified name before the statement, with quotes where it needs them.
    pub table: String,
    /// Whether it had rows before the migration.
    pub in_use: bool,
    /// The strongest lock that the transaction took on it in this statement, if it had not had it before.
    pub taken: Option<LockMode>,
    /// The strongest lock that the transaction holds on it.
    pub held: Option<LockMode>,
    /// How many of its rows were read.
    pub rows_read: i64,
    /// How many rows were added.
    pub rows_inserted: i64,
    /// How many rows were changed or deleted.
    pub rows_changed: i64,
    /// What is different about it.
    pub changes: Vec<Change>,
}

impl Touched {
    /// Whether all of its rows were written anew.
    #[must_use]
    pub fn is_rewritten(&self) -> bool {
        self.changes.contains(&Change::Rewritten)
    }

    /// Whether it was read as a whole, for a change of the schema and not for one of rows.
    #[must_use]
    pub fn is_scanned(&self) -> bool {
        self.rows_read > 0 && self.rows_changed == 0 && self.rows_inserted == 0
    }

    /// Whether it takes the longer the more rows the table has.
    #[must_use]
    pub fn is_long(&self) -> bool {
        let is_many = |rows| rows >= MANY_ROWS;
        self.in_use && (self.is_rewritten() || is_many(self.rows_read) || is_many(self.rows_changed))
    }
}

impl Passage {
    /// The statements of one transaction.
    pub fn transaction(&self, number: usize) -> impl Iterator<Item = &Observed> {
        self.statements.iter().filter(move |observed| observed.transaction == number)
    }

    /// What others had to wait for a table, as a sentence's end; empty if it was not measured.
    #[must_use]
    pub fn stall(&self, table: &str) -> String {
        self.stalls.get(table).map(|stall| format!(" ({stall})")).unwrap_or_default()
    }
}

/// Whether the server refused something for the rows that it found.
#[must_use]
pub(crate) fn is_about_rows(refusal: &Refusal) -> bool {
    // Integrity constraints, and values that do not fit a new type.
    refusal.sqlstate.starts_with("23") || refusal.sqlstate.starts_with("22")
}
