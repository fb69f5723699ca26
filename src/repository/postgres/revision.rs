//! Why an update that expects a revision has changed nothing.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Statement;
use crate::domain::Revision;
use crate::repository::RepositoryError;

/// The error of an update that found no row: either there is none, or it has another revision than was expected. The
/// statement selects the revision of the row with the identifier.
pub(super) async fn why_unchanged(
    connection: &mut PgConnection,
    revision_of: Statement,
    entity: &'static str,
    id: Uuid,
    expected: Option<Revision>,
) -> RepositoryError {
    let row = match sqlx::query(revision_of.sql).bind(id).fetch_optional(connection).await {
        Ok(row) => row,
        Err(error) => return error.into(),
    };
    let Some(row) = row else { return RepositoryError::not_found(entity, id) };
    match (row.try_get("revision").map(Revision::new), expected) {
        (Ok(found), Some(expected)) => RepositoryError::Stale { entity, id, expected, found },
        // Deleted while it was updated, and there again: identifiers are not used twice.
        (Ok(_), None) => RepositoryError::not_found(entity, id),
        (Err(error), _) => error.into(),
    }
}
