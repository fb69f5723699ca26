//! Cases about circumstances that are not as usual, and that production has all the same.

use super::super::MigrationSubject;
use super::step::cut;
use crate::case::CaseResult;
use crate::event::{Finding, Level};
use crate::migrations::replay::{Difference, Variant, place_of};

/// The most files that are named; those that come after are often a consequence.
const REFUSED_MAX: usize = 10;

pub(super) async fn stepwise_equals_all_at_once(subject: MigrationSubject) -> CaseResult {
    let replay = subject.replay().await?;
    let difference = subject.variant(Variant::OneSession).await?;
    let mut findings = Vec::new();
    for number in &difference.applied {
        let failure = replay.steps.get(*number).and_then(|report| report.failure.as_ref());
        let (Some(step), Some(failure)) = (subject.evidence.project.steps.get(*number), failure) else { continue };
        findings.push(Finding::new(
            Level::Error,
            place_of(&step.up, &failure.refusal),
            format!("migration {}", step.up.file),
            format!(
                "expected {} to apply in a session of its own as it does in that of the files before it, found: {}",
                step.up.file, failure.refusal
            ),
            "a migration depends on what an earlier one did to the session: set in each file what it needs, with SET \
             LOCAL",
        ));
    }
    findings.extend(refused(
        &subject,
        &difference,
        "in the session of the files before it, as it does in one of its own",
        "an earlier file leaves something in the session: undo at its end what it sets, or use SET LOCAL",
    ));
    if let Some(schema) = &difference.schema {
        findings.push(Finding::new(
            Level::Error,
            None,
            "all migrations",
            format!(
                "expected the schema of one session for each file (the expected text) when all are run in one, found \
                 another: a migration depends on what an earlier one did to the session:\n{}",
                cut(schema)
            ),
            "set in each file what it needs, with SET LOCAL, and write names with their schema",
        ));
    }
    subject.conclude(findings)
}

pub(super) async fn applies_in_another_time_zone(subject: MigrationSubject) -> CaseResult {
    let difference = subject.variant(Variant::TimeZone).await?;
    let help = "write the zone: '2024-01-01 00:00+00', or AT TIME ZONE 'UTC'";
    let mut findings = refused(&subject, &difference, "in the time zone Asia/Kathmandu as in UTC", help);
    if let Some(schema) = &difference.schema {
        findings.push(Finding::new(
            Level::Error,
            None,
            "all migrations",
            format!(
                "expected the same schema when the session's time zone is Asia/Kathmandu and not UTC, found another: a time is \
                 written without its zone:\n{}",
                cut(schema)
            ),
            help,
        ));
    }
    subject.conclude(findings)
}

pub(super) async fn applies_with_a_hostile_search_path(subject: MigrationSubject) -> CaseResult {
    let difference = subject.variant(Variant::SchemaFirst).await?;
    let findings = refused(
        &subject,
        &difference,
        "where another schema comes first in the search path, as one with the name of the role does",
        "write every name with its schema, or none, or set the search path in the file: SET LOCAL search_path = public",
    );
    subject.conclude(findings)
}

/// Findings about files that are refused where something is unusual.
fn refused(subject: &MigrationSubject, difference: &Difference, expected: &str, help: &str) -> Vec<Finding> {
    let finding = |(number, refusal): &(usize, crate::migrations::sandbox::Refusal)| {
        let step = subject.evidence.project.steps.get(*number)?;
        Some(Finding::new(
            Level::Error,
            place_of(&step.up, refusal),
            format!("migration {}", step.up.file),
            format!("expected {} to apply {expected}, found: {refusal}", step.up.file),
            help,
        ))
    };
    let mut findings: Vec<Finding> = difference.refused.iter().take(REFUSED_MAX).filter_map(finding).collect();
    let more = difference.refused.len().saturating_sub(REFUSED_MAX);
    if more > 0 {
        findings.push(Finding::new(
            Level::Note,
            None,
            "all migrations",
            format!("expected all files to apply {expected}, found {more} more that do not"),
            "correct those that are named first: others may be a consequence",
        ));
    }
    findings
}
