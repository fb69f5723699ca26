//! Cases about what is in a script, told from its tokens.

use std::collections::HashSet;

use super::super::MigrationSubject;
use crate::case::CaseResult;
use crate::event::{Finding, Level};
use crate::migrations::Script;
use crate::migrations::source::Layout;
use crate::migrations::sql::{self, Input, NAME_BYTES_MAX};

/// The most findings of a case in a script: whoever has as many needs no more, and each costs the script's length.
pub(super) const PER_SCRIPT_MAX: usize = 50;

/// All scripts of a subject.
pub(super) fn scripts(subject: &MigrationSubject) -> impl Iterator<Item = &Script> {
    subject.evidence.project.steps.iter().flat_map(|step| std::iter::once(&step.up).chain(&step.down))
}

/// The script that a finding is about.
pub(super) fn object(script: &Script) -> String {
    format!("file {}", script.file)
}

pub(super) async fn files_are_not_empty(subject: MigrationSubject) -> CaseResult {
    let mut findings = Vec::new();
    for step in &subject.evidence.project.steps {
        for (script, is_up) in std::iter::once((&step.up, true)).chain(step.down.iter().map(|down| (down, false)))
        {
            let text = script.slice(&script.range);
            let says_something = !text.trim().is_empty();
            // Lines for the tool alone are a migration that is meant to do nothing, or one that was begun.
            let is_blank = script.text.trim().is_empty();
            // A down script with a comment alone says that its migration cannot be reverted, and why.
            if !script.statements.is_empty() || !is_up && says_something {
                continue;
            }
            let level = if is_up && is_blank { Level::Error } else { Level::Warning };
            let found = if says_something { "nothing but comments" } else { "nothing" };
            let (comes_of_it, help) = if is_up {
                (
                    "the version is recorded, and nothing is done",
                    "write what the migration is to do, or delete the file if no database has recorded it",
                )
            } else {
                (
                    "the version is taken out of the history, and nothing is undone",
                    "write what undoes the migration, or a comment that says why nothing can",
                )
            };
            findings.push(Finding::new(
                level,
                script.place(script.range.start..script.range.start),
                object(script),
                format!("expected a statement, found {found}: {comes_of_it}"),
                help,
            ));
        }
    }
    subject.conclude(findings)
}

pub(super) async fn statements_end(subject: MigrationSubject) -> CaseResult {
    let mut findings = Vec::new();
    for script in scripts(&subject) {
        let Some(statement) = script.statements.last() else { continue };
        if let Input::CopyFromStdin(rows) = &statement.input
            && !script.text[rows.end..].starts_with(r"\.")
        {
            findings.push(Finding::new(
                Level::Error,
                script.place(statement.range.clone()),
                object(script),
                "expected rows and a line `\\.` behind COPY ... FROM stdin, found that the file ends without such a line",
                "put a line with nothing but `\\.` behind the last row",
            ));
        }
        if statement.input == Input::PsqlCommand {
            continue;
        }
        if let Some((kind, range)) = sql::unterminated(script.statement(statement)) {
            let start = statement.range.start + range.start;
            let line = script.text[start..].lines().next().map_or(start, |line| start + line.len());
            let name = kind.name();
            findings.push(Finding::new(
                Level::Error,
                script.place(start..line),
                object(script),
                format!(
                    "expected the {name} that begins here to end, found that it goes on to the end of the script"
                ),
                "add what ends it; if it has one, the fault is before this place: something there ends too early",
            ));
        }
    }
    subject.conclude(findings)
}

pub(super) async fn psql_commands_are_not_used(subject: MigrationSubject) -> CaseResult {
    let layout = subject.evidence.project.layout;
    let mut findings = Vec::new();
    for script in scripts(&subject) {
        let least = findings.len();
        for statement in &script.statements {
            if findings.len() - least >= PER_SCRIPT_MAX {
                break;
            }
            let (found, help) = match &statement.input {
                Input::PsqlCommand => {
                    let command = sql::psql_command(script.statement(statement));
                    (format!("{command}, a command to psql that the server does not know"), psql_help(command))
                }
                // psql may well be what runs a plain folder.
                Input::CopyFromStdin(_) if layout != Layout::Plain => (
                    "rows behind COPY ... FROM stdin, which psql alone takes out of a script".to_owned(),
                    "write INSERT statements, or load the rows by other means",
                ),
                Input::CopyFromStdin(_) | Input::Sql => continue,
            };
            let level = if layout == Layout::Plain { Level::Warning } else { Level::Error };
            findings.push(Finding::new(
                level,
                script.place(statement.range.clone()),
                object(script),
                format!("expected SQL, found {found}"),
                help,
            ));
        }
    }
    subject.conclude(findings)
}

fn psql_help(command: &str) -> &'static str {
    match command {
        r"\c" | r"\connect" => "delete it: the runner says which database it is",
        r"\i" | r"\ir" | r"\include" | r"\include_relative" => "put what the file does here, or into a migration",
        r"\gexec" => "run the statements from a DO block, with EXECUTE format(...)",
        r"\set" | r"\gset" | r"\getenv" | r"\prompt" => {
            "use the value itself, or a setting: current_setting('app.name')"
        }
        r"\copy" => "write INSERT statements, or load the rows by other means",
        r"\if" | r"\elif" | r"\else" | r"\endif" => "decide in a DO block",
        _ => "delete it",
    }
}

pub(super) async fn names_fit_into_63_bytes(subject: MigrationSubject) -> CaseResult {
    let mut findings = Vec::new();
    // Once for each name, where it is first: it is cut in the same way everywhere.
    let mut seen = HashSet::new();
    for script in scripts(&subject) {
        let sent = script.statements.iter().filter(|statement| statement.input != Input::PsqlCommand);
        let names = sent.flat_map(|statement| {
            let names = sql::long_names(script.statement(statement));
            names.into_iter().map(|name| (statement.range.start, name))
        });
        let new = names.filter(|(_, name)| seen.insert(name.name.clone()));
        for (start, name) in new.take(PER_SCRIPT_MAX) {
            let range = start + name.range.start..start + name.range.end;
            findings.push(Finding::new(
                    Level::Error,
                    script.place(range),
                    format!("name {}", name.name),
                    format!(
                        "expected at most {NAME_BYTES_MAX} bytes, found {}: Postgres cuts it to {}, and whoever looks for the \
                         whole name in the catalogs does not find it",
                        name.name.len(),
                        name.cut()
                    ),
                    "choose a shorter name",
                ));
        }
    }
    subject.conclude(findings)
}
