//! Experiments.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use proofmark::domain::{
    Change, Experiment, ExperimentChanges, NAME_CHARACTERS_MAX, NewExperiment, TEXT_OCTETS_MAX,
};
use proofmark::repository::memory::{MemoryExperimentRepository, MemoryStore};
use proofmark::repository::postgres::PostgresExperimentRepository;
use proofmark::repository::{Cursor, ExperimentRepository, LIMIT_MAX, PageRequest};
use sqlx::PgPool;

use super::bento_service::Kept;
use super::{id, optional, pool, reference_migrations, refusal, text, tie};
use crate::suites::repositories::kit::{Ability, Adapter, Database, Field, Listed, Record, Refusal, Spec, Value};

/// Experiments kept somewhere.
pub struct Experiments<S> {
    repository: Arc<dyn ExperimentRepository>,
    pool: Option<PgPool>,
    kept: PhantomData<S>,
}

fn spec(name: &'static str) -> Spec {
    let name_of = |field| Field::text(field).characters_max(NAME_CHARACTERS_MAX).not_empty();
    let fields = [
        name_of("experiment_name"),
        name_of("mlflow_experiment_id").optional().unique().searchable().fixed(),
        Field::text("description").octets_max(TEXT_OCTETS_MAX).not_empty().optional(),
        name_of("prediction_target").optional(),
        name_of("created_by").optional().fixed(),
    ];
    let can = [Ability::Update, Ability::UpdateMany, Ability::Delete, Ability::List];
    Spec::new(name, fields).list_limit_max(LIMIT_MAX).can(&can)
}

#[async_trait]
impl<S: Kept> Adapter for Experiments<S> {
    fn spec() -> Spec {
        if S::IN_POSTGRES {
            let can = [Ability::Pool, Ability::Reconnect, Ability::Tie];
            spec("experiments").migrations(reference_migrations).can(&can)
        } else {
            spec("experiments_memory")
        }
    }

    async fn open(database: &Database) -> Result<Self, Refusal> {
        if S::IN_POSTGRES {
            let pool = pool(database)?;
            let repository = Arc::new(PostgresExperimentRepository::new(pool.clone()));
            return Ok(Self { repository, pool: Some(pool), kept: PhantomData });
        }
        let repository = Arc::new(MemoryExperimentRepository::from(&MemoryStore::new()));
        Ok(Self { repository, pool: None, kept: PhantomData })
    }

    async fn insert(&self, record: &Record) -> Result<String, Refusal> {
        let new = NewExperiment {
            mlflow_experiment_id: optional(record, "mlflow_experiment_id"),
            description: optional(record, "description"),
            prediction_target: optional(record, "prediction_target"),
            created_by: optional(record, "created_by"),
            ..NewExperiment::new(text(record, "experiment_name")?)
        };
        Ok(self.repository.register(new).await.map_err(refusal)?.id.to_string())
    }

    async fn get(&self, key: &str) -> Result<Record, Refusal> {
        self.repository.find(id(key)?).await.map(record).map_err(refusal)
    }

    async fn update(&self, key: &str, changes: &Record) -> Result<(), Refusal> {
        let changed = |field| match changes.get(field) {
            Some(_) => Change::Set(optional(changes, field)),
            None => Change::Keep,
        };
        let changes = ExperimentChanges {
            experiment_name: match changes.text("experiment_name") {
                Some(name) => Change::Set(name.to_owned()),
                None => Change::Keep,
            },
            description: changed("description"),
            prediction_target: changed("prediction_target"),
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
        let Value::Text(mlflow_id) = value else { return Ok(Vec::new()) };
        let found = self.repository.find_by_mlflow_id(mlflow_id).await.map_err(refusal)?;
        Ok(found.into_iter().map(|row| row.id.to_string()).collect())
    }

    async fn tie(&self, keys: &[String]) -> Result<(), Refusal> {
        tie(self.pool.as_ref(), "UPDATE ml_experiments SET created_at = $1 WHERE id = ANY($2)", keys).await
    }
}

fn record(row: Experiment) -> Record {
    Record::new()
        .with("experiment_name", row.experiment_name)
        .with("mlflow_experiment_id", row.mlflow_experiment_id)
        .with("description", row.description)
        .with("prediction_target", row.prediction_target)
        .with("created_by", row.created_by)
}
