//! Observability spans.

use std::cmp::Reverse;
use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{MemoryStore, now};
use crate::domain::{
    NewSpan, Span, SpanEnd, SpanRowId, Trace, to_microseconds, validate_agent_name, validate_trace_id,
};
use crate::repository::cursor::{List, Moment, before_newest};
use crate::repository::page::validate_limit;
use crate::repository::span::{
    SPANS, SPANS_DELETED_MAX, has_ended, has_twins, no_span, span_constraint as constraint, stored_batch, trace_of,
};
use crate::repository::{Page, PageRequest, RepositoryError, SpanRepository};

/// Spans in memory.
#[derive(Debug, Clone, Default)]
pub struct MemorySpanRepository {
    store: MemoryStore,
}

/// The rows of the table.
#[derive(Debug, Default)]
pub(super) struct Rows {
    spans: HashMap<SpanRowId, Span>,
}

impl From<&MemoryStore> for MemorySpanRepository {
    fn from(store: &MemoryStore) -> Self {
        Self { store: store.clone() }
    }
}

fn key(row: &Span) -> Moment {
    (row.span.started_at, row.id.as_uuid())
}

#[async_trait]
impl SpanRepository for MemorySpanRepository {
    async fn append(&self, batch: &[NewSpan]) -> Result<Vec<Span>, RepositoryError> {
        let batch = stored_batch(batch)?;
        let rows = &mut self.store.tables().spans;
        let is_taken = |new: &NewSpan| {
            let is_one = |row: &Span| row.span.trace_id == new.trace_id && row.span.span_id == new.span_id;
            rows.spans.values().any(is_one)
        };
        if has_twins(&batch) || batch.iter().any(is_taken) {
            return Err(RepositoryError::conflict(constraint::SPAN));
        }
        let recorded_at = now();
        let spans: Vec<_> =
            batch.into_iter().map(|span| Span { id: SpanRowId::random(), span, recorded_at }).collect();
        rows.spans.extend(spans.iter().map(|span| (span.id, span.clone())));
        Ok(spans)
    }

    async fn finish(&self, id: SpanRowId, end: SpanEnd) -> Result<Span, RepositoryError> {
        let end = end.stored()?;
        let mut tables = self.store.tables();
        let row = tables.spans.spans.get_mut(&id).ok_or_else(|| no_span(id))?;
        if row.span.end.is_some() {
            return Err(has_ended(id));
        }
        end.validate_after(row.span.started_at)?;
        row.span.end = Some(end);
        Ok(row.clone())
    }

    async fn find(&self, id: SpanRowId) -> Result<Span, RepositoryError> {
        self.store.tables().spans.spans.get(&id).cloned().ok_or_else(|| no_span(id))
    }

    async fn trace(&self, trace_id: &str) -> Result<Trace, RepositoryError> {
        validate_trace_id(trace_id)?;
        let tables = self.store.tables();
        trace_of(tables.spans.spans.values().filter(|row| row.span.trace_id == trace_id).cloned().collect())
    }

    async fn list(&self, agent_name: &str, request: PageRequest) -> Result<Page<Span>, RepositoryError> {
        validate_agent_name(agent_name)?;
        let limit = validate_limit(request.limit)?;
        let filter = [agent_name];
        let list = List::filtered(SPANS, &filter);
        let after = self.store.cursors.after(&list, &request, before_newest())?;
        let tables = self.store.tables();
        let is_one = |row: &&Span| row.span.agent_name == agent_name && key(row) < after;
        let mut spans: Vec<_> = tables.spans.spans.values().filter(is_one).cloned().collect();
        spans.sort_by_key(|row| Reverse(key(row)));
        Page::of(spans, limit, |last| self.store.cursors.cursor(&list, &key(last)))
    }

    async fn delete_before(&self, time: DateTime<Utc>) -> Result<u64, RepositoryError> {
        let time = to_microseconds(time);
        let rows = &mut self.store.tables().spans;
        let mut deleted = 0;
        rows.spans.retain(|_, row| {
            let is_kept = row.span.started_at >= time || deleted >= u64::from(SPANS_DELETED_MAX);
            deleted += u64::from(!is_kept);
            is_kept
        });
        Ok(deleted)
    }
}
