//! Spans: what an agent did, when, and at whose request.

use chrono::{DateTime, Utc};

use super::SpanRowId;
use super::document::Document;
use super::json::stored_object;
use super::text_enum::text_enum;
use super::time::instant;
use super::validation::{InvalidField, Limit, text};

/// The longest trace or span id, in characters: OpenTelemetry has 32 and 16, others UUIDs.
const ID_CHARACTERS_MAX: usize = 128;
/// The longest name of an agent or operation, in characters.
const NAME_CHARACTERS_MAX: usize = 255;
/// The longest error message, in octets of UTF-8.
const MESSAGE_OCTETS_MAX: usize = 8192;
/// The most tokens of one span.
pub const TOKENS_MAX: u64 = 1 << 53;
/// The most spans of one batch.
pub const SPAN_BATCH_MAX: usize = 10_000;
/// The most spans of a trace that is read as a whole.
pub const TRACE_SPANS_MAX: usize = 10_000;

text_enum! {
    /// How an operation ended.
    SpanStatus("span status") {
        /// Nobody said, or it has not ended.
        Unset = "unset",
        /// Well.
        Ok = "ok",
        /// With an error.
        Error = "error",
    }
}

/// A row of `ml_observability_spans`.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The identifier of the row.
    pub id: SpanRowId,
    /// What was recorded.
    pub span: NewSpan,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// A span to record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSpan {
    /// The trace; 1 to 128 characters.
    pub trace_id: String,
    /// The span; unique in its trace. 1 to 128 characters.
    pub span_id: String,
    /// The span that asked for it, which may be recorded later, or never; not itself.
    pub parent_span_id: Option<String>,
    /// Who did it; 1 to 255 characters.
    pub agent_name: String,
    /// What was done; 1 to 255 characters.
    pub operation: String,
    /// When it began, in the years 1 to 9999.
    pub started_at: DateTime<Utc>,
    /// How it ended; one that goes on has not.
    pub end: Option<SpanEnd>,
    /// Anything else; up to 1 MiB.
    pub attributes: Document,
}

/// The end of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanEnd {
    /// When; not before it began.
    pub ended_at: DateTime<Utc>,
    /// How.
    pub status: SpanStatus,
    /// What went wrong; with [`SpanStatus::Error`] alone. 1 to 8192 octets.
    pub error_message: Option<String>,
    /// Tokens that a model read; up to [`TOKENS_MAX`].
    pub input_tokens: Option<u64>,
    /// Tokens that a model wrote; up to [`TOKENS_MAX`].
    pub output_tokens: Option<u64>,
}

impl SpanEnd {
    /// An end that nothing more is known of.
    #[must_use]
    pub const fn new(ended_at: DateTime<Utc>, status: SpanStatus) -> Self {
        Self { ended_at, status, error_message: None, input_tokens: None, output_tokens: None }
    }

    /// The end as it is stored.
    ///
    /// # Errors
    /// The first field that cannot be stored.
    pub fn stored(&self) -> Result<Self, InvalidField> {
        if let Some(message) = &self.error_message {
            text("error_message", message, Limit::Octets(MESSAGE_OCTETS_MAX))?;
            if self.status != SpanStatus::Error {
                let reason = format!("expected none with the status {}, found one", self.status);
                return Err(InvalidField::new("error_message", reason));
            }
        }
        for (field, tokens) in [("input_tokens", self.input_tokens), ("output_tokens", self.output_tokens)] {
            if let Some(tokens) = tokens.filter(|&tokens| tokens > TOKENS_MAX) {
                return Err(InvalidField::new(field, format!("expected at most {TOKENS_MAX}, found {tokens}")));
            }
        }
        Ok(Self { ended_at: instant("ended_at", self.ended_at)?, ..self.clone() })
    }

    /// Checks that the span did not end before it began.
    pub(crate) fn validate_after(&self, started_at: DateTime<Utc>) -> Result<(), InvalidField> {
        if self.ended_at >= started_at {
            return Ok(());
        }
        let reason = format!("expected a time from {started_at} on, found {}", self.ended_at);
        Err(InvalidField::new("ended_at", reason))
    }
}

impl NewSpan {
    /// A span with what it must have.
    pub fn new(
        trace_id: impl Into<String>,
        span_id: impl Into<String>,
        agent_name: impl Into<String>,
        operation: impl Into<String>,
        started_at: DateTime<Utc>,
    ) -> Self {
        Self {
            trace_id: trace_id.into(),
            span_id: span_id.into(),
            parent_span_id: None,
            agent_name: agent_name.into(),
            operation: operation.into(),
            started_at,
            end: None,
            attributes: Document::new(),
        }
    }

    /// The span as it is stored.
    ///
    /// # Errors
    /// The first field that cannot be stored.
    pub fn stored(&self) -> Result<Self, InvalidField> {
        validate_trace_id(&self.trace_id)?;
        text("span_id", &self.span_id, Limit::Characters(ID_CHARACTERS_MAX))?;
        if let Some(parent) = &self.parent_span_id {
            text("parent_span_id", parent, Limit::Characters(ID_CHARACTERS_MAX))?;
            if *parent == self.span_id {
                return Err(InvalidField::new("parent_span_id", "expected another span, found the span itself"));
            }
        }
        validate_agent_name(&self.agent_name)?;
        text("operation", &self.operation, Limit::Characters(NAME_CHARACTERS_MAX))?;
        let started_at = instant("started_at", self.started_at)?;
        let end = self.end.as_ref().map(SpanEnd::stored).transpose()?;
        if let Some(end) = &end {
            end.validate_after(started_at)?;
        }
        let attributes = stored_object("attributes", &self.attributes)?;
        Ok(Self { started_at, end, attributes, ..self.clone() })
    }
}

/// Checks a trace id, also of a trace that is only looked for.
pub(crate) fn validate_trace_id(trace_id: &str) -> Result<(), InvalidField> {
    text("trace_id", trace_id, Limit::Characters(ID_CHARACTERS_MAX))
}

/// Checks the name of an agent, also of one that is only looked for.
pub(crate) fn validate_agent_name(agent_name: &str) -> Result<(), InvalidField> {
    text("agent_name", agent_name, Limit::Characters(NAME_CHARACTERS_MAX))
}
