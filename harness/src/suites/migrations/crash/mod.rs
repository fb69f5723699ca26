//! Concurrency and crashes: what is left when a migration does not get to its end, or is not alone.

mod kills;
mod runners;
mod sessions;

use std::ops::Range;
use std::sync::Arc;

use super::MigrationSubject;
use crate::case;
use crate::case::{Capability, Case, CaseError};
use crate::event::Place;
use crate::migrations::Script;
use crate::migrations::crash::Explored;
use crate::migrations::sandbox::Refusal;
use kills::{
    a_crash_at_any_statement_leaves_nothing, a_rerun_after_a_crash_succeeds,
    a_server_crash_keeps_what_was_committed, commits_of_its_own_are_recoverable, no_invalid_index_is_left,
};
use runners::{eight_runners_at_once_end_well, two_runners_at_once_end_well};
use sessions::{applies_through_a_transaction_mode_pooler, session_state_does_not_leak};

/// The cases of this group.
pub const CASES: &[Case<MigrationSubject>] = &[
    case!(a_crash_at_any_statement_leaves_nothing, "a crash within a migration leaves nothing of it"),
    case!(a_rerun_after_a_crash_succeeds, "what runs without a transaction can be run again after a crash"),
    case!(commits_of_its_own_are_recoverable, "a migration that commits can be run again after a crash"),
    case!(no_invalid_index_is_left, "an index that was interrupted does not stay invalid"),
    case!(two_runners_at_once_end_well, "two runners at once end well"),
    case!(eight_runners_at_once_end_well, "eight runners at once end well"),
    case!(
        a_server_crash_keeps_what_was_committed,
        "a crash of the server takes nothing that was committed",
        requires: [Capability::ServerToCrash]
    ),
    case!(session_state_does_not_leak, "migrations leave nothing in their session"),
    case!(applies_through_a_transaction_mode_pooler, "migrations apply through a transaction-mode pooler"),
];

impl MigrationSubject {
    /// What crashes leave, shared by all cases.
    async fn explored(&self) -> Result<Arc<Explored>, CaseError> {
        self.evidence.explored(self.context.environment()).await.map_err(CaseError::harness)
    }

    /// The script of a step.
    fn script(&self, step: usize) -> Option<&Script> {
        self.evidence.project.steps.get(step).map(|step| &step.up)
    }
}

/// Where a statement is; the whole file if it is none.
fn place(script: &Script, statement: Option<usize>) -> Place {
    let range: Option<Range<usize>> =
        statement.and_then(|number| script.statements.get(number)).map(|statement| statement.range.clone());
    match range {
        Some(range) => script.place(range),
        None => Place::file(&script.file, &script.text),
    }
}

/// What the server said.
fn said(refusal: &Refusal) -> String {
    format!("{} (SQLSTATE {})", refusal.message, refusal.sqlstate)
}
