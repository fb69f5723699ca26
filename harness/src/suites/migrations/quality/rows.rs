//! Tables, and the rows that they take and refuse.

use std::collections::HashMap;
use std::time::Duration;

use super::super::MigrationSubject;
use super::catalog::{listed, place, text};
use super::probe::Prober;
use crate::case::{CaseError, CaseResult};
use crate::event::{Finding, Level};
use crate::migrations::generate::{self, SkipKind, SkippedTable};

/// How long counterexamples are looked for.
const REFUTE_TIME_MAX: Duration = Duration::from_secs(15);

/// What the project made, and the names without their schemas.
async fn own_tables(subject: &MigrationSubject) -> Result<HashMap<String, String>, CaseError> {
    let tables = listed(subject, "SELECT name, relname::text AS relname FROM tables").await?;
    tables.iter().map(|table| Ok((text(table, "name")?, text(table, "relname")?))).collect()
}

/// An error, where the server refuses each row by its own code, or no value of a column satisfies conditions that
/// nothing but operators and constants are in. What a trigger or a function refuses may be meant so: a warning.
pub(super) async fn every_table_accepts_a_row(subject: MigrationSubject) -> CaseResult {
    let own = own_tables(&subject).await?;
    let rows = subject.with_rows().await?;
    let mut findings = Vec::new();
    for skipped in &rows.filled.skipped {
        let Some(bare) = own.get(&skipped.table) else { continue };
        let message = format!("expected a row that it accepts, found none: {}", skipped.reason);
        let help = "write an INSERT that works and keep it as a test, or correct the conditions";
        let place = place(subject.evidence.places(), "table", bare);
        findings.push(Finding::new(level(skipped), place, format!("table {}", skipped.table), message, help));
    }
    subject.conclude(findings)
}

fn level(skipped: &SkippedTable) -> Level {
    match skipped.kind {
        SkipKind::Refused => match skipped.sqlstate.as_deref() {
            // No right, no time, or somebody's own exception.
            Some("42501" | "57014" | "55P03" | "P0001") | None => Level::Warning,
            Some(_) => Level::Error,
        },
        SkipKind::NoValue if !calls_a_function(&skipped.reason) => Level::Error,
        SkipKind::NoValue | SkipKind::NothingAccepted | SkipKind::NoPartition => Level::Warning,
        SkipKind::NoParent | SkipKind::UnknownType | SkipKind::NoTime => Level::Note,
    }
}

/// Whether a name is followed by an argument list, or a pattern is matched: then no value may only mean that none was
/// found.
fn calls_a_function(condition: &str) -> bool {
    let condition = condition.split_once("satisfies").map_or(condition, |(_, condition)| condition);
    let mut last = ' ';
    condition.chars().any(|character| {
        let is_call =
            character == '(' && (last.is_alphanumeric() || last == '_' || last == '"') || character == '~';
        last = character;
        is_call
    })
}

/// A check that is always true, or NULL whatever a column holds, protects nothing.
pub(super) async fn checks_reject_a_counterexample(subject: MigrationSubject) -> CaseResult {
    let own = own_tables(&subject).await?;
    let rows = subject.with_rows().await?;
    let mut prober = Prober::new(&rows).await?;
    let accepting = generate::accepting(prober.connection(), subject.context.seed(), REFUTE_TIME_MAX).await;
    let (accepting, untried) = accepting.map_err(CaseError::harness)?;
    let mut findings = Vec::new();
    for check in accepting {
        let Some(bare) = own.get(&check.table) else { continue };
        let mut parts = vec![check.check.as_str()];
        parts.extend(check.columns.iter().map(String::as_str));
        findings.push(Finding::new(
            Level::Error,
            subject.evidence.places().part(bare, &parts),
            format!("constraint {} of {}", check.check, check.table),
            format!(
                "expected a value of {} that CHECK {} refuses, found none among {} that were tried: it is never false",
                check.columns.join(", "),
                check.expression,
                check.tried
            ),
            "a check accepts what is NULL: compare with IS NOT NULL or COALESCE, or drop the check if the type says it \
             already",
        ));
    }
    if untried > 0 {
        let message = format!("expected each check to be tried, found no time for {untried} of them");
        let finding = Finding::new(Level::Note, None, "database", message, "run this case alone");
        findings.push(finding);
    }
    subject.conclude(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_from_parentheses() {
        assert!(calls_a_function("satisfies (length(x) > 3)"));
        assert!(calls_a_function("satisfies (x ~ '^a')"));
        assert!(!calls_a_function("no value (of any) satisfies ((x > 5) AND (x < 3))"));
    }
}
