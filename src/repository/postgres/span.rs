//! `ml_observability_spans`.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::read::{Reader, bigint};
use super::statement::statements;
use super::{Statement, Store};
use crate::domain::{
    NewSpan, Span, SpanEnd, SpanRowId, SpanStatus, TIME_MAX, TIME_MIN, TRACE_SPANS_MAX, Trace, to_microseconds,
    validate_agent_name, validate_trace_id,
};
use crate::repository::cursor::{List, before_newest};
use crate::repository::page::validate_limit;
use crate::repository::span::{SPANS, SPANS_DELETED_MAX, has_ended, no_span, stored_batch, trace_of};
use crate::repository::{Page, PageRequest, RepositoryError, SpanRepository};

/// The spans of one database. Clones share its pool.
#[derive(Debug, Clone)]
pub struct PostgresSpanRepository {
    store: Store,
}

impl PostgresSpanRepository {
    /// Every statement that it can send.
    pub const STATEMENTS: &'static [Statement] = STATEMENTS;

    /// A repository on a database to which [`MIGRATOR`](super::MIGRATOR) was applied.
    #[must_use]
    pub fn new(store: impl Into<Store>) -> Self {
        Self { store: store.into() }
    }

    async fn try_append(&self, batch: &[NewSpan]) -> Result<Vec<Span>, RepositoryError> {
        let ids: Vec<_> = batch.iter().map(|_| Uuid::new_v4()).collect();
        let columns = Columns::of(batch)?;
        let rows = sqlx::query(APPEND.sql)
            .bind(&ids)
            .bind(&columns.trace_id)
            .bind(&columns.span_id)
            .bind(&columns.parent_span_id)
            .bind(&columns.agent_name)
            .bind(&columns.operation)
            .bind(&columns.started_at)
            .bind(&columns.ended_at)
            .bind(&columns.status)
            .bind(&columns.error_message)
            .bind(&columns.input_tokens)
            .bind(&columns.output_tokens)
            .bind(&columns.attributes)
            .fetch_all(self.store.pool())
            .await?;
        // RETURNING has no order of its own.
        let mut recorded_at = HashMap::with_capacity(rows.len());
        for row in &rows {
            recorded_at.insert(row.try_get::<Uuid, _>("id")?, row.try_get::<DateTime<Utc>, _>("recorded_at")?);
        }
        let span = |(id, span): (Uuid, &NewSpan)| {
            let recorded_at = *recorded_at
                .get(&id)
                .ok_or_else(|| RepositoryError::Unexpected { source: "a span was not stored".into() })?;
            Ok(Span { id: id.into(), span: span.clone(), recorded_at })
        };
        ids.into_iter().zip(batch).map(span).collect()
    }
}

/// A batch by its columns: one parameter each, however many spans there are.
#[derive(Debug, Default)]
struct Columns<'a> {
    trace_id: Vec<&'a str>,
    span_id: Vec<&'a str>,
    parent_span_id: Vec<Option<&'a str>>,
    agent_name: Vec<&'a str>,
    operation: Vec<&'a str>,
    started_at: Vec<DateTime<Utc>>,
    ended_at: Vec<Option<DateTime<Utc>>>,
    status: Vec<&'static str>,
    error_message: Vec<Option<&'a str>>,
    input_tokens: Vec<Option<i64>>,
    output_tokens: Vec<Option<i64>>,
    attributes: Vec<String>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a [NewSpan]) -> Result<Self, RepositoryError> {
        let mut columns = Self::default();
        for span in batch {
            columns.trace_id.push(&span.trace_id);
            columns.span_id.push(&span.span_id);
            columns.parent_span_id.push(span.parent_span_id.as_deref());
            columns.agent_name.push(&span.agent_name);
            columns.operation.push(&span.operation);
            columns.started_at.push(span.started_at);
            let end = span.end.as_ref();
            columns.ended_at.push(end.map(|end| end.ended_at));
            columns.status.push(end.map_or(SpanStatus::Unset, |end| end.status).as_str());
            columns.error_message.push(end.and_then(|end| end.error_message.as_deref()));
            columns.input_tokens.push(end.and_then(|end| end.input_tokens).map(bigint));
            columns.output_tokens.push(end.and_then(|end| end.output_tokens).map(bigint));
            let attributes = serde_json::to_string(&span.attributes)
                .map_err(|error| RepositoryError::Unexpected { source: error.into() })?;
            columns.attributes.push(attributes);
        }
        Ok(columns)
    }
}

/// The columns that [`span`] reads.
macro_rules! columns {
    () => {
        "id, trace_id, span_id, parent_span_id, agent_name, operation, started_at, ended_at, status, \
         error_message, input_tokens, output_tokens, attributes::text AS attributes, recorded_at"
    };
}

statements! {
    APPEND(18) =
        "INSERT INTO ml_observability_spans \
             (id, trace_id, span_id, parent_span_id, agent_name, operation, started_at, ended_at, status, \
              error_message, input_tokens, output_tokens, attributes) \
         SELECT id, trace_id, span_id, parent_span_id, agent_name, operation, started_at, ended_at, status, \
                error_message, input_tokens, output_tokens, attributes::jsonb \
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], \
                     $8::timestamptz[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::text[]) \
              AS new (id, trace_id, span_id, parent_span_id, agent_name, operation, started_at, ended_at, status, \
                      error_message, input_tokens, output_tokens, attributes) \
         RETURNING id, recorded_at";

    FINISH(18) = concat!(
        "UPDATE ml_observability_spans \
         SET ended_at = $2, status = $3, error_message = $4, input_tokens = $5, output_tokens = $6 \
         WHERE id = $1 AND ended_at IS NULL AND $2 >= started_at RETURNING ",
        columns!()
    );

    FIND(18) = concat!("SELECT ", columns!(), " FROM ml_observability_spans WHERE id = $1");

    TRACE(18) = concat!("SELECT ", columns!(), " FROM ml_observability_spans WHERE trace_id = $1 LIMIT $2");

    LIST(18) = concat!(
        "SELECT ",
        columns!(),
        " FROM ml_observability_spans WHERE agent_name = $1 AND (started_at, id) < ($2, $3) \
         ORDER BY started_at DESC, id DESC LIMIT $4"
    );

    /// Not in any order: the BRIN index has none.
    DELETE_BEFORE(18) =
        "DELETE FROM ml_observability_spans WHERE id IN \
         (SELECT id FROM ml_observability_spans WHERE started_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)";
}

#[async_trait]
impl SpanRepository for PostgresSpanRepository {
    async fn append(&self, batch: &[NewSpan]) -> Result<Vec<Span>, RepositoryError> {
        let batch = stored_batch(batch)?;
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.store.retry(|| self.try_append(&batch)).await
    }

    async fn finish(&self, id: SpanRowId, end: SpanEnd) -> Result<Span, RepositoryError> {
        let end = end.stored()?;
        let row = sqlx::query(FINISH.sql)
            .bind(id.as_uuid())
            .bind(end.ended_at)
            .bind(end.status.as_str())
            .bind(end.error_message.as_deref())
            .bind(end.input_tokens.map(bigint))
            .bind(end.output_tokens.map(bigint))
            .fetch_optional(self.store.pool())
            .await?;
        let Some(row) = row else {
            let found = self.find(id).await?;
            if found.span.end.is_none() {
                end.validate_after(found.span.started_at)?;
            }
            return Err(has_ended(id));
        };
        span(&row)
    }

    async fn find(&self, id: SpanRowId) -> Result<Span, RepositoryError> {
        let row = sqlx::query(FIND.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        span(&row.ok_or_else(|| no_span(id))?)
    }

    async fn trace(&self, trace_id: &str) -> Result<Trace, RepositoryError> {
        validate_trace_id(trace_id)?;
        let most = i64::try_from(TRACE_SPANS_MAX).unwrap_or(i64::MAX - 1) + 1;
        let rows = sqlx::query(TRACE.sql).bind(trace_id).bind(most).fetch_all(self.store.pool()).await?;
        trace_of(rows.iter().map(span).collect::<Result<_, _>>()?)
    }

    async fn list(&self, agent_name: &str, request: PageRequest) -> Result<Page<Span>, RepositoryError> {
        validate_agent_name(agent_name)?;
        let limit = validate_limit(request.limit)?;
        let filter = [agent_name];
        let list = List::filtered(SPANS, &filter);
        let (started_at, after) = self.store.cursors().after(&list, &request, before_newest())?;
        let rows = sqlx::query(LIST.sql)
            .bind(agent_name)
            .bind(started_at)
            .bind(after)
            .bind(i64::from(limit) + 1)
            .fetch_all(self.store.pool())
            .await?;
        let spans = rows.iter().map(span).collect::<Result<Vec<_>, _>>()?;
        Page::of(spans, limit, |last| {
            self.store.cursors().cursor(&list, &(last.span.started_at, last.id.as_uuid()))
        })
    }

    async fn delete_before(&self, time: DateTime<Utc>) -> Result<u64, RepositoryError> {
        // No span began outside of these.
        let time = to_microseconds(time).clamp(TIME_MIN, TIME_MAX);
        let deleted = sqlx::query(DELETE_BEFORE.sql)
            .bind(time)
            .bind(i64::from(SPANS_DELETED_MAX))
            .execute(self.store.pool())
            .await?;
        Ok(deleted.rows_affected())
    }
}

fn span(row: &PgRow) -> Result<Span, RepositoryError> {
    let row = Reader::new("span", row)?;
    let end = match row.get("ended_at")? {
        Some(ended_at) => Some(SpanEnd {
            ended_at,
            status: row.parse("status")?,
            error_message: row.get("error_message")?,
            input_tokens: row.optional_large_count("input_tokens")?,
            output_tokens: row.optional_large_count("output_tokens")?,
        }),
        None => None,
    };
    let span = NewSpan {
        trace_id: row.get("trace_id")?,
        span_id: row.get("span_id")?,
        parent_span_id: row.get("parent_span_id")?,
        agent_name: row.get("agent_name")?,
        operation: row.get("operation")?,
        started_at: row.get("started_at")?,
        end,
        attributes: row.object("attributes")?,
    };
    Ok(Span { id: row.id(), span, recorded_at: row.get("recorded_at")? })
}
