//! What earlier studies found, for new ones to begin with.

use chrono::{DateTime, Utc};

use super::document::{Document, flat};
use super::hpo_study::{Direction, NAME_CHARACTERS_MAX, finite};
use super::json::stored_object;
use super::validation::{InvalidField, Limit, number, text};
use super::{HpoPatternId, HpoStudyId};

/// The most rows or features that a pattern can be about.
pub const SHAPE_MAX: u64 = 1 << 53;
/// The largest improvement, up or down.
pub const IMPROVEMENT_MAX: f64 = 1e15;
/// The largest factor between the shapes of similar data.
pub const SHAPE_FACTOR_MAX: f64 = 1e9;

/// How many rows and features the data had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataShape {
    /// Rows; from 1 to [`SHAPE_MAX`].
    pub samples: u64,
    /// Features; from 1 to [`SHAPE_MAX`].
    pub features: u64,
}

impl DataShape {
    fn validate(self) -> Result<(), InvalidField> {
        for (field, count) in [("n_samples", self.samples), ("n_features", self.features)] {
            if !(1..=SHAPE_MAX).contains(&count) {
                return Err(InvalidField::new(field, format!("expected 1 to {SHAPE_MAX}, found {count}")));
            }
        }
        Ok(())
    }
}

/// A sum of doubles that does not forget the digits which each addition rounds off: they are carried along.
///
/// The mean of a million improvements of different size differs from the exact one in the last digit at most, where a
/// plain sum, or a running mean, loses half of them. (Kahan's summation as improved by Neumaier, 1974.)
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ExactSum {
    /// The sum as rounded.
    pub sum: f64,
    /// What was rounded off.
    pub carry: f64,
    /// How many numbers.
    pub count: u64,
}

impl ExactSum {
    /// The sum with one more number.
    #[must_use]
    pub fn plus(self, value: f64) -> Self {
        let sum = self.sum + value;
        let lost = if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        Self { sum, carry: self.carry + lost, count: self.count + 1 }
    }

    /// The mean, if there is a number.
    #[must_use]
    pub fn mean(self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53")]
        (self.count > 0).then(|| (self.sum + self.carry) / self.count as f64)
    }
}

/// A row of `ml_hpo_patterns`.
#[derive(Debug, Clone, PartialEq)]
pub struct HpoPattern {
    /// The identifier.
    pub id: HpoPatternId,
    /// What was found.
    pub pattern: NewHpoPattern,
    /// How often a study began with it.
    pub times_used: u64,
    /// The improvements of those of which one is known: each counts once, and those of which none is known do not.
    pub improvements: ExactSum,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it was changed last; later after every change.
    pub updated_at: DateTime<Utc>,
}

impl HpoPattern {
    /// The mean of the known improvements.
    #[must_use]
    pub fn mean_improvement(&self) -> Option<f64> {
        self.improvements.mean()
    }
}

/// A pattern to record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewHpoPattern {
    /// The study that it comes from.
    pub study_id: Option<HpoStudyId>,
    /// What was tuned; 1 to 255 characters.
    pub algorithm: String,
    /// For what, for example `binary_classification`; 1 to 255 characters.
    pub problem_type: String,
    /// What was measured; 1 to 255 characters.
    pub metric: String,
    /// Which values are good.
    pub direction: Direction,
    /// What was tried; up to 1 MiB.
    pub search_space: Document,
    /// What was best: a number, text, boolean or null for each name; up to 1 MiB.
    pub best_hyperparameters: Document,
    /// Its value; finite.
    pub best_value: f64,
    /// The data.
    pub shape: DataShape,
}

impl NewHpoPattern {
    /// The pattern as it is stored.
    ///
    /// # Errors
    /// The first field that cannot be stored.
    pub fn stored(&self) -> Result<Self, InvalidField> {
        for (field, value) in
            [("algorithm", &self.algorithm), ("problem_type", &self.problem_type), ("metric", &self.metric)]
        {
            text(field, value, Limit::Characters(NAME_CHARACTERS_MAX))?;
        }
        finite("best_value", self.best_value)?;
        self.shape.validate()?;
        Ok(Self {
            search_space: stored_object("search_space", &self.search_space)?,
            best_hyperparameters: flat("best_hyperparameters", &self.best_hyperparameters)?,
            ..self.clone()
        })
    }
}

/// What a study is about that looks for patterns to begin with.
#[derive(Debug, Clone, PartialEq)]
pub struct PatternQuery {
    /// The same algorithm; any when absent.
    pub algorithm: Option<String>,
    /// The same type of problem.
    pub problem_type: String,
    /// The same metric: values of another one cannot be compared.
    pub metric: String,
    /// The same direction, by which the best come first.
    pub direction: Direction,
    /// The data at hand.
    pub shape: DataShape,
    /// How many times larger or smaller the data of a similar pattern can be, in rows and in features; from 1 to
    /// [`SHAPE_FACTOR_MAX`].
    pub shape_factor: f64,
}

/// Rows and features of similar data, the ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ShapeRange {
    pub(crate) samples: (u64, u64),
    pub(crate) features: (u64, u64),
}

impl ShapeRange {
    pub(crate) fn contains(&self, shape: DataShape) -> bool {
        (self.samples.0..=self.samples.1).contains(&shape.samples)
            && (self.features.0..=self.features.1).contains(&shape.features)
    }
}

impl PatternQuery {
    /// Which data are similar.
    pub(crate) fn range(&self) -> Result<ShapeRange, InvalidField> {
        for (field, value) in [("problem_type", &self.problem_type), ("metric", &self.metric)] {
            text(field, value, Limit::Characters(NAME_CHARACTERS_MAX))?;
        }
        if let Some(algorithm) = &self.algorithm {
            text("algorithm", algorithm, Limit::Characters(NAME_CHARACTERS_MAX))?;
        }
        self.shape.validate()?;
        number("shape_factor", self.shape_factor, 1.0, SHAPE_FACTOR_MAX)?;
        let around = |count: u64| {
            #[expect(clippy::cast_precision_loss, reason = "counts are at most 2^53")]
            let count = count as f64;
            let whole = |value: f64| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "whole, and between 1 and 2^53"
                )]
                {
                    value.clamp(1.0, 9_007_199_254_740_992.0) as u64
                }
            };
            (whole((count / self.shape_factor).ceil()), whole((count * self.shape_factor).floor()))
        };
        Ok(ShapeRange { samples: around(self.shape.samples), features: around(self.shape.features) })
    }
}

/// Checks an improvement.
pub(crate) fn validate_improvement(improvement: f64) -> Result<(), InvalidField> {
    number("improvement", improvement, -IMPROVEMENT_MAX, IMPROVEMENT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_the_exact_one() {
        // Multiples of 2^-20: their sum fits into 128 bits, and the mean is rounded once.
        let mut numbers = Vec::new();
        let mut state = 1_u64;
        for index in 0..100_000_i64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let magnitude = i64::try_from(state >> (20 + state % 30)).unwrap();
            numbers.push(if index % 2 == 0 { magnitude } else { -magnitude });
        }
        let mut exact = 0_i128;
        let mut sum = ExactSum::default();
        for number in numbers {
            exact += i128::from(number);
            #[expect(clippy::cast_precision_loss, reason = "at most 44 bits")]
            let value = number as f64 / 1_048_576.0;
            sum = sum.plus(value);
        }
        #[expect(clippy::cast_precision_loss, reason = "rounded once")]
        let expected = exact as f64 / 1_048_576.0 / 100_000.0;
        let found = sum.mean().unwrap();
        assert!((found - expected).abs() <= expected.abs() * f64::EPSILON, "{found} {expected}");
    }

    #[test]
    fn what_is_rounded_off_is_not_forgotten() {
        let sum = [1.0, 1e15, 1.0, -1e15].into_iter().fold(ExactSum::default(), ExactSum::plus);
        assert_eq!(sum.mean(), Some(0.5));
        let sum = [0.1, 1e15, 0.1, -1e15].into_iter().fold(ExactSum::default(), ExactSum::plus);
        assert_eq!(sum.mean(), Some(0.05));
        assert_eq!(ExactSum::default().mean(), None);
        assert_eq!(ExactSum::default().plus(3.0).mean(), Some(3.0));
    }

    #[test]
    fn similar_data_are_within_a_factor() {
        let query = PatternQuery {
            algorithm: None,
            problem_type: "regression".to_owned(),
            metric: "rmse".to_owned(),
            direction: Direction::Minimize,
            shape: DataShape { samples: 1_000, features: 3 },
            shape_factor: 10.0,
        };
        assert_eq!(query.range(), Ok(ShapeRange { samples: (100, 10_000), features: (1, 30) }));
        assert!(PatternQuery { shape_factor: 0.5, ..query.clone() }.range().is_err());
        assert!(PatternQuery { shape_factor: f64::NAN, ..query }.range().is_err());
    }
}
