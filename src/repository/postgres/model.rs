//! `ml_model_registry`.

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Json;
use sqlx::{Postgres, Row as _};
use uuid::Uuid;

use super::error::of_delete;
use super::register::NewRow;
use super::revision::why_unchanged;
use super::session::Session;
use super::statement::{revised, statements};
use super::{Statement, Store};
use crate::domain::{
    ChampionChange, ModelChanges, ModelId, ModelScores, ModelStage, NewModel, RegisteredModel, Revision,
    StageTransition, validate_model_name,
};
use crate::repository::cursor::{List, Moment, before_newest};
use crate::repository::model::{
    DEPRECATED, MODEL, MODEL_SCOPE, MODEL_VERSIONS, MODELS, MODELS_IN_STAGE, not_a_champion,
};
use crate::repository::page::validate_limit;
use crate::repository::{IdempotencyKey, ModelRepository, Page, PageRequest, RepositoryError};

/// The models of one database. Clones share its pool.
#[derive(Debug, Clone)]
pub struct PostgresModelRepository {
    store: Store,
}

/// The columns that [`model`] reads.
macro_rules! columns {
    () => {
        "id, experiment_id, model_name, model_version, mlflow_run_id, mlflow_model_uri, algorithm, \
         hyperparameters, feature_count, training_samples, auc, pr_auc, brier_score, stage::text AS stage, \
         is_champion, artifact_path, trained_at, registered_at, promoted_at, revision, updated_at"
    };
}

statements! {
    REGISTER(7) = concat!(
        "INSERT INTO ml_model_registry \
             (id, experiment_id, model_name, model_version, mlflow_run_id, mlflow_model_uri, algorithm, \
              hyperparameters, feature_count, training_samples, auc, pr_auc, brier_score, artifact_path, trained_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING ",
        columns!()
    );
    FIND(7) = concat!("SELECT ", columns!(), " FROM ml_model_registry WHERE id = $1");
    FIND_VERSION(7) = concat!(
        "SELECT ", columns!(), " FROM ml_model_registry WHERE model_name = $1 AND model_version = $2"
    );
    LIST(7) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_model_registry WHERE (registered_at, id) < ($1, $2) \
         ORDER BY registered_at DESC, id DESC LIMIT $3"
    );
    VERSIONS(7) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_model_registry WHERE (registered_at, id) < ($1, $2) AND model_name = $4 \
         ORDER BY registered_at DESC, id DESC LIMIT $3"
    );
    IN_STAGE(7) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_model_registry WHERE (registered_at, id) < ($1, $2) AND stage = $4::model_stage_enum \
         ORDER BY registered_at DESC, id DESC LIMIT $3"
    );
    CHAMPION(7) = concat!(
        "SELECT ", columns!(), " FROM ml_model_registry WHERE model_name = $1 AND is_champion"
    );
    NAME(1) = "SELECT model_name FROM ml_model_registry WHERE id = $1";
    /// Whoever changes which version of a name is the champion, or in production, waits for the others who do: locks
    /// on rows would not do, for the row that becomes the champion meanwhile is not one of those that are locked.
    LOCK_NAME(1) = "SELECT pg_advisory_xact_lock(hashtextextended('ml_model_registry ' || $1, 0))";
    FIND_FOR_UPDATE(7) = concat!("SELECT ", columns!(), " FROM ml_model_registry WHERE id = $1 FOR UPDATE");
    DETHRONE(7) = concat!(
        "UPDATE ml_model_registry SET is_champion = false, ",
        revised!(),
        " WHERE model_name = $1 AND is_champion RETURNING ",
        columns!()
    );
    CROWN(7) = concat!(
        "UPDATE ml_model_registry SET is_champion = true, ",
        revised!(),
        " WHERE id = $1 RETURNING ",
        columns!()
    );
    ARCHIVE(7) = concat!(
        "UPDATE ml_model_registry SET stage = 'archived', is_champion = false, ",
        revised!(),
        " WHERE model_name = $1 AND stage = 'production' AND id <> $2 RETURNING ",
        columns!()
    );
    MOVE(7) = concat!(
        "UPDATE ml_model_registry SET stage = $2::text::model_stage_enum, is_champion = is_champion AND $3, \
             promoted_at = CASE WHEN $2 = 'production' THEN clock_timestamp() ELSE promoted_at END, ",
        revised!(),
        " WHERE id = $1 RETURNING ",
        columns!()
    );
    UPDATE(7) = concat!(
        "UPDATE ml_model_registry SET auc = CASE WHEN $3 THEN $4 ELSE auc END, \
             pr_auc = CASE WHEN $5 THEN $6 ELSE pr_auc END, \
             brier_score = CASE WHEN $7 THEN $8 ELSE brier_score END, \
             mlflow_model_uri = CASE WHEN $9 THEN $10 ELSE mlflow_model_uri END, \
             artifact_path = CASE WHEN $11 THEN $12 ELSE artifact_path END, ",
        revised!(),
        " WHERE id = $1 AND revision = coalesce($2, revision) RETURNING ",
        columns!()
    );
    REVISION(7) = "SELECT revision FROM ml_model_registry WHERE id = $1";
    DELETE(1) = "DELETE FROM ml_model_registry WHERE id = $1";
}

impl PostgresModelRepository {
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
        filter: Option<&str>,
        request: &PageRequest,
    ) -> Result<Page<RegisteredModel>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let (registered_at, id): Moment = self.store.cursors().after(list, request, before_newest())?;
        let mut query = sqlx::query(statement.sql).bind(registered_at).bind(id).bind(i64::from(limit) + 1);
        if let Some(filter) = filter {
            query = query.bind(filter);
        }
        let rows = query.fetch_all(self.store.pool()).await?;
        let models = rows.iter().map(model).collect::<Result<Vec<_>, _>>()?;
        Page::of(models, limit, |last| self.store.cursors().cursor(list, &(last.registered_at, last.id.as_uuid())))
    }
}

impl NewRow for NewModel {
    type Row = RegisteredModel;
    const SCOPE: &'static str = MODEL_SCOPE;

    async fn insert(&self, connection: &mut PgConnection, id: Uuid) -> Result<RegisteredModel, RepositoryError> {
        let row = sqlx::query(REGISTER.sql)
            .bind(id)
            .bind(self.experiment_id.map(|id| id.as_uuid()))
            .bind(&self.model_name)
            .bind(&self.model_version)
            .bind(&self.mlflow_run_id)
            .bind(&self.mlflow_model_uri)
            .bind(&self.algorithm)
            .bind(self.hyperparameters.as_ref().map(Json))
            .bind(self.feature_count)
            .bind(self.training_samples)
            .bind(self.scores.auc)
            .bind(self.scores.pr_auc)
            .bind(self.scores.brier_score)
            .bind(&self.artifact_path)
            .bind(self.trained_at)
            .fetch_one(connection)
            .await?;
        model(&row)
    }

    async fn find(connection: &mut PgConnection, id: Uuid) -> Result<RegisteredModel, RepositoryError> {
        let row = sqlx::query(FIND.sql).bind(id).fetch_optional(connection).await?;
        model(&row.ok_or_else(|| RepositoryError::not_found(MODEL, id))?)
    }
}

/// The model, if it has the expected revision; its name and its row are locked until the transaction ends.
async fn lock(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<Revision>,
) -> Result<RegisteredModel, RepositoryError> {
    let not_found = || RepositoryError::not_found(MODEL, id);
    let name = sqlx::query(NAME.sql).bind(id).fetch_optional(&mut *connection).await?.ok_or_else(not_found)?;
    sqlx::query(LOCK_NAME.sql).bind(name.try_get::<&str, _>("model_name")?).execute(&mut *connection).await?;
    // A statement of its own sees what was committed while the lock was waited for.
    let row = sqlx::query(FIND_FOR_UPDATE.sql).bind(id).fetch_optional(connection).await?;
    let model = model(&row.ok_or_else(not_found)?)?;
    match expected {
        Some(expected) if expected != model.revision => {
            Err(RepositoryError::Stale { entity: MODEL, id, expected, found: model.revision })
        }
        _ => Ok(model),
    }
}

async fn crown(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<Revision>,
) -> Result<ChampionChange, RepositoryError> {
    let found = lock(connection, id, expected).await?;
    if !found.stage.can_be_champion() {
        return Err(RepositoryError::refused(MODEL, id, not_a_champion(found.stage)));
    }
    if found.is_champion {
        return Ok(ChampionChange { champion: found, dethroned: None });
    }
    let dethroned = sqlx::query(DETHRONE.sql).bind(&found.model_name).fetch_optional(&mut *connection).await?;
    let champion = sqlx::query(CROWN.sql).bind(id).fetch_one(connection).await?;
    Ok(ChampionChange { champion: model(&champion)?, dethroned: dethroned.as_ref().map(model).transpose()? })
}

async fn transition(
    connection: &mut PgConnection,
    id: Uuid,
    expected: Option<Revision>,
    to: ModelStage,
) -> Result<StageTransition, RepositoryError> {
    let found = lock(connection, id, expected).await?;
    if found.stage == to {
        return Ok(StageTransition { model: found, archived: None });
    }
    if found.stage == ModelStage::Deprecated {
        return Err(RepositoryError::refused(MODEL, id, DEPRECATED));
    }
    let archived = if to == ModelStage::Production {
        sqlx::query(ARCHIVE.sql).bind(&found.model_name).bind(id).fetch_optional(&mut *connection).await?
    } else {
        None
    };
    let moved =
        sqlx::query(MOVE.sql).bind(id).bind(to.as_str()).bind(to.can_be_champion()).fetch_one(connection).await?;
    Ok(StageTransition { model: model(&moved)?, archived: archived.as_ref().map(model).transpose()? })
}

#[async_trait]
impl ModelRepository for PostgresModelRepository {
    async fn register(&self, new: NewModel) -> Result<RegisteredModel, RepositoryError> {
        self.store.register(&new.stored()?).await
    }

    async fn register_once(
        &self,
        key: &IdempotencyKey,
        new: NewModel,
    ) -> Result<RegisteredModel, RepositoryError> {
        self.store.register_once(key, &new.stored()?).await
    }

    async fn find(&self, id: ModelId) -> Result<RegisteredModel, RepositoryError> {
        NewModel::find(&mut *self.store.pool().acquire().await?, id.as_uuid()).await
    }

    async fn find_version(
        &self,
        model_name: &str,
        model_version: &str,
    ) -> Result<Option<RegisteredModel>, RepositoryError> {
        NewModel::new(model_name, model_version).validate()?;
        let query = sqlx::query(FIND_VERSION.sql).bind(model_name).bind(model_version);
        query.fetch_optional(self.store.pool()).await?.as_ref().map(model).transpose()
    }

    async fn list(&self, request: PageRequest) -> Result<Page<RegisteredModel>, RepositoryError> {
        self.page(&MODELS, LIST, None, &request).await
    }

    async fn versions(
        &self,
        model_name: &str,
        request: PageRequest,
    ) -> Result<Page<RegisteredModel>, RepositoryError> {
        validate_model_name(model_name)?;
        let filter = [model_name];
        self.page(&List::filtered(MODEL_VERSIONS, &filter), VERSIONS, Some(model_name), &request).await
    }

    async fn in_stage(
        &self,
        stage: ModelStage,
        request: PageRequest,
    ) -> Result<Page<RegisteredModel>, RepositoryError> {
        let filter = [stage.as_str()];
        self.page(&List::filtered(MODELS_IN_STAGE, &filter), IN_STAGE, Some(stage.as_str()), &request).await
    }

    async fn champion(&self, model_name: &str) -> Result<Option<RegisteredModel>, RepositoryError> {
        validate_model_name(model_name)?;
        let row = sqlx::query(CHAMPION.sql).bind(model_name).fetch_optional(self.store.pool()).await?;
        row.as_ref().map(model).transpose()
    }

    async fn crown(&self, id: ModelId, expected: Option<Revision>) -> Result<ChampionChange, RepositoryError> {
        self.store
            .retry(async || {
                let mut session = Session::begin(self.store.pool()).await?;
                let outcome = crown(session.connection()?, id.as_uuid(), expected).await;
                session.end(outcome).await
            })
            .await
    }

    async fn transition(
        &self,
        id: ModelId,
        expected: Option<Revision>,
        to: ModelStage,
    ) -> Result<StageTransition, RepositoryError> {
        self.store
            .retry(async || {
                let mut session = Session::begin(self.store.pool()).await?;
                let outcome = transition(session.connection()?, id.as_uuid(), expected, to).await;
                session.end(outcome).await
            })
            .await
    }

    async fn update(
        &self,
        id: ModelId,
        expected: Option<Revision>,
        changes: ModelChanges,
    ) -> Result<RegisteredModel, RepositoryError> {
        changes.validate()?;
        self.store
            .retry(async || {
                let mut connection = self.store.pool().acquire().await?;
                let row = sqlx::query::<Postgres>(UPDATE.sql)
                    .bind(id.as_uuid())
                    .bind(expected.map(Revision::number))
                    .bind(changes.auc.set().is_some())
                    .bind(changes.auc.value())
                    .bind(changes.pr_auc.set().is_some())
                    .bind(changes.pr_auc.value())
                    .bind(changes.brier_score.set().is_some())
                    .bind(changes.brier_score.value())
                    .bind(changes.mlflow_model_uri.set().is_some())
                    .bind(changes.mlflow_model_uri.value())
                    .bind(changes.artifact_path.set().is_some())
                    .bind(changes.artifact_path.value())
                    .fetch_optional(&mut *connection)
                    .await?;
                match row {
                    Some(row) => model(&row),
                    None => Err(why_unchanged(&mut connection, REVISION, MODEL, id.as_uuid(), expected).await),
                }
            })
            .await
    }

    async fn delete(&self, id: ModelId) -> Result<(), RepositoryError> {
        self.store
            .retry(async || {
                let deleted = sqlx::query(DELETE.sql).bind(id.as_uuid()).execute(self.store.pool()).await;
                match deleted.map_err(of_delete)?.rows_affected() {
                    0 => Err(RepositoryError::not_found(MODEL, id.as_uuid())),
                    _ => Ok(()),
                }
            })
            .await
    }
}

fn model(row: &PgRow) -> Result<RegisteredModel, RepositoryError> {
    let id: Uuid = row.try_get("id")?;
    Ok(RegisteredModel {
        id: id.into(),
        experiment_id: row.try_get::<Option<Uuid>, _>("experiment_id")?.map(Into::into),
        model_name: row.try_get("model_name")?,
        model_version: row.try_get("model_version")?,
        mlflow_run_id: row.try_get("mlflow_run_id")?,
        mlflow_model_uri: row.try_get("mlflow_model_uri")?,
        algorithm: row.try_get("algorithm")?,
        hyperparameters: row.try_get::<Option<Json<_>>, _>("hyperparameters")?.map(|Json(object)| object),
        feature_count: row.try_get("feature_count")?,
        training_samples: row.try_get("training_samples")?,
        scores: ModelScores {
            auc: row.try_get("auc")?,
            pr_auc: row.try_get("pr_auc")?,
            brier_score: row.try_get("brier_score")?,
        },
        stage: row
            .try_get::<&str, _>("stage")?
            .parse()
            .map_err(|unknown| RepositoryError::corrupt(MODEL, id, "stage", unknown))?,
        is_champion: row.try_get("is_champion")?,
        artifact_path: row.try_get("artifact_path")?,
        trained_at: row.try_get("trained_at")?,
        registered_at: row.try_get("registered_at")?,
        promoted_at: row.try_get("promoted_at")?,
        revision: Revision::new(row.try_get("revision")?),
        updated_at: row.try_get("updated_at")?,
    })
}
