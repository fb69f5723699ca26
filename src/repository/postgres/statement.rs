//! The SQL that repositories send, as lists: what a test prepares on every schema that they claim to support.

/// One statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Its name in the code.
    pub name: &'static str,
    /// The oldest version of the schema that it runs on.
    pub since: i64,
    /// The SQL.
    pub sql: &'static str,
    /// How it is sent.
    pub kind: StatementKind,
}

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// It is prepared, and executed with parameters.
    Prepared,
    /// `COPY ... FROM STDIN`, which Postgres does not prepare; rows follow.
    CopyIn,
}

/// Declares statements, each with the oldest schema that it runs on, and `STATEMENTS`, the list of them all: what is
/// sent and what is listed cannot differ.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident($since:literal $(, $kind:ident)?) = $sql:expr;)+) => {
        $(
            $(#[$doc])*
            const $name: $crate::repository::postgres::Statement = $crate::repository::postgres::Statement {
                name: stringify!($name),
                since: $since,
                sql: $sql,
                kind: statements!(@kind $($kind)?),
            };
        )+

        const STATEMENTS: &[$crate::repository::postgres::Statement] = &[$($name),+];
    };
    (@kind) => { $crate::repository::postgres::StatementKind::Prepared };
    (@kind $kind:ident) => { $crate::repository::postgres::StatementKind::$kind };
}

pub(super) use statements;

/// Sets `updated_at` in an UPDATE. `clock_timestamp()` rather than `now()`: two updates of one transaction, or within
/// the clock's resolution, are told apart as well, and a clock that was set back does not turn time around.
macro_rules! advanced {
    () => {
        "updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')"
    };
}

pub(super) use advanced;

/// As [`advanced`], and counts the revision.
macro_rules! revised {
    () => {
        "revision = revision + 1, \
         updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')"
    };
}

pub(super) use revised;
