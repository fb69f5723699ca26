//! Cases about a roll-out: the programs that were there before a migration are still there after it, for a while.

use super::super::MigrationSubject;
use super::{fits, subject_of};
use crate::case::CaseResult;
use crate::event::{Finding, Level};
use crate::migrations::observe::{Change, OldQuery};

pub(super) async fn old_queries_run_on_the_new_schema(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for query in &passage.broken {
            let Some((level, help)) = judge(query) else { continue };
            let range = fits(script, query.statement);
            findings.push(Finding::new(
                level,
                range.map(|range| script.place(range)),
                format!("table {}", query.table),
                format!(
                    "expected a query of the schema before the migration to run after it, found: {} (SQLSTATE {}), for: {}",
                    query.refusal.message, query.refusal.sqlstate, query.query
                ),
                help,
            ));
        }
    }
    subject.conclude(findings)
}

/// How bad it is that a query is broken, and what to do; what is dropped on purpose is for another case.
fn judge(query: &OldQuery) -> Option<(Level, String)> {
    let table = &query.table;
    let mut level = None;
    for change in &query.changes {
        let found = match change {
            Change::TableRenamed { to } => (
                Level::Error,
                format!(
                    "give programs time with a view: CREATE VIEW {table} AS SELECT * FROM {to}; and drop it later"
                ),
            ),
            Change::ColumnRenamed { from, to } => (
                Level::Error,
                format!(
                    "add a column {to}, write to both, and drop {from} when no program uses it any more: ALTER TABLE \
                     {table} ADD COLUMN {to} ..."
                ),
            ),
            Change::ColumnAdded { name, required: true } | Change::DefaultDropped { name } => (
                Level::Error,
                format!(
                    "give it a default, as programs that do not know it go on inserting: ALTER TABLE {table} ALTER \
                     COLUMN {name} SET DEFAULT ..."
                ),
            ),
            Change::NotNullSet { name } => (
                Level::Warning,
                format!("make sure that all programs write {name} before this is deployed, or give it a default"),
            ),
            Change::TableDropped => {
                (Level::Warning, "make sure that no program uses the table before this is deployed".to_owned())
            }
            _ => continue,
        };
        if level.as_ref().is_none_or(|(other, _): &(Level, String)| *other < found.0) {
            level = Some(found);
        }
    }
    level
}

pub(super) async fn columns_are_not_dropped_while_in_use(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for observed in &passage.statements {
            for touched in &observed.tables {
                for change in &touched.changes {
                    let Change::ColumnDropped { name, required } = change else { continue };
                    let table = &touched.table;
                    let (level, found, help) = if *required {
                        (
                            Level::Error,
                            "one that is NOT NULL and has no default: every program that inserts names it",
                            format!(
                                "first let programs do without it: ALTER TABLE {table} ALTER COLUMN {name} DROP NOT NULL; \
                                 and drop it in a later release"
                            ),
                        )
                    } else {
                        (
                            Level::Warning,
                            "one that programs may still read or write",
                            "make sure that no program names it before this is deployed".to_owned(),
                        )
                    };
                    findings.push(Finding::new(
                        level,
                        script.place(subject_of(script, observed)),
                        format!("column {table}.{name}"),
                        format!("expected a column that is dropped to be out of use, found {found}"),
                        help,
                    ));
                }
            }
        }
        for (statement, view) in &passage.lost_views {
            findings.push(Finding::new(
                Level::Error,
                fits(script, *statement).map(|range| script.place(range)),
                format!("view {view}"),
                format!("expected what depends on a column to be changed by name, found that CASCADE dropped {view} as well"),
                format!("DROP VIEW {view}; by name, and create it again without the column; leave out CASCADE"),
            ));
        }
    }
    subject.conclude(findings)
}

pub(super) async fn enum_values_are_not_used_in_their_transaction(subject: MigrationSubject) -> CaseResult {
    /// `unsafe_new_enum_value_usage`
    const UNSAFE_USE: &str = "55P04";
    let head = subject.head().await?;
    let mut findings = Vec::new();
    for (step, refusal) in subject.evidence.project.steps.iter().zip(&head.refusals) {
        let Some(refusal) = refusal.as_ref().filter(|refusal| refusal.sqlstate == UNSAFE_USE) else { continue };
        findings.push(Finding::new(
            Level::Error,
            fits(&step.up, refusal.statement).map(|range| step.up.place(range)),
            format!("migration {}", step.up.file),
            format!(
                "expected a new value of an enum to be used after it is committed, found it used in the transaction that \
                 adds it: {} (SQLSTATE {UNSAFE_USE})",
                refusal.message
            ),
            "put ALTER TYPE ... ADD VALUE into a migration of its own, before this one",
        ));
    }
    subject.conclude(findings)
}
