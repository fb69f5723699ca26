//! The rules that more than one aggregate uses.

/// A value that is refused before it reaches a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {field}: {reason}")]
pub struct InvalidField {
    /// The field, as its column is named.
    pub field: &'static str,
    /// What was expected and what was found.
    pub reason: String,
}

impl InvalidField {
    pub(crate) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

/// How the length of a text is limited.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    /// As `varchar(n)` counts.
    Characters(usize),
    /// As it is stored.
    Octets(usize),
}

/// A text that is not empty, that Postgres can store, and that is not too long.
pub(super) fn text(field: &'static str, value: &str, limit: Limit) -> Result<(), InvalidField> {
    if value.is_empty() {
        return Err(InvalidField::new(field, "expected some text, found none"));
    }
    if let Some(position) = value.find('\0') {
        return Err(InvalidField::new(field, format!("expected no NUL, found one at octet {position}")));
    }
    let (length, limit, unit) = match limit {
        Limit::Characters(limit) => (value.chars().count(), limit, "characters"),
        Limit::Octets(limit) => (value.len(), limit, "octets"),
    };
    if length > limit {
        return Err(InvalidField::new(field, format!("expected at most {limit} {unit}, found {length}")));
    }
    Ok(())
}

/// A number within bounds; NaN is within none.
pub(super) fn number(field: &'static str, value: f64, min: f64, max: f64) -> Result<(), InvalidField> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(InvalidField::new(field, format!("expected a number from {min:e} to {max:e}, found {value:e}")))
}

/// Checks the key of a request that may be repeated.
pub(crate) fn validate_idempotency_key(key: &str) -> Result<(), InvalidField> {
    text("idempotency_key", key, Limit::Characters(255))
}

/// A text that may be absent, but not empty.
pub(super) fn optional_text(field: &'static str, value: Option<&str>, limit: Limit) -> Result<(), InvalidField> {
    value.map_or(Ok(()), |value| text(field, value, limit))
}

/// Checks an identifier that MLflow gave.
pub(crate) fn validate_mlflow_id(field: &'static str, id: &str) -> Result<(), InvalidField> {
    text(field, id, Limit::Characters(255))
}
