//! The suite `migrators`: what a program that runs migrations must do, whatever is in them.

mod files;
mod locks;
mod outside;
mod repeat;
mod stage;
mod together;

use std::sync::Arc;

use crate::case;
use crate::case::{Capability, Case, CaseError, CaseResult};
use crate::context::CaseContext;
use crate::known::KnownFailures;
#[cfg(feature = "migrators")]
use crate::migrations::migrator::RefineryMigrator;
use crate::migrations::migrator::{Migrator, PlainMigrator, SqlxMigrator};
use crate::suite::{Batch, PlannedCase, Suite};

use files::{
    a_changed_file_is_refused, a_duplicate_version_is_refused, a_missing_file_is_refused,
    an_out_of_order_file_is_refused, line_ends_do_not_change_the_checksum, undo_without_a_down_file_is_an_error,
};
use locks::{a_cancelled_run_releases_its_lock, a_failed_run_releases_its_lock};
use outside::{
    a_killed_no_transaction_file_is_not_forgotten, a_no_transaction_file_with_two_statements_is_applied_or_refused,
};
use repeat::{
    a_failing_file_leaves_no_trace, a_second_run_changes_nothing, history_survives_a_hostile_search_path,
};
use together::{eight_runs_at_once, runs_at_once_with_concurrently, two_runs_at_once};

/// Every case.
pub const CASES: &[Case<MigratorSubject>] = &[
    case!(two_runs_at_once, "two runs at once apply each file once"),
    case!(eight_runs_at_once, "eight runs at once apply each file once"),
    case!(
        runs_at_once_with_concurrently,
        "two runs at once do not deadlock over an index that is built concurrently",
        requires: [Capability::OutsideTransaction]
    ),
    case!(a_failed_run_releases_its_lock, "a failed run keeps nobody waiting"),
    case!(a_cancelled_run_releases_its_lock, "a cancelled run keeps nobody waiting"),
    case!(an_out_of_order_file_is_refused, "a file below the highest applied version is refused"),
    case!(a_changed_file_is_refused, "a file that changed after it was applied is refused"),
    case!(a_missing_file_is_refused, "an applied version without a file is refused"),
    case!(a_duplicate_version_is_refused, "two files of one version are refused before either is applied"),
    case!(a_second_run_changes_nothing, "a second run changes nothing"),
    case!(
        undo_without_a_down_file_is_an_error,
        "to revert what has no down file is an error",
        requires: [Capability::Undo]
    ),
    case!(
        a_no_transaction_file_with_two_statements_is_applied_or_refused,
        "a file without a transaction is applied as a whole or refused",
        requires: [Capability::OutsideTransaction]
    ),
    case!(
        a_killed_no_transaction_file_is_not_forgotten,
        "a file without a transaction that was interrupted is not run again as if it never had been",
        requires: [Capability::OutsideTransaction]
    ),
    case!(a_failing_file_leaves_no_trace, "a file that fails leaves no trace"),
    case!(line_ends_do_not_change_the_checksum, "the line ends of a checkout do not make a file another"),
    case!(history_survives_a_hostile_search_path, "the search path does not hide the history"),
];

/// The cases about the list of known failures.
pub const LIST_CASES: &[Case<ListSubject>] =
    &[case!(every_known_failure_names_a_case, "the list of known failures names cases that there are")];

/// A migrator under test.
#[derive(Clone)]
pub struct MigratorSubject {
    /// Where databases come from.
    pub context: CaseContext,
    /// The migrator.
    pub migrator: Arc<dyn Migrator>,
}

/// The list of known failures under test.
#[derive(Debug, Clone)]
pub struct ListSubject {
    /// Why it is no list, if so.
    pub malformed: Option<String>,
    /// The names in it that no planned case has.
    pub unknown: Vec<String>,
}

async fn every_known_failure_names_a_case(subject: ListSubject) -> CaseResult {
    let file = crate::known::FILE;
    if let Some(reason) = subject.malformed {
        return Err(CaseError::failed(format!("{file}: {reason}")));
    }
    if subject.unknown.is_empty() {
        return Ok(());
    }
    Err(CaseError::failed(format!(
        "expected every name in {file} to be a planned case's, found none of the name {}: was it renamed? remove it \
         or correct it",
        subject.unknown.join(", ")
    )))
}

/// The suite with the migrators that there are adapters for.
#[derive(Debug, Clone, Copy)]
pub struct MigratorsSuite;

impl MigratorsSuite {
    /// Every case against any migrator.
    #[must_use]
    pub fn plan_subject(&self, migrator: &Arc<dyn Migrator>) -> Vec<PlannedCase> {
        let plan = |case| {
            let migrator = Arc::clone(migrator);
            let (name, has) = (migrator.name(), migrator.capabilities());
            PlannedCase::new(self, name, case, Batch::Database, has, move |context| {
                let migrator = Arc::clone(&migrator);
                Box::pin(async move { Ok(MigratorSubject { context, migrator }) })
            })
        };
        CASES.iter().map(plan).collect()
    }

    /// Marks the cases of a plan whose failures are known, and adds those about the list.
    pub fn add_known_failures(&self, plan: &mut Vec<PlannedCase>) {
        let subject = match KnownFailures::embedded() {
            Ok(list) => ListSubject { malformed: None, unknown: list.mark(plan) },
            Err(error) => ListSubject { malformed: Some(error.to_string()), unknown: Vec::new() },
        };
        let planned = LIST_CASES.iter().map(|case| {
            let subject = subject.clone();
            PlannedCase::new(self, "known-failures", case, Batch::Compute, &[], move |_| {
                let subject = subject.clone();
                Box::pin(async move { Ok(subject) })
            })
        });
        // Beside the suite's others.
        let at = plan.iter().rposition(|case| case.id.suite == self.name()).map_or(plan.len(), |at| at + 1);
        plan.splice(at..at, planned);
    }
}

impl Suite for MigratorsSuite {
    fn name(&self) -> &'static str {
        "migrators"
    }

    fn plan(&self) -> Vec<PlannedCase> {
        let migrators: Vec<Arc<dyn Migrator>> = vec![
            Arc::new(PlainMigrator::default()),
            Arc::new(SqlxMigrator),
            #[cfg(feature = "migrators")]
            Arc::new(RefineryMigrator),
        ];
        migrators.iter().flat_map(|migrator| self.plan_subject(migrator)).collect()
    }
}
