//! Feature views.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use proofmark::domain::{FeatureView, FeatureViewId, NAME_CHARACTERS_MAX, NewFeatureView, TTL_SECONDS_MAX};
use proofmark::repository::memory::MemoryFeatureViewRepository;
use proofmark::repository::postgres::PostgresFeatureViewRepository;
use proofmark::repository::{Cursor, FeatureViewRepository, LIMIT_MAX, PageRequest};
use sqlx::PgPool;

use super::bento_service::Kept;
use super::{id, pool, reference_migrations, refusal, text, tie};
use crate::suites::repositories::kit::{
    Ability, Adapter, Database, Field, Listed, Record, Refusal, RefusalKind, Spec, Value,
};

/// Feature views kept somewhere.
pub struct FeatureViews<S> {
    repository: Arc<dyn FeatureViewRepository>,
    pool: Option<PgPool>,
    kept: PhantomData<S>,
}

fn spec(name: &'static str) -> Spec {
    let fields = [
        Field::text("name").characters_max(NAME_CHARACTERS_MAX).not_empty().unique().searchable().fixed(),
        Field::integer_between("ttl_seconds", 0, TTL_SECONDS_MAX.into()).optional().fixed(),
        Field::boolean("online_enabled"),
    ];
    Spec::new(name, fields).list_limit_max(LIMIT_MAX).can(&[Ability::Update, Ability::Delete, Ability::List])
}

#[async_trait]
impl<S: Kept> Adapter for FeatureViews<S> {
    fn spec() -> Spec {
        if S::IN_POSTGRES {
            let can = [Ability::Pool, Ability::Reconnect, Ability::Tie];
            spec("feature_views").migrations(reference_migrations).can(&can)
        } else {
            spec("feature_views_memory")
        }
    }

    async fn open(database: &Database) -> Result<Self, Refusal> {
        if S::IN_POSTGRES {
            let pool = pool(database)?;
            let repository = Arc::new(PostgresFeatureViewRepository::new(pool.clone()));
            return Ok(Self { repository, pool: Some(pool), kept: PhantomData });
        }
        let repository = Arc::new(MemoryFeatureViewRepository::default());
        Ok(Self { repository, pool: None, kept: PhantomData })
    }

    async fn insert(&self, record: &Record) -> Result<String, Refusal> {
        let ttl_seconds = record.integer("ttl_seconds").map(u32::try_from).transpose();
        let new = NewFeatureView {
            ttl_seconds: ttl_seconds.map_err(|error| Refusal::new(RefusalKind::Invalid, error))?,
            online_enabled: record.boolean("online_enabled").unwrap_or_default(),
            ..NewFeatureView::new(text(record, "name")?)
        };
        Ok(self.repository.register(new).await.map_err(refusal)?.id.to_string())
    }

    async fn get(&self, key: &str) -> Result<Record, Refusal> {
        self.repository.find(id(key)?).await.map(record).map_err(refusal)
    }

    async fn update(&self, key: &str, changes: &Record) -> Result<(), Refusal> {
        let id: FeatureViewId = id(key)?;
        if let Some(online_enabled) = changes.boolean("online_enabled") {
            self.repository.set_online(id, online_enabled).await.map_err(refusal)?;
        }
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), Refusal> {
        self.repository.delete(id(key)?).await.map_err(refusal)
    }

    async fn list(&self, limit: u32, cursor: Option<&str>) -> Result<Listed, Refusal> {
        let request = PageRequest { limit, after: cursor.map(Cursor::new) };
        let page = self.repository.list(request).await.map_err(refusal)?;
        let records = page.items.into_iter().map(|view| (view.id.to_string(), record(view))).collect();
        Ok(Listed { records, next: page.next.map(|cursor| cursor.to_string()) })
    }

    async fn find(&self, _: &'static str, value: &Value) -> Result<Vec<String>, Refusal> {
        let Value::Text(name) = value else { return Ok(Vec::new()) };
        let found = self.repository.find_by_name(name).await.map_err(refusal)?;
        Ok(found.into_iter().map(|view| view.id.to_string()).collect())
    }

    async fn tie(&self, keys: &[String]) -> Result<(), Refusal> {
        tie(self.pool.as_ref(), "UPDATE ml_feast_feature_views SET created_at = $1 WHERE id = ANY($2)", keys).await
    }
}

fn record(view: FeatureView) -> Record {
    Record::new()
        .with("name", view.name)
        .with("ttl_seconds", view.ttl_seconds)
        .with("online_enabled", view.online_enabled)
}
