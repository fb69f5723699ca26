//! Cases about locks: what they are taken for, and how long they are kept.

use super::super::MigrationSubject;
use super::subject_of;
use crate::case::CaseResult;
use crate::event::{Finding, Level};
use crate::migrations::Script;
use crate::migrations::observe::{Change, ConstraintKind, LockMode, Observed, Passage, Touched};

/// A wait for a lock that is as good as one without end: all that come later wait behind it.
const LOCK_TIMEOUT_MS_MAX: i64 = 60_000;

/// What is said about a table with a strong lock.
fn lock(touched: &Touched) -> String {
    match touched.held {
        Some(held) => {
            let article = if held.name().starts_with(['A', 'E']) { "an" } else { "a" };
            format!("{article} {held} lock: {}", held.consequence())
        }
        None => "a lock".to_owned(),
    }
}

pub(super) async fn no_table_is_rewritten(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for observed in &passage.statements {
            for touched in observed.tables.iter().filter(|touched| touched.in_use && touched.is_rewritten()) {
                findings.push(Finding::new(
                    Level::Error,
                    script.place(subject_of(script, observed)),
                    format!("table {}", touched.table),
                    format!(
                        "expected the rows of {} to stay where they are, found that the server writes all of them \
                         anew, and all of the table's indexes, under an ACCESS EXCLUSIVE lock{}",
                        touched.table,
                        passage.stall(&touched.table)
                    ),
                    rewrite_help(touched),
                ));
            }
        }
    }
    subject.conclude(findings)
}

/// What to do in place of a rewrite.
fn rewrite_help(touched: &Touched) -> String {
    let table = &touched.table;
    for change in &touched.changes {
        match change {
            Change::ColumnAdded { name, .. } => {
                return format!(
                    "add the column without the default, set the default for new rows, and fill the old ones in parts: \
                     ALTER TABLE {table} ADD COLUMN {name} ...; ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT ..."
                );
            }
            Change::ColumnType { name, to, .. } => {
                return format!(
                    "add a column of the new type, write to both, fill it in parts, and change over: ALTER TABLE \
                     {table} ADD COLUMN {name}_new {to}"
                );
            }
            _ => {}
        }
    }
    "do it outside of migrations, with a tool that copies the table in the background, or when nobody uses it"
        .to_owned()
}

pub(super) async fn no_full_scan_under_a_strong_lock(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for observed in &passage.statements {
            for touched in observed.tables.iter().filter(|touched| is_other_scan(touched)) {
                findings.push(Finding::new(
                    Level::Error,
                    script.place(subject_of(script, observed)),
                    format!("table {}", touched.table),
                    format!(
                        "expected no full scan while others are kept out, found that all {} rows were read under {}{}",
                        touched.rows_read,
                        lock(touched),
                        passage.stall(&touched.table)
                    ),
                    scan_help(touched),
                ));
            }
        }
    }
    subject.conclude(findings)
}

/// A scan under a strong lock that no other case has more to say about.
fn is_other_scan(touched: &Touched) -> bool {
    let is_known = touched.changes.iter().any(|change| match change {
        Change::Rewritten | Change::NotNullSet { .. } => true,
        Change::ConstraintAdded { kind, .. } => matches!(kind, ConstraintKind::ForeignKey | ConstraintKind::Check),
        Change::IndexAdded { of_constraint, .. } => !of_constraint,
        _ => false,
    });
    touched.in_use
        && touched.is_scanned()
        && touched.held.is_some_and(LockMode::blocks_writers)
        // What merely reads the table of an earlier statement is what `locks_are_as_weak_as_can_be` is about.
        && (touched.taken.is_some_and(LockMode::blocks_writers) || !touched.changes.is_empty())
        && !is_known
}

fn scan_help(touched: &Touched) -> String {
    let table = &touched.table;
    for change in &touched.changes {
        match change {
            Change::ConstraintAdded {
                name,
                kind: kind @ (ConstraintKind::Unique | ConstraintKind::PrimaryKey),
                ..
            } => {
                return format!(
                    "build the index first, without a strong lock, in a migration without a transaction: CREATE UNIQUE \
                     INDEX CONCURRENTLY {name} ON {table} (...); then: ALTER TABLE {table} ADD CONSTRAINT {name} {kind} \
                     USING INDEX {name}"
                );
            }
            Change::IndexRebuilt { name } => {
                return format!("rebuild the index without a strong lock: REINDEX INDEX CONCURRENTLY {name}");
            }
            _ => {}
        }
    }
    "add a CHECK constraint with NOT VALID and VALIDATE it first, so that the server need not look at the rows"
        .to_owned()
}

pub(super) async fn indexes_are_made_concurrently(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for observed in passage.statements.iter().filter(|observed| !observed.alone) {
            for touched in observed.tables.iter().filter(|touched| touched.in_use) {
                for change in &touched.changes {
                    let Change::IndexAdded { name, of_constraint: false } = change else { continue };
                    findings.push(Finding::new(
                        Level::Error,
                        script.place(subject_of(script, observed)),
                        format!("index {name}"),
                        format!(
                            "expected an index on a table with rows to be made CONCURRENTLY, found that {} was read as \
                             a whole under {}{}",
                            touched.table,
                            lock(touched),
                            passage.stall(&touched.table)
                        ),
                        format!(
                            "in a migration of its own, without a transaction: CREATE INDEX CONCURRENTLY {name} ON {} \
                             (...)",
                            touched.table
                        ),
                    ));
                }
            }
        }
    }
    subject.conclude(findings)
}

pub(super) async fn foreign_keys_are_added_not_valid_first(subject: MigrationSubject) -> CaseResult {
    constraints(&subject, ConstraintKind::ForeignKey).await
}

pub(super) async fn checks_are_added_not_valid_first(subject: MigrationSubject) -> CaseResult {
    constraints(&subject, ConstraintKind::Check).await
}

async fn constraints(subject: &MigrationSubject, wanted: ConstraintKind) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for observed in &passage.statements {
            for touched in observed.tables.iter().filter(|touched| touched.in_use && touched.is_scanned()) {
                for change in &touched.changes {
                    let Change::ConstraintAdded { name, kind, valid: true } = change else { continue };
                    if *kind != wanted {
                        continue;
                    }
                    let table = &touched.table;
                    findings.push(Finding::new(
                        Level::Error,
                        script.place(subject_of(script, observed)),
                        format!("constraint {name} of table {table}"),
                        format!(
                            "expected a {wanted} on a table with rows to be added NOT VALID and validated later, found \
                             that all {} rows were checked under {}{}",
                            touched.rows_read,
                            lock(touched),
                            passage.stall(table)
                        ),
                        format!(
                            "ALTER TABLE {table} ADD CONSTRAINT {name} {wanted} ... NOT VALID; and in a later migration, \
                             which keeps nobody out: ALTER TABLE {table} VALIDATE CONSTRAINT {name}"
                        ),
                    ));
                }
            }
        }
    }
    subject.conclude(findings)
}

pub(super) async fn not_null_is_added_without_a_scan(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for observed in &passage.statements {
            let scanned = |touched: &&Touched| touched.in_use && touched.is_scanned() && !touched.is_rewritten();
            for touched in observed.tables.iter().filter(scanned) {
                for change in &touched.changes {
                    let Change::NotNullSet { name } = change else { continue };
                    let table = &touched.table;
                    findings.push(Finding::new(
                        Level::Error,
                        script.place(subject_of(script, observed)),
                        format!("column {table}.{name}"),
                        format!(
                            "expected NOT NULL to be set without a look at the rows, found that all {} were read under \
                             {}{}",
                            touched.rows_read,
                            lock(touched),
                            passage.stall(table)
                        ),
                        format!(
                            "in three migrations: ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({name} IS NOT NULL) \
                             NOT VALID; ALTER TABLE {table} VALIDATE CONSTRAINT {check}; ALTER TABLE {table} ALTER COLUMN \
                             {name} SET NOT NULL, and then DROP CONSTRAINT {check}",
                            check = format!("{}_is_set", name.trim_matches('"')),
                        ),
                    ));
                }
            }
        }
    }
    subject.conclude(findings)
}

pub(super) async fn locks_are_as_weak_as_can_be(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        for observed in passage.statements.iter().filter(|observed| !observed.alone) {
            for touched in observed.tables.iter().filter(|touched| touched.in_use) {
                if touched.taken.is_some_and(LockMode::blocks_readers) {
                    findings.extend(kept_too_long(script, passage, observed, touched));
                }
            }
        }
        findings.extend(several(script, passage));
    }
    subject.conclude(findings)
}

/// A lock that keeps all others out while a later statement takes its time.
fn kept_too_long(script: &Script, passage: &Passage, observed: &Observed, touched: &Touched) -> Option<Finding> {
    let later = passage.transaction(observed.transaction).filter(|other| other.statement > observed.statement);
    let (other, long) = later.into_iter().find_map(|other| {
        let long = other.tables.iter().find(|long| long.is_long())?;
        Some((other, long))
    })?;
    let rows = long.rows_read.max(long.rows_changed);
    Some(Finding::new(
        Level::Error,
        script.place(subject_of(script, observed)),
        format!("table {}", touched.table),
        format!(
            "expected an ACCESS EXCLUSIVE lock to be kept for a moment, found that {} stays locked while the statement on \
             line {} goes through {rows} rows of {}{}",
            touched.table,
            script.place(subject_of(script, other)).line,
            long.table,
            passage.stall(&touched.table)
        ),
        "do the long work in a migration before or after this one, so that each has a transaction of its own",
    ))
}

/// Several tables that others use, locked in one transaction: whoever takes them in another order meets a deadlock.
fn several(script: &Script, passage: &Passage) -> Option<Finding> {
    let mut tables: Vec<(&str, &Observed)> = Vec::new();
    for observed in &passage.statements {
        for touched in observed.tables.iter().filter(|touched| touched.in_use) {
            let is_strong = touched.taken.is_some_and(LockMode::blocks_readers);
            let same = tables.first().is_none_or(|(_, first)| first.transaction == observed.transaction);
            if is_strong && same && !tables.iter().any(|(table, _)| *table == touched.table) {
                tables.push((&touched.table, observed));
            }
        }
    }
    let [_, (_, second), ..] = tables.as_slice() else { return None };
    let names: Vec<&str> = tables.iter().map(|(table, _)| *table).collect();
    Some(Finding::new(
        Level::Warning,
        script.place(subject_of(script, second)),
        format!("tables {}", names.join(", ")),
        format!(
            "expected one table to be locked at a time, found ACCESS EXCLUSIVE locks on {} in one transaction: a \
             transaction that uses them in another order meets a deadlock",
            names.join(", then ")
        ),
        "change one table in each migration, or set lock_timeout and try again",
    ))
}

pub(super) async fn lock_timeout_is_set(subject: MigrationSubject) -> CaseResult {
    let traffic = subject.traffic().await?;
    let takes = |observed: &Observed| {
        let strong = |touched: &Touched| touched.in_use && touched.taken.is_some_and(LockMode::blocks_writers);
        !observed.alone && observed.tables.iter().any(strong)
    };
    let all = || traffic.steps.iter().flat_map(|passage| &passage.statements);
    // Who sets it elsewhere has forgotten it here.
    let is_set_elsewhere = all().any(|observed| takes(observed) && is_bounded(observed));
    let mut findings = Vec::new();
    for (script, passage) in subject.passages(&traffic) {
        let first = passage.statements.iter().find(|observed| takes(observed) && !is_bounded(observed));
        let Some(observed) = first else { continue };
        let strong = |touched: &&Touched| touched.in_use && touched.taken.is_some_and(LockMode::blocks_writers);
        let Some(touched) = observed.tables.iter().find(strong) else { continue };
        let is_long = observed.lock_timeout_ms > 0;
        let found = match observed.lock_timeout_ms {
            0 if is_set_elsewhere => "none, although other migrations set one".to_owned(),
            0 => "none".to_owned(),
            time => format!("{time} ms"),
        };
        findings.push(Finding::new(
            if is_long || is_set_elsewhere { Level::Error } else { Level::Warning },
            script.place(subject_of(script, observed)),
            format!("migration {}", script.file),
            format!(
                "expected a lock_timeout of at most {LOCK_TIMEOUT_MS_MAX} ms before {} is locked, found {found}: while the \
                 statement waits behind a long query, all others wait behind the statement",
                touched.table
            ),
            "SET LOCAL lock_timeout = '5s'; at the beginning of the migration, and try again when it was exceeded",
        ));
    }
    subject.conclude(findings)
}

fn is_bounded(observed: &Observed) -> bool {
    (1..=LOCK_TIMEOUT_MS_MAX).contains(&observed.lock_timeout_ms)
}
