//! Values at the edges of what a row and a model may contain.

use proptest::strategy::Strategy as _;

use super::accuracy::agrees_with_oracle;
use super::subject::{ExplanationSubject, ample, attribution, explain};
use crate::case::CaseResult;
use crate::property;
use crate::strategy::ensemble::{
    any_values, ensembles, ensembles_with_covers, ensembles_with_rows, finite_values, values_or_missing,
};

const ENSEMBLES: u32 = 500;

pub(super) fn missing_values_take_their_direction(subject: &ExplanationSubject) -> CaseResult {
    let inputs =
        ensembles_with_rows(ensembles(6, 5, 3), values_or_missing, 10).prop_map(|(ensemble, mut rows)| {
            rows.push(vec![f64::NAN; ensemble.features]);
            (ensemble, rows)
        });
    property::check(subject.seed, ENSEMBLES, &inputs, |(ensemble, rows)| {
        agrees_with_oracle(subject, &ensemble, &rows)
    })
}

/// Infinities go where the largest values of 32 bits go, to the bit: thresholds are finite.
pub(super) fn infinities_are_ordered_values(subject: &ExplanationSubject) -> CaseResult {
    let inputs = ensembles_with_rows(ensembles(6, 5, 3), any_values, 10).prop_map(|(ensemble, mut rows)| {
        rows.push(vec![f64::INFINITY; ensemble.features]);
        rows.push(vec![f64::NEG_INFINITY; ensemble.features]);
        (ensemble, rows)
    });
    property::check(subject.seed, ENSEMBLES, &inputs, |(ensemble, rows)| {
        agrees_with_oracle(subject, &ensemble, &rows)?;
        let explainer = subject.load(&ensemble.to_xgboost_json())?;
        let largest = f64::from(f32::MAX);
        let bounded: Vec<Vec<f64>> = rows
            .iter()
            // `clamp` keeps NaN.
            .map(|row| row.iter().map(|value| value.clamp(-largest, largest)).collect())
            .collect();
        let infinite = explain(&*explainer, &rows, &ample())?;
        let bounded = explain(&*explainer, &bounded, &ample())?;
        for row in 0..rows.len() {
            let found = attribution(&*explainer, &infinite, row)?;
            let expected = attribution(&*explainer, &bounded, row)?;
            if found != expected {
                return Err(format!(
                    "row {row}: expected infinities to go where the largest finite values go, {expected:?}, \
                     found {found:?}"
                ));
            }
        }
        Ok(())
    })
}

/// The generated values sit on the thresholds and next to them, in 32 and in 64 bits.
pub(super) fn thresholds_compare_in_32_bits(subject: &ExplanationSubject) -> CaseResult {
    let inputs = ensembles_with_rows(ensembles(3, 4, 2), finite_values, 20);
    property::check(subject.seed, ENSEMBLES, &inputs, |(ensemble, rows)| {
        agrees_with_oracle(subject, &ensemble, &rows)
    })
}

/// Half of the leaves and many inner nodes were reached by no training row: their shares are 0 / 0.
pub(super) fn uncovered_nodes_stay_finite(subject: &ExplanationSubject) -> CaseResult {
    let inputs = ensembles_with_rows(ensembles_with_covers(6, 5, 3, 0..2), values_or_missing, 10);
    property::check(subject.seed, ENSEMBLES, &inputs, |(ensemble, rows)| {
        agrees_with_oracle(subject, &ensemble, &rows)
    })
}
