//! The registry of models.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use proofmark::domain::{
    Change, ModelChanges, ModelScores, NAME_CHARACTERS_MAX, NewModel, RegisteredModel, TEXT_OCTETS_MAX,
    VERSION_CHARACTERS_MAX,
};
use proofmark::repository::memory::{MemoryModelRepository, MemoryStore};
use proofmark::repository::postgres::PostgresModelRepository;
use proofmark::repository::{Cursor, LIMIT_MAX, ModelRepository, PageRequest};
use sqlx::PgPool;

use super::bento_service::Kept;
use super::{id, optional, pool, reference_migrations, refusal, text, tie};
use crate::suites::repositories::kit::{
    Ability, Adapter, Database, Field, Listed, Record, Refusal, RefusalKind, Spec, Value,
};

/// The registry keeps objects; any document is a member of one.
const DOCUMENT: &str = "document";

/// Models kept somewhere.
pub struct Models<S> {
    repository: Arc<dyn ModelRepository>,
    pool: Option<PgPool>,
    kept: PhantomData<S>,
}

fn spec(name: &'static str) -> Spec {
    let name_of = |field| Field::text(field).characters_max(NAME_CHARACTERS_MAX).not_empty();
    let long = |field| Field::text(field).octets_max(TEXT_OCTETS_MAX).not_empty().optional();
    let score = |field| Field::float_between(field, 0.0, 1.0).optional();
    let fields = [
        name_of("model_name").unique().searchable().fixed(),
        Field::text("model_version").characters_max(VERSION_CHARACTERS_MAX).not_empty().unique().fixed(),
        name_of("mlflow_run_id").optional().fixed(),
        long("mlflow_model_uri"),
        name_of("algorithm").optional().fixed(),
        Field::json("hyperparameters").optional().fixed(),
        Field::integer_between("feature_count", 0, i32::MAX.into()).optional().fixed(),
        Field::integer_between("training_samples", 0, i64::MAX).optional().fixed(),
        score("auc"),
        score("pr_auc"),
        score("brier_score"),
        long("artifact_path"),
        Field::time("trained_at").optional().fixed(),
    ];
    let can = [Ability::Update, Ability::UpdateMany, Ability::Delete, Ability::List];
    Spec::new(name, fields).list_limit_max(LIMIT_MAX).can(&can)
}

#[async_trait]
impl<S: Kept> Adapter for Models<S> {
    fn spec() -> Spec {
        if S::IN_POSTGRES {
            let can = [Ability::Pool, Ability::Reconnect, Ability::Tie];
            spec("models").migrations(reference_migrations).can(&can)
        } else {
            spec("models_memory")
        }
    }

    async fn open(database: &Database) -> Result<Self, Refusal> {
        if S::IN_POSTGRES {
            let pool = pool(database)?;
            let repository = Arc::new(PostgresModelRepository::new(pool.clone()));
            return Ok(Self { repository, pool: Some(pool), kept: PhantomData });
        }
        let repository = Arc::new(MemoryModelRepository::from(&MemoryStore::new()));
        Ok(Self { repository, pool: None, kept: PhantomData })
    }

    async fn insert(&self, record: &Record) -> Result<String, Refusal> {
        let invalid = |error| Refusal::new(RefusalKind::Invalid, error);
        let document = record.json("hyperparameters").cloned();
        let new = NewModel {
            mlflow_run_id: optional(record, "mlflow_run_id"),
            mlflow_model_uri: optional(record, "mlflow_model_uri"),
            algorithm: optional(record, "algorithm"),
            hyperparameters: document.map(|document| [(DOCUMENT.to_owned(), document)].into_iter().collect()),
            feature_count: record.integer("feature_count").map(i32::try_from).transpose().map_err(invalid)?,
            training_samples: record.integer("training_samples"),
            scores: ModelScores {
                auc: record.float("auc"),
                pr_auc: record.float("pr_auc"),
                brier_score: record.float("brier_score"),
            },
            artifact_path: optional(record, "artifact_path"),
            trained_at: record.time("trained_at"),
            ..NewModel::new(text(record, "model_name")?, text(record, "model_version")?)
        };
        Ok(self.repository.register(new).await.map_err(refusal)?.id.to_string())
    }

    async fn get(&self, key: &str) -> Result<Record, Refusal> {
        self.repository.find(id(key)?).await.map(record).map_err(refusal)
    }

    async fn update(&self, key: &str, changes: &Record) -> Result<(), Refusal> {
        let score = |field| changes.get(field).map_or(Change::Keep, |_| Change::Set(changes.float(field)));
        let long = |field| changes.get(field).map_or(Change::Keep, |_| Change::Set(optional(changes, field)));
        let changes = ModelChanges {
            auc: score("auc"),
            pr_auc: score("pr_auc"),
            brier_score: score("brier_score"),
            mlflow_model_uri: long("mlflow_model_uri"),
            artifact_path: long("artifact_path"),
        };
        self.repository.update(id(key)?, None, changes).await.map(|_| ()).map_err(refusal)
    }

    async fn delete(&self, key: &str) -> Result<(), Refusal> {
        self.repository.delete(id(key)?).await.map_err(refusal)
    }

    async fn list(&self, limit: u32, cursor: Option<&str>) -> Result<Listed, Refusal> {
        let request = PageRequest { limit, after: cursor.map(Cursor::new) };
        let page = self.repository.list(request).await.map_err(refusal)?;
        let records = page.items.into_iter().map(|row| (row.id.to_string(), record(row))).collect();
        Ok(Listed { records, next: page.next.map(|cursor| cursor.to_string()) })
    }

    async fn find(&self, _: &'static str, value: &Value) -> Result<Vec<String>, Refusal> {
        let Value::Text(name) = value else { return Ok(Vec::new()) };
        let found = self.repository.versions(name, PageRequest::first(LIMIT_MAX)).await.map_err(refusal)?;
        Ok(found.items.into_iter().map(|row| row.id.to_string()).collect())
    }

    async fn tie(&self, keys: &[String]) -> Result<(), Refusal> {
        tie(self.pool.as_ref(), "UPDATE ml_model_registry SET registered_at = $1 WHERE id = ANY($2)", keys).await
    }
}

fn record(row: RegisteredModel) -> Record {
    let document = row.hyperparameters.and_then(|mut object| object.remove(DOCUMENT));
    Record::new()
        .with("model_name", row.model_name)
        .with("model_version", row.model_version)
        .with("mlflow_run_id", row.mlflow_run_id)
        .with("mlflow_model_uri", row.mlflow_model_uri)
        .with("algorithm", row.algorithm)
        .with("hyperparameters", document)
        .with("feature_count", row.feature_count.map(i64::from))
        .with("training_samples", row.training_samples)
        .with("auc", row.scores.auc)
        .with("pr_auc", row.scores.pr_auc)
        .with("brier_score", row.scores.brier_score)
        .with("artifact_path", row.artifact_path)
        .with("trained_at", row.trained_at)
}
