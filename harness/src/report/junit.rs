//! The recorded run as JUnit XML, for CI systems: a suite per area, `failure` for a subject that is wrong,
//! `error` for a harness that is broken.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::event::{CaseRecord, Finding, Outcome, RunHeader, RunRecord};
use crate::report::findings::{self, Excerpt};
use crate::report::{areas, plural, rerun_commands};

/// The most findings of one case that are written out.
const FINDINGS_MAX: usize = 100;

/// Renders a record.
///
/// # Errors
/// When the XML cannot be written.
pub fn render(record: &RunRecord) -> Result<String, SerializeError> {
    let mut report = Report::new("proofmark");
    report.set_timestamp(record.header.started_at).set_time(Duration::from_millis(record.footer.duration_ms));
    for area in areas(record) {
        let mut suite = TestSuite::new(format!("{}::{}", area.suite, area.subject));
        suite
            .set_timestamp(record.header.started_at)
            .set_time(Duration::from_millis(area.duration_ms()))
            .add_property(("proofmark.version", record.header.proofmark_version.as_str()))
            .add_property(("proofmark.seed", record.header.seed.to_string().as_str()))
            .add_property(("machine.platform", record.header.machine.platform.as_str()))
            .add_property(("machine.processor", record.header.machine.processor.as_str()))
            .add_property(("machine.parallelism", record.header.machine.parallelism.to_string().as_str()));
        if let Some(server) = &record.server {
            suite
                .add_property(("server.kind", server.kind.as_str()))
                .add_property(("server.version", server.version.as_str()))
                .add_property(("server.origin", server.origin.as_str()));
        }
        suite.add_test_cases(area.cases.into_iter().map(|case| test_case(case, &record.header)));
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn test_case(case: &CaseRecord, header: &RunHeader) -> TestCase {
    let mut test = TestCase::new(case.id.case.as_str(), status(case, header));
    test.set_classname(format!("{}::{}", case.id.suite, case.id.subject))
        .set_time(Duration::from_millis(case.duration_ms))
        .add_property(("checks", case.checks.as_str()))
        .add_property(("batch", case.batch.name()));
    // What failed the case stands in its failure; the rest is worth reading all the same.
    let rest = text_of(&case.findings, header, |finding| finding.waiver.is_none() && !finding.counts());
    if !rest.is_empty() {
        test.set_system_out(rest);
    }
    test
}

/// Findings as text, each with its place as `file:line:column`.
fn text_of(findings: &[Finding], header: &RunHeader, wanted: fn(&Finding) -> bool) -> String {
    let mut texts: Vec<String> = findings
        .iter()
        .filter(|finding| wanted(finding))
        .take(FINDINGS_MAX)
        .map(|finding| {
            let (location, excerpt) = finding.place.as_ref().map_or_else(Default::default, |place| {
                let lines = Excerpt::of(place).text();
                let lines: String = lines.lines().map(|line| format!("\n    {line}")).collect();
                (format!("{}: ", findings::location(header, place)), lines)
            });
            let help = if finding.help.is_empty() { String::new() } else { format!("\n  help: {}", finding.help) };
            let level = finding.level.name();
            format!("{location}{level}: {}: {}{excerpt}{help}", finding.object, finding.message)
        })
        .collect();
    let left_out = findings.iter().filter(|finding| wanted(finding)).count().saturating_sub(FINDINGS_MAX);
    if left_out > 0 {
        texts.push(format!("... and {} in the recorded run", plural(left_out, "more finding")));
    }
    texts.join("\n\n")
}

fn status(case: &CaseRecord, header: &RunHeader) -> TestCaseStatus {
    if let Some(known) = &case.known {
        let mut status = TestCaseStatus::skipped();
        status
            .set_type("known failure")
            .set_message(known.to_string())
            .set_description(case.outcome.explanation());
        return status;
    }
    let mut explanation = case.outcome.explanation();
    let kind = match case.outcome {
        Outcome::Passed => return TestCaseStatus::success(),
        Outcome::Skipped { .. } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(explanation);
            return status;
        }
        Outcome::Errored { .. } => NonSuccessKind::Error,
        Outcome::Failed { .. } | Outcome::Panicked { .. } | Outcome::TimedOut { .. } => NonSuccessKind::Failure,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(explanation.lines().next().unwrap_or_default());
    let counting = text_of(&case.findings, header, Finding::counts);
    if matches!(case.outcome, Outcome::Failed { .. }) && !counting.is_empty() {
        explanation = counting;
    }
    let rerun = [rerun_commands(&header.command, &case.id, header.seed), case.kept.clone()].concat().join("\n");
    status.set_type(case.outcome.word()).set_description(format!("{explanation}\n\n{rerun}"));
    status
}
