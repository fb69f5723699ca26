//! Cases about several runners at once.

use super::super::MigrationSubject;
use super::{place, said};
use crate::case::{CaseError, CaseResult};
use crate::event::{Finding, Level};
use crate::migrations::crash::{Trouble, run_together};

pub(super) async fn two_runners_at_once_end_well(subject: MigrationSubject) -> CaseResult {
    runners(&subject, 2).await
}

pub(super) async fn eight_runners_at_once_end_well(subject: MigrationSubject) -> CaseResult {
    runners(&subject, 8).await
}

async fn runners(subject: &MigrationSubject, count: usize) -> CaseResult {
    let explored = subject.explored().await?;
    let project = &subject.evidence.project;
    let (environment, settings) = (subject.context.environment(), &subject.evidence.settings);
    let together = run_together(environment, project, settings, &explored.refusals(), count).await;
    let together = together.map_err(CaseError::harness)?;
    let mut findings = Vec::new();
    for (step, trouble) in &together.troubles {
        let script = step.and_then(|step| subject.script(step));
        let (statement, found, help) = match trouble {
            Trouble::Refused(refusal) => (
                Some(refusal.statement),
                format!("that one of them was stopped: {}", said(refusal)),
                advice(&refusal.sqlstate),
            ),
            Trouble::LockLost => (
                script.and_then(|script| {
                    let words = ["advisory_unlock", "discard"];
                    let culprit = |text: String| words.iter().any(|word| text.contains(word));
                    script.statements.iter().position(|part| culprit(script.statement(part).to_lowercase()))
                }),
                "that the migration lets go of the lock that keeps other runners out".to_owned(),
                "leave out pg_advisory_unlock_all() and DISCARD ALL: the session's locks are the runner's",
            ),
            Trouble::Hangs => {
                (None, "that they wait for each other without end".to_owned(), "run the migrations from one place")
            }
        };
        findings.push(Finding::new(
            Level::Error,
            script.map(|script| place(script, statement)),
            script.map_or_else(|| "runners".to_owned(), |script| format!("migration {}", script.file)),
            format!(
                "expected {count} runners at once to end well, one that applies everything and the others when it is done, \
                 found {found}"
            ),
            help,
        ));
    }
    subject.conclude(findings)
}

/// What to do about a refusal that only comes where several run.
fn advice(sqlstate: &str) -> &'static str {
    match sqlstate {
        "40P01" => {
            "the runners that wait for the lock wait within a statement, which CREATE INDEX CONCURRENTLY waits for in turn: run \
             such migrations from one place only, or with a runner that asks for its lock again and again"
        }
        "57P01" => "end no sessions in a migration: those of other runners and of services are among them",
        _ => "write the migration so that it does not matter who else is connected",
    }
}
