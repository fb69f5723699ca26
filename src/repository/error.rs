//! How a repository fails: what a caller did wrong is kept apart from what is wrong with the store.

use std::error::Error;

use uuid::Uuid;

use crate::domain::{BentoServiceId, InvalidField};

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
    /// There is no such service.
    pub(super) fn no_service(id: BentoServiceId) -> Self {
        Self::NotFound { entity: "service", id: id.as_uuid() }
    }
}

impl From<InvalidField> for RepositoryError {
    fn from(invalid: InvalidField) -> Self {
        Self::Invalid { field: invalid.field.to_owned(), reason: invalid.reason }
    }
}
