//! Explanations of anything that predicts: interventional SHAP values from evaluations alone.
//!
//! The value of a coalition is the mean prediction over the background rows with the coalition's features taken from the
//! row. [`Sampling::Exact`] evaluates all coalitions. [`Sampling::Permutations`] walks through random orders of the
//! features, each forwards and backwards (paired sampling, Mitchell et al. 2022): base value and values add up exactly
//! whatever the number of orders, and the spread between the orders gives a standard error.

use super::pool::for_each_block;
use super::tree::{Deadline, in_place};
use super::{Attribution, Batch, Budget, Capabilities, ExplainError, Explainer, Explanation, RowError};
use crate::model::TreeEnsemble;

/// The most features whose coalitions are all evaluated.
pub const EXACT_FEATURES_MAX: usize = 16;

/// Something that predicts.
pub trait Predictor: Send + Sync {
    /// How many features a row has.
    fn feature_count(&self) -> usize;

    /// The prediction for a row.
    fn predict(&self, row: &[f64]) -> f64;
}

/// A function of a row, and the number of features.
impl<F: Fn(&[f64]) -> f64 + Send + Sync> Predictor for (usize, F) {
    fn feature_count(&self) -> usize {
        self.0
    }

    fn predict(&self, row: &[f64]) -> f64 {
        (self.1)(row)
    }
}

/// The first margin.
impl Predictor for TreeEnsemble {
    fn feature_count(&self) -> usize {
        self.feature_count()
    }

    fn predict(&self, row: &[f64]) -> f64 {
        self.margins(row).first().copied().unwrap_or(f64::NAN)
    }
}

/// Which coalitions are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sampling {
    /// All.
    Exact,
    /// Those along random orders of the features, each forwards and backwards. All rows see the same orders.
    Permutations {
        /// How many orders; at least two for a standard error.
        pairs: u32,
        /// Where the orders begin.
        seed: u64,
    },
}

impl Sampling {
    /// The choice for a number of features, and its reason.
    #[must_use]
    pub fn for_features(count: usize) -> (Self, &'static str) {
        if count <= 8 {
            (Self::Exact, "all coalitions of so few features take no longer than samples")
        } else {
            (Self::Permutations { pairs: 10, seed: 0 }, "coalitions of so many features are too many")
        }
    }
}

/// Explains predictions by evaluating them.
#[derive(Debug, Clone)]
pub struct AgnosticExplainer<P> {
    predictor: P,
    background: Batch,
    sampling: Sampling,
    base_value: f64,
}

impl<P: Predictor> AgnosticExplainer<P> {
    /// Prepares a predictor with background rows.
    ///
    /// # Errors
    /// [`ExplainError::Background`] when there is no background row or one has the wrong width;
    /// [`ExplainError::TooManyFeatures`] when all coalitions of more than [`EXACT_FEATURES_MAX`] features are wanted;
    /// [`ExplainError::Other`] without an order.
    pub fn new(predictor: P, background: Batch, sampling: Sampling) -> Result<Self, ExplainError> {
        let expected = predictor.feature_count();
        let wrong = background.rows().find(|row| row.len() != expected);
        if background.is_empty() || wrong.is_some() {
            let found = wrong.map_or("no rows".to_owned(), |row| format!("a row of {} values", row.len()));
            return Err(ExplainError::Background { expected, found });
        }
        match sampling {
            Sampling::Exact if expected > EXACT_FEATURES_MAX => {
                return Err(ExplainError::TooManyFeatures { limit: EXACT_FEATURES_MAX, found: expected });
            }
            Sampling::Permutations { pairs: 0, .. } => {
                return Err(ExplainError::Other(
                    "expected at least one order of the features, found none".to_owned(),
                ));
            }
            _ => {}
        }
        let mut explainer = Self { predictor, background, sampling, base_value: 0.0 };
        explainer.base_value = explainer.mean(&vec![0.0; expected], &vec![false; expected]);
        Ok(explainer)
    }

    /// The mean prediction over the background, with some features of the row.
    fn mean(&self, row: &[f64], members: &[bool]) -> f64 {
        let mut mixed = vec![0.0; row.len()];
        let mut sum = 0.0;
        for other in self.background.rows() {
            for (place, mixed) in mixed.iter_mut().enumerate() {
                *mixed = if members[place] { row[place] } else { other[place] };
            }
            sum += self.predictor.predict(&mixed);
        }
        #[expect(clippy::cast_precision_loss, reason = "no batch in memory has 2^53 rows")]
        let count = self.background.len() as f64;
        sum / count
    }

    fn explain_row(&self, row: &[f64], deadline: &Deadline) -> Result<Attribution, RowError> {
        let late = || RowError::TimeLimit { limit: deadline.limit };
        let mut value = |members: &[bool]| {
            if deadline.has_passed() { Err(late()) } else { Ok(self.mean(row, members)) }
        };
        let output = self.predictor.predict(row);
        match self.sampling {
            Sampling::Exact => Ok(Attribution::new(exact(row.len(), &mut value)?, output)),
            Sampling::Permutations { pairs, seed } => {
                let ends = (self.base_value, output);
                let (values, errors) = permutations(row.len(), pairs, seed, ends, &mut value)?;
                let attribution = Attribution::new(values, output);
                Ok(if pairs > 1 { attribution.with_standard_errors(errors) } else { attribution })
            }
        }
    }
}

type Values = Box<[f64]>;
type Value<'a> = &'a mut dyn FnMut(&[bool]) -> Result<f64, RowError>;

/// Shapley values by their definition.
fn exact(features: usize, value: Value<'_>) -> Result<Values, RowError> {
    let mut values = Vec::with_capacity(1 << features);
    for coalition in 0..1_usize << features {
        let members: Vec<bool> = (0..features).map(|feature| coalition >> feature & 1 == 1).collect();
        values.push(value(&members)?);
    }
    // 1 / (n * binomial(n - 1, |S|))
    let mut weights = Vec::with_capacity(features);
    let (mut choices, mut left, mut size) = (1.0, features, 0.0);
    while left > 0 {
        #[expect(clippy::cast_precision_loss, reason = "at most 16")]
        let (all, rest) = (features as f64, (left - 1) as f64);
        weights.push(1.0 / (all * choices));
        size += 1.0;
        choices *= rest / size;
        left -= 1;
    }
    let of = |feature: usize| -> f64 {
        let without = (0..values.len()).filter(|coalition| coalition >> feature & 1 == 0);
        without
            .map(|coalition| {
                weights[coalition.count_ones() as usize] * (values[coalition | 1 << feature] - values[coalition])
            })
            .sum()
    };
    Ok((0..features).map(of).collect())
}

/// The means over random orders and their reverses, and the means' standard errors.
fn permutations(
    features: usize,
    pairs: u32,
    seed: u64,
    (base, output): (f64, f64),
    value: Value<'_>,
) -> Result<(Values, Values), RowError> {
    let mut random = seed;
    let mut order: Vec<usize> = (0..features).collect();
    let mut means = vec![0.0; features];
    let mut squares = vec![0.0; features];
    let mut of_pair = vec![0.0; features];
    for pair in 1..=pairs {
        shuffle(&mut order, &mut random);
        of_pair.fill(0.0);
        for _ in 0..2 {
            let mut members = vec![false; features];
            let mut before = base;
            for (place, feature) in order.iter().enumerate() {
                members[*feature] = true;
                // The last coalition is everybody: it needs no background.
                let after = if place + 1 == features { output } else { value(&members)? };
                of_pair[*feature] += 0.5 * (after - before);
                before = after;
            }
            order.reverse();
        }
        // Welford's recurrence.
        for ((mean, square), value) in means.iter_mut().zip(&mut squares).zip(&of_pair) {
            let difference = value - *mean;
            *mean += difference / f64::from(pair);
            *square += difference * (value - *mean);
        }
    }
    let count = f64::from(pairs);
    let errors = squares.into_iter().map(|square| (square / (count * (count - 1.0))).sqrt()).collect();
    Ok((means.into(), errors))
}

/// Fisher and Yates, with SplitMix64 (Steele et al. 2014).
fn shuffle(order: &mut [usize], random: &mut u64) {
    for end in (2..=order.len()).rev() {
        *random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*random ^ (*random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let place = (mixed ^ (mixed >> 31)) % end as u64;
        order.swap(end - 1, usize::try_from(place).unwrap_or(0));
    }
}

impl<P: Predictor> Explainer for AgnosticExplainer<P> {
    fn capabilities(&self) -> Capabilities {
        Capabilities { time_limit: true, workers: true, partial_failure: true }
    }

    fn feature_count(&self) -> usize {
        self.predictor.feature_count()
    }

    fn explain(&self, batch: &Batch, budget: &Budget) -> Result<Explanation, ExplainError> {
        let deadline = Deadline::after(budget.time_limit);
        let features = self.feature_count();
        let row = 3 * features * size_of::<f64>() + 2 * size_of::<Result<Attribution, RowError>>();
        let coalitions = if self.sampling == Sampling::Exact { 1 << features } else { 0 };
        let worker = (coalitions + 8 * features) * size_of::<f64>();
        let needed =
            batch.len().saturating_mul(row).saturating_add(budget.workers.get().saturating_mul(worker)) as u64;
        if needed > budget.memory_bytes {
            return Err(ExplainError::Memory { needed, budget: budget.memory_bytes, rows: batch.len() });
        }
        let rows = in_place(batch, features, |rows| {
            for_each_block(rows.len(), budget.workers, || |row: usize| self.explain_row(rows[row], &deadline))
        });
        Ok(Explanation::new(self.base_value, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictor() -> impl Predictor {
        (4, |row: &[f64]| row[0] * row[1] + 2.0 * row[2] + row[3].max(row[0]))
    }

    fn background() -> Batch {
        Batch::from_rows([[0.0, 1.0, 2.0, -1.0], [1.0, -1.0, 0.5, 0.0], [2.0, 0.0, 1.0, 3.0]])
    }

    fn explain(sampling: Sampling) -> (f64, Attribution) {
        let explainer = AgnosticExplainer::new(predictor(), background(), sampling).unwrap();
        let row = Batch::from_rows([[3.0, 2.0, -1.0, 2.0]]);
        let explanation = explainer.explain(&row, &Budget::default()).unwrap();
        (explanation.base_value(), explanation.into_rows().remove(0).unwrap())
    }

    #[test]
    fn a_linear_feature_gets_its_distance_from_the_mean() {
        let (base, exact) = explain(Sampling::Exact);
        assert!((exact.values()[2] - 2.0 * (-1.0 - 3.5 / 3.0)).abs() < 1e-12);
        assert!((base + exact.values().iter().sum::<f64>() - exact.output()).abs() < 1e-12);
        assert_eq!(exact.standard_errors(), None);
    }

    /// The product of two features by hand: with others known or not, only their order matters.
    #[test]
    fn a_product_is_shared_as_the_definition_says() {
        let background = Batch::from_rows([[1.0, 2.0]]);
        let product = (2, |row: &[f64]| row[0] * row[1]);
        let explainer = AgnosticExplainer::new(product, background, Sampling::Exact).unwrap();
        let explanation = explainer.explain(&Batch::from_rows([[3.0, 5.0]]), &Budget::default()).unwrap();
        let row = explanation.rows()[0].as_ref().unwrap();
        // Feature 0: half of (3 * 2 - 1 * 2) and half of (3 * 5 - 1 * 5).
        assert_eq!((row.values(), explanation.base_value()), (&[7.0, 6.0][..], 2.0));
    }

    #[test]
    fn permutations_add_up_and_their_error_is_as_reported() {
        let (_, exact) = explain(Sampling::Exact);
        let (base, sampled) = explain(Sampling::Permutations { pairs: 400, seed: 1 });
        assert!((base + sampled.values().iter().sum::<f64>() - sampled.output()).abs() < 1e-12);
        let errors = sampled.standard_errors().unwrap();
        for ((exact, sampled), error) in exact.values().iter().zip(sampled.values()).zip(errors) {
            assert!((exact - sampled).abs() <= 5.0 * error + 1e-12, "{sampled} instead of {exact}, error {error}");
        }
    }

    #[test]
    fn what_cannot_be_evaluated_is_refused() {
        let wide = || (17, |row: &[f64]| row[0]);
        let background = Batch::from_rows([[0.0; 17]]);
        let error = AgnosticExplainer::new(wide(), background.clone(), Sampling::Exact).err().unwrap();
        assert!(matches!(error, ExplainError::TooManyFeatures { limit: 16, found: 17 }), "{error}");
        let none = Sampling::Permutations { pairs: 0, seed: 0 };
        assert!(AgnosticExplainer::new(wide(), background, none).is_err());
        assert!(AgnosticExplainer::new(wide(), Batch::new(), Sampling::for_features(17).0).is_err());
    }
}
