//! The recorded run as JUnit XML, for CI systems: a suite per area, `failure` for a subject that is wrong,
//! `error` for a harness that is broken.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::event::{CaseRecord, Outcome, RunHeader, RunRecord};
use crate::report::{areas, rerun_commands};

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
    test
}

fn status(case: &CaseRecord, header: &RunHeader) -> TestCaseStatus {
    let explanation = case.outcome.explanation();
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
    let rerun = [rerun_commands(&header.command, &case.id, header.seed), case.kept.clone()].concat().join("\n");
    status
        .set_type(case.outcome.word())
        .set_message(explanation.lines().next().unwrap_or_default())
        .set_description(format!("{explanation}\n\n{rerun}"));
    status
}
