//! How a repository fails: what a caller did wrong is kept apart from what is wrong with the store.

use std::error::Error;

use uuid::Uuid;

#[cfg(feature = "postgres")]
use crate::domain::UnknownValue;
use crate::domain::{InvalidField, Revision};

/// What lies behind an error of the store.
pub type Source = Box<dyn Error + Send + Sync>;

/// Why a repository refused, or could not do, what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// There is no such row; nothing was changed.
    #[error("expected a {entity} with the id {id}, found none")]
    NotFound {
        /// What was looked for.
        entity: &'static str,
        /// Its identifier.
        id: Uuid,
    },
    /// Another row has the same key; nothing was changed.
    #[error("expected a key that no other row has, found one that is taken (constraint {constraint})")]
    Conflict {
        /// The name of the unique constraint.
        constraint: String,
    },
    /// The row that is referred to does not exist; nothing was changed.
    #[error("expected the row that is referred to, found none (constraint {constraint})")]
    MissingReference {
        /// The name of the foreign key.
        constraint: String,
    },
    /// Other rows refer to the row that was to be deleted; nothing was changed.
    #[error("expected a row that no other refers to, found one that is referred to (constraint {constraint})")]
    StillReferenced {
        /// The name of the foreign key.
        constraint: String,
    },
    /// Somebody else changed the row since it was read; nothing was changed. Read it again and decide anew.
    #[error("expected revision {expected} of the {entity} {id}, found revision {found}; read it again")]
    Stale {
        /// What was to be changed.
        entity: &'static str,
        /// Its identifier.
        id: Uuid,
        /// The revision that the caller has seen.
        expected: Revision,
        /// The revision that is stored.
        found: Revision,
    },
    /// What the row is at present does not allow it; nothing was changed.
    #[error("the {entity} {id} is not in a state for this: {reason}")]
    Refused {
        /// What was to be changed.
        entity: &'static str,
        /// Its identifier.
        id: Uuid,
        /// What was expected and what was found.
        reason: String,
    },
    /// The idempotency key was used for a request with other values; nothing was changed.
    #[error("expected an idempotency key that is new or of the same request, found {key:?} of another request")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// A value that no row can have; nothing was changed.
    #[error("invalid {field}: {reason}")]
    Invalid {
        /// The field; when only the store noticed, the name of its column or constraint.
        field: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// The cursor did not come from this list.
    #[error("expected the cursor of an earlier page, found one that {reason}; begin again without a cursor")]
    InvalidCursor {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A stored value that this version of the code does not know.
    #[error("expected {field} of the {entity} {id} to be known to this version, found {found:?}")]
    Corrupt {
        /// What was read.
        entity: &'static str,
        /// Its identifier.
        id: Uuid,
        /// The field.
        field: &'static str,
        /// The value.
        found: String,
    },
    /// Others used the same rows at the same time; nothing was changed, and another attempt can succeed.
    #[error("lost against a concurrent change; try again")]
    Contended {
        /// What the store said.
        #[source]
        source: Source,
    },
    /// The statement took longer than allowed, or was cancelled; nothing was changed.
    #[error("the statement was cancelled before it was done")]
    Cancelled {
        /// What the store said.
        #[source]
        source: Source,
    },
    /// The store cannot be reached or refuses to work. When the connection broke, whether a change was made is
    /// not known.
    #[error("the store is unavailable")]
    Unavailable {
        /// What the store, or the way to it, said.
        #[source]
        source: Source,
    },
    /// The store said something that it should not have: most likely its schema is not the one of this version.
    #[error("the store answered in an unexpected way; check that its migrations are applied")]
    Unexpected {
        /// What the store said.
        #[source]
        source: Source,
    },
}

impl RepositoryError {
    /// There is no such row.
    pub(super) fn not_found(entity: &'static str, id: Uuid) -> Self {
        Self::NotFound { entity, id }
    }

    /// The row's state does not allow it.
    pub(super) fn refused(entity: &'static str, id: Uuid, reason: impl Into<String>) -> Self {
        Self::Refused { entity, id, reason: reason.into() }
    }

    /// A stored value that this version does not know.
    #[cfg(feature = "postgres")]
    pub(super) fn corrupt(entity: &'static str, id: Uuid, field: &'static str, unknown: UnknownValue) -> Self {
        Self::Corrupt { entity, id, field, found: unknown.found }
    }

    /// A key that another row has.
    pub(super) fn conflict(constraint: &str) -> Self {
        Self::Conflict { constraint: constraint.to_owned() }
    }

    /// A row that is referred to and does not exist.
    pub(super) fn missing(constraint: &str) -> Self {
        Self::MissingReference { constraint: constraint.to_owned() }
    }
}

impl From<InvalidField> for RepositoryError {
    fn from(invalid: InvalidField) -> Self {
        Self::Invalid { field: invalid.field.to_owned(), reason: invalid.reason }
    }
}
