//! Cases about rows: what a migration needs of them, and what it does to them.

use super::super::MigrationSubject;
use super::{fits, subject_of};
use crate::case::CaseResult;
use crate::event::{Finding, Level};
use crate::migrations::Script;
use crate::migrations::observe::{MANY_ROWS, Observed, Touched, is_about_rows, words};

pub(super) async fn applies_to_tables_with_rows(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        let Some(refused) = passage.refused.as_ref().filter(|refused| !refused.without_rows) else { continue };
        let refusal = &refused.refusal;
        let range =
            script.statements.get(refusal.statement).map_or(script.range.clone(), |part| part.range.clone());
        let detail = refusal.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        let help = if is_about_rows(refusal) {
            "bring the rows into the form that the statement needs first, for example: UPDATE ... WHERE ...; give new \
             columns a DEFAULT; add constraints with NOT VALID"
        } else {
            "write the statement so that it does not depend on what is in the tables"
        };
        findings.push(Finding::new(
            Level::Error,
            script.place(range),
            format!("migration {}", script.file),
            format!(
                "expected the statement to succeed on tables with rows, found that it only does on empty ones: \
                 {}{detail} (SQLSTATE {})",
                refusal.message, refusal.sqlstate
            ),
            help,
        ));
    }
    subject.conclude(findings)
}

pub(super) async fn long_backfills_are_batched(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for observed in passage.statements.iter().filter(|observed| !observed.alone) {
            for touched in observed.tables.iter().filter(|touched| is_backfill(touched)) {
                // All of the rows, or as many as the condition happened to fit.
                let level = if touched.rows_changed >= touched.rows_read { Level::Error } else { Level::Warning };
                findings.push(Finding::new(
                    level,
                    script.place(subject_of(script, observed)),
                    format!("table {}", touched.table),
                    format!(
                        "expected a change of many rows to be made in parts, found one statement that changed {} of \
                         the {} rows that it read, and keeps all of them locked until its transaction ends{}",
                        touched.rows_changed,
                        touched.rows_read,
                        passage.stall(&touched.table)
                    ),
                    "change some thousand rows at a time, each in a transaction of its own and outside of the \
                     migration, for example: UPDATE ... WHERE id IN (SELECT id FROM ... WHERE ... LIMIT 5000), until \
                     no row is left",
                ));
            }
        }
    }
    subject.conclude(findings)
}

/// Whether so much of a table was changed that the time depends on its size.
fn is_backfill(touched: &Touched) -> bool {
    touched.in_use && touched.rows_changed >= MANY_ROWS && touched.rows_changed * 2 >= touched.rows_read
}

pub(super) async fn statements_are_not_mixed(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for observed in &passage.statements {
            let Some(changed) = observed.tables.iter().find(|touched| is_backfill(touched)) else { continue };
            let locks = |other: &&Observed| {
                other.transaction == observed.transaction && other.statement < observed.statement && !other.alone
            };
            let locked = passage.statements.iter().filter(locks).find_map(|other| {
                let strong = |touched: &&Touched| {
                    touched.in_use && touched.taken.is_some_and(|taken| taken.blocks_readers())
                };
                other.tables.iter().find(strong).map(|touched| (other, touched))
            });
            let Some((other, touched)) = locked else { continue };
            findings.push(Finding::new(
                Level::Error,
                script.place(subject_of(script, observed)),
                format!("table {}", changed.table),
                format!(
                    "expected changes of the schema and of many rows in different transactions, found {} rows of {} \
                     changed while the transaction holds an ACCESS EXCLUSIVE lock on {} since line {}: nobody can \
                     read that table until the end{}",
                    changed.rows_changed,
                    changed.table,
                    touched.table,
                    script.place(subject_of(script, other)).line,
                    passage.stall(&touched.table)
                ),
                "move the change of rows to a migration of its own, after the one that changes the schema",
            ));
        }
    }
    subject.conclude(findings)
}

pub(super) async fn time_zone_conversions_are_explicit(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for zone in passage.zones.iter().filter(|zone| zone.example.0 != zone.example.1 || zone.rewritten) {
            let Some(range) = fits(script, zone.statement) else { continue };
            let differs = zone.example.0 != zone.example.1;
            if !differs && names_zone(script, zone.statement) {
                continue;
            }
            let rewritten = if zone.rewritten { "; there, the table is rewritten" } else { "" };
            let (here, there) = &zone.example;
            // Where only the effort depends on the session, the values are right.
            let level = if differs { Level::Error } else { Level::Warning };
            findings.push(Finding::new(
                level,
                script.place(range),
                format!("column {}.{}", zone.table, zone.column),
                format!(
                    "expected a conversion from {} to {} that names the zone of the values, found one that takes that \
                     of the session: the least value became {here} in a session with UTC, and {there} in one with {}{}",
                    zone.from, zone.to, zone.zone, rewritten
                ),
                format!(
                    "say what the values were meant in: ALTER TABLE {table} ALTER COLUMN {column} TYPE {} USING \
                     {column} AT TIME ZONE 'UTC'",
                    zone.to,
                    table = zone.table,
                    column = zone.column
                ),
            ));
        }
    }
    subject.conclude(findings)
}

/// Whether a conversion says which zone the values are of.
fn names_zone(script: &Script, statement: usize) -> bool {
    let text = script.statements.get(statement).map_or("", |part| script.statement(part));
    let words = words(text);
    let using = words.iter().position(|word| word == "using").unwrap_or(words.len());
    words[using..].windows(3).any(|three| three == ["at", "time", "zone"])
        || words[using..].iter().any(|word| word == "timezone")
}
