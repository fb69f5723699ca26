//! What an explainer returns.

use super::RowError;

/// The explanation of a batch: `output = base value + sum of the values` for every explained row and each output.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    base_values: Vec<f64>,
    rows: Vec<Result<Attribution, RowError>>,
}

impl Explanation {
    /// Puts an explanation of one output together.
    #[must_use]
    pub fn new(base_value: f64, rows: Vec<Result<Attribution, RowError>>) -> Self {
        Self { base_values: vec![base_value], rows }
    }

    /// Puts an explanation of several outputs together.
    #[must_use]
    pub fn of_outputs(base_values: Vec<f64>, rows: Vec<Result<Attribution, RowError>>) -> Self {
        Self { base_values, rows }
    }

    /// The expected output: what is explained when no feature is known. On the margin's scale unless the explainer was
    /// asked for another. Of several outputs it is the first.
    #[must_use]
    pub fn base_value(&self) -> f64 {
        self.base_values.first().copied().unwrap_or(f64::NAN)
    }

    /// The expected outputs.
    #[must_use]
    pub fn base_values(&self) -> &[f64] {
        &self.base_values
    }

    /// One result for each row of the batch, in its order.
    pub fn rows(&self) -> &[Result<Attribution, RowError>] {
        &self.rows
    }

    /// The results by value.
    pub fn into_rows(self) -> Vec<Result<Attribution, RowError>> {
        self.rows
    }
}

/// The explanation of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    values: Box<[f64]>,
    outputs: Outputs,
    interactions: Option<Box<[f64]>>,
    standard_errors: Option<Box<[f64]>>,
}

/// The common case of one output costs no allocation.
#[derive(Debug, Clone, PartialEq)]
enum Outputs {
    One([f64; 1]),
    Several(Box<[f64]>),
}

impl Attribution {
    /// Puts the explanation of one row and one output together.
    #[must_use]
    pub fn new(values: Box<[f64]>, output: f64) -> Self {
        Self { values, outputs: Outputs::One([output]), interactions: None, standard_errors: None }
    }

    /// Puts the explanation of one row together: of `outputs.len()` values for each feature.
    #[must_use]
    pub fn of_outputs(values: Box<[f64]>, outputs: &[f64]) -> Self {
        let outputs = match outputs {
            [output] => Outputs::One([*output]),
            several => Outputs::Several(several.into()),
        };
        Self { values, outputs, interactions: None, standard_errors: None }
    }

    /// Adds the pairwise interactions, see [`interactions`](Self::interactions).
    #[must_use]
    pub fn with_interactions(self, interactions: Box<[f64]>) -> Self {
        Self { interactions: Some(interactions), ..self }
    }

    /// Adds the standard errors of the values.
    #[must_use]
    pub fn with_standard_errors(self, errors: Box<[f64]>) -> Self {
        Self { standard_errors: Some(errors), ..self }
    }

    /// The standard errors of the values, if these are estimates.
    #[must_use]
    pub fn standard_errors(&self) -> Option<&[f64]> {
        self.standard_errors.as_deref()
    }

    /// The SHAP values: one for each feature, and of several outputs one for each output of the first feature, then of
    /// the second, and so on, as in shap's shape (features, outputs).
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The values of one output.
    ///
    /// # Panics
    /// When there is no such output.
    pub fn values_of(&self, output: usize) -> impl ExactSizeIterator<Item = f64> {
        let outputs = self.outputs().len();
        assert!(output < outputs, "expected an output below {outputs}, found {output}");
        self.values[output.min(self.values.len())..].iter().copied().step_by(outputs)
    }

    /// The model's output for the row, computed on its own: not from the values. Of several outputs it is the first.
    #[must_use]
    pub fn output(&self) -> f64 {
        self.outputs().first().copied().unwrap_or(f64::NAN)
    }

    /// The model's outputs for the row.
    #[must_use]
    pub fn outputs(&self) -> &[f64] {
        match &self.outputs {
            Outputs::One(output) => output,
            Outputs::Several(outputs) => outputs,
        }
    }

    /// The pairwise interactions, if they were asked for: in the shape (features, features, outputs), symmetric, each
    /// row of features adding up to the feature's SHAP value. The diagonal has the main effects.
    #[must_use]
    pub fn interactions(&self) -> Option<&[f64]> {
        self.interactions.as_deref()
    }
}
