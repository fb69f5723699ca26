//! Live traffic: what a migration does to those who use the database meanwhile.

mod locks;
mod rollout;
mod rows;
mod survive;

use std::ops::Range;
use std::sync::Arc;

use super::MigrationSubject;
use crate::case;
use crate::case::{Case, CaseError};
use crate::migrations::Script;
use crate::migrations::observe::{Observed, Passage, Traffic};
use locks::{
    checks_are_added_not_valid_first, foreign_keys_are_added_not_valid_first, indexes_are_made_concurrently,
    lock_timeout_is_set, locks_are_as_weak_as_can_be, no_full_scan_under_a_strong_lock, no_table_is_rewritten,
    not_null_is_added_without_a_scan,
};
use rollout::{
    columns_are_not_dropped_while_in_use, enum_values_are_not_used_in_their_transaction,
    old_queries_run_on_the_new_schema,
};
use rows::{
    applies_to_tables_with_rows, long_backfills_are_batched, statements_are_not_mixed,
    time_zone_conversions_are_explicit,
};
use survive::rows_survive_every_migration;

/// The cases of this group.
pub const CASES: &[Case<MigrationSubject>] = &[
    case!(applies_to_tables_with_rows, "migrations apply to tables with rows"),
    case!(rows_survive_every_migration, "rows are there after a migration as they were before"),
    case!(no_table_is_rewritten, "no table with rows is rewritten"),
    case!(no_full_scan_under_a_strong_lock, "no table is read as a whole while others are kept out"),
    case!(locks_are_as_weak_as_can_be, "strong locks are not kept while something long is done"),
    case!(indexes_are_made_concurrently, "indexes on tables with rows are made concurrently"),
    case!(foreign_keys_are_added_not_valid_first, "foreign keys are added before rows are checked"),
    case!(checks_are_added_not_valid_first, "check constraints are added before rows are checked"),
    case!(not_null_is_added_without_a_scan, "NOT NULL is set without a scan"),
    case!(lock_timeout_is_set, "waiting for a lock has an end"),
    case!(
        enum_values_are_not_used_in_their_transaction,
        "new values of an enum are committed before they are used"
    ),
    case!(old_queries_run_on_the_new_schema, "programs of the schema before go on after a migration"),
    case!(columns_are_not_dropped_while_in_use, "columns are out of use when they are dropped"),
    case!(time_zone_conversions_are_explicit, "conversions of timestamps name their zone"),
    case!(statements_are_not_mixed, "schema and many rows are changed in different transactions"),
    case!(long_backfills_are_batched, "many rows are changed in parts"),
];

impl MigrationSubject {
    /// What the migrations did to tables with rows, shared by all cases.
    async fn traffic(&self) -> Result<Arc<Traffic>, CaseError> {
        self.evidence.traffic(self.context.environment()).await.map_err(CaseError::harness)
    }

    /// Each migration's script, with what it did.
    fn passages<'a>(&'a self, traffic: &'a Traffic) -> impl Iterator<Item = (&'a Script, &'a Passage)> {
        self.evidence.project.steps.iter().map(|step| &step.up).zip(&traffic.steps)
    }
}

/// Where a statement is.
fn fits(script: &Script, statement: usize) -> Option<Range<usize>> {
    script.statements.get(statement).map(|statement| statement.range.clone())
}

/// Where the statement is that something was observed of.
fn subject_of(script: &Script, observed: &Observed) -> Range<usize> {
    fits(script, observed.statement).unwrap_or_else(|| script.range.clone())
}
