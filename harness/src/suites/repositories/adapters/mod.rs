//! The reference layer's repositories as subjects of the kit: an adapter for each aggregate.
//!
//! To add one, write a file with a [`Spec`](super::kit::Spec) (the fields, in the words of the migration that makes the
//! table), an [`Adapter`](super::kit::Adapter) that translates between records and the aggregate's types, and list it in
//! `plan`. `bento_service.rs` is the pattern; `refusal` translates the layer's errors. An adapter validates, retries
//! and repairs nothing itself.

mod bento_service;
mod experiment;
mod feature_view;
mod hpo_study;
mod model;
mod span;

use chrono::DateTime;
use proofmark::repository::RepositoryError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::kit::{self, Database, Refusal, RefusalKind, SchemaError};
use crate::migration_set::MigrationSet;
use crate::suite::PlannedCase;

pub use bento_service::{BentoServices, Kept, Memory, Postgres};
pub use experiment::Experiments;
pub use feature_view::FeatureViews;
pub use hpo_study::HpoStudies;
pub use model::Models;
pub use span::Spans;

/// The kit's cases for all of them.
#[must_use]
pub(super) fn plan() -> Vec<PlannedCase> {
    [
        kit::plan::<BentoServices<Postgres>>(),
        kit::plan::<BentoServices<Memory>>(),
        kit::plan::<Experiments<Postgres>>(),
        kit::plan::<Experiments<Memory>>(),
        kit::plan::<Models<Postgres>>(),
        kit::plan::<Models<Memory>>(),
        kit::plan::<FeatureViews<Postgres>>(),
        kit::plan::<FeatureViews<Memory>>(),
        kit::plan::<HpoStudies<Postgres>>(),
        kit::plan::<HpoStudies<Memory>>(),
        kit::plan::<Spans<Postgres>>(),
        kit::plan::<Spans<Memory>>(),
    ]
    .concat()
}

/// The reference layer's migrations, for a [`Spec`](super::kit::Spec).
pub(super) fn reference_migrations() -> Result<MigrationSet, SchemaError> {
    Ok(MigrationSet::reference())
}

/// A pool on a case's database, with the limits that it comes with.
pub(super) fn pool(database: &Database) -> Result<PgPool, Refusal> {
    let options: PgConnectOptions =
        database.url().parse().map_err(|error| Refusal::new(RefusalKind::Other, error))?;
    Ok(PgPoolOptions::new()
        .max_connections(database.connections_max())
        .acquire_timeout(database.acquire_time())
        .connect_lazy_with(options))
}

/// What an error of the reference layer means to a caller.
pub(super) fn refusal(error: RepositoryError) -> Refusal {
    let kind = match &error {
        RepositoryError::NotFound { .. } => RefusalKind::NotFound,
        RepositoryError::Conflict { .. } => RefusalKind::Conflict,
        RepositoryError::MissingReference { .. } => RefusalKind::MissingReference,
        RepositoryError::Invalid { .. } => RefusalKind::Invalid,
        RepositoryError::InvalidCursor { .. } => RefusalKind::Cursor,
        RepositoryError::Contended { .. } => RefusalKind::Contended,
        RepositoryError::Cancelled { .. } => RefusalKind::Cancelled,
        RepositoryError::Unavailable { .. } => RefusalKind::Unavailable,
        _ => RefusalKind::Other,
    };
    Refusal::new(kind, crate::error_chain(&error))
}

/// A key as the layer's identifiers have it; one that is none names no record.
pub(super) fn id<T: From<uuid::Uuid>>(key: &str) -> Result<T, Refusal> {
    let id = uuid::Uuid::parse_str(key);
    id.map(T::from).map_err(|_| Refusal::new(RefusalKind::NotFound, format!("{key:?} is the key of no record")))
}

/// Gives rows one time, by an `UPDATE` that takes the time and the keys; in memory there is nothing that could.
pub(super) async fn tie(pool: Option<&PgPool>, update: &'static str, keys: &[String]) -> Result<(), Refusal> {
    let pool =
        pool.ok_or_else(|| Refusal::new(RefusalKind::Other, "expected rows in Postgres, found rows in memory"))?;
    let ids: Vec<uuid::Uuid> = keys.iter().map(|key| id(key)).collect::<Result<_, _>>()?;
    let done = sqlx::query(update).bind(DateTime::UNIX_EPOCH).bind(ids).execute(pool).await;
    done.map(drop).map_err(|error| refusal(error.into()))
}

/// A text that must be there.
pub(super) fn text(record: &kit::Record, field: &str) -> Result<String, Refusal> {
    let text = record.text(field).map(str::to_owned);
    text.ok_or_else(|| Refusal::new(RefusalKind::Invalid, format!("{field}: expected a text, found none")))
}

/// A text that may be absent.
pub(super) fn optional(record: &kit::Record, field: &str) -> Option<String> {
    record.text(field).map(str::to_owned)
}
