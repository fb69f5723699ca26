//! Data-quality reports and the gate.

use chrono::TimeDelta;
use proofmark::domain::{
    DataQualityReportId, DataSplit, DqStatus, FailedExpectation, GateDecision, GatePolicy, GateReason,
    NewDataQualityReport, NewExperiment, NewTrainingRun, TrainingRunId,
};
use proofmark::repository::{PageRequest, data_quality_constraint};

use crate::both::{Layer, assert_constraint, assert_invalid, assert_not_found, on_both, pages, time};

const NOON: &str = "2024-01-01T12:00:00Z";

fn report(passed: u32, failed: u32, run_at: &str) -> NewDataQualityReport {
    NewDataQualityReport {
        run_at: Some(time(run_at)),
        ..NewDataQualityReport::new("basics", "orders", passed, failed)
    }
}

async fn gate(layer: &Layer, policy: GatePolicy) -> GateDecision {
    layer.quality.gate("orders", "basics", None, policy, time(NOON)).await.unwrap()
}

#[tokio::test]
async fn a_report_is_kept_as_it_was_recorded() {
    on_both(async |layer| {
        let experiment = layer.experiments.register(NewExperiment::new("churn")).await.unwrap().id;
        let run = layer.training_runs.start(NewTrainingRun::new(experiment, "xgboost")).await.unwrap().id;
        let failure = FailedExpectation {
            expectation: "expect_column_values_to_not_be_null".to_owned(),
            column: Some("naïve \"☂\"".to_owned()),
            evaluated_values: Some(u64::MAX),
            unexpected_values: Some(3),
            message: None,
        };
        let new = NewDataQualityReport {
            failed_expectations: vec![failure],
            duration_seconds: Some(0.1),
            data_split: DataSplit::Holdout,
            training_run_id: Some(run),
            ..report(2, 1, NOON)
        };
        let made = layer.quality.record(new.clone()).await.unwrap();
        assert_eq!(layer.quality.find(made.id).await.unwrap(), made);
        assert_eq!(made.failed_expectations, new.failed_expectations);
        assert_eq!((made.overall_status, made.training_run_id), (Some(DqStatus::Failed), Some(run)));
        assert_eq!((made.expectations_evaluated(), made.success_rate()), (3, Some(2.0 / 3.0)));
        let orphan = NewDataQualityReport { training_run_id: Some(TrainingRunId::random()), ..new };
        assert_constraint(layer.quality.record(orphan).await, data_quality_constraint::TRAINING_RUN);
        assert_not_found(layer.quality.find(DataQualityReportId::random()).await);
    })
    .await;
}

#[tokio::test]
async fn a_report_does_not_contradict_itself() {
    on_both(async |layer| {
        let status = |status, passed, failed| NewDataQualityReport {
            overall_status: Some(status),
            ..report(passed, failed, NOON)
        };
        for wrong in [
            status(DqStatus::Passed, 0, 0),
            status(DqStatus::Passed, 5, 1),
            status(DqStatus::Failed, 5, 0),
            status(DqStatus::Warning, 5, 0),
            status(DqStatus::Skipped, 1, 0),
        ] {
            assert_invalid(layer.quality.record(wrong).await, "overall_status");
        }
        let failure = FailedExpectation {
            expectation: "e".to_owned(),
            column: None,
            evaluated_values: Some(1),
            unexpected_values: Some(2),
            message: None,
        };
        let told = |failures| NewDataQualityReport { failed_expectations: failures, ..report(1, 1, NOON) };
        assert_invalid(layer.quality.record(told(vec![failure.clone()])).await, "failed_expectations");
        let fine = FailedExpectation { unexpected_values: Some(1), ..failure };
        assert_invalid(layer.quality.record(told(vec![fine.clone(), fine])).await, "failed_expectations");
        for duration in [f64::NAN, f64::INFINITY, -1.0] {
            let wrong = NewDataQualityReport { duration_seconds: Some(duration), ..report(1, 0, NOON) };
            assert_invalid(layer.quality.record(wrong).await, "duration_seconds");
        }
        assert_invalid(layer.quality.record(report(u32::MAX, u32::MAX, NOON)).await, "expectations_passed");
    })
    .await;
}

#[tokio::test]
async fn what_is_not_known_is_no_pass() {
    on_both(async |layer| {
        let strict = GatePolicy::default();
        assert_eq!(gate(&layer, strict).await, GateDecision::Shut(GateReason::NoReport));
        let made = layer.quality.record(report(3, 0, "2024-01-01T01:00:00Z")).await.unwrap();
        assert_eq!(gate(&layer, strict).await, GateDecision::Open(made.id));
        let undecided = NewDataQualityReport { overall_status: None, ..report(3, 0, "2024-01-01T02:00:00Z") };
        layer.quality.record(undecided).await.unwrap();
        assert_eq!(gate(&layer, strict).await, GateDecision::Shut(GateReason::NoStatus));
        layer.quality.record(report(0, 0, "2024-01-01T03:00:00Z")).await.unwrap();
        assert_eq!(gate(&layer, strict).await, GateDecision::Shut(GateReason::NothingEvaluated));
        layer.quality.record(report(9, 1, "2024-01-01T04:00:00Z")).await.unwrap();
        assert_eq!(gate(&layer, strict).await, GateDecision::Shut(GateReason::Status(DqStatus::Failed)));
        let lenient = strict.accepting_warnings(0.9).unwrap();
        assert_eq!(gate(&layer, lenient).await, GateDecision::Shut(GateReason::Status(DqStatus::Failed)));
        let warning = NewDataQualityReport {
            overall_status: Some(DqStatus::Warning),
            ..report(9, 1, "2024-01-01T05:00:00Z")
        };
        let made = layer.quality.record(warning).await.unwrap();
        assert_eq!(gate(&layer, strict).await, GateDecision::Shut(GateReason::Status(DqStatus::Warning)));
        assert_eq!(gate(&layer, lenient).await, GateDecision::Open(made.id));
        let stricter = strict.accepting_warnings(0.95).unwrap();
        let low = GateReason::TooLow { success_rate: 0.9, success_rate_min: 0.95 };
        assert_eq!(gate(&layer, stricter).await, GateDecision::Shut(low));
        let old = lenient.with_age_max(TimeDelta::hours(6)).unwrap();
        let reason = GateReason::TooOld { run_at: time("2024-01-01T05:00:00Z") };
        assert_eq!(gate(&layer, old).await, GateDecision::Shut(reason));
        assert!(gate(&layer, lenient.with_age_max(TimeDelta::hours(7)).unwrap()).await.is_open());
        // An older report that comes later does not open it again.
        layer.quality.record(report(9, 1, "2024-01-01T06:00:00Z")).await.unwrap();
        layer.quality.record(report(9, 0, "2024-01-01T00:30:00Z")).await.unwrap();
        assert!(!gate(&layer, strict).await.is_open());
    })
    .await;
}

#[tokio::test]
async fn a_gate_looks_at_its_own_table_suite_and_split() {
    on_both(async |layer| {
        let split = |split, passed, failed, run_at: &str| NewDataQualityReport {
            data_split: split,
            ..report(passed, failed, run_at)
        };
        let train = layer.quality.record(split(DataSplit::Train, 2, 0, "2024-01-01T01:00:00Z")).await.unwrap();
        let test = layer.quality.record(split(DataSplit::Test, 1, 1, "2024-01-01T02:00:00Z")).await.unwrap();
        layer
            .quality
            .record(NewDataQualityReport { table_name: "order_".to_owned(), ..report(2, 0, NOON) })
            .await
            .unwrap();
        let latest = async |of| layer.quality.latest("orders", "basics", of).await.unwrap();
        assert_eq!(latest(None).await, Some(test.clone()));
        assert_eq!(latest(Some(DataSplit::Train)).await, Some(train.clone()));
        assert_eq!(latest(Some(DataSplit::Holdout)).await, None);
        let listed = pages(async |request| layer.quality.list("orders", "basics", request).await).await;
        assert_eq!(listed, [test, train]);
        assert_invalid(layer.quality.list("", "basics", PageRequest::first(1)).await, "table_name");
        assert_invalid(layer.quality.latest("orders", "\0", None).await, "expectation_suite_name");
        let (of, policy) = (Some(DataSplit::Train), GatePolicy::default());
        let train_gate = layer.quality.gate("orders", "basics", of, policy, time(NOON));
        assert!(train_gate.await.unwrap().is_open());
    })
    .await;
}
