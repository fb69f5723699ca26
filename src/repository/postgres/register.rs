//! How new rows are stored: at once, or once for each idempotency key.

use serde::Serialize;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::session::Session;
use super::{Store, idempotency};
use crate::repository::idempotency::Request;
use crate::repository::{IdempotencyKey, RepositoryError};

/// Valid values of a row to be stored.
pub(super) trait NewRow: Serialize + Sync {
    /// The row as it is stored.
    type Row: Send;
    /// What the idempotency keys of these rows are kept under.
    const SCOPE: &'static str;

    /// Stores the row.
    fn insert(
        &self,
        connection: &mut PgConnection,
        id: Uuid,
    ) -> impl Future<Output = Result<Self::Row, RepositoryError>> + Send;

    /// The row that is stored.
    fn find(
        connection: &mut PgConnection,
        id: Uuid,
    ) -> impl Future<Output = Result<Self::Row, RepositoryError>> + Send;
}

impl Store {
    /// Stores the row in a single statement.
    pub(super) async fn register<N: NewRow>(&self, new: &N) -> Result<N::Row, RepositoryError> {
        let id = Uuid::new_v4();
        self.retry(async || new.insert(&mut *self.pool().acquire().await?, id).await).await
    }

    /// Stores the row, unless an earlier request with the key has; then returns that one.
    pub(super) async fn register_once<N: NewRow>(
        &self,
        key: &IdempotencyKey,
        new: &N,
    ) -> Result<N::Row, RepositoryError> {
        let request = Request::new(N::SCOPE, new)?;
        let id = Uuid::new_v4();
        self.retry(async || {
            let mut session = Session::begin(self.pool()).await?;
            let outcome = insert_once(session.connection()?, request, key, id, new).await;
            session.end(outcome).await
        })
        .await
    }
}

async fn insert_once<N: NewRow>(
    connection: &mut PgConnection,
    request: Request,
    key: &IdempotencyKey,
    id: Uuid,
    new: &N,
) -> Result<N::Row, RepositoryError> {
    match idempotency::claim(connection, request, key, id).await? {
        None => new.insert(connection, id).await,
        Some(earlier) => N::find(connection, earlier).await,
    }
}
