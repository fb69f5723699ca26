//! Observability spans, of one agent.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use proofmark::domain::{Document, NAME_CHARACTERS_MAX, NewSpan, Span};
use proofmark::repository::memory::MemorySpanRepository;
use proofmark::repository::postgres::PostgresSpanRepository;
use proofmark::repository::{Cursor, LIMIT_MAX, PageRequest, SpanRepository};

use super::bento_service::Kept;
use super::{id, pool, reference_migrations, refusal, text};
use crate::suites::repositories::kit::{Ability, Adapter, Database, Field, Listed, Record, Refusal, Spec, Value};

/// Whose spans they are, for lists are by agent.
const AGENT: &str = "planner";

/// Where a document of any kind is put among the attributes, which are an object.
const ATTRIBUTE: &str = "document";

/// The longest identifier, in characters.
const ID_CHARACTERS_MAX: usize = 128;

/// Spans kept somewhere.
pub struct Spans<S> {
    repository: Arc<dyn SpanRepository>,
    kept: PhantomData<S>,
}

fn spec(name: &'static str) -> Spec {
    let id_of = |field| Field::text(field).characters_max(ID_CHARACTERS_MAX).not_empty().fixed();
    let fields = [
        id_of("trace_id").unique().searchable(),
        id_of("span_id").unique(),
        id_of("parent_span_id").optional(),
        Field::text("operation").characters_max(NAME_CHARACTERS_MAX).not_empty().fixed(),
        Field::time("started_at").fixed(),
        Field::json("attribute").optional().fixed(),
    ];
    Spec::new(name, fields).list_limit_max(LIMIT_MAX).can(&[Ability::List])
}

#[async_trait]
impl<S: Kept> Adapter for Spans<S> {
    fn spec() -> Spec {
        if S::IN_POSTGRES {
            spec("spans").migrations(reference_migrations).can(&[Ability::Pool, Ability::Reconnect])
        } else {
            spec("spans_memory")
        }
    }

    async fn open(database: &Database) -> Result<Self, Refusal> {
        let repository: Arc<dyn SpanRepository> = if S::IN_POSTGRES {
            Arc::new(PostgresSpanRepository::new(pool(database)?))
        } else {
            Arc::new(MemorySpanRepository::default())
        };
        Ok(Self { repository, kept: PhantomData })
    }

    async fn insert(&self, record: &Record) -> Result<String, Refusal> {
        let mut attributes = Document::new();
        if let Some(document) = record.json("attribute") {
            attributes.insert(ATTRIBUTE.to_owned(), document.clone());
        }
        let started_at = record.time("started_at").unwrap_or(DateTime::<chrono::Utc>::MAX_UTC);
        let span = NewSpan {
            parent_span_id: record.text("parent_span_id").map(str::to_owned),
            attributes,
            ..NewSpan::new(
                text(record, "trace_id")?,
                text(record, "span_id")?,
                AGENT,
                text(record, "operation")?,
                started_at,
            )
        };
        let rows = self.repository.append(&[span]).await.map_err(refusal)?;
        Ok(rows.first().map(|row| row.id.to_string()).unwrap_or_default())
    }

    async fn get(&self, key: &str) -> Result<Record, Refusal> {
        self.repository.find(id(key)?).await.map(record).map_err(refusal)
    }

    async fn list(&self, limit: u32, cursor: Option<&str>) -> Result<Listed, Refusal> {
        let request = PageRequest { limit, after: cursor.map(Cursor::new) };
        let page = self.repository.list(AGENT, request).await.map_err(refusal)?;
        let records = page.items.into_iter().map(|row| (row.id.to_string(), record(row))).collect();
        Ok(Listed { records, next: page.next.map(|cursor| cursor.to_string()) })
    }

    async fn find(&self, _: &'static str, value: &Value) -> Result<Vec<String>, Refusal> {
        let Value::Text(trace_id) = value else { return Ok(Vec::new()) };
        let trace = self.repository.trace(trace_id).await.map_err(refusal)?;
        Ok(trace.nodes.into_iter().map(|node| node.span.id.to_string()).collect())
    }
}

fn record(row: Span) -> Record {
    let mut attributes = row.span.attributes;
    Record::new()
        .with("trace_id", row.span.trace_id)
        .with("span_id", row.span.span_id)
        .with("parent_span_id", row.span.parent_span_id)
        .with("operation", row.span.operation)
        .with("started_at", row.span.started_at)
        .with("attribute", attributes.remove(ATTRIBUTE))
}
