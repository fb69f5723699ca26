//! What a replay comes to, for reports.

use super::{Cause, Replay, missing_object};
use crate::event::{FailureCause, MigrationFailure, MigrationVerdict, Place};
use crate::migrations::sandbox::Refusal;
use crate::migrations::sandbox::words::words;
use crate::migrations::source::{Project, Script};

/// The most of a statement that is repeated, in characters.
const STATEMENT_CHARACTERS_MAX: usize = 300;

/// The place of what was refused: where the server points to, else the name that it says, else the whole statement.
#[must_use]
pub fn place_of(script: &Script, refusal: &Refusal) -> Place {
    let statement = script.statements.get(refusal.statement);
    if let (None, Some(statement)) = (refusal.offset, statement)
        && let Some(range) = named(script.statement(statement), refusal)
    {
        return script.place(statement.range.start + range.start..statement.range.start + range.end);
    }
    match (refusal.offset, statement) {
        (Some(offset), _) => {
            let end = script.text.get(offset..).map_or(offset, |rest| {
                let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
                offset + rest.find(|c| !is_word(c)).unwrap_or(rest.len()).max(1)
            });
            script.place(offset..end)
        }
        (None, Some(statement)) => script.place(statement.range.clone()),
        (None, None) => Place::file(&script.file, &script.text),
    }
}

/// Where a statement has the name that a refusal is about.
fn named(text: &str, refusal: &Refusal) -> Option<std::ops::Range<usize>> {
    let quoted = || {
        let name = refusal.message.split('"').nth(1)?;
        Some(name.rsplit('.').next().unwrap_or(name).to_owned())
    };
    let name = missing_object(refusal).map(|object| object.name).or_else(quoted)?;
    words(text).find(|word| word.name() == Some(name.as_str())).map(|word| word.range)
}

/// The statement that was refused, as much of it as one looks at.
#[must_use]
pub fn statement_of(script: &Script, refusal: &Refusal) -> String {
    let Some(statement) = script.statements.get(refusal.statement) else { return "COMMIT".to_owned() };
    let text = script.statement(statement);
    match text.char_indices().nth(STATEMENT_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A step's file.
#[must_use]
pub fn file_of(project: &Project, step: usize) -> String {
    project.steps.get(step).map_or_else(String::new, |step| step.up.file.to_string())
}

/// A cause with files for steps.
#[must_use]
pub fn cause(project: &Project, cause: &Cause) -> FailureCause {
    match cause {
        Cause::Own => FailureCause::Own,
        Cause::Consequence { of, object } => {
            FailureCause::Consequence { of: file_of(project, *of), object: object.to_string() }
        }
        Cause::WrongOrder { creator, object } => {
            FailureCause::WrongOrder { creator: file_of(project, *creator), object: object.to_string() }
        }
        Cause::Missing { object } => FailureCause::Missing { object: object.to_string() },
    }
}

/// What a replay comes to.
#[must_use]
pub fn verdict(project: &Project, replay: &Replay) -> MigrationVerdict {
    let failures = replay.failures().filter_map(|(number, failure)| {
        let script = &project.steps.get(number)?.up;
        let refusal = &failure.refusal;
        Some(MigrationFailure {
            file: script.file.to_string(),
            place: place_of(script, refusal),
            statement: statement_of(script, refusal),
            sqlstate: refusal.sqlstate.clone(),
            message: refusal.message.clone(),
            detail: refusal.detail.clone(),
            hint: refusal.hint.clone(),
            context: refusal.context.clone(),
            statements_kept: replay.steps.get(number).map_or(0, |report| report.kept),
            cause: cause(project, &failure.cause),
        })
    });
    MigrationVerdict {
        subject: project.name.clone(),
        layout: format!("{}: {}", project.layout, project.reason),
        files: project.steps.len(),
        applied: replay.applied_in_order,
        best_applied: replay.applied_in_best_order,
        best_order: replay
            .best_order
            .iter()
            .flatten()
            .map(|step| file_of(project, *step))
            .collect(),
        failures: failures.collect(),
        limitation: (!replay.is_confined).then(|| {
            "the role of the server's URL is no superuser, so that the scripts were run as this role itself, with all \
             its rights on the server, and roles and extensions that it may not make were not made for them"
                .to_owned()
        }),
    }
}
