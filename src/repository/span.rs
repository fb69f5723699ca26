//! The contract of a store of observability spans.

use std::collections::HashSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Page, PageRequest, RepositoryError};
use crate::domain::{NewSpan, SPAN_BATCH_MAX, Span, SpanEnd, SpanRowId, TRACE_SPANS_MAX, Trace};

/// The names of the constraints that errors name.
pub mod span_constraint {
    /// Unique: a span id within its trace.
    pub const SPAN: &str = "ml_observability_spans_trace_id_span_id_key";
}

/// The lists of spans, by agent.
pub(super) const SPANS: &str = "observability spans";

/// The most spans that are deleted at once.
pub const SPANS_DELETED_MAX: u32 = 10_000;

/// There is no such span.
pub(super) fn no_span(id: SpanRowId) -> RepositoryError {
    RepositoryError::not_found("span", id.as_uuid())
}

/// The span has ended already.
pub(super) fn has_ended(id: SpanRowId) -> RepositoryError {
    RepositoryError::refused("span", id.as_uuid(), "expected one that goes on, found one that has ended")
}

/// A batch as it is stored; an error says which span is wrong: `spans[3].ended_at`.
pub(super) fn stored_batch(batch: &[NewSpan]) -> Result<Vec<NewSpan>, RepositoryError> {
    if batch.len() > SPAN_BATCH_MAX {
        return Err(RepositoryError::Invalid {
            field: "spans".to_owned(),
            reason: format!("expected at most {SPAN_BATCH_MAX} spans, found {}", batch.len()),
        });
    }
    let stored = |(index, span): (usize, &NewSpan)| {
        span.stored().map_err(|invalid| RepositoryError::Invalid {
            field: format!("spans[{index}].{}", invalid.field),
            reason: invalid.reason,
        })
    };
    batch.iter().enumerate().map(stored).collect()
}

/// Whether a span is in a batch twice.
pub(super) fn has_twins(batch: &[NewSpan]) -> bool {
    let mut seen = HashSet::new();
    !batch.iter().all(|span| seen.insert((&span.trace_id, &span.span_id)))
}

/// The tree of a trace that was read with one span more than can be.
pub(super) fn trace_of(spans: Vec<Span>) -> Result<Trace, RepositoryError> {
    if spans.len() <= TRACE_SPANS_MAX {
        return Ok(Trace::of(spans));
    }
    Err(RepositoryError::Invalid {
        field: "trace_id".to_owned(),
        reason: format!(
            "expected a trace of at most {TRACE_SPANS_MAX} spans, found more; read them by their agents"
        ),
    })
}

/// What agents did, when, and at whose request.
///
/// Every method is all or nothing and safe to call concurrently. Values are validated first
/// ([`RepositoryError::Invalid`]). Times are kept to the microsecond, digits below cut off towards the past.
#[async_trait]
pub trait SpanRepository: Send + Sync {
    /// Stores spans, in any order of parents and children, and returns them in the same order: all of them or none. Up
    /// to [`SPAN_BATCH_MAX`].
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid), named with the span; [`Conflict`](RepositoryError::Conflict) when a
    /// trace has a span with this id, or the batch has it twice.
    async fn append(&self, batch: &[NewSpan]) -> Result<Vec<Span>, RepositoryError>;

    /// Records how a span ended that went on.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`NotFound`](RepositoryError::NotFound);
    /// [`Refused`](RepositoryError::Refused) when it has ended already; then `Invalid` when the end lies before the
    /// beginning.
    async fn finish(&self, id: SpanRowId, end: SpanEnd) -> Result<Span, RepositoryError>;

    /// The span with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find(&self, id: SpanRowId) -> Result<Span, RepositoryError>;

    /// All spans of a trace as a tree; a trace that nobody recorded has none.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no trace can have this id, or it has more than [`TRACE_SPANS_MAX`]
    /// spans.
    async fn trace(&self, trace_id: &str) -> Result<Trace, RepositoryError>;

    /// One page of the spans of an agent, the one that began last first, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no agent can have this name, or for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn list(&self, agent_name: &str, request: PageRequest) -> Result<Page<Span>, RepositoryError>;

    /// Deletes spans that began before a time, at most [`SPANS_DELETED_MAX`] of them, and says how many: less than
    /// that, and there are no more but those that somebody else is about to change.
    ///
    /// # Errors
    /// When the store is unavailable.
    async fn delete_before(&self, time: DateTime<Utc>) -> Result<u64, RepositoryError>;
}
