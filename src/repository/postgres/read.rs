//! Reading rows: what a column holds that this version does not know is an error that names it.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row as _};
use uuid::Uuid;

use crate::domain::{Document, UnknownValue};
use crate::repository::RepositoryError;

/// A row with an identifier, while it is read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    row: &'a PgRow,
    entity: &'static str,
    id: Uuid,
}

impl<'a> Reader<'a> {
    /// A row that has its identifier in the column `id`.
    pub(super) fn new(entity: &'static str, row: &'a PgRow) -> Result<Self, RepositoryError> {
        Ok(Self { row, entity, id: row.try_get("id")? })
    }

    /// The identifier.
    pub(super) fn id<T: From<Uuid>>(&self) -> T {
        self.id.into()
    }

    /// The identifier of another row.
    pub(super) fn reference<T: From<Uuid>>(&self, column: &str) -> Result<T, RepositoryError> {
        Ok(self.get::<Uuid>(column)?.into())
    }

    /// The identifier of another row, which may be absent.
    pub(super) fn optional_reference<T: From<Uuid>>(&self, column: &str) -> Result<Option<T>, RepositoryError> {
        Ok(self.get::<Option<Uuid>>(column)?.map(Into::into))
    }

    /// A column that holds what Postgres has a type for.
    pub(super) fn get<T>(&self, column: &str) -> Result<T, RepositoryError>
    where
        T: sqlx::Decode<'a, Postgres> + sqlx::Type<Postgres>,
    {
        Ok(self.row.try_get(column)?)
    }

    /// A value of an enumeration.
    pub(super) fn parse<T: FromStr<Err = UnknownValue>>(
        &self,
        column: &'static str,
    ) -> Result<T, RepositoryError> {
        self.get::<&str>(column)?.parse().map_err(|unknown: UnknownValue| self.corrupt(column, unknown.found))
    }

    /// A value of an enumeration that may be absent.
    pub(super) fn optional_parse<T: FromStr<Err = UnknownValue>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, RepositoryError> {
        let text: Option<&str> = self.get(column)?;
        text.map(|text| text.parse().map_err(|unknown: UnknownValue| self.corrupt(column, unknown.found)))
            .transpose()
    }

    /// A number that is not negative, from `integer`.
    pub(super) fn count(&self, column: &'static str) -> Result<u32, RepositoryError> {
        let count: i32 = self.get(column)?;
        u32::try_from(count).map_err(|_| self.corrupt(column, count.to_string()))
    }

    /// A number that may be absent and is not negative, from `integer`.
    pub(super) fn optional_count(&self, column: &'static str) -> Result<Option<u32>, RepositoryError> {
        let count: Option<i32> = self.get(column)?;
        count.map(|count| u32::try_from(count).map_err(|_| self.corrupt(column, count.to_string()))).transpose()
    }

    /// A number that is not negative, from `bigint`.
    pub(super) fn large_count(&self, column: &'static str) -> Result<u64, RepositoryError> {
        let count: i64 = self.get(column)?;
        u64::try_from(count).map_err(|_| self.corrupt(column, count.to_string()))
    }

    /// A number that may be absent and is not negative, from `bigint`.
    pub(super) fn optional_large_count(&self, column: &'static str) -> Result<Option<u64>, RepositoryError> {
        let count: Option<i64> = self.get(column)?;
        count.map(|count| u64::try_from(count).map_err(|_| self.corrupt(column, count.to_string()))).transpose()
    }

    /// A JSON object that was selected as text.
    pub(super) fn object(&self, column: &'static str) -> Result<Document, RepositoryError> {
        self.shape(column)
    }

    /// A JSON object of numbers that was selected as text.
    pub(super) fn numbers(&self, column: &'static str) -> Result<BTreeMap<String, f64>, RepositoryError> {
        let number = |(key, value): (String, Value)| {
            let number = value.as_f64().ok_or_else(|| self.corrupt(column, format!("{key}: {value}")))?;
            Ok((key, number))
        };
        self.object(column)?.into_iter().map(number).collect()
    }

    /// A JSON document of a known shape that was selected as text.
    pub(super) fn shape<T: serde::de::DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<T, RepositoryError> {
        let text: &str = self.get(column)?;
        serde_json::from_str(text).map_err(|_| self.corrupt(column, beginning(text)))
    }

    /// What the column holds is not known to this version.
    pub(super) fn corrupt(&self, field: &'static str, found: String) -> RepositoryError {
        RepositoryError::Corrupt { entity: self.entity, id: self.id, field, found }
    }
}

/// A number as `integer` holds it; validated ones fit.
pub(super) fn integer(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A number as `bigint` holds it; validated ones fit.
pub(super) fn bigint(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Enough of a text to recognise it.
fn beginning(text: &str) -> String {
    text.chars().take(200).collect()
}
