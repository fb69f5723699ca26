//! `ml_training_runs`.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Json;
use uuid::Uuid;

use super::register::NewRow;
use super::session::Session;
use super::statement::{revised, statements};
use super::{Statement, Store};
use crate::domain::{
    ExperimentId, ModelId, NewTrainingRun, OptunaTrial, Revision, SplitMetrics, TrainingRun, TrainingRunId,
    TrainingStatus, validate_error_message, validate_mlflow_id, validate_study_name,
};
use crate::repository::cursor::{List, Moment, before_newest};
use crate::repository::page::validate_limit;
use crate::repository::training_run::{RUN, RUN_SCOPE, RUNS, RUNS_OF_EXPERIMENT, has_ended, not_best};
use crate::repository::{IdempotencyKey, Page, PageRequest, RepositoryError, TrainingRunRepository};

/// The training runs of one database. Clones share its pool.
#[derive(Debug, Clone)]
pub struct PostgresTrainingRunRepository {
    store: Store,
}

/// The columns that [`run`] reads.
macro_rules! columns {
    () => {
        "id, experiment_id, model_id, mlflow_run_id, algorithm, hyperparameters, feature_names, train_metrics, \
         validation_metrics, test_metrics, status, error_message, started_at, completed_at, duration_seconds, \
         optuna_study_name, optuna_trial_number, is_best_trial, revision, created_at, updated_at"
    };
}

/// Ends a run, in an UPDATE.
macro_rules! ended {
    ($status:literal) => {
        concat!(
            "status = '",
            $status,
            "', completed_at = greatest(clock_timestamp(), started_at), ",
            revised!(),
            " WHERE id = $1 AND revision = coalesce($2, revision) AND status = 'running' RETURNING ",
            columns!()
        )
    };
}

statements! {
    START(9) = concat!(
        "INSERT INTO ml_training_runs \
             (id, experiment_id, mlflow_run_id, algorithm, hyperparameters, feature_names, started_at, \
              optuna_study_name, optuna_trial_number) \
         VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, now()), $8, $9) RETURNING ",
        columns!()
    );
    FIND(9) = concat!("SELECT ", columns!(), " FROM ml_training_runs WHERE id = $1");
    FIND_FOR_UPDATE(9) = concat!("SELECT ", columns!(), " FROM ml_training_runs WHERE id = $1 FOR UPDATE");
    FIND_BY_MLFLOW_ID(9) = concat!("SELECT ", columns!(), " FROM ml_training_runs WHERE mlflow_run_id = $1");
    LIST(9) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_training_runs WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $3"
    );
    OF_EXPERIMENT(9) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_training_runs WHERE (created_at, id) < ($1, $2) AND experiment_id = $4 \
         ORDER BY created_at DESC, id DESC LIMIT $3"
    );
    COMPLETE(9) = concat!(
        "UPDATE ml_training_runs SET model_id = $3, train_metrics = $4, validation_metrics = $5, \
             test_metrics = $6, ",
        ended!("completed")
    );
    FAIL(9) = concat!("UPDATE ml_training_runs SET error_message = $3, ", ended!("failed"));
    CANCEL(9) = concat!("UPDATE ml_training_runs SET ", ended!("cancelled"));
    /// Whoever changes the best trial of a study waits for the others who do.
    LOCK_STUDY(1) = "SELECT pg_advisory_xact_lock(hashtextextended('ml_training_runs ' || $1, 0))";
    UNMARK_BEST(9) = concat!(
        "UPDATE ml_training_runs SET is_best_trial = false, ",
        revised!(),
        " WHERE optuna_study_name = $1 AND is_best_trial"
    );
    MARK_BEST(9) = concat!(
        "UPDATE ml_training_runs SET is_best_trial = true, ",
        revised!(),
        " WHERE id = $1 RETURNING ",
        columns!()
    );
    BEST_OF(9) = concat!(
        "SELECT ", columns!(), " FROM ml_training_runs WHERE optuna_study_name = $1 AND is_best_trial"
    );
}

impl PostgresTrainingRunRepository {
    /// Every statement that it can send.
    pub const STATEMENTS: &'static [Statement] = STATEMENTS;

    /// A repository on a database to which [`MIGRATOR`](super::MIGRATOR) was applied.
    #[must_use]
    pub fn new(store: impl Into<Store>) -> Self {
        Self { store: store.into() }
    }

    async fn page(
        &self,
        list: &List<'_>,
        statement: Statement,
        experiment: Option<ExperimentId>,
        request: &PageRequest,
    ) -> Result<Page<TrainingRun>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let (created_at, id): Moment = self.store.cursors().after(list, request, before_newest())?;
        let mut query = sqlx::query(statement.sql).bind(created_at).bind(id).bind(i64::from(limit) + 1);
        if let Some(experiment) = experiment {
            query = query.bind(experiment.as_uuid());
        }
        let rows = query.fetch_all(self.store.pool()).await?;
        let runs = rows.iter().map(run).collect::<Result<Vec<_>, _>>()?;
        Page::of(runs, limit, |last| self.store.cursors().cursor(list, &(last.created_at, last.id.as_uuid())))
    }
}

impl NewRow for NewTrainingRun {
    type Row = TrainingRun;
    const SCOPE: &'static str = RUN_SCOPE;

    async fn insert(&self, connection: &mut PgConnection, id: Uuid) -> Result<TrainingRun, RepositoryError> {
        let row = sqlx::query(START.sql)
            .bind(id)
            .bind(self.experiment_id.as_uuid())
            .bind(&self.mlflow_run_id)
            .bind(&self.algorithm)
            .bind(Json(&self.hyperparameters))
            .bind(&self.feature_names)
            .bind(self.started_at)
            .bind(self.trial.as_ref().map(|trial| &trial.study_name))
            .bind(self.trial.as_ref().map(|trial| trial.number))
            .fetch_one(connection)
            .await?;
        run(&row)
    }

    async fn find(connection: &mut PgConnection, id: Uuid) -> Result<TrainingRun, RepositoryError> {
        let row = sqlx::query(FIND.sql).bind(id).fetch_optional(connection).await?;
        run(&row.ok_or_else(|| RepositoryError::not_found(RUN, id))?)
    }
}

fn check_revision(run: &TrainingRun, expected: Option<Revision>) -> Result<(), RepositoryError> {
    match expected {
        Some(expected) if expected != run.revision => {
            Err(RepositoryError::Stale { entity: RUN, id: run.id.as_uuid(), expected, found: run.revision })
        }
        _ => Ok(()),
    }
}

/// The run that an UPDATE ended; if it ended none, the reason.
async fn ended(
    connection: &mut PgConnection,
    row: Option<PgRow>,
    id: TrainingRunId,
    expected: Option<Revision>,
) -> Result<TrainingRun, RepositoryError> {
    if let Some(row) = row {
        return run(&row);
    }
    let found = NewTrainingRun::find(connection, id.as_uuid()).await?;
    check_revision(&found, expected)?;
    Err(RepositoryError::refused(RUN, id.as_uuid(), has_ended(found.status)))
}

async fn mark_best(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<Revision>,
) -> Result<TrainingRun, RepositoryError> {
    // The study of a run never changes, so that its lock can be taken before the row's.
    let first = NewTrainingRun::find(connection, id).await?;
    if let Some(trial) = &first.trial {
        sqlx::query(LOCK_STUDY.sql).bind(&trial.study_name).execute(&mut *connection).await?;
    }
    let row = sqlx::query(FIND_FOR_UPDATE.sql).bind(id).fetch_optional(&mut *connection).await?;
    let found = run(&row.ok_or_else(|| RepositoryError::not_found(RUN, id))?)?;
    check_revision(&found, expected)?;
    let (Some(trial), TrainingStatus::Completed) = (&found.trial, found.status) else {
        return Err(RepositoryError::refused(RUN, id, not_best(&found)));
    };
    if found.is_best_trial {
        return Ok(found);
    }
    sqlx::query(UNMARK_BEST.sql).bind(&trial.study_name).execute(&mut *connection).await?;
    run(&sqlx::query(MARK_BEST.sql).bind(id).fetch_one(connection).await?)
}

#[async_trait]
impl TrainingRunRepository for PostgresTrainingRunRepository {
    async fn start(&self, new: NewTrainingRun) -> Result<TrainingRun, RepositoryError> {
        self.store.register(&new.stored()?).await
    }

    async fn start_once(&self, key: &IdempotencyKey, new: NewTrainingRun) -> Result<TrainingRun, RepositoryError> {
        self.store.register_once(key, &new.stored()?).await
    }

    async fn find(&self, id: TrainingRunId) -> Result<TrainingRun, RepositoryError> {
        NewTrainingRun::find(&mut *self.store.pool().acquire().await?, id.as_uuid()).await
    }

    async fn find_by_mlflow_id(&self, mlflow_run_id: &str) -> Result<Option<TrainingRun>, RepositoryError> {
        validate_mlflow_id("mlflow_run_id", mlflow_run_id)?;
        let query = sqlx::query(FIND_BY_MLFLOW_ID.sql).bind(mlflow_run_id);
        query.fetch_optional(self.store.pool()).await?.as_ref().map(run).transpose()
    }

    async fn list(&self, request: PageRequest) -> Result<Page<TrainingRun>, RepositoryError> {
        self.page(&RUNS, LIST, None, &request).await
    }

    async fn of_experiment(
        &self,
        experiment: ExperimentId,
        request: PageRequest,
    ) -> Result<Page<TrainingRun>, RepositoryError> {
        let filter = experiment.to_string();
        let filter = [filter.as_str()];
        let list = List::filtered(RUNS_OF_EXPERIMENT, &filter);
        self.page(&list, OF_EXPERIMENT, Some(experiment), &request).await
    }

    async fn complete(
        &self,
        id: TrainingRunId,
        expected: Option<Revision>,
        model: Option<ModelId>,
        metrics: SplitMetrics,
    ) -> Result<TrainingRun, RepositoryError> {
        let metrics = metrics.stored()?;
        self.store
            .retry(async || {
                let mut connection = self.store.pool().acquire().await?;
                let row = sqlx::query(COMPLETE.sql)
                    .bind(id.as_uuid())
                    .bind(expected.map(Revision::number))
                    .bind(model.map(|id| id.as_uuid()))
                    .bind(metrics.train.as_ref().map(Json))
                    .bind(metrics.validation.as_ref().map(Json))
                    .bind(metrics.test.as_ref().map(Json))
                    .fetch_optional(&mut *connection)
                    .await?;
                ended(&mut connection, row, id, expected).await
            })
            .await
    }

    async fn fail(
        &self,
        id: TrainingRunId,
        expected: Option<Revision>,
        error_message: &str,
    ) -> Result<TrainingRun, RepositoryError> {
        validate_error_message(error_message)?;
        self.store
            .retry(async || {
                let mut connection = self.store.pool().acquire().await?;
                let row = sqlx::query(FAIL.sql)
                    .bind(id.as_uuid())
                    .bind(expected.map(Revision::number))
                    .bind(error_message)
                    .fetch_optional(&mut *connection)
                    .await?;
                ended(&mut connection, row, id, expected).await
            })
            .await
    }

    async fn cancel(&self, id: TrainingRunId, expected: Option<Revision>) -> Result<TrainingRun, RepositoryError> {
        self.store
            .retry(async || {
                let mut connection = self.store.pool().acquire().await?;
                let row = sqlx::query(CANCEL.sql)
                    .bind(id.as_uuid())
                    .bind(expected.map(Revision::number))
                    .fetch_optional(&mut *connection)
                    .await?;
                ended(&mut connection, row, id, expected).await
            })
            .await
    }

    async fn mark_best(
        &self,
        id: TrainingRunId,
        expected: Option<Revision>,
    ) -> Result<TrainingRun, RepositoryError> {
        self.store
            .retry(async || {
                let mut session = Session::begin(self.store.pool()).await?;
                let outcome = mark_best(session.connection()?, id.as_uuid(), expected).await;
                session.end(outcome).await
            })
            .await
    }

    async fn best_of(&self, study_name: &str) -> Result<Option<TrainingRun>, RepositoryError> {
        validate_study_name(study_name)?;
        let query = sqlx::query(BEST_OF.sql).bind(study_name);
        query.fetch_optional(self.store.pool()).await?.as_ref().map(run).transpose()
    }
}

fn run(row: &PgRow) -> Result<TrainingRun, RepositoryError> {
    let id: Uuid = row.try_get("id")?;
    let metrics = |column| -> Result<_, RepositoryError> {
        Ok(row.try_get::<Option<Json<_>>, _>(column)?.map(|Json(metrics)| metrics))
    };
    let study_name: Option<String> = row.try_get("optuna_study_name")?;
    let number: Option<i32> = row.try_get("optuna_trial_number")?;
    Ok(TrainingRun {
        id: id.into(),
        experiment_id: row.try_get::<Uuid, _>("experiment_id")?.into(),
        model_id: row.try_get::<Option<Uuid>, _>("model_id")?.map(Into::into),
        mlflow_run_id: row.try_get("mlflow_run_id")?,
        algorithm: row.try_get("algorithm")?,
        hyperparameters: row.try_get::<Json<_>, _>("hyperparameters")?.0,
        feature_names: row.try_get("feature_names")?,
        metrics: SplitMetrics {
            train: metrics("train_metrics")?,
            validation: metrics("validation_metrics")?,
            test: metrics("test_metrics")?,
        },
        status: row
            .try_get::<&str, _>("status")?
            .parse()
            .map_err(|unknown| RepositoryError::corrupt(RUN, id, "status", unknown))?,
        error_message: row.try_get("error_message")?,
        started_at: row.try_get("started_at")?,
        completed_at: row.try_get("completed_at")?,
        duration_seconds: row.try_get("duration_seconds")?,
        trial: study_name.zip(number).map(|(study_name, number)| OptunaTrial { study_name, number }),
        is_best_trial: row.try_get("is_best_trial")?,
        revision: Revision::new(row.try_get("revision")?),
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
