//! Faulty explainers that must not be timed.

use std::sync::Arc;

use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::latency::LatencySubject;
use proofmark_harness::workload::Workload;

use crate::explanations::REVERSED;

pub(crate) const MUTANTS: &[Mutant<LatencySubject>] = &[Mutant {
    case: "right_answers_are_timed",
    name: "fast_and_wrong",
    says: "SHAP value",
    subject: |context| {
        Box::pin(async move {
            let workload = Workload::all().unwrap().remove(0);
            Ok(LatencySubject { context, loader: Arc::new(REVERSED), workload })
        })
    },
}];
