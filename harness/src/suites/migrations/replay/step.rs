//! Cases about single steps: what they leave behind when they fail, and what their down scripts do.

use super::super::MigrationSubject;
use super::apply::{place_of_statement, refused_text};
use crate::case::CaseResult;
use crate::event::{Finding, Level, Place};
use crate::migrations::replay::place_of;
use crate::migrations::source::{Script, Step};

/// The most lines of a difference in a finding.
const DIFFERENCE_LINES_MAX: usize = 40;

/// The word in a comment that says that a migration cannot be reverted, and that this is meant.
const IRREVERSIBLE: &str = "irreversible";

pub(super) async fn failed_migration_leaves_no_trace(subject: MigrationSubject) -> CaseResult {
    let replay = subject.replay().await?;
    let history = subject.history().await?;
    let mut findings = Vec::new();
    for (number, step) in subject.evidence.project.steps.iter().enumerate() {
        let Some(report) = replay.steps.get(number) else { continue };
        let object = format!("migration {}", step.up.file);
        let trace = history.steps.get(number).map(|seen| seen.trace.as_slice()).unwrap_or_default();
        let end = report.own_end.and_then(|statement| place_of_statement(step, statement));
        let is_partial = report.failure.is_some() && report.kept > 0;
        let (level, message) = if !trace.is_empty() {
            let message = format!(
                "expected {} to be rolled back when a statement at its end fails, found changes in {}{}",
                step.up.file,
                trace.join(", "),
                if end.is_some() { ": it ends the transaction that it is run in" } else { "" },
            );
            (Level::Error, message)
        } else if is_partial {
            let message = format!(
                "expected {} to be rolled back when it failed, found that {} of its {} statements stay",
                step.up.file,
                report.kept,
                step.up.statements.len(),
            );
            // Without a transaction this is what is to be expected, and still to be cleaned up by hand.
            (if step.up.in_transaction { Level::Error } else { Level::Warning }, message)
        } else {
            continue;
        };
        let help = "leave the transaction to whoever runs the file: take BEGIN and COMMIT out, and put what cannot be \
                    in a transaction into a file of its own";
        findings.push(Finding::new(level, end.or_else(|| Some(file(&step.up))), object, message, help));
    }
    subject.conclude(findings)
}

pub(super) async fn up_down_up_restores_the_catalog(subject: MigrationSubject) -> CaseResult {
    let history = subject.history().await?;
    let mut findings = Vec::new();
    let given_up = history.steps.iter().filter(|seen| seen.given_up).count();
    if given_up > 0 {
        findings.push(Finding::new(
            Level::Note,
            None,
            "all migrations",
            format!(
                "expected to revert every step, found that {given_up} were not judged after so much went wrong"
            ),
            "correct what is found first, and look again",
        ));
    }
    for (number, step) in subject.evidence.project.steps.iter().enumerate() {
        let (Some(script), Some(down)) =
            (&step.down, history.steps.get(number).and_then(|seen| seen.down.as_ref()))
        else {
            continue;
        };
        let mut found = |place: Place, message: String, help: &str| {
            findings.push(Finding::new(Level::Error, place, format!("migration {}", step.up.file), message, help));
        };
        if let Some(refusal) = &down.refusal {
            let message = format!("expected {} to revert {}, found: {refusal}", script.file, step.up.file);
            found(place_of(script, refusal), message, "revert in the opposite order of what was done");
        }
        if let Some(difference) = &down.difference {
            let message = format!(
                "expected {} to restore the schema before {}, found another:\n{}",
                script.file,
                step.up.file,
                cut(difference)
            );
            found(file(script), message, "undo in the down script all that the up script does, and nothing else");
        }
        if let Some(refusal) = &down.again_refusal {
            let message =
                format!("expected {} to apply again after it was reverted, found: {refusal}", step.up.file);
            found(place_of(&step.up, refusal), message, "undo in the down script all that the up script does");
        }
        if let Some(difference) = &down.again_difference {
            let message = format!(
                "expected the same schema after up, down and up of {}, found another:\n{}",
                step.up.file,
                cut(difference)
            );
            found(file(script), message, "undo in the down script all that the up script does, and nothing else");
        }
    }
    subject.conclude(findings)
}

pub(super) async fn down_scripts_leave_nothing(subject: MigrationSubject) -> CaseResult {
    let history = subject.history().await?;
    let mut findings = Vec::new();
    if let Some(all) = &history.all_down {
        if let Some((number, refusal)) = &all.refused
            && let Some(step) = subject.evidence.project.steps.get(*number)
            && let Some(down) = &step.down
        {
            findings.push(Finding::new(
                Level::Error,
                place_of(down, refusal),
                format!("migration {}", step.up.file),
                format!("expected all down scripts to apply, from the last to the first, found: {refusal}"),
                "revert in the opposite order of what was done",
            ));
        }
        if let Some(difference) = &all.difference {
            findings.push(Finding::new(
                Level::Error,
                None,
                "all migrations",
                format!(
                    "expected an empty database when every migration is reverted, found something in it:\n{}",
                    cut(difference)
                ),
                "drop it in the down script of the migration that creates it",
            ));
        }
    }
    subject.conclude(findings)
}

pub(super) async fn every_migration_has_a_down(subject: MigrationSubject) -> CaseResult {
    let lacks = |step: &&Step| step.down.is_none() && !is_irreversible(&step.up);
    let finding = |step: &Step| {
        Finding::new(
            Level::Error,
            file(&step.up),
            format!("migration {}", step.up.file),
            format!("expected a down script for {}, as other migrations have one, found none", step.up.file),
            "add one, or say in a comment that the migration is irreversible",
        )
    };
    subject.conclude(subject.evidence.project.steps.iter().filter(lacks).map(finding).collect())
}

pub(super) async fn repeatable_scripts_can_be_repeated(subject: MigrationSubject) -> CaseResult {
    let history = subject.history().await?;
    let mut findings = Vec::new();
    for (number, step) in subject.evidence.project.steps.iter().enumerate() {
        let Some(repeated) = history.steps.get(number).and_then(|seen| seen.repeated.as_ref()) else { continue };
        let object = format!("migration {}", step.up.file);
        if let Some(refusal) = &repeated.refusal {
            findings.push(Finding::new(
                Level::Error,
                place_of(&step.up, refusal),
                object.clone(),
                format!(
                    "expected {} to apply a second time, found: {}",
                    step.up.file,
                    refused_text(step, refusal)
                ),
                "write CREATE OR REPLACE, CREATE ... IF NOT EXISTS, or DROP ... IF EXISTS before CREATE",
            ));
        }
        if let Some(difference) = &repeated.difference {
            findings.push(Finding::new(
                Level::Error,
                file(&step.up),
                object,
                format!(
                    "expected no change when {} is applied a second time, found another schema:\n{}",
                    step.up.file,
                    cut(difference)
                ),
                "let the script lead to the same state from whatever state it finds",
            ));
        }
    }
    subject.conclude(findings)
}

pub(super) fn file(script: &Script) -> Place {
    Place::file(&script.file, &script.text)
}

/// As much of a difference as one reads.
pub(super) fn cut(difference: &str) -> String {
    let lines: Vec<&str> = difference.lines().collect();
    let shown = lines.iter().take(DIFFERENCE_LINES_MAX).copied().collect::<Vec<_>>().join("\n");
    match lines.len().saturating_sub(DIFFERENCE_LINES_MAX) {
        0 => shown,
        more => format!("{shown}\n... ({more} more lines)"),
    }
}

fn is_irreversible(script: &Script) -> bool {
    let part = script.slice(&script.range);
    part.lines()
        .filter_map(|line| line.split_once("--"))
        .any(|(_, comment)| comment.to_lowercase().contains(IRREVERSIBLE))
}
