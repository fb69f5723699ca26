//! Faulty explainers: the reference engine with one fault each, as they have been seen in real ones.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use proofmark::explain::{
    Attribution, Batch, Budget, Capabilities, ExplainError, Explainer, Explanation, RowError,
};
use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::explanations::{ExplanationSubject, LoadError, ModelLoader, Reference};
use serde_json::Value;

type Load = fn(&[u8]) -> Result<Arc<dyn Explainer>, LoadError>;
type Explain = fn(&dyn Explainer, &Batch, &Budget) -> Result<Explanation, ExplainError>;

/// The reference engine with other steps before and after it.
pub(crate) struct Faulty {
    load: Load,
    explain: Explain,
}

const SOUND: Faulty = Faulty {
    load: |model| Reference.load(model),
    explain: |explainer, batch, budget| explainer.explain(batch, budget),
};

/// Gives every feature the value of another: sums are right, values are not.
pub(crate) const REVERSED: Faulty = Faulty {
    explain: |explainer, batch, budget| {
        let explanation = explainer.explain(batch, budget)?;
        Ok(alter(&explanation, |_, values| values.reverse()))
    },
    ..SOUND
};

impl ModelLoader for Faulty {
    fn load(&self, model: &[u8]) -> Result<Arc<dyn Explainer>, LoadError> {
        Ok(Arc::new(FaultyExplainer { inner: (self.load)(model)?, explain: self.explain }))
    }
}

struct FaultyExplainer {
    inner: Arc<dyn Explainer>,
    explain: Explain,
}

impl Explainer for FaultyExplainer {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn feature_count(&self) -> usize {
        self.inner.feature_count()
    }

    fn explain(&self, batch: &Batch, budget: &Budget) -> Result<Explanation, ExplainError> {
        (self.explain)(&*self.inner, batch, budget)
    }
}

/// The explanation with other values; the function gets the base value too.
fn alter(explanation: &Explanation, change: impl Fn(f64, &mut [f64])) -> Explanation {
    let base = explanation.base_value();
    let rows = explanation.rows().iter().map(|row| {
        row.as_ref().map_err(Clone::clone).map(|row| {
            let mut values: Box<[f64]> = row.values().into();
            change(base, &mut values);
            Attribution::new(values, row.output())
        })
    });
    Explanation::new(base, rows.collect())
}

/// The batch with other values.
fn change_values(batch: &Batch, change: impl Fn(f64) -> f64) -> Batch {
    Batch::from_rows(batch.rows().map(|row| row.iter().map(|value| change(*value)).collect::<Vec<_>>()))
}

#[expect(clippy::cast_possible_truncation, reason = "the rounding is what is wanted")]
fn round_down_to_32_bits(value: f64) -> f64 {
    let nearest = value as f32;
    f64::from(if f64::from(nearest) > value { nearest.next_down() } else { nearest })
}

/// The model file with something else in it.
fn edit(model: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    match serde_json::from_slice(model) {
        Ok(mut json) => {
            change(&mut json);
            serde_json::to_vec(&json).unwrap()
        }
        Err(_) => model.to_vec(),
    }
}

macro_rules! mutant {
    ($case:literal, $name:literal, $says:literal, { $($field:ident: $fault:expr),+ }) => {
        Mutant {
            case: $case,
            name: $name,
            says: $says,
            subject: |context| {
                Box::pin(async move {
                    let loader = Arc::new(Faulty { $($field: $fault,)+ ..SOUND });
                    Ok(ExplanationSubject { loader, seed: context.seed() })
                })
            },
        }
    };
}

pub(crate) const MUTANTS: &[Mutant<ExplanationSubject>] = &[
    mutant!("values_add_up_to_the_output", "loses_the_largest_value", "local accuracy", {
        explain: |explainer, batch, budget| {
            Ok(alter(&explainer.explain(batch, budget)?, |_, values| {
                if let Some(largest) = values.iter_mut().max_by(|a, b| a.abs().total_cmp(&b.abs())) {
                    *largest = 0.0;
                }
            }))
        }
    }),
    mutant!("values_equal_brute_force_shapley", "swaps_features", "SHAP value", { explain: REVERSED.explain }),
    mutant!("values_equal_brute_force_shapley", "adds_a_constant_to_the_base_value", "base value", {
        explain: |explainer, batch, budget| {
            let explanation = explainer.explain(batch, budget)?;
            Ok(Explanation::new(explanation.base_value() + 1e-6, explanation.into_rows()))
        }
    }),
    mutant!("unused_features_get_zero", "spreads_a_residue", "unused feature", {
        explain: |explainer, batch, budget| {
            Ok(alter(&explainer.explain(batch, budget)?, |_, values| values.iter_mut().for_each(|v| *v += 1e-15)))
        }
    }),
    mutant!("wide_models_are_exact", "stops_at_100_features", "SHAP value", {
        explain: |explainer, batch, budget| {
            Ok(alter(&explainer.explain(batch, budget)?, |_, values| values.iter_mut().skip(100).for_each(|v| *v = 0.0)))
        }
    }),
    // The size of the error is that of quadrature with 8 points on 16 conditions.
    mutant!("long_paths_stay_exact", "integrates_with_too_few_points", "chain of", {
        explain: |explainer, batch, budget| {
            Ok(alter(&explainer.explain(batch, budget)?, |_, values| {
                let error = if values.len() > 8 { 4e-4 } else { 0.0 };
                values.iter_mut().for_each(|v| *v *= 1.0 + error);
            }))
        }
    }),
    mutant!("margins_equal_the_librarys", "answers_probabilities", "output", {
        explain: |explainer, batch, budget| {
            let explanation = explainer.explain(batch, budget)?;
            let probability = |row: Result<Attribution, RowError>| {
                row.map(|row| Attribution::new(row.values().into(), 1.0 / (1.0 + (-row.output()).exp())))
            };
            let base = explanation.base_value();
            Ok(Explanation::new(base, explanation.into_rows().into_iter().map(probability).collect()))
        }
    }),
    mutant!("values_equal_the_librarys", "swaps_features", "SHAP value", { explain: REVERSED.explain }),
    mutant!("values_equal_shaps", "has_the_base_value_of_another_background", "base value", {
        explain: |explainer, batch, budget| {
            let explanation = explainer.explain(batch, budget)?;
            Ok(Explanation::new(explanation.base_value() * 1.001 + 0.001, explanation.into_rows()))
        }
    }),
    mutant!("missing_values_take_their_direction", "takes_missing_for_zero", "row", {
        explain: |explainer, batch, budget| {
            explainer.explain(&change_values(batch, |value| if value.is_nan() { 0.0 } else { value }), budget)
        }
    }),
    mutant!("infinities_are_ordered_values", "refuses_infinities", "input contains inf", {
        explain: |explainer, batch, budget| {
            if batch.rows().flatten().any(|value| value.is_infinite()) {
                return Err(ExplainError::Other("input contains inf".to_owned()));
            }
            explainer.explain(batch, budget)
        }
    }),
    mutant!("infinities_are_ordered_values", "takes_infinity_for_missing", "row", {
        explain: |explainer, batch, budget| {
            explainer.explain(&change_values(batch, |value| if value.is_infinite() { f64::NAN } else { value }), budget)
        }
    }),
    // The largest 32-bit float that is not above a value is below a threshold exactly if the value is.
    mutant!("thresholds_compare_in_32_bits", "compares_in_64_bits", "row", {
        explain: |explainer, batch, budget| {
            explainer.explain(&change_values(batch, round_down_to_32_bits), budget)
        }
    }),
    mutant!("uncovered_nodes_stay_finite", "divides_by_zero_cover", "expected a finite", {
        load: |model| {
            let text = String::from_utf8_lossy(model);
            let json: Value = serde_json::from_str(&text)?;
            let trees = &json["learner"]["gradient_booster"]["model"]["trees"];
            let covers = trees.as_array().into_iter().flatten().flat_map(|tree| tree["sum_hessian"].as_array());
            let uncovered = covers.flatten().any(|cover| cover.as_f64() == Some(0.0));
            let inner = Reference.load(model)?;
            let explain: Explain = if uncovered {
                |explainer, batch, budget| {
                    Ok(alter(&explainer.explain(batch, budget)?, |_, values| values.fill(f64::NAN)))
                }
            } else {
                SOUND.explain
            };
            Ok(Arc::new(FaultyExplainer { inner, explain }))
        }
    }),
    mutant!("an_empty_batch_is_no_error", "wants_a_first_row", "list index out of range", {
        explain: |explainer, batch, budget| {
            if batch.is_empty() {
                return Err(ExplainError::Other("list index out of range".to_owned()));
            }
            explainer.explain(batch, budget)
        }
    }),
    mutant!("bad_rows_do_not_lose_the_batch", "loses_the_whole_batch", "expected an explanation", {
        explain: |explainer, batch, budget| {
            let expected = explainer.feature_count();
            match batch.rows().find(|row| row.len() != expected) {
                Some(row) => Err(ExplainError::Other(format!("expected {expected} columns, found {}", row.len()))),
                None => explainer.explain(batch, budget),
            }
        }
    }),
    mutant!("bad_rows_do_not_lose_the_batch", "pads_and_cuts_rows", "expected the error", {
        explain: |explainer, batch, budget| {
            let rows = batch.rows().map(|row| {
                let mut row = row.to_vec();
                row.resize(explainer.feature_count(), f64::NAN);
                row
            });
            explainer.explain(&Batch::from_rows(rows), budget)
        }
    }),
    mutant!("an_expired_deadline_gives_no_numbers", "answers_zeros", "expected the error", {
        explain: |explainer, batch, budget| {
            let explanation = explainer.explain(batch, budget)?;
            let zeros = || Attribution::new(vec![0.0; explainer.feature_count()].into(), 0.0);
            let base = explanation.base_value();
            let rows = explanation.into_rows().into_iter().map(|row| Ok(row.unwrap_or_else(|_| zeros())));
            Ok(Explanation::new(base, rows.collect()))
        }
    }),
    mutant!("a_deadline_ends_a_long_batch", "takes_its_time", "expected the limit", {
        explain: |explainer, batch, budget| {
            explainer.explain(batch, &Budget { time_limit: Duration::from_secs(600), ..*budget })
        }
    }),
    mutant!("workers_do_not_change_a_bit", "sums_in_another_order", "expected the same bits", {
        explain: |explainer, batch, budget| {
            let explanation = explainer.explain(batch, budget)?;
            if budget.workers == NonZeroUsize::MIN {
                return Ok(explanation);
            }
            Ok(alter(&explanation, |_, values| values.iter_mut().for_each(|value| *value = value.next_up())))
        }
    }),
    mutant!("too_little_memory_is_refused", "takes_what_it_wants", "1000 bytes", {
        explain: |explainer, batch, budget| explainer.explain(batch, &Budget { memory_bytes: u64::MAX, ..*budget })
    }),
    mutant!("bad_models_are_refused", "ignores_the_models_in_leaves", "lightgbm-linear-trees", {
        load: |model| {
            let text = String::from_utf8_lossy(model).replace("is_linear=1", "is_linear=0");
            Reference.load(if model.starts_with(b"tree") { text.as_bytes() } else { model })
        }
    }),
    mutant!("damaged_files_never_panic", "unwraps", "unwrap", {
        load: |model| {
            let _: Value = serde_json::from_slice(model).unwrap();
            Reference.load(model)
        }
    }),
    mutant!("base_scores_are_read_in_all_forms", "takes_a_probability_for_a_margin", "binary:logistic", {
        load: |model| {
            Reference.load(&edit(model, |json| json["learner"]["objective"]["name"] = "reg:squarederror".into()))
        }
    }),
    mutant!("models_without_splits_explain_nothing", "shares_out_the_base_value", "expected 0 without any split", {
        explain: |explainer, batch, budget| {
            Ok(alter(&explainer.explain(batch, budget)?, |base, values| values.fill(base)))
        }
    }),
];
