//! Cases about names and files as a whole: what reading them has found.

use std::sync::Arc;

use super::super::MigrationSubject;
use crate::case::CaseResult;
use crate::event::{Finding, Level, Place};
use crate::migrations::source::{Layout, Problem, ProblemKind};

/// Reports the problems of some kinds.
fn conclude(subject: &MigrationSubject, kinds: &[ProblemKind]) -> CaseResult {
    let problems = subject.evidence.project.problems.iter().filter(|problem| kinds.contains(&problem.kind));
    subject.conclude(problems.map(finding).collect())
}

fn finding(problem: &Problem) -> Finding {
    let object = format!("file {}", problem.file);
    Finding::new(problem.level, problem.place.clone(), object, problem.message.clone(), problem.help.clone())
}

pub(super) async fn versions_are_unique(subject: MigrationSubject) -> CaseResult {
    conclude(&subject, &[ProblemKind::DuplicateVersion])
}

pub(super) async fn versions_have_no_gaps(subject: MigrationSubject) -> CaseResult {
    conclude(&subject, &[ProblemKind::Gap])
}

pub(super) async fn order_is_not_ambiguous(subject: MigrationSubject) -> CaseResult {
    conclude(&subject, &[ProblemKind::AmbiguousOrder, ProblemKind::OrderFile])
}

pub(super) async fn files_are_text(subject: MigrationSubject) -> CaseResult {
    conclude(&subject, &[ProblemKind::Encoding, ProblemKind::TooLarge, ProblemKind::Unreadable])
}

pub(super) async fn files_are_recognized(subject: MigrationSubject) -> CaseResult {
    conclude(&subject, &[ProblemKind::Unrecognized])
}

pub(super) async fn markers_are_in_their_places(subject: MigrationSubject) -> CaseResult {
    conclude(&subject, &[ProblemKind::Marker])
}

pub(super) async fn down_scripts_have_an_up(subject: MigrationSubject) -> CaseResult {
    conclude(&subject, &[ProblemKind::DownWithoutUp])
}

pub(super) async fn suppressions_are_well_formed(subject: MigrationSubject) -> CaseResult {
    subject.conclude(subject.evidence.policy.malformed().to_vec())
}

/// Where a migrator remembers a hash of the bytes, another checkout with other line ends is another migration.
pub(super) async fn line_ends_do_not_change_checksums(subject: MigrationSubject) -> CaseResult {
    let project = &subject.evidence.project;
    let hashes = match project.layout {
        Layout::Sqlx => "sqlx",
        Layout::Timestamped if project.steps.iter().any(|step| step.up.file.ends_with("/migration.sql")) => {
            "Prisma"
        }
        _ => return Ok(()),
    };
    let mut findings = Vec::new();
    let mut seen: Vec<Arc<str>> = Vec::new();
    let is_mixed = project.steps.iter().any(|step| has_plain_end(&step.up.text));
    for step in &project.steps {
        let script = &step.up;
        let Some(at) = script.text.find("\r\n") else { continue };
        if seen.last() == Some(&script.file) {
            continue;
        }
        seen.push(Arc::clone(&script.file));
        let (level, found) = if is_mixed {
            (Level::Error, "CR and LF here and LF alone elsewhere")
        } else {
            (Level::Warning, "CR and LF in all files")
        };
        findings.push(Finding::new(
            level,
            Place::new(&script.file, &script.text, at..at),
            format!("file {}", script.file),
            format!(
                "expected lines that end with LF, found {found}: {hashes} hashes the bytes, and refuses the file as edited \
                 where git has changed its line ends"
            ),
            "write `*.sql text eol=lf` into .gitattributes and run `git add --renormalize .` before a database has seen \
             the file",
        ));
    }
    subject.conclude(findings)
}

/// Whether a line ends with LF alone.
fn has_plain_end(text: &str) -> bool {
    text.split_inclusive('\n').any(|line| line.ends_with('\n') && !line.ends_with("\r\n"))
}
