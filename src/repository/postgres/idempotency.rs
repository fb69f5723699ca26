//! `ml_idempotency_keys`: which row a request that is sent again has already made.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::Statement;
use super::statement::statements;
use crate::repository::idempotency::Request;
use crate::repository::{IdempotencyKey, RepositoryError};

statements! {
    /// Waits for a transaction that is about to claim the same key.
    CLAIM(6) = "INSERT INTO ml_idempotency_keys (scope, key, digest, row_id) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (scope, key) DO NOTHING";
    RECALL(6) = "SELECT digest, row_id FROM ml_idempotency_keys WHERE scope = $1 AND key = $2";
    /// Rows that somebody is about to delete are left to him.
    FORGET(6) = "DELETE FROM ml_idempotency_keys WHERE (scope, key) IN \
                 (SELECT scope, key FROM ml_idempotency_keys WHERE created_at < $1 \
                  ORDER BY created_at LIMIT 10000 FOR UPDATE SKIP LOCKED)";
}

/// The statements of this file.
pub(super) const ALL: &[Statement] = STATEMENTS;

/// Claims the key for a row that the same transaction is about to make. None when it is new; otherwise the row that it
/// stands for.
pub(super) async fn claim(
    connection: &mut PgConnection,
    request: Request,
    key: &IdempotencyKey,
    row: Uuid,
) -> Result<Option<Uuid>, RepositoryError> {
    let claimed = sqlx::query(CLAIM.sql)
        .bind(request.scope)
        .bind(key.as_str())
        .bind(&request.digest[..])
        .bind(row)
        .execute(&mut *connection)
        .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    // A statement of its own sees what was committed while the first one waited.
    let earlier =
        sqlx::query(RECALL.sql).bind(request.scope).bind(key.as_str()).fetch_optional(connection).await?;
    match earlier {
        Some(earlier) if earlier.try_get::<&[u8], _>("digest")? == request.digest => {
            Ok(Some(earlier.try_get("row_id")?))
        }
        Some(_) => Err(RepositoryError::KeyReused { key: key.to_string() }),
        // Forgotten between the two statements.
        None => Err(RepositoryError::Contended { source: "the idempotency key is being forgotten".into() }),
    }
}

pub(super) async fn forget(pool: &PgPool, before: DateTime<Utc>) -> Result<u64, RepositoryError> {
    Ok(sqlx::query(FORGET.sql).bind(before).execute(pool).await?.rows_affected())
}
