//! Hyperparameter studies.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use proofmark::domain::{HpoStudy, NAME_CHARACTERS_MAX, NewHpoStudy};
use proofmark::repository::memory::MemoryHpoRepository;
use proofmark::repository::postgres::PostgresHpoRepository;
use proofmark::repository::{Cursor, HpoRepository, LIMIT_MAX, PageRequest};
use sqlx::PgPool;

use super::bento_service::Kept;
use super::{id, pool, reference_migrations, refusal, text, tie};
use crate::suites::repositories::kit::{
    Ability, Adapter, Database, Field, Listed, Record, Refusal, RefusalKind, Spec, Value,
};

/// Studies kept somewhere.
pub struct HpoStudies<S> {
    repository: Arc<dyn HpoRepository>,
    pool: Option<PgPool>,
    kept: PhantomData<S>,
}

fn spec(name: &'static str) -> Spec {
    let name_of = |field| Field::text(field).characters_max(NAME_CHARACTERS_MAX).not_empty().fixed();
    let fields = [
        name_of("study_name").unique().searchable(),
        name_of("metric"),
        Field::choice("direction", &["minimize", "maximize"]).fixed(),
        name_of("algorithm").optional(),
    ];
    Spec::new(name, fields).list_limit_max(LIMIT_MAX).can(&[Ability::List])
}

#[async_trait]
impl<S: Kept> Adapter for HpoStudies<S> {
    fn spec() -> Spec {
        if S::IN_POSTGRES {
            let can = [Ability::Pool, Ability::Reconnect, Ability::Tie];
            spec("hpo_studies").migrations(reference_migrations).can(&can)
        } else {
            spec("hpo_studies_memory")
        }
    }

    async fn open(database: &Database) -> Result<Self, Refusal> {
        if S::IN_POSTGRES {
            let pool = pool(database)?;
            let repository = Arc::new(PostgresHpoRepository::new(pool.clone()));
            return Ok(Self { repository, pool: Some(pool), kept: PhantomData });
        }
        let repository = Arc::new(MemoryHpoRepository::default());
        Ok(Self { repository, pool: None, kept: PhantomData })
    }

    async fn insert(&self, record: &Record) -> Result<String, Refusal> {
        let direction = text(record, "direction")?.parse();
        let direction = direction.map_err(|error| Refusal::new(RefusalKind::Invalid, error))?;
        let new = NewHpoStudy {
            algorithm: record.text("algorithm").map(str::to_owned),
            ..NewHpoStudy::new(text(record, "study_name")?, text(record, "metric")?, direction)
        };
        Ok(self.repository.create_study(new).await.map_err(refusal)?.id.to_string())
    }

    async fn get(&self, key: &str) -> Result<Record, Refusal> {
        self.repository.find_study(id(key)?).await.map(record).map_err(refusal)
    }

    async fn list(&self, limit: u32, cursor: Option<&str>) -> Result<Listed, Refusal> {
        let request = PageRequest { limit, after: cursor.map(Cursor::new) };
        let page = self.repository.list_studies(request).await.map_err(refusal)?;
        let records = page.items.into_iter().map(|study| (study.id.to_string(), record(study))).collect();
        Ok(Listed { records, next: page.next.map(|cursor| cursor.to_string()) })
    }

    async fn find(&self, _: &'static str, value: &Value) -> Result<Vec<String>, Refusal> {
        let Value::Text(name) = value else { return Ok(Vec::new()) };
        let found = self.repository.find_study_by_name(name).await.map_err(refusal)?;
        Ok(found.into_iter().map(|study| study.id.to_string()).collect())
    }

    async fn tie(&self, keys: &[String]) -> Result<(), Refusal> {
        tie(self.pool.as_ref(), "UPDATE ml_hpo_studies SET created_at = $1 WHERE id = ANY($2)", keys).await
    }
}

fn record(study: HpoStudy) -> Record {
    Record::new()
        .with("study_name", study.study_name)
        .with("metric", study.metric)
        .with("direction", study.direction.as_str())
        .with("algorithm", study.algorithm)
}
