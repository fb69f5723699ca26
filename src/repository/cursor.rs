//! What a cursor consists of: the key of the row that a page ended with, signed for the list that it came from.

use std::fmt;
use std::fmt::Write as _;
use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use super::{Cursor, PageRequest, RepositoryError};
use crate::domain::{InvalidField, TIME_MAX, TIME_MIN};

/// The fewest octets of a secret: as many as an attacker would have to guess.
const SECRET_OCTETS_MIN: usize = 16;
/// The most octets of a secret.
const SECRET_OCTETS_MAX: usize = 1024;
/// The most octets of a row's key: two texts of 255 characters, and some numbers.
const KEY_OCTETS_MAX: usize = 2304;
/// The cursor's layout; another one gets another number.
const VERSION: u8 = 2;
/// Octets of the signature: half of what HMAC-SHA256 yields, which nobody guesses either.
const SIGNATURE_OCTETS: usize = 16;

/// What cursors are signed with: nobody without it can make one, or change one unnoticed.
///
/// Repositories of one process agree on a random key unless they are given another. Where several processes serve
/// the pages of one list, or a cursor must survive a restart, all get the same [`from_secret`](Self::from_secret).
#[derive(Clone)]
pub struct CursorKey(Hmac<Sha256>);

static OF_PROCESS: LazyLock<CursorKey> = LazyLock::new(|| {
    let mut secret = [0; 32];
    for half in secret.chunks_exact_mut(16) {
        half.copy_from_slice(Uuid::new_v4().as_bytes());
    }
    CursorKey(signer(&secret))
});

fn signer(secret: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length; the error is that of other algorithms.
    Hmac::new_from_slice(secret).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

impl CursorKey {
    /// A key that every process with the same secret has.
    ///
    /// # Errors
    /// When the secret has not 16 to 1024 octets.
    pub fn from_secret(secret: &[u8]) -> Result<Self, InvalidField> {
        if (SECRET_OCTETS_MIN..=SECRET_OCTETS_MAX).contains(&secret.len()) {
            return Ok(Self(signer(secret)));
        }
        let reason = format!("expected {SECRET_OCTETS_MIN} to {SECRET_OCTETS_MAX} octets, found {}", secret.len());
        Err(InvalidField::new("cursor secret", reason))
    }

    /// A random key of this process.
    #[must_use]
    pub fn of_process() -> Self {
        OF_PROCESS.clone()
    }

    /// The cursor of a page of the list that ended with the row that has this key.
    pub(super) fn cursor<K: KeysetKey>(&self, list: &List<'_>, key: &K) -> Result<Cursor, RepositoryError> {
        let mut octets = vec![VERSION];
        key.write(&mut octets);
        if octets.len() > 1 + KEY_OCTETS_MAX {
            let reason = format!("expected a key of at most {KEY_OCTETS_MAX} octets, found {}", octets.len() - 1);
            return Err(InvalidField::new("cursor", reason).into());
        }
        let signature = self.sign(list, &octets).finalize().into_bytes();
        octets.extend_from_slice(&signature[..SIGNATURE_OCTETS]);
        Ok(Cursor::new(octets.iter().fold(String::with_capacity(2 * octets.len()), |mut text, octet| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{octet:02x}");
            text
        })))
    }

    /// The key that the page begins behind; `start` is before every row, for the first page.
    pub(super) fn after<K: KeysetKey>(
        &self,
        list: &List<'_>,
        request: &PageRequest,
        start: K,
    ) -> Result<K, RepositoryError> {
        match &request.after {
            Some(cursor) => self.decode(list, cursor).map_err(|reason| RepositoryError::InvalidCursor { reason }),
            None => Ok(start),
        }
    }

    fn decode<K: KeysetKey>(&self, list: &List<'_>, cursor: &Cursor) -> Result<K, &'static str> {
        let text = cursor.as_str().as_bytes();
        let octets_max = 1 + KEY_OCTETS_MAX + SIGNATURE_OCTETS;
        if !text.len().is_multiple_of(2) || text.len() / 2 <= 1 + SIGNATURE_OCTETS || text.len() / 2 > octets_max {
            return Err("has another length");
        }
        let octets = text
            .chunks_exact(2)
            .map(|digits| Some(digit(digits[0])? << 4 | digit(digits[1])?))
            .collect::<Option<Vec<u8>>>()
            .ok_or("holds other characters")?;
        if octets[0] != VERSION {
            return Err("is of another version");
        }
        let (body, signature) = octets.split_at(octets.len() - SIGNATURE_OCTETS);
        // Takes the same time wherever the signatures differ.
        self.sign(list, body)
            .verify_truncated_left(signature)
            .map_err(|_| "was changed, or is of another list")?;
        let mut rest = &body[1..];
        let key = K::read(&mut rest).ok_or("holds another key")?;
        if rest.is_empty() { Ok(key) } else { Err("holds another key") }
    }

    fn sign(&self, list: &List<'_>, body: &[u8]) -> Hmac<Sha256> {
        let mut hmac = self.0.clone();
        // Each part is preceded by its length, so that no two lists are signed alike.
        for part in [list.name.as_bytes()].into_iter().chain(list.filter.iter().map(|value| value.as_bytes())) {
            hmac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hmac.update(part);
        }
        hmac.update(&u64::MAX.to_be_bytes());
        hmac.update(body);
        hmac
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret is none of a log's business.
        formatter.write_str("CursorKey")
    }
}

/// A list that cursors belong to: what it lists, and what it leaves out.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a> {
    name: &'static str,
    filter: &'a [&'a str],
}

impl List<'_> {
    /// The list of all rows.
    pub(super) const fn all(name: &'static str) -> Self {
        Self { name, filter: &[] }
    }
}

impl<'a> List<'a> {
    /// The list of the rows that a filter accepts, which is told by its values.
    pub(super) const fn filtered(name: &'static str, filter: &'a [&'a str]) -> Self {
        Self { name, filter }
    }
}

/// The value of a digit; capital letters are none, so that every cursor has one spelling.
fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// The values that a list is ordered by; the last of them tells any two rows apart.
pub(super) trait KeysetKey: Sized {
    /// Appends the key to a cursor.
    fn write(&self, octets: &mut Vec<u8>);

    /// Takes the key from the beginning of what was written; none if it is no such key.
    fn read(octets: &mut &[u8]) -> Option<Self>;
}

fn take<'a>(octets: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = octets.split_at_checked(count)?;
    *octets = rest;
    Some(taken)
}

impl KeysetKey for i64 {
    fn write(&self, octets: &mut Vec<u8>) {
        octets.extend_from_slice(&self.to_be_bytes());
    }

    fn read(octets: &mut &[u8]) -> Option<Self> {
        take(octets, 8)?.try_into().ok().map(Self::from_be_bytes)
    }
}

impl KeysetKey for f64 {
    fn write(&self, octets: &mut Vec<u8>) {
        octets.extend_from_slice(&self.to_bits().to_be_bytes());
    }

    fn read(octets: &mut &[u8]) -> Option<Self> {
        take(octets, 8)?.try_into().ok().map(u64::from_be_bytes).map(Self::from_bits)
    }
}

impl KeysetKey for DateTime<Utc> {
    fn write(&self, octets: &mut Vec<u8>) {
        self.timestamp_micros().write(octets);
    }

    fn read(octets: &mut &[u8]) -> Option<Self> {
        DateTime::from_timestamp_micros(i64::read(octets)?)
    }
}

impl KeysetKey for Uuid {
    fn write(&self, octets: &mut Vec<u8>) {
        octets.extend_from_slice(self.as_bytes());
    }

    fn read(octets: &mut &[u8]) -> Option<Self> {
        Self::from_slice(take(octets, 16)?).ok()
    }
}

impl KeysetKey for String {
    fn write(&self, octets: &mut Vec<u8>) {
        i64::try_from(self.len()).unwrap_or(i64::MAX).write(octets);
        octets.extend_from_slice(self.as_bytes());
    }

    fn read(octets: &mut &[u8]) -> Option<Self> {
        let length = usize::try_from(i64::read(octets)?).ok()?;
        String::from_utf8(take(octets, length)?.to_vec()).ok()
    }
}

impl<A: KeysetKey, B: KeysetKey> KeysetKey for (A, B) {
    fn write(&self, octets: &mut Vec<u8>) {
        self.0.write(octets);
        self.1.write(octets);
    }

    fn read(octets: &mut &[u8]) -> Option<Self> {
        Some((A::read(octets)?, B::read(octets)?))
    }
}

/// The key of most lists: a moment, and among the rows of one moment the identifier.
pub(super) type Moment = (DateTime<Utc>, Uuid);

/// Before every row of a list that begins with the oldest.
pub(super) fn before_oldest() -> Moment {
    (TIME_MIN - TimeDelta::microseconds(1), Uuid::nil())
}

/// Before every row of a list that begins with the newest.
pub(super) const fn before_newest() -> Moment {
    (TIME_MAX, Uuid::max())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: List<'_> = List::all("things");

    fn key() -> CursorKey {
        CursorKey::from_secret(b"sixteen octets..").unwrap()
    }

    fn position() -> (DateTime<Utc>, (String, (f64, Uuid))) {
        (TIME_MIN, ("naïve".to_owned(), (-0.0, Uuid::new_v4())))
    }

    #[test]
    fn a_key_survives_its_cursor() {
        let position = position();
        let cursor = key().cursor(&LIST, &position).unwrap();
        assert_eq!(key().decode(&LIST, &cursor), Ok(position));
    }

    #[test]
    fn a_cursor_has_one_spelling() {
        let cursor = key().cursor(&LIST, &position()).unwrap();
        let decode = |text: String| key().decode::<(DateTime<Utc>, Uuid)>(&LIST, &Cursor::new(text));
        assert_eq!(decode(cursor.as_str().to_uppercase()), Err("holds other characters"));
        assert_eq!(decode(format!("{cursor}0")), Err("has another length"));
        assert_eq!(decode("é".repeat(30)), Err("holds other characters"));
        assert_eq!(decode("00".repeat(5000)), Err("has another length"));
        assert_eq!(decode(cursor.as_str().replacen("02", "03", 1)), Err("is of another version"));
        assert_eq!(decode(cursor.to_string()), Err("holds another key"));
    }

    #[test]
    fn a_cursor_of_another_list_or_key_is_refused() {
        let position = (TIME_MIN, Uuid::nil());
        let refused = |key: CursorKey, list: &List<'_>| {
            let cursor = key.cursor(list, &position).unwrap();
            self::key().decode::<(DateTime<Utc>, Uuid)>(&LIST, &cursor)
        };
        assert_eq!(refused(key(), &LIST), Ok(position));
        let expected = Err("was changed, or is of another list");
        assert_eq!(refused(CursorKey::of_process(), &LIST), expected);
        assert_eq!(refused(key(), &List::all("thing")), expected);
        assert_eq!(refused(key(), &List::filtered("things", &[""])), expected);
    }

    #[test]
    fn every_change_of_an_octet_is_noticed() {
        let cursor = key().cursor(&LIST, &(TIME_MIN, Uuid::nil())).unwrap();
        for place in 0..cursor.as_str().len() {
            for digit in "0123456789abcdef".chars() {
                let mut text: Vec<char> = cursor.as_str().chars().collect();
                if std::mem::replace(&mut text[place], digit) == digit {
                    continue;
                }
                let changed = Cursor::new(text.into_iter().collect::<String>());
                assert!(key().decode::<(DateTime<Utc>, Uuid)>(&LIST, &changed).is_err(), "{changed}");
            }
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(CursorKey::from_secret(&[0; SECRET_OCTETS_MIN - 1]).is_err());
        assert!(CursorKey::from_secret(&[0; SECRET_OCTETS_MAX + 1]).is_err());
        assert_eq!(format!("{:?}", key()), "CursorKey");
    }
}
