//! Cases about what migrations leave in their session, and expect of it.

use super::super::MigrationSubject;
use super::{place, said};
use crate::case::{CaseError, CaseResult};
use crate::event::{Finding, Level};
use crate::migrations::crash::{LeakKind, leaks, through_a_pooler};
use crate::schema::difference;

pub(super) async fn session_state_does_not_leak(subject: MigrationSubject) -> CaseResult {
    let explored = subject.explored().await?;
    let evidence = &subject.evidence;
    let environment = subject.context.environment();
    let found = leaks(environment, &evidence.project, &evidence.settings, &explored.refusals()).await;
    let mut findings = Vec::new();
    for leak in found.map_err(CaseError::harness)? {
        let Some(script) = subject.script(leak.step) else { continue };
        let (kind, name) = (leak.kind.name(), &leak.name);
        findings.push(Finding::new(
            if leak.is_decisive { Level::Error } else { Level::Warning },
            place(script, leak.statement),
            format!("{kind} {name}"),
            format!(
                "expected the session to be as it was when the migration has ended, found the {kind} {name} left in it: later \
                 migrations of the same run see it, and so does whoever gets the connection next"
            ),
            match leak.kind {
                LeakKind::Setting => format!("SET LOCAL {name} = ..., which ends with the transaction; or RESET {name}"),
                LeakKind::Role => "SET LOCAL ROLE ..., or RESET ROLE at the end".to_owned(),
                LeakKind::AdvisoryLock => "pg_advisory_xact_lock(...), which ends with the transaction".to_owned(),
                LeakKind::TemporaryTable => format!("CREATE TEMPORARY TABLE {name} ... ON COMMIT DROP"),
                LeakKind::Channel => format!("UNLISTEN {name}"),
                LeakKind::Cursor => format!("CLOSE {name}"),
                LeakKind::PreparedStatement => format!("DEALLOCATE {name}"),
                _ => format!("COMMIT PREPARED '{name}' or ROLLBACK PREPARED '{name}'"),
            },
        ));
    }
    subject.conclude(findings)
}

pub(super) async fn applies_through_a_transaction_mode_pooler(subject: MigrationSubject) -> CaseResult {
    const HELP: &str = "put statements that belong together into one transaction, and let none rely on what an earlier one \
                        did to the session (SET, temporary tables, PREPARE, advisory locks of the session)";
    let explored = subject.explored().await?;
    let evidence = &subject.evidence;
    let environment = subject.context.environment();
    let pooled = through_a_pooler(environment, &evidence.project, &evidence.settings, &explored.refusals()).await;
    let pooled = pooled.map_err(CaseError::harness)?;
    let mut findings = Vec::new();
    for (step, refusal) in &pooled.refused {
        let Some(script) = subject.script(*step) else { continue };
        findings.push(Finding::new(
            Level::Error,
            place(script, Some(refusal.statement)),
            format!("migration {}", script.file),
            format!(
                "expected the migration to apply where each transaction has another session, as behind a transaction-mode \
                 pooler, found: {}",
                said(refusal)
            ),
            HELP,
        ));
    }
    for (step, statement) in &pooled.locks {
        let Some(script) = subject.script(*step) else { continue };
        findings.push(Finding::new(
            Level::Error,
            place(script, Some(*statement)),
            format!("migration {}", script.file),
            "expected no lock to outlive its transaction, found an advisory lock of the session: behind a transaction-mode \
             pooler it stays with a connection that others get, and is not found again",
            "pg_advisory_xact_lock(...), which ends with the transaction",
        ));
    }
    if pooled.refused.is_empty() && pooled.schema != explored.schema {
        findings.push(Finding::new(
            Level::Error,
            None,
            "schema",
            format!(
                "expected the same schema where each transaction has another session, as behind a transaction-mode pooler, \
                 found another:\n{}",
                difference(&explored.schema, &pooled.schema)
            ),
            HELP,
        ));
    }
    subject.conclude(findings)
}
