//! The layouts by name.

use std::fmt;
use std::str::FromStr;

/// How a directory says what its files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// `NNNN_name.up.sql` and `NNNN_name.down.sql`, or `NNNN_name.sql`.
    Sqlx,
    /// `NNNN_name.up.sql` and `NNNN_name.down.sql`, as golang-migrate has them.
    GolangMigrate,
    /// `NNNN_name.sql` with `-- migrate:up` and `-- migrate:down`.
    Dbmate,
    /// `NNNN_name.sql` with `-- +goose Up` and `-- +goose Down`.
    Goose,
    /// `V1__name.sql`, `U1__name.sql`, `R__name.sql`.
    Flyway,
    /// `V1__name.sql`, `U1__name.sql`, as refinery has them.
    Refinery,
    /// `NNNN_name/up.sql` and `NNNN_name/down.sql`.
    Diesel,
    /// `YYYYMMDDHHMMSS_name.sql`, as Supabase and others have them, or `YYYYMMDDHHMMSS_name/migration.sql`.
    Timestamped,
    /// Files of SQL with a number somewhere at the beginning, or none, folders included.
    Plain,
}

/// A name that no layout has.
#[derive(Debug, thiserror::Error)]
#[error("expected a layout ({}), found {found:?}", Layout::ALL.map(Layout::name).join(", "))]
pub struct LayoutError {
    /// The name.
    pub found: String,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Sqlx,
        Self::GolangMigrate,
        Self::Dbmate,
        Self::Goose,
        Self::Flyway,
        Self::Refinery,
        Self::Diesel,
        Self::Timestamped,
        Self::Plain,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlx => "sqlx",
            Self::GolangMigrate => "golang-migrate",
            Self::Dbmate => "dbmate",
            Self::Goose => "goose",
            Self::Flyway => "flyway",
            Self::Refinery => "refinery",
            Self::Diesel => "diesel",
            Self::Timestamped => "timestamped",
            Self::Plain => "plain",
        }
    }

    /// What its tool expects files to be called.
    pub(super) fn expects(self) -> &'static str {
        match self {
            Self::Sqlx => "0001_name.sql, or 0001_name.up.sql and 0001_name.down.sql",
            Self::GolangMigrate => "000001_name.up.sql and 000001_name.down.sql",
            Self::Dbmate => "20240131120000_name.sql",
            Self::Goose => "00001_name.sql",
            Self::Flyway => "V1__name.sql, U1__name.sql or R__name.sql",
            Self::Refinery => "V1__name.sql or U1__name.sql",
            Self::Diesel => "0001_name/up.sql and 0001_name/down.sql",
            Self::Timestamped => "20240131120000_name.sql, or 20240131120000_name/migration.sql",
            Self::Plain => "name.sql",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|layout| layout.name() == text);
        found.ok_or_else(|| LayoutError { found: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_has_a_name_of_its_own() {
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse::<Layout>().unwrap(), layout);
        }
        let error = "rails".parse::<Layout>().unwrap_err().to_string();
        assert!(error.starts_with("expected a layout (sqlx, golang-migrate,"), "{error}");
    }
}
