//! The suite `latency`: how long explanations take, once their answers are known to be right.
//!
//! A measurement fails on wrong answers only; how fast is fast enough is for a comparison of two runs to say.

use std::sync::Arc;

use crate::case;
use crate::case::{Case, CaseError, CaseResult};
use crate::context::CaseContext;
use crate::event::LatencyRecord;
use crate::suite::{Batch, PlannedCase, Suite};
use crate::suites::explanations::{ModelLoader, Reference};
use crate::workload::{Workload, WorkloadError};

/// The subject of one case: an explainer, and what it has to do.
#[derive(Clone)]
pub struct LatencySubject {
    /// Where the measurement goes.
    pub context: CaseContext,
    /// The explainer under test.
    pub loader: Arc<dyn ModelLoader>,
    /// The workload.
    pub workload: Workload,
}

/// Every case.
pub const CASES: &[Case<LatencySubject>] =
    &[case!(right_answers_are_timed, "latency of batches whose answers were verified first")];

async fn right_answers_are_timed(subject: LatencySubject) -> CaseResult {
    let LatencySubject { context, loader, workload } = subject;
    let prepared = workload.prepare(&*loader).map_err(|error| match error {
        WorkloadError::Answers(finding) => CaseError::failed(finding),
        defect => CaseError::harness(defect),
    })?;
    let measurement = prepared
        .measure()
        .map_err(|error| CaseError::failed(format!("explain: {}", crate::error_chain(&error))))?;
    let microseconds = |quantile| {
        #[expect(clippy::cast_precision_loss, reason = "the histogram has three digits")]
        let nanoseconds = measurement.batch_ns.value_at_quantile(quantile) as f64;
        nanoseconds / 1000.0
    };
    context.measured(LatencyRecord {
        id: context.id().clone(),
        workload: workload.name(),
        model: workload.fixture.name.to_owned(),
        batch_rows: workload.batch_rows.get(),
        workers: workload.workers.get(),
        iterations: measurement.batch_ns.len(),
        p50_us: microseconds(0.50),
        p95_us: microseconds(0.95),
        p99_us: microseconds(0.99),
        max_us: microseconds(1.0),
        rows_per_second: measurement.rows_per_second,
    });
    Ok(())
}

/// The suite with the reference engine as its subject, once for each workload.
#[derive(Debug, Clone, Copy)]
pub struct LatencySuite;

impl Suite for LatencySuite {
    fn name(&self) -> &'static str {
        "latency"
    }

    fn plan(&self) -> Vec<PlannedCase> {
        // A unit test keeps the embedded definitions sound.
        let workloads = Workload::all().unwrap_or_default();
        let cases = workloads.iter().flat_map(|workload| CASES.iter().map(move |case| (workload, case)));
        cases
            .map(|(workload, case)| {
                let subject = workload.clone();
                PlannedCase::new(self, &workload.name(), case, Batch::Latency, &[], move |context| {
                    let (loader, workload) = (Arc::new(Reference), subject.clone());
                    Box::pin(async move { Ok::<_, CaseError>(LatencySubject { context, loader, workload }) })
                })
            })
            .collect()
    }
}
