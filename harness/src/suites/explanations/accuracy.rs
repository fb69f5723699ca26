//! The values are the Shapley values.

use super::EXACT;
use super::subject::{ExplanationSubject, Finding, adds_up, ample, attribution, close, compare, explain};
use crate::case::{CaseError, CaseResult};
use crate::fixture::FIXTURES;
use crate::oracle;
use crate::property;
use crate::strategy::ensemble::{
    Ensemble, Tree, any_values, ensembles, ensembles_with_rows, values_or_missing, wide_ensembles,
};

/// Generated ensembles for each property.
const ENSEMBLES: u32 = 1000;

pub(super) fn values_add_up_to_the_output(subject: &ExplanationSubject) -> CaseResult {
    for fixture in FIXTURES {
        let table = fixture.rows().map_err(CaseError::harness)?;
        let check = || {
            let explainer = subject.load(fixture.model)?;
            let explanation = explain(&*explainer, &table.rows, &ample())?;
            (0..table.rows.len()).try_for_each(|row| {
                adds_up(row, &explanation, attribution(&*explainer, &explanation, row)?, EXACT)
            })
        };
        check().map_err(|finding: String| CaseError::failed(format!("{}: {finding}", fixture.name)))?;
    }
    Ok(())
}

pub(super) fn values_equal_brute_force_shapley(subject: &ExplanationSubject) -> CaseResult {
    let inputs = ensembles_with_rows(ensembles(8, 6, 4), any_values, 20);
    property::check(subject.seed, ENSEMBLES, &inputs, |(ensemble, rows)| {
        agrees_with_oracle(subject, &ensemble, &rows)
    })
}

pub(super) fn wide_models_are_exact(subject: &ExplanationSubject) -> CaseResult {
    let inputs = ensembles_with_rows(wide_ensembles(100..=300, 4, 20), values_or_missing, 10);
    property::check(subject.seed, ENSEMBLES / 10, &inputs, |(ensemble, rows)| {
        agrees_with_oracle(subject, &ensemble, &rows)
    })
}

/// Explains an ensemble's rows and compares everything with the definition.
pub(super) fn agrees_with_oracle(subject: &ExplanationSubject, ensemble: &Ensemble, rows: &[Vec<f64>]) -> Finding {
    let explainer = subject.load(&ensemble.to_xgboost_json())?;
    let explanation = explain(&*explainer, rows, &ample())?;
    let scale = ensemble.magnitude();
    rows.iter().enumerate().try_for_each(|(row, values)| {
        let exact = oracle::explain(ensemble, values).map_err(|error| error.to_string())?;
        compare(row, &explanation, attribution(&*explainer, &explanation, row)?, &exact, scale, EXACT)
    })
}

/// Exactly zero: an unused feature takes part in no sum.
pub(super) fn unused_features_get_zero(subject: &ExplanationSubject) -> CaseResult {
    let is_zero = |row: usize, feature: &str, value: f64| {
        if value == 0.0 {
            Ok(())
        } else {
            Err(format!("row {row}: expected 0 for the unused feature {feature}, found {value}"))
        }
    };
    let mut unused = 0;
    for fixture in FIXTURES {
        let table = fixture.rows().map_err(CaseError::harness)?;
        let meta = fixture.meta().map_err(CaseError::harness)?;
        let check = || {
            let explainer = subject.load(fixture.model)?;
            let explanation = explain(&*explainer, &table.rows, &ample())?;
            for row in 0..table.rows.len() {
                let values = attribution(&*explainer, &explanation, row)?.values();
                for (column, value) in table.columns.iter().zip(values) {
                    if meta.unused_features.contains(column) {
                        is_zero(row, column, *value)?;
                    }
                }
            }
            Ok(())
        };
        unused += meta.unused_features.len();
        check().map_err(|finding: String| CaseError::failed(format!("{}: {finding}", fixture.name)))?;
    }
    if unused == 0 {
        return Err(CaseError::harness("no fixture has an unused feature"));
    }
    let inputs = ensembles_with_rows(ensembles(12, 3, 2), any_values, 4);
    property::check(subject.seed, ENSEMBLES, &inputs, |(ensemble, rows)| {
        let used = ensemble.used_features();
        let explainer = subject.load(&ensemble.to_xgboost_json())?;
        let explanation = explain(&*explainer, &rows, &ample())?;
        for row in 0..rows.len() {
            let values = attribution(&*explainer, &explanation, row)?.values();
            for (feature, value) in values.iter().enumerate().filter(|(feature, _)| !used.contains(feature)) {
                is_zero(row, &feature.to_string(), *value)?;
            }
        }
        Ok(())
    })
}

/// A chain of d conditions on d features, each satisfied by a share c of the training rows, whose last leaf is worth 1
/// and all others 0. The values follow from symmetry:
///
/// - a row that satisfies all has `(1 - c^d) / d` for each feature;
/// - for a row that breaks the first only, any other feature has `(1 - c) / (d (d - 1)) * sum of k c^k` for k from 1
///   to d - 1, and the first has what is left of `-c^d`.
///
/// Recursions that divide by a condition's share, polynomials in a monomial basis, and quadrature with a fixed number of
/// points all fail here.
pub(super) fn long_paths_stay_exact(subject: &ExplanationSubject) -> CaseResult {
    for (length, bits) in [(2, 1), (9, 1), (9, 2), (12, 2), (16, 1), (16, 2), (20, 2), (30, 2), (60, 2), (100, 1)]
    {
        chain_is_exact(subject, length, bits).map_err(|finding| {
            CaseError::failed(format!("chain of {length} features, c = 2^-{bits}: {finding}"))
        })?;
    }
    Ok(())
}

fn chain_is_exact(subject: &ExplanationSubject, length: u16, bits: u16) -> Finding {
    // Powers of two: every cover and every share is exact.
    let cover = |remaining: u16| 2_f32.powi(i32::from(remaining * bits));
    let mut tree = Tree::Leaf { value: 1.0, cover: 1.0 };
    for remaining in 1..=length {
        tree = Tree::Split {
            feature: usize::from(length - remaining),
            threshold: 0.5,
            missing_left: true,
            left: Box::new(Tree::Leaf { value: 0.0, cover: cover(remaining) - cover(remaining - 1) }),
            right: Box::new(tree),
        };
    }
    let features = usize::from(length);
    let chain = Ensemble { features, base_score: 0.0, trees: vec![tree] };
    let mut breaks_first = vec![1.0; features];
    breaks_first[0] = 0.0;
    let explainer = subject.load(&chain.to_xgboost_json())?;
    let explanation = explain(&*explainer, &[vec![1.0; features], breaks_first], &ample())?;

    let (d, c) = (f64::from(length), 2_f64.powi(-i32::from(bits)));
    let base = c.powi(i32::from(length));
    let sum: f64 = (1..length).map(|k| f64::from(k) * c.powi(i32::from(k))).sum();
    let others = (1.0 - c) / (d * (d - 1.0)) * sum;
    let first = -base - (d - 1.0) * others;
    close(explanation.base_value(), base, base, EXACT)
        .map_err(|difference| format!("base value: {difference}"))?;
    for (row, first, others) in [(0, (1.0 - base) / d, (1.0 - base) / d), (1, first, others)] {
        let values = attribution(&*explainer, &explanation, row)?.values();
        for (feature, value) in values.iter().enumerate() {
            let expected = if feature == 0 { first } else { others };
            close(*value, expected, expected.abs(), EXACT)
                .map_err(|difference| format!("row {row}, feature {feature}: SHAP value: {difference}"))?;
        }
    }
    Ok(())
}
