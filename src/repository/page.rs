//! Lists in pages: a page begins behind the last row of the one before, wherever rows were added since.

use std::fmt;

use super::RepositoryError;
use crate::domain::InvalidField;

/// The most rows of one answer.
pub const LIMIT_MAX: u32 = 500;

/// Which page of a list to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The most rows to return; from 1 to [`LIMIT_MAX`].
    pub limit: u32,
    /// Where the page before ended; the first page has none.
    pub after: Option<Cursor>,
}

impl PageRequest {
    /// The first page.
    #[must_use]
    pub const fn first(limit: u32) -> Self {
        Self { limit, after: None }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; none when this is the last one.
    pub next: Option<Cursor>,
}

/// Where a page ended, as a text to hand back unchanged. What it consists of is up to the repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor as it was received.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The cursor as it can be sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<T> Page<T> {
    /// The page that begins with the first of `rows`; more rows than the limit tell that there is a next one.
    pub(super) fn of(
        mut rows: Vec<T>,
        limit: u32,
        cursor: impl FnOnce(&T) -> Result<Cursor, RepositoryError>,
    ) -> Result<Self, RepositoryError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_last = rows.len() <= limit;
        rows.truncate(limit);
        let next = if is_last { None } else { rows.last().map(cursor).transpose()? };
        Ok(Self { items: rows, next })
    }
}

/// The limit, if it is one.
pub(super) fn validate_limit(limit: u32) -> Result<u32, InvalidField> {
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(InvalidField::new("limit", format!("expected 1 to {LIMIT_MAX} rows, found {limit}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_has_two_ends() {
        assert_eq!(
            [0, 1, LIMIT_MAX, LIMIT_MAX + 1].map(|limit| validate_limit(limit).is_ok()),
            [false, true, true, false]
        );
    }

    #[test]
    fn only_a_page_with_a_successor_has_a_cursor() {
        let page = |rows: Vec<u32>| Page::of(rows, 2, |row| Ok(Cursor::new(row.to_string()))).unwrap();
        assert_eq!(page(vec![1, 2]), Page { items: vec![1, 2], next: None });
        assert_eq!(page(vec![1, 2, 3]), Page { items: vec![1, 2], next: Some(Cursor::new("2")) });
        assert_eq!(page(vec![]), Page { items: vec![], next: None });
    }
}
