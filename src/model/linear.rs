//! Linear models.

use super::error::ModelError;
use super::link::Link;
use super::test::narrow;

/// In what precision the model's library sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// In 32 bits, from the intercept on: XGBoost.
    Single,
    /// In 64 bits.
    Double,
}

/// A linear model: each output's margin is an intercept plus the sum of coefficient times value.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearModel {
    /// Output by output.
    pub(super) coefficients: Vec<f64>,
    pub(super) intercepts: Vec<f64>,
    pub(super) feature_count: usize,
    pub(super) feature_names: Vec<String>,
    pub(super) objective: String,
    pub(super) link: Link,
    pub(super) precision: Precision,
    pub(super) missing_is_zero: bool,
}

impl LinearModel {
    /// How many features a row must have.
    #[must_use]
    pub fn feature_count(&self) -> usize {
        self.feature_count
    }

    /// The features' names; empty when the file has none.
    #[must_use]
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// How many outputs there are; at least one.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.intercepts.len()
    }

    /// The coefficients of an output, one for each feature; finite.
    ///
    /// # Panics
    /// When there is no such output.
    #[must_use]
    pub fn coefficients(&self, output: usize) -> &[f64] {
        &self.coefficients[output * self.feature_count..(output + 1) * self.feature_count]
    }

    /// What the outputs' margins begin with; finite.
    #[must_use]
    pub fn intercepts(&self) -> &[f64] {
        &self.intercepts
    }

    /// The name of the training objective, or the kind of model.
    #[must_use]
    pub fn objective(&self) -> &str {
        &self.objective
    }

    /// How margins relate to predictions.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// Whether NaN counts as zero (XGBoost's linear booster); otherwise it makes the margin NaN.
    #[must_use]
    pub fn missing_is_zero(&self) -> bool {
        self.missing_is_zero
    }

    /// The margins of a row of [`feature_count`](Self::feature_count) values, one for each output, summed in 64-bit
    /// floats.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn margins(&self, row: &[f64]) -> Vec<f64> {
        let row = &row[..self.feature_count];
        let margin = |output: usize| {
            let terms = self.coefficients(output).iter().zip(row).map(|(coefficient, value)| {
                if value.is_nan() && self.missing_is_zero { 0.0 } else { coefficient * value }
            });
            terms.fold(self.intercepts[output], |sum, term| sum + term)
        };
        (0..self.output_count()).map(margin).collect()
    }

    /// The margins as the model's library computes them: where it does so in 32-bit floats they are equal to the last
    /// bit, which are in 64-bit floats here.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn library_margins(&self, row: &[f64]) -> Vec<f64> {
        if self.precision == Precision::Double {
            return self.margins(row);
        }
        let row = &row[..self.feature_count];
        let margin = |output: usize| {
            let mut sum = narrow(self.intercepts[output]);
            for (coefficient, value) in self.coefficients(output).iter().zip(row) {
                if !(value.is_nan() && self.missing_is_zero) {
                    sum += narrow(*coefficient) * narrow(*value);
                }
            }
            f64::from(sum)
        };
        (0..self.output_count()).map(margin).collect()
    }

    /// The predictions for a row, one for each output.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn predictions(&self, row: &[f64]) -> Vec<f64> {
        let mut values = self.margins(row);
        self.link.predict(&mut values);
        values
    }

    /// Checks what holds for every linear model.
    pub(super) fn checked(self) -> Result<Self, ModelError> {
        let outputs = self.intercepts.len();
        let coefficients = self.feature_count.saturating_mul(outputs);
        if outputs == 0 || self.coefficients.len() != coefficients {
            let expected = format!("{coefficients}, one for each feature and output, and at least one output");
            return Err(ModelError::invalid("coefficients", expected, self.coefficients.len()));
        }
        if let Some(number) = self.coefficients.iter().chain(&self.intercepts).find(|number| !number.is_finite()) {
            return Err(ModelError::invalid("coefficients and intercepts", "finite numbers", number));
        }
        if !self.feature_names.is_empty() && self.feature_names.len() != self.feature_count {
            let expected = format!("{}, one for each feature", self.feature_count);
            return Err(ModelError::invalid("names of features", expected, self.feature_names.len()));
        }
        Ok(self)
    }
}
