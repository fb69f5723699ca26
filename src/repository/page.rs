//! Lists in pages: a page begins behind the last row of the one before, wherever rows were added since.

use std::fmt;
use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::RepositoryError;
use crate::domain::{BentoService, InvalidField, TIME_MIN};

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
    pub(super) fn of(mut rows: Vec<T>, limit: u32, position: impl Fn(&T) -> Position) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_last = rows.len() <= limit;
        rows.truncate(limit);
        let next = if is_last { None } else { rows.last().map(|row| position(row).encode()) };
        Self { items: rows, next }
    }
}

/// The limit, if it is one.
pub(super) fn validate_limit(limit: u32) -> Result<u32, InvalidField> {
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(InvalidField::new("limit", format!("expected 1 to {LIMIT_MAX} rows, found {limit}")))
}

/// A place in a list that is ordered by creation and, among rows of one moment, by identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) created_at: DateTime<Utc>,
    pub(super) id: Uuid,
}

/// The cursor's layout; another one gets another number.
const VERSION: u8 = 1;
/// Octets before the checksum: version, microseconds since 1970, identifier.
const BODY_OCTETS: usize = 1 + 8 + 16;
/// Octets of the checksum: against slips, not against a forger, who would gain no more than another page.
const CHECKSUM_OCTETS: usize = 8;
const OCTETS: usize = BODY_OCTETS + CHECKSUM_OCTETS;

impl Position {
    /// The place of a service.
    pub(super) fn of(service: &BentoService) -> Self {
        Self { created_at: service.created_at, id: service.id.as_uuid() }
    }

    /// Where the page begins that the request asks for.
    pub(super) fn requested_by(request: &PageRequest) -> Result<Self, RepositoryError> {
        match &request.after {
            Some(cursor) => Self::decode(cursor).map_err(|reason| RepositoryError::InvalidCursor { reason }),
            None => Ok(Self { created_at: TIME_MIN - TimeDelta::microseconds(1), id: Uuid::nil() }),
        }
    }

    /// The position as hexadecimal digits: version, moment, identifier, checksum.
    pub(super) fn encode(self) -> Cursor {
        let mut octets = [0; OCTETS];
        octets[0] = VERSION;
        octets[1..9].copy_from_slice(&self.created_at.timestamp_micros().to_be_bytes());
        octets[9..BODY_OCTETS].copy_from_slice(self.id.as_bytes());
        let checksum = checksum(&octets[..BODY_OCTETS]);
        octets[BODY_OCTETS..].copy_from_slice(&checksum);
        Cursor(octets.iter().fold(String::with_capacity(2 * OCTETS), |mut text, octet| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{octet:02x}");
            text
        }))
    }

    fn decode(cursor: &Cursor) -> Result<Self, &'static str> {
        let text = cursor.0.as_bytes();
        if text.len() != 2 * OCTETS {
            return Err("has another length");
        }
        let mut octets = [0; OCTETS];
        for (octet, digits) in octets.iter_mut().zip(text.chunks_exact(2)) {
            let (Some(high), Some(low)) = (digit(digits[0]), digit(digits[1])) else {
                return Err("holds other characters");
            };
            *octet = high << 4 | low;
        }
        if octets[0] != VERSION {
            return Err("is of another version");
        }
        let (body, found) = octets.split_at(BODY_OCTETS);
        if checksum(body) != found {
            return Err("was changed");
        }
        let mut micros = [0; 8];
        micros.copy_from_slice(&body[1..9]);
        let created_at = DateTime::from_timestamp_micros(i64::from_be_bytes(micros)).ok_or("is out of range")?;
        let id = Uuid::from_slice(&body[9..]).map_err(|_| "holds no identifier")?;
        Ok(Self { created_at, id })
    }
}

/// The value of a digit; capital letters are none, so that every position has one spelling.
fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_OCTETS] {
    let mut digest = Sha256::new();
    digest.update(b"proofmark list cursor");
    digest.update(body);
    let mut checksum = [0; CHECKSUM_OCTETS];
    checksum.copy_from_slice(&digest.finalize()[..CHECKSUM_OCTETS]);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position() -> Position {
        Position { created_at: TIME_MIN + TimeDelta::microseconds(1), id: Uuid::new_v4() }
    }

    #[test]
    fn a_position_survives_its_cursor() {
        let position = position();
        assert_eq!(Position::decode(&position.encode()), Ok(position));
    }

    #[test]
    fn a_cursor_has_one_spelling() {
        let cursor = position().encode();
        assert_eq!(Position::decode(&Cursor::new(cursor.as_str().to_uppercase())), Err("holds other characters"));
        assert_eq!(Position::decode(&Cursor::new(format!("{cursor}0"))), Err("has another length"));
        assert_eq!(Position::decode(&Cursor::new("é".repeat(OCTETS))), Err("holds other characters"));
        assert_eq!(
            Position::decode(&Cursor::new(cursor.as_str().replacen("01", "02", 1))),
            Err("is of another version")
        );
    }

    #[test]
    fn a_limit_has_two_ends() {
        assert_eq!(
            [0, 1, LIMIT_MAX, LIMIT_MAX + 1].map(|limit| validate_limit(limit).is_ok()),
            [false, true, true, false]
        );
    }
}
