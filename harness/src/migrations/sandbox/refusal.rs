//! What the server said to a statement.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use crate::migrations::sql::Statement;

/// What the server said to a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The number of the statement in its script; the number of statements if it was the end of the transaction.
    pub statement: usize,
    /// Its code.
    pub sqlstate: String,
    /// What it says.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What it proposes.
    pub hint: Option<String>,
    /// Where in the file, in bytes, if it says so and is right.
    pub offset: Option<usize>,
    /// In which function, if it happened in one.
    pub context: Option<String>,
}

impl Refusal {
    /// Whether it met a limit, so that another attempt would take as long and lead nowhere.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(self.sqlstate.as_str(), "57014" | "53100" | "57P01")
    }

    pub(super) fn new(number: usize, statement: &Statement, text: &str, error: &PgDatabaseError) -> Self {
        let offset = match error.position() {
            Some(PgErrorPosition::Original(position)) => {
                let within = text.char_indices().nth(position.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
                Some(statement.range.start + within)
            }
            Some(PgErrorPosition::Internal { .. }) | None => None,
        };
        Self { offset, ..Self::of_end(number, error) }
    }

    /// The same without a statement of the script's.
    pub(super) fn of_end(number: usize, error: &PgDatabaseError) -> Self {
        Self {
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
            context: error.r#where().map(str::to_owned),
            ..Self::ours(number, error.code(), error.message())
        }
    }

    /// What the server would have said, or what happened to the session instead.
    pub(crate) fn ours(number: usize, sqlstate: &str, message: impl Into<String>) -> Self {
        Self {
            statement: number,
            sqlstate: sqlstate.to_owned(),
            message: message.into(),
            detail: None,
            hint: None,
            offset: None,
            context: None,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} (SQLSTATE {})", self.message, self.sqlstate)?;
        for more in [&self.detail, &self.hint].into_iter().flatten() {
            write!(formatter, "; {more}")?;
        }
        Ok(())
    }
}
