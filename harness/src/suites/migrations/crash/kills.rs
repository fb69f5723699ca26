//! Cases about sessions and servers that end in the middle of a migration.

use super::super::MigrationSubject;
use super::{place, said};
use crate::case::{CaseError, CaseResult};
use crate::event::{Finding, Level};
use crate::migrations::Script;
use crate::migrations::crash::{Crash, Rerun, crash_the_server};

pub(super) async fn a_crash_at_any_statement_leaves_nothing(subject: MigrationSubject) -> CaseResult {
    let explored = subject.explored().await?;
    let mut findings = Vec::new();
    for (step, found) in subject.evidence.project.steps.iter().zip(&explored.steps) {
        let script = &step.up;
        if !script.in_transaction {
            continue;
        }
        // What is done when all is done is no crash in the middle.
        if let Some(crash) = found.crashes.iter().find(|crash| !crash.is_complete) {
            findings.push(Finding::new(
                Level::Error,
                place(script, Some(crash.statement)),
                format!("migration {}", script.file),
                "expected a crash in the middle of the migration to leave nothing of it, as its runner puts a transaction \
                 around it, found that what was done before this statement stays: it ends that transaction",
                "leave BEGIN, COMMIT and ROLLBACK to the runner; split the migration where a part of it must be committed \
                 first",
            ));
        }
        if let Some(left) = &found.left {
            findings.push(Finding::new(
                Level::Error,
                place(script, None),
                format!("migration {}", script.file),
                format!("expected a crash before the end of the transaction to leave nothing, found {left}"),
                "do nothing in a migration that is not undone with its transaction",
            ));
        }
        if let Some(refusal) = &found.refused_after {
            findings.push(Finding::new(
                Level::Error,
                place(script, Some(refusal.statement)),
                format!("migration {}", script.file),
                format!("expected the migration to apply after a crash, found: {}", said(refusal)),
                "do nothing in a migration that is not undone with its transaction",
            ));
        }
    }
    subject.conclude(findings)
}

pub(super) async fn a_rerun_after_a_crash_succeeds(subject: MigrationSubject) -> CaseResult {
    reruns(&subject, false).await
}

pub(super) async fn commits_of_its_own_are_recoverable(subject: MigrationSubject) -> CaseResult {
    reruns(&subject, true).await
}

/// The first crash of each migration after which it cannot be run again.
async fn reruns(subject: &MigrationSubject, in_transaction: bool) -> CaseResult {
    let explored = subject.explored().await?;
    let mut findings = Vec::new();
    for (step, found) in subject.evidence.project.steps.iter().zip(&explored.steps) {
        if step.up.in_transaction == in_transaction {
            findings.extend(found.crashes.iter().find_map(|crash| not_repeatable(&step.up, crash)));
        }
    }
    if explored.left_out > 0 {
        findings.push(Finding::new(
            Level::Note,
            None,
            "crashes",
            format!("expected to try every boundary between statements, found {} too many", explored.left_out),
            "split the migrations that commit more than a few times",
        ));
    }
    subject.conclude(findings)
}

fn not_repeatable(script: &Script, crash: &Crash) -> Option<Finding> {
    let when = if crash.is_complete {
        "before its runner could record that it is done"
    } else {
        "after this statement, which stays done"
    };
    let (statement, what) = match &crash.rerun {
        Rerun::Equal => return None,
        Rerun::Refused(refusal) => (
            refusal.statement,
            format!("that line {} is refused: {}", place(script, Some(refusal.statement)).line, said(refusal)),
        ),
        Rerun::Different(difference) => {
            (crash.statement, format!("that it leads to something else than without the crash:\n{difference}"))
        }
    };
    Some(Finding::new(
        Level::Error,
        place(script, Some(crash.statement)),
        format!("migration {}", script.file),
        format!("expected the migration to be repeatable when it was killed {when}, found {what}"),
        repeatable(script, statement),
    ))
}

/// How a statement is written so that it can be run twice.
fn repeatable(script: &Script, statement: usize) -> String {
    let text =
        script.statements.get(statement).map(|part| script.statement(part).to_lowercase()).unwrap_or_default();
    let how = if text.contains("concurrently") {
        "DROP INDEX CONCURRENTLY IF EXISTS ... before CREATE INDEX CONCURRENTLY ..., as the index may be there and invalid"
    } else if text.starts_with("create") {
        "CREATE ... IF NOT EXISTS, or CREATE OR REPLACE ..."
    } else if text.starts_with("drop") {
        "DROP ... IF EXISTS"
    } else if text.starts_with("insert") {
        "INSERT ... ON CONFLICT DO NOTHING"
    } else if text.starts_with("alter") {
        "ADD COLUMN IF NOT EXISTS, DROP CONSTRAINT IF EXISTS before ADD CONSTRAINT, ADD VALUE IF NOT EXISTS"
    } else {
        "IF EXISTS, IF NOT EXISTS, ON CONFLICT"
    };
    format!("write every statement so that it can be run twice: {how}; or put what can be into a transaction")
}

pub(super) async fn no_invalid_index_is_left(subject: MigrationSubject) -> CaseResult {
    let explored = subject.explored().await?;
    let mut findings = Vec::new();
    for (step, found) in subject.evidence.project.steps.iter().zip(&explored.steps) {
        for interrupted in &found.interrupted {
            let invalid = interrupted.still_invalid.join(", ");
            let after = match &interrupted.refused {
                _ if interrupted.still_invalid.is_empty() => continue,
                Some(refusal) => format!("is refused ({}), and {invalid} stays invalid", said(refusal)),
                None => format!(
                    "succeeds although {invalid} is invalid: no query uses it, and every write pays for it"
                ),
            };
            findings.push(Finding::new(
                Level::Error,
                place(&step.up, Some(interrupted.statement)),
                format!("index {invalid}"),
                format!("expected a second run to mend an index whose making was interrupted, found that it {after}"),
                "begin with DROP INDEX CONCURRENTLY IF EXISTS ..., and leave IF NOT EXISTS out of CREATE INDEX CONCURRENTLY",
            ));
        }
    }
    subject.conclude(findings)
}

pub(super) async fn a_server_crash_keeps_what_was_committed(subject: MigrationSubject) -> CaseResult {
    let explored = subject.explored().await?;
    let found = crash_the_server(&subject.evidence.project, &subject.evidence.settings, &explored.refusals())
        .await
        .map_err(CaseError::harness)?;
    let mut findings = Vec::new();
    for table in &found.emptied {
        let name = table.rsplit('.').next().unwrap_or(table).to_lowercase();
        let culprit = subject.evidence.project.steps.iter().find_map(|step| {
            let names = |text: String| text.contains("unlogged") && text.contains(&name);
            let number =
                step.up.statements.iter().position(|part| names(step.up.statement(part).to_lowercase()))?;
            Some(place(&step.up, Some(number)))
        });
        findings.push(Finding::new(
            Level::Error,
            culprit,
            format!("table {table}"),
            format!(
                "expected rows that were committed to be there after a crash of the server, found {table} empty"
            ),
            format!("ALTER TABLE {table} SET LOGGED; keep UNLOGGED for what can be computed again"),
        ));
    }
    let Some(script) = found.step.and_then(|step| subject.script(step)) else { return subject.conclude(findings) };
    if let Some(changed) = &found.changed {
        findings.push(Finding::new(
            Level::Error,
            place(script, None),
            format!("migration {}", script.file),
            format!("expected a crash of the server in the middle of it to leave what was there before, found:\n{changed}"),
            "leave BEGIN and COMMIT to the runner",
        ));
    }
    if let Some((step, refusal)) = &found.refused
        && let Some(script) = subject.script(*step)
    {
        findings.push(Finding::new(
            Level::Error,
            place(script, Some(refusal.statement)),
            format!("migration {}", script.file),
            format!("expected it to apply after a crash of the server, found: {}", said(refusal)),
            "do nothing in a migration that is not undone with its transaction",
        ));
    } else if found.changed.is_none() && found.schema != explored.schema {
        findings.push(Finding::new(
            Level::Error,
            place(script, None),
            format!("migration {}", script.file),
            "expected the same schema with and without a crash of the server, found another",
            "do nothing in a migration that is not undone with its transaction",
        ));
    }
    subject.conclude(findings)
}
