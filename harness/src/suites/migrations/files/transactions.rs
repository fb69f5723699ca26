//! Cases about scripts and the transactions that their runner puts around them.

use super::super::MigrationSubject;
use super::statements::{PER_SCRIPT_MAX, object, scripts};
use crate::case::CaseResult;
use crate::event::{Finding, Level};
use crate::migrations::Script;
use crate::migrations::source::Layout;
use crate::migrations::sql::{self, Input, Statement, Verb};

/// The statements that are sent to the server, and what they do.
fn verbs(script: &Script) -> Vec<(&Statement, Verb)> {
    let sent = script.statements.iter().filter(|statement| statement.input != Input::PsqlCommand);
    sent.map(|statement| (statement, sql::verb(script.statement(statement)))).collect()
}

pub(super) async fn begin_and_commit_are_balanced(subject: MigrationSubject) -> CaseResult {
    let layout = subject.evidence.project.layout;
    let mut findings = Vec::new();
    for script in scripts(&subject) {
        let mut open: Option<&Statement> = None;
        let verbs = verbs(script);
        let least = findings.len();
        for (index, (statement, verb)) in verbs.iter().enumerate() {
            if findings.len() - least >= PER_SCRIPT_MAX {
                break;
            }
            let mut found = |level, message: String, help: &str| {
                findings.push(Finding::new(
                    level,
                    script.place(statement.range.clone()),
                    object(script),
                    message,
                    help,
                ));
            };
            match verb {
                Verb::Begin => {
                    if let Some(first) = open.replace(statement) {
                        let line = script.place(first.range.clone()).line;
                        found(
                            Level::Error,
                            format!(
                                "expected no transaction to be open, found the one of line {line}: this BEGIN does nothing, \
                                 and the next COMMIT ends both"
                            ),
                            "delete it, or use SAVEPOINT",
                        );
                    }
                }
                Verb::Commit | Verb::Rollback | Verb::PrepareTransaction => {
                    let began = open.take().is_some();
                    if script.in_transaction {
                        ends_the_runners(began, index + 1 == verbs.len(), *verb, layout, &mut found);
                    } else if !began {
                        found(
                            Level::Error,
                            "expected BEGIN before it, found none: it does nothing, and each statement before it was \
                             committed by itself"
                                .to_owned(),
                            "put BEGIN before the first statement that belongs to it, or delete it",
                        );
                    }
                }
                _ => {}
            }
        }
        if let Some(statement) = open {
            let (level, message) = if script.in_transaction {
                (
                    Level::Warning,
                    "expected no BEGIN, since the runner begins a transaction, found one: it does nothing",
                )
            } else {
                (Level::Error, "expected COMMIT behind it, found none: when the session ends, all is rolled back")
            };
            let help = if script.in_transaction { "delete it" } else { "put COMMIT at the end of the script" };
            findings.push(Finding::new(
                level,
                script.place(statement.range.clone()),
                object(script),
                message,
                help,
            ));
        }
    }
    subject.conclude(findings)
}

/// Says what comes of a script that ends the transaction which its runner began.
fn ends_the_runners(
    began: bool,
    is_last: bool,
    verb: Verb,
    layout: Layout,
    found: &mut impl FnMut(Level, String, &str),
) {
    let help = "delete BEGIN and COMMIT: the runner begins and ends a transaction for each script";
    if verb == Verb::Rollback {
        let message = "expected the transaction of the runner to be left alone, found that this undoes all before it, while \
                       the version is recorded as applied";
        return found(Level::Error, message.to_owned(), "delete it");
    }
    if began && is_last {
        let message = format!(
            "expected the transaction of the runner to be left alone, found that this ends it before {layout} records the \
             version: a crash in between leaves a migration that is applied and not recorded"
        );
        return found(Level::Warning, message, help);
    }
    let rest = if is_last { "the version is recorded" } else { "what follows is run" };
    let message = format!(
        "expected the transaction of the runner to be left alone, found that this ends it: {rest} outside of any \
         transaction, and what is before it stays when that fails"
    );
    found(Level::Error, message, help);
}

pub(super) async fn concurrently_is_outside_a_transaction(subject: MigrationSubject) -> CaseResult {
    let layout = subject.evidence.project.layout;
    let mut findings = Vec::new();
    for script in scripts(&subject).filter(|script| script.in_transaction) {
        let refused = script.statements.iter().filter(|statement| {
            statement.input == Input::Sql && sql::never_in_transaction(script.statement(statement))
        });
        for statement in refused.take(PER_SCRIPT_MAX) {
            let text = script.statement(statement);
            let facts = sql::facts(text);
            let named = facts.creates.first().or(facts.drops.first()).or(facts.refers.first());
            findings.push(Finding::new(
                Level::Error,
                script.place(statement.range.clone()),
                named.map_or_else(|| object(script), ToString::to_string),
                format!(
                    "expected no transaction around this statement, found that of {layout}: the server says that it cannot \
                     run inside a transaction block (SQLSTATE 25001)"
                ),
                without_transaction(layout),
            ));
        }
    }
    subject.conclude(findings)
}

/// How a script is run outside of a transaction.
fn without_transaction(layout: Layout) -> &'static str {
    match layout {
        Layout::Sqlx => {
            "put the statement into a file of its own whose first line is `-- no-transaction` (in each of .up.sql and \
             .down.sql that needs it)"
        }
        Layout::GolangMigrate => "put the statement into a file of its own: one that has no other is sent without",
        Layout::Dbmate => {
            "put the statement into a file of its own with `-- migrate:up transaction:false` (and `-- migrate:down \
             transaction:false`)"
        }
        Layout::Goose => "put the statement into a file of its own with the line `-- +goose NO TRANSACTION`",
        Layout::Flyway => {
            "put the statement into a file of its own, and `executeInTransaction=false` into a file of the same name with \
             `.conf` behind it"
        }
        Layout::Diesel => {
            "put the statement into a migration of its own with `run_in_transaction = false` in metadata.toml beside it"
        }
        Layout::Refinery | Layout::Timestamped | Layout::Plain => {
            "put the statement into a file of its own and run it outside of a transaction; if the tool cannot, do without \
             CONCURRENTLY while the table is small"
        }
    }
}

pub(super) async fn no_transaction_files_have_one_statement(subject: MigrationSubject) -> CaseResult {
    let layout = subject.evidence.project.layout;
    let mut findings = Vec::new();
    for script in scripts(&subject).filter(|script| !script.in_transaction) {
        let verbs = verbs(script);
        // What begins a transaction by itself knows what it does, and settings are not undone by anybody.
        if verbs.iter().any(|(_, verb)| *verb == Verb::Begin) {
            continue;
        }
        let counts = |verb: Verb| layout == Layout::Sqlx || !matches!(verb, Verb::Set | Verb::Reset);
        let mut counted = verbs.iter().filter(|(_, verb)| counts(*verb));
        let Some((second, _)) = counted.nth(1) else { continue };
        let all_refuse = verbs.iter().all(|(statement, _)| sql::never_in_transaction(script.statement(statement)));
        let (level, what) = match layout {
            Layout::Sqlx | Layout::Dbmate | Layout::Diesel => (
                Level::Error,
                "the file is sent at once, and the server puts a transaction around several statements after all",
            ),
            Layout::Flyway if !all_refuse => (
                Level::Error,
                "Flyway refuses to mix statements that can be in a transaction with others that cannot",
            ),
            Layout::Plain | Layout::Flyway => (Level::Warning, "when it fails, what is before it stays"),
            _ => (Level::Error, "when it fails, what is before it stays, and the next run fails on that"),
        };
        findings.push(Finding::new(
            level,
            script.place(second.range.clone()),
            object(script),
            format!(
                "expected one statement in a script without a transaction, found {}: {what}",
                script.statements.len()
            ),
            "put each statement into a file of its own",
        ));
    }
    subject.conclude(findings)
}
