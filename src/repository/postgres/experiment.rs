//! `ml_experiments`.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::error::of_delete;
use super::register::NewRow;
use super::revision::why_unchanged;
use super::statement::{revised, statements};
use super::{Statement, Store};
use crate::domain::{Experiment, ExperimentChanges, ExperimentId, NewExperiment, Revision, validate_mlflow_id};
use crate::repository::cursor::before_oldest;
use crate::repository::experiment::{EXPERIMENT_SCOPE, EXPERIMENTS};
use crate::repository::page::validate_limit;
use crate::repository::{ExperimentRepository, IdempotencyKey, Page, PageRequest, RepositoryError};

/// The experiments of one database. Clones share its pool.
#[derive(Debug, Clone)]
pub struct PostgresExperimentRepository {
    store: Store,
}

/// The columns that [`experiment`] reads.
macro_rules! columns {
    () => {
        "id, experiment_name, mlflow_experiment_id, description, prediction_target, created_by, revision, \
         created_at, updated_at"
    };
}

statements! {
    REGISTER(7) = concat!(
        "INSERT INTO ml_experiments \
             (id, experiment_name, mlflow_experiment_id, description, prediction_target, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING ",
        columns!()
    );
    FIND(7) = concat!("SELECT ", columns!(), " FROM ml_experiments WHERE id = $1");
    FIND_BY_MLFLOW_ID(7) = concat!("SELECT ", columns!(), " FROM ml_experiments WHERE mlflow_experiment_id = $1");
    LIST(7) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_experiments WHERE (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3"
    );
    UPDATE(7) = concat!(
        "UPDATE ml_experiments SET experiment_name = coalesce($3, experiment_name), \
             description = CASE WHEN $4 THEN $5 ELSE description END, \
             prediction_target = CASE WHEN $6 THEN $7 ELSE prediction_target END, ",
        revised!(),
        " WHERE id = $1 AND revision = coalesce($2, revision) RETURNING ",
        columns!()
    );
    REVISION(7) = "SELECT revision FROM ml_experiments WHERE id = $1";
    DELETE(1) = "DELETE FROM ml_experiments WHERE id = $1";
}

impl PostgresExperimentRepository {
    /// Every statement that it can send.
    pub const STATEMENTS: &'static [Statement] = STATEMENTS;

    /// A repository on a database to which [`MIGRATOR`](super::MIGRATOR) was applied.
    #[must_use]
    pub fn new(store: impl Into<Store>) -> Self {
        Self { store: store.into() }
    }
}

impl NewRow for NewExperiment {
    type Row = Experiment;
    const SCOPE: &'static str = EXPERIMENT_SCOPE;

    async fn insert(&self, connection: &mut PgConnection, id: Uuid) -> Result<Experiment, RepositoryError> {
        let row = sqlx::query(REGISTER.sql)
            .bind(id)
            .bind(&self.experiment_name)
            .bind(&self.mlflow_experiment_id)
            .bind(&self.description)
            .bind(&self.prediction_target)
            .bind(&self.created_by)
            .fetch_one(connection)
            .await?;
        experiment(&row)
    }

    async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Experiment, RepositoryError> {
        let row = sqlx::query(FIND.sql).bind(id).fetch_optional(connection).await?;
        experiment(&row.ok_or_else(|| RepositoryError::not_found("experiment", id))?)
    }
}

#[async_trait]
impl ExperimentRepository for PostgresExperimentRepository {
    async fn register(&self, new: NewExperiment) -> Result<Experiment, RepositoryError> {
        new.validate()?;
        self.store.register(&new).await
    }

    async fn register_once(
        &self,
        key: &IdempotencyKey,
        new: NewExperiment,
    ) -> Result<Experiment, RepositoryError> {
        new.validate()?;
        self.store.register_once(key, &new).await
    }

    async fn find(&self, id: ExperimentId) -> Result<Experiment, RepositoryError> {
        NewExperiment::find(&mut *self.store.pool().acquire().await?, id.as_uuid()).await
    }

    async fn find_by_mlflow_id(&self, mlflow_experiment_id: &str) -> Result<Option<Experiment>, RepositoryError> {
        validate_mlflow_id("mlflow_experiment_id", mlflow_experiment_id)?;
        let row = sqlx::query(FIND_BY_MLFLOW_ID.sql)
            .bind(mlflow_experiment_id)
            .fetch_optional(self.store.pool())
            .await?;
        row.as_ref().map(experiment).transpose()
    }

    async fn list(&self, request: PageRequest) -> Result<Page<Experiment>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let (created_at, id) = self.store.cursors().after(&EXPERIMENTS, &request, before_oldest())?;
        let rows = sqlx::query(LIST.sql)
            .bind(created_at)
            .bind(id)
            .bind(i64::from(limit) + 1)
            .fetch_all(self.store.pool())
            .await?;
        let experiments = rows.iter().map(experiment).collect::<Result<Vec<_>, _>>()?;
        Page::of(experiments, limit, |last| {
            self.store.cursors().cursor(&EXPERIMENTS, &(last.created_at, last.id.as_uuid()))
        })
    }

    async fn update(
        &self,
        id: ExperimentId,
        expected: Option<Revision>,
        changes: ExperimentChanges,
    ) -> Result<Experiment, RepositoryError> {
        changes.validate()?;
        self.store
            .retry(async || {
                let mut connection = self.store.pool().acquire().await?;
                let row = sqlx::query(UPDATE.sql)
                    .bind(id.as_uuid())
                    .bind(expected.map(Revision::number))
                    .bind(changes.experiment_name.set())
                    .bind(changes.description.set().is_some())
                    .bind(changes.description.value())
                    .bind(changes.prediction_target.set().is_some())
                    .bind(changes.prediction_target.value())
                    .fetch_optional(&mut *connection)
                    .await?;
                match row {
                    Some(row) => experiment(&row),
                    None => {
                        Err(why_unchanged(&mut connection, REVISION, "experiment", id.as_uuid(), expected).await)
                    }
                }
            })
            .await
    }

    async fn delete(&self, id: ExperimentId) -> Result<(), RepositoryError> {
        self.store
            .retry(async || {
                let deleted = sqlx::query(DELETE.sql).bind(id.as_uuid()).execute(self.store.pool()).await;
                match deleted.map_err(of_delete)?.rows_affected() {
                    0 => Err(RepositoryError::not_found("experiment", id.as_uuid())),
                    _ => Ok(()),
                }
            })
            .await
    }
}

fn experiment(row: &PgRow) -> Result<Experiment, RepositoryError> {
    Ok(Experiment {
        id: row.try_get::<Uuid, _>("id")?.into(),
        experiment_name: row.try_get("experiment_name")?,
        mlflow_experiment_id: row.try_get("mlflow_experiment_id")?,
        description: row.try_get("description")?,
        prediction_target: row.try_get("prediction_target")?,
        created_by: row.try_get("created_by")?,
        revision: Revision::new(row.try_get("revision")?),
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
