//! Requests that may be sent again: a key makes the second one an answer, not another row.

use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::RepositoryError;
use crate::domain::{InvalidField, validate_idempotency_key};

/// A text that a caller makes for one request, and sends again with each repetition of it.
///
/// The row that the first request made is the answer to all of them. The key belongs to one kind of request; for
/// other values it is refused ([`RepositoryError::KeyReused`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// A key of 1 to 255 characters without NUL.
    ///
    /// # Errors
    /// When the text is no such key.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidField> {
        let text = text.into();
        validate_idempotency_key(&text)?;
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a key stands for: the kind of request, and a digest of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// The kind of request.
    pub(super) scope: &'static str,
    /// SHA-256 of the values.
    pub(super) digest: [u8; 32],
}

impl Request {
    /// The request with these values, which must have been validated: JSON does not tell NaN from NULL.
    pub(super) fn new(scope: &'static str, values: &impl Serialize) -> Result<Self, RepositoryError> {
        let mut digest = Sha256::new();
        serde_json::to_writer(HashWriter(&mut digest), values)
            .map_err(|error| RepositoryError::Unexpected { source: error.into() })?;
        Ok(Self { scope, digest: digest.finalize().into() })
    }
}

/// Values are digested while they are written, so that a large batch is not held twice.
struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.update(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_by_its_values() {
        let request = |values: &[f64]| Request::new("a", &values).unwrap();
        assert_eq!(request(&[1.0, 2.5]), request(&[1.0, 2.5]));
        assert_ne!(request(&[0.0]), request(&[-0.0]));
        assert_ne!(request(&[1.0]), Request::new("b", &[1.0]).unwrap());
    }

    #[test]
    fn a_key_is_a_text_of_bounded_length() {
        assert!(IdempotencyKey::new("😀".repeat(255)).is_ok());
        for text in [String::new(), "a".repeat(256), "a\0".to_owned()] {
            assert_eq!(IdempotencyKey::new(text).unwrap_err().field, "idempotency_key");
        }
    }
}
