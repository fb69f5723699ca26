//! What the server says beside its answers. The client only logs it: so this listens to its log, within one session.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// Where the client logs what the server says.
const TARGET: &str = "sqlx::postgres::notice";

/// The most notices that are kept of one script.
const NOTICES_MAX: usize = 100;

/// The most of one that is kept, in bytes.
const NOTICE_BYTES_MAX: usize = 500;

/// Something that the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The number of the statement.
    pub statement: usize,
    /// Whether it is a warning.
    pub is_warning: bool,
    /// What it says.
    pub message: String,
}

/// Hears what the server says in one session.
#[derive(Debug, Clone)]
pub(super) struct Ear {
    heard: Arc<Mutex<Vec<Notice>>>,
    pub(super) dispatch: Dispatch,
}

impl Ear {
    pub(super) fn new() -> Self {
        let heard = Arc::default();
        Self { dispatch: Dispatch::new(Listener(Arc::clone(&heard))), heard }
    }

    /// What was heard while this statement was run.
    pub(super) fn take(&self, statement: usize, into: &mut Vec<Notice>) {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let room = NOTICES_MAX.saturating_sub(into.len());
        into.extend(heard.into_iter().take(room).map(|notice| Notice { statement, ..notice }));
    }
}

#[derive(Debug)]
struct Listener(Arc<Mutex<Vec<Notice>>>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.is_span() && metadata.target() == TARGET && *metadata.level() <= Level::INFO
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if event.metadata().target() != TARGET || heard.len() >= NOTICES_MAX {
            return;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let end = message.0.floor_char_boundary(NOTICE_BYTES_MAX.min(message.0.len()));
        message.0.truncate(end);
        let is_warning = *event.metadata().level() <= Level::WARN;
        heard.push(Notice { statement: 0, is_warning, message: message.0 });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}
