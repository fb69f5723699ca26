//! Sums of trees.

use super::error::ModelError;
use super::link::Link;
use super::test::narrow;
use super::tree::Tree;

/// Which values of a feature are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// NaN. A library for which it is not missing, but stands for zero, has it go where zero goes.
    Nan,
    /// NaN, and everything between -1e-35 and 1e-35: LightGBM's `zero_as_missing`.
    NanOrZero,
}

impl Missing {
    /// The value in the form that [`Split::goes_left`](super::Split::goes_left) wants: NaN if it is missing.
    #[must_use]
    pub fn normalised(self, value: f64) -> f64 {
        // LightGBM's constant is a 32-bit float.
        const ZERO: f64 = 1e-35_f32 as f64;
        match self {
            Self::NanOrZero if value.abs() <= ZERO => f64::NAN,
            Self::Nan | Self::NanOrZero => value,
        }
    }
}

/// In what precision, and from where on, the model's library sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Summation {
    /// In 32 bits, from the base margin on: XGBoost.
    Single,
    /// In 32 bits, from zero on, and the base margin at the end: ONNX runtimes.
    SingleBaseLast,
    /// In 64 bits.
    Double,
}

/// A sum of trees, with one or more outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeEnsemble {
    pub(super) trees: Vec<Tree>,
    pub(super) feature_count: usize,
    pub(super) feature_names: Vec<String>,
    /// For each output.
    pub(super) base_margins: Vec<f64>,
    pub(super) objective: String,
    pub(super) link: Link,
    /// For each feature; empty if NaN alone is missing.
    pub(super) missing: Vec<Missing>,
    pub(super) summation: Summation,
    pub(super) has_covers: bool,
    /// For each iteration the number of trees up to its end; empty if the trees cannot be taken apart.
    pub(super) iteration_ends: Vec<usize>,
    pub(super) best_iteration: Option<usize>,
}

impl TreeEnsemble {
    /// The trees, in the order in which they were trained.
    #[must_use]
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

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
        self.base_margins.len()
    }

    /// What every row's margins begin with, for each output.
    #[must_use]
    pub fn base_margins(&self) -> &[f64] {
        &self.base_margins
    }

    /// The name of the training objective.
    #[must_use]
    pub fn objective(&self) -> &str {
        &self.objective
    }

    /// How margins relate to predictions.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// Which values of a feature are missing.
    #[must_use]
    pub fn missing(&self, feature: usize) -> Missing {
        self.missing.get(feature).copied().unwrap_or(Missing::Nan)
    }

    /// Whether NaN alone is missing, for every feature: values need not be normalised then.
    #[must_use]
    pub fn only_nan_is_missing(&self) -> bool {
        self.missing.iter().all(|missing| *missing == Missing::Nan)
    }

    /// Whether the nodes' covers are known. Formats without them (ONNX) leave path-dependent explanations undefined.
    #[must_use]
    pub fn has_covers(&self) -> bool {
        self.has_covers
    }

    /// How many iterations of training there were; none if the format does not tell, or the trees are an average.
    #[must_use]
    pub fn iteration_count(&self) -> Option<usize> {
        (!self.iteration_ends.is_empty()).then_some(self.iteration_ends.len())
    }

    /// The iteration that early stopping found best, from 0 on. XGBoost's `Booster.predict` uses all iterations, its
    /// scikit-learn interface those up to this one.
    #[must_use]
    pub fn best_iteration(&self) -> Option<usize> {
        self.best_iteration
    }

    /// The model of the first iterations only.
    ///
    /// # Errors
    /// [`ModelError::Iterations`] when there are fewer, or the model has none.
    pub fn first_iterations(mut self, count: usize) -> Result<Self, ModelError> {
        let found = self.iteration_ends.len();
        let ends = self.iteration_ends.get(..count).ok_or(ModelError::Iterations { wanted: count, found })?;
        self.trees.truncate(ends.last().copied().unwrap_or(0));
        self.iteration_ends.truncate(count);
        self.best_iteration = self.best_iteration.filter(|best| *best < count);
        Ok(self)
    }

    /// The margins of a row of [`feature_count`](Self::feature_count) values, one for each output, summed in 64-bit
    /// floats.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn margins(&self, row: &[f64]) -> Vec<f64> {
        let mut sums = self.base_margins.clone();
        self.each_value(row, |output, value| sums[output] += value);
        sums
    }

    /// The margins as the model's library computes them: where it sums in 32-bit floats they are equal to its margins to
    /// the last bit. The values of 32-bit floats are in 64-bit floats here.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn library_margins(&self, row: &[f64]) -> Vec<f64> {
        let base = self.base_margins.iter().map(|base| narrow(*base));
        let mut sums: Vec<f32> = match self.summation {
            Summation::Double => return self.margins(row),
            Summation::Single => base.clone().collect(),
            Summation::SingleBaseLast => vec![0.0; self.output_count()],
        };
        self.each_value(row, |output, value| sums[output] += narrow(value));
        if self.summation == Summation::SingleBaseLast {
            sums.iter_mut().zip(base).for_each(|(sum, base)| *sum += base);
        }
        sums.into_iter().map(f64::from).collect()
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

    /// Calls for every tree and each of its outputs, in order, with what it adds.
    fn each_value(&self, row: &[f64], mut add: impl FnMut(usize, f64)) {
        let normalised: Vec<f64>;
        let row = if self.only_nan_is_missing() {
            row
        } else {
            let values = row.iter().enumerate();
            normalised = values.map(|(feature, value)| self.missing(feature).normalised(*value)).collect();
            &normalised
        };
        for tree in &self.trees {
            for (output, value) in tree.outputs().zip(tree.values_of(row)) {
                add(output, *value);
            }
        }
    }

    /// Checks what holds for every ensemble: features and outputs are in range.
    pub(super) fn checked(self) -> Result<Self, ModelError> {
        for (index, tree) in self.trees.iter().enumerate() {
            if let Some(feature) = tree.last_feature().filter(|last| *last as usize >= self.feature_count) {
                let expected = format!("a feature index below {}", self.feature_count);
                return Err(ModelError::invalid(format!("tree {index}"), expected, feature));
            }
            if tree.outputs().end > self.output_count() {
                let expected = format!("outputs below {}", self.output_count());
                return Err(ModelError::invalid(format!("tree {index}"), expected, tree.outputs().end - 1));
            }
        }
        if !self.feature_names.is_empty() && self.feature_names.len() != self.feature_count {
            let expected = format!("{}, one for each feature", self.feature_count);
            return Err(ModelError::invalid("names of features", expected, self.feature_names.len()));
        }
        if let Some(base) = self.base_margins.iter().find(|base| !base.is_finite()) {
            return Err(ModelError::invalid("base margin", "a finite number", base));
        }
        Ok(self)
    }
}
