//! A database's schema as text that a person can read and a machine can compare, from the catalogs alone.

mod mark;

use std::fmt;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

pub(crate) use mark::Mark;

/// Names are qualified and constants are written in one way, whatever the session was set to.
const SETTINGS: [&str; 5] = [
    "SET LOCAL search_path = ''",
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL datestyle = 'ISO, MDY'",
    "SET LOCAL intervalstyle = 'postgres'",
    "SET LOCAL quote_all_identifiers = off",
];

#[derive(sqlx::FromRow)]
struct Line {
    part: i32,
    line: String,
}

/// Renders the schema: an object begins at the start of a line, its parts are indented. Objects are sorted by kind
/// and name, so that the order in which they were made does not matter; columns keep theirs. What extensions
/// brought, what is the system's, and the migrator's own table are left out.
///
/// # Errors
/// When the database cannot be read.
pub async fn render(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for setting in SETTINGS {
        sqlx::query(setting).execute(&mut *transaction).await?;
    }
    let lines: Vec<Line> = sqlx::query_as(include_str!("schema/objects.sql")).fetch_all(&mut *transaction).await?;
    transaction.rollback().await?;
    let mut text = String::new();
    for Line { part, line } in lines {
        if part == 0 && !text.is_empty() {
            text.push('\n');
        }
        for line in line.lines() {
            let line = line.trim_end();
            if part > 0 && !line.is_empty() {
                text.push_str("  ");
            }
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// A short text of the schema's state, in a small part of the time that [`render`] takes. Two equal ones of the same
/// database mean equal schemas; different ones do not mean different schemas.
///
/// # Errors
/// When the database cannot be read.
pub async fn digest(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let query = digest_query(|_| "true".to_owned());
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await
}

/// The query for a digest of the rows that satisfy a condition, which is given the name of their table.
fn digest_query(condition: impl Fn(&str) -> String) -> String {
    let mut parts = include_str!("schema/digest.sql").split("CHANGED(");
    let mut query = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (table, rest) = part.split_once(')').unwrap_or((part, ""));
        query.push_str(&condition(table));
        query.push_str(rest);
    }
    query
}

/// The state of a database's catalogs: equal if nothing was changed in between, not even there and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    catalogs: Vec<CatalogState>,
}

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct CatalogState {
    catalog: String,
    rows: i64,
    newest: i64,
}

impl Fingerprint {
    /// The state now.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn take(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let catalogs = sqlx::query_as(include_str!("schema/fingerprint.sql")).fetch_all(connection).await?;
        Ok(Self { catalogs })
    }

    /// The catalogs that differ, with the numbers of their rows.
    #[must_use]
    pub fn changes(&self, later: &Self) -> Vec<CatalogChange> {
        let pairs = self.catalogs.iter().zip(&later.catalogs).filter(|(before, after)| before != after);
        pairs
            .map(|(before, after)| CatalogChange {
                catalog: before.catalog.clone(),
                rows_before: before.rows,
                rows_after: after.rows,
            })
            .collect()
    }
}

/// A catalog that was written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogChange {
    /// Its name.
    pub catalog: String,
    /// How many rows were the user's before.
    pub rows_before: i64,
    /// How many are now; as many as before if rows were replaced.
    pub rows_after: i64,
}

impl fmt::Display for CatalogChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({} -> {} rows)", self.catalog, self.rows_before, self.rows_after)
    }
}

/// The difference between two texts, line by line; empty if there is none.
#[must_use]
pub fn difference(expected: &str, found: &str) -> String {
    similar::TextDiff::from_lines(expected, found)
        .unified_diff()
        .context_radius(3)
        .missing_newline_hint(false)
        .header("expected", "found")
        .to_string()
}
