//! What the suite is run against: anything that loads a model file and explains rows.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use proofmark::explain::{Attribution, Batch, Budget, Explainer, Explanation, TreeExplainer};
use proofmark::model::Model;

use crate::oracle::Exact;

/// Loads models for an explainer.
pub trait ModelLoader: Send + Sync {
    /// An explainer for a model file's content.
    ///
    /// # Errors
    /// When the file is not a model that can be explained exactly.
    fn load(&self, model: &[u8]) -> Result<Arc<dyn Explainer>, LoadError>;
}

/// Why a model was not loaded.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// The reference engine.
#[derive(Debug, Clone, Copy)]
pub struct Reference;

impl ModelLoader for Reference {
    fn load(&self, model: &[u8]) -> Result<Arc<dyn Explainer>, LoadError> {
        match Model::from_bytes(model)? {
            Model::Trees(trees) => Ok(Arc::new(TreeExplainer::new(trees)?)),
            other => Err(format!("expected a tree ensemble, found {other:?}").into()),
        }
    }
}

/// The subject of one case.
#[derive(Clone)]
pub struct ExplanationSubject {
    /// The explainer under test.
    pub loader: Arc<dyn ModelLoader>,
    /// The seed of generated data.
    pub seed: u64,
}

/// What is wrong, in one line; the form that properties take.
pub(super) type Finding<T = ()> = Result<T, String>;

impl ExplanationSubject {
    /// Loads a sound model.
    pub(super) fn load(&self, model: &[u8]) -> Finding<Arc<dyn Explainer>> {
        self.loader.load(model).map_err(|error| {
            format!("load: expected a sound model to be accepted, found: {}", crate::error_chain(&*error))
        })
    }
}

/// A budget that no case exhausts by accident.
pub(super) fn ample() -> Budget {
    Budget { workers: NonZeroUsize::MIN, memory_bytes: 1 << 30, time_limit: Duration::from_secs(600) }
}

/// Explains rows and checks that there is one result for each.
pub(super) fn explain<R: AsRef<[f64]>>(
    explainer: &dyn Explainer,
    rows: &[R],
    budget: &Budget,
) -> Finding<Explanation> {
    let explanation = explainer
        .explain(&Batch::from_rows(rows), budget)
        .map_err(|error| format!("explain: expected an explanation, found: {}", crate::error_chain(&error)))?;
    let found = explanation.rows().len();
    if found == rows.len() {
        Ok(explanation)
    } else {
        Err(format!("explain: expected {} results, one for each row, found {found}", rows.len()))
    }
}

/// The explanation of a sound row: present, of the right width, and of numbers.
pub(super) fn attribution<'a>(
    explainer: &dyn Explainer,
    explanation: &'a Explanation,
    row: usize,
) -> Finding<&'a Attribution> {
    let attribution = explanation.rows()[row]
        .as_ref()
        .map_err(|error| format!("row {row}: expected an explanation, found the error: {error}"))?;
    let (expected, found) = (explainer.feature_count(), attribution.values().len());
    if expected != found {
        return Err(format!("row {row}: expected {expected} values, one for each feature, found {found}"));
    }
    if let Some(feature) = attribution.values().iter().position(|value| !value.is_finite()) {
        let value = attribution.values()[feature];
        return Err(format!("row {row}, feature {feature}: expected a finite SHAP value, found {value}"));
    }
    if !explanation.base_value().is_finite() {
        return Err(format!("expected a finite base value, found {}", explanation.base_value()));
    }
    Ok(attribution)
}

/// Whether base value and values add up to the output, within a tolerance relative to the sizes of the terms.
pub(super) fn adds_up(
    row: usize,
    explanation: &Explanation,
    attribution: &Attribution,
    tolerance: f64,
) -> Finding {
    let base = explanation.base_value();
    let total = base + attribution.values().iter().sum::<f64>();
    let scale = base.abs() + attribution.values().iter().map(|value| value.abs()).sum::<f64>();
    close(total, attribution.output(), scale, tolerance)
        .map_err(|difference| format!("row {row}: local accuracy: base value + sum of the values: {difference}"))
}

/// Compares one explained row with what it must be; the tolerance is relative to `scale`.
pub(super) fn compare(
    row: usize,
    explanation: &Explanation,
    attribution: &Attribution,
    exact: &Exact,
    scale: f64,
    tolerance: f64,
) -> Finding {
    close(attribution.output(), exact.output, scale, tolerance)
        .map_err(|difference| format!("row {row}: output: {difference}"))?;
    close(explanation.base_value(), exact.base_value, scale, tolerance)
        .map_err(|difference| format!("row {row}: base value: {difference}"))?;
    values_agree(row, attribution.values(), &exact.values, scale, tolerance)
}

/// Compares the SHAP values of a row with what they must be.
pub(super) fn values_agree(row: usize, found: &[f64], expected: &[f64], scale: f64, tolerance: f64) -> Finding {
    found.iter().zip(expected).enumerate().try_for_each(|(feature, (found, expected))| {
        close(*found, *expected, scale, tolerance)
            .map_err(|difference| format!("row {row}, feature {feature}: SHAP value: {difference}"))
    })
}

/// Compares two numbers; a NaN is close to nothing.
pub(super) fn close(found: f64, expected: f64, scale: f64, tolerance: f64) -> Finding {
    let allowed = tolerance * scale;
    if (found - expected).abs() <= allowed {
        Ok(())
    } else {
        Err(format!("expected {expected} within {allowed:.1e}, found {found}"))
    }
}
