//! The suite `explanations`: SHAP values of tree ensembles, on real models and on generated ones.
//!
//! Tolerances. Everything that the oracle or a closed form says is compared within 1e-12 of the sizes of the terms:
//! both sides compute in 64-bit floats. Goldens of other libraries have tolerances of their own, see [`goldens`].

mod accuracy;
mod batches;
mod edges;
pub(crate) mod goldens;
mod models;
mod subject;

use std::sync::Arc;

pub use subject::{ExplanationSubject, LoadError, ModelLoader, Reference};

use crate::case;
use crate::case::{Capability, Case, CaseError, CaseResult};
use crate::suite::{Batch, PlannedCase, Suite};

/// The tolerance against the oracle and against closed forms, relative to the sizes of the terms.
const EXACT: f64 = 1e-12;

/// Makes the `async` case of a function that keeps a processor busy: a case has its thread to itself.
macro_rules! cases {
    ($($module:ident::$function:ident),* $(,)?) => {
        $(async fn $function(subject: ExplanationSubject) -> CaseResult {
            $module::$function(&subject)
        })*
    };
}

cases![
    accuracy::values_add_up_to_the_output,
    accuracy::values_equal_brute_force_shapley,
    accuracy::unused_features_get_zero,
    accuracy::wide_models_are_exact,
    accuracy::long_paths_stay_exact,
    goldens::margins_equal_the_librarys,
    goldens::values_equal_the_librarys,
    goldens::values_equal_shaps,
    edges::missing_values_take_their_direction,
    edges::infinities_are_ordered_values,
    edges::thresholds_compare_in_32_bits,
    edges::uncovered_nodes_stay_finite,
    batches::an_empty_batch_is_no_error,
    batches::bad_rows_do_not_lose_the_batch,
    batches::an_expired_deadline_gives_no_numbers,
    batches::a_deadline_ends_a_long_batch,
    batches::workers_do_not_change_a_bit,
    batches::too_little_memory_is_refused,
    models::bad_models_are_refused,
    models::damaged_files_never_panic,
    models::base_scores_are_read_in_all_forms,
    models::models_without_splits_explain_nothing,
];

/// Every case.
pub const CASES: &[Case<ExplanationSubject>] = &[
    case!(values_add_up_to_the_output, "local accuracy on real models"),
    case!(values_equal_brute_force_shapley, "equality with brute-force Shapley values"),
    case!(unused_features_get_zero, "zero for unused features"),
    case!(wide_models_are_exact, "100 to 300 features"),
    case!(long_paths_stay_exact, "paths with up to 100 features"),
    case!(margins_equal_the_librarys, "margins as XGBoost computes them"),
    case!(values_equal_the_librarys, "parity with XGBoost's contributions"),
    case!(values_equal_shaps, "parity with shap's contributions"),
    case!(missing_values_take_their_direction, "NaN as a missing value"),
    case!(infinities_are_ordered_values, "infinities"),
    case!(thresholds_compare_in_32_bits, "32-bit thresholds"),
    case!(uncovered_nodes_stay_finite, "nodes without cover"),
    case!(an_empty_batch_is_no_error, "an empty batch"),
    case!(
        bad_rows_do_not_lose_the_batch,
        "rows of a wrong width among good ones",
        requires: [Capability::PartialFailure]
    ),
    case!(
        an_expired_deadline_gives_no_numbers,
        "no numbers after the deadline",
        requires: [Capability::TimeLimit, Capability::PartialFailure]
    ),
    case!(
        a_deadline_ends_a_long_batch,
        "a deadline in the middle of a batch",
        requires: [Capability::TimeLimit, Capability::PartialFailure]
    ),
    case!(
        workers_do_not_change_a_bit,
        "the same bits for any number of workers and any split",
        requires: [Capability::Workers]
    ),
    case!(too_little_memory_is_refused, "a memory budget that does not suffice"),
    case!(bad_models_are_refused, "damaged and unsupported model files"),
    case!(damaged_files_never_panic, "randomly damaged model files"),
    case!(base_scores_are_read_in_all_forms, "base scores of XGBoost 2 and 3"),
    case!(models_without_splits_explain_nothing, "models without splits"),
];

/// The suite with the reference engine as its subject.
#[derive(Debug, Clone, Copy)]
pub struct ExplanationSuite;

impl Suite for ExplanationSuite {
    fn name(&self) -> &'static str {
        "explanations"
    }

    fn plan(&self) -> Vec<PlannedCase> {
        let has = [Capability::TimeLimit, Capability::Workers, Capability::PartialFailure];
        CASES
            .iter()
            .map(|case| {
                PlannedCase::new(self, "tree-path-dependent", case, Batch::Compute, &has, |context| {
                    Box::pin(async move {
                        let loader = Arc::new(Reference);
                        Ok::<_, CaseError>(ExplanationSubject { loader, seed: context.seed() })
                    })
                })
            })
            .collect()
    }
}
