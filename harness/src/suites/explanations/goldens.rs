//! Real models, and what other libraries say about them.
//!
//! Tolerances, relative to the largest value of a golden row, and the worst differences of the goldens from exact values
//! (measured by `harness/fixtures/generate.py`):
//!
//! - XGBoost computes margins and contributions in 32-bit floats: 2e-6, for sums that are 3e-7 off.
//! - shap computes contributions in 64-bit floats: 1e-12. Its base value starts from a base score of its own rounding:
//!   1e-6, for 1.4e-7.
//!
//! Where a golden is known to be wrong (XGBoost since 3.3 integrates with 8 points, which is off by 2e-4 on the paths of
//! `digits-chain`) it is left out, and the other one decides.

use proofmark::explain::{Budget, Explainer, Explanation};

use super::subject::{ExplanationSubject, Finding, ample, attribution, close, explain, values_agree};
use crate::case::{CaseError, CaseResult};
use crate::fixture::{FIXTURES, Fixture, FixtureError, Table};

/// The tolerances of a golden.
#[derive(Clone, Copy)]
struct Tolerance {
    values: f64,
    base_value: f64,
}

const XGBOOST: Tolerance = Tolerance { values: 2e-6, base_value: 2e-6 };
const SHAP: Tolerance = Tolerance { values: 1e-12, base_value: 1e-6 };

pub(super) fn margins_equal_the_librarys(subject: &ExplanationSubject) -> CaseResult {
    for fixture in FIXTURES {
        let table = fixture.rows().map_err(CaseError::harness)?;
        let margins = fixture.margins().map_err(CaseError::harness)?;
        if margins.len() != table.rows.len() {
            return Err(CaseError::harness(format!(
                "fixture {}: rows and margins differ in number",
                fixture.name
            )));
        }
        let check = || {
            let explainer = subject.load(fixture.model)?;
            let explanation = explain(&*explainer, &table.rows, &ample())?;
            margins.iter().enumerate().try_for_each(|(row, margin)| {
                let attribution = attribution(&*explainer, &explanation, row)?;
                let scale = largest(attribution.values()).max(explanation.base_value().abs());
                close(attribution.output(), *margin, scale, XGBOOST.values)
                    .map_err(|difference| format!("row {row}: output: {difference}"))
            })
        };
        check().map_err(|finding: String| CaseError::failed(format!("{}: {finding}", fixture.name)))?;
    }
    Ok(())
}

pub(super) fn values_equal_the_librarys(subject: &ExplanationSubject) -> CaseResult {
    for fixture in FIXTURES {
        if fixture.meta().map_err(CaseError::harness)?.xgboost_golden_exact {
            parity(subject, fixture, fixture.xgboost_contributions(), XGBOOST)?;
        }
    }
    Ok(())
}

pub(super) fn values_equal_shaps(subject: &ExplanationSubject) -> CaseResult {
    FIXTURES.iter().try_for_each(|fixture| parity(subject, fixture, fixture.shap_contributions(), SHAP))
}

fn parity(
    subject: &ExplanationSubject,
    fixture: &Fixture,
    golden: Result<Table, FixtureError>,
    tolerance: Tolerance,
) -> CaseResult {
    let golden = golden.map_err(CaseError::harness)?;
    let table = fixture.rows().map_err(CaseError::harness)?;
    if golden.rows.len() != table.rows.len() || golden.columns.len() != table.columns.len() + 1 {
        return Err(CaseError::harness(format!("fixture {}: rows and goldens differ in shape", fixture.name)));
    }
    rows_agree(subject, fixture, &table, &golden, tolerance)
        .map_err(|finding| CaseError::failed(format!("{}: {finding}", fixture.name)))
}

fn rows_agree(
    subject: &ExplanationSubject,
    fixture: &Fixture,
    table: &Table,
    golden: &Table,
    tolerance: Tolerance,
) -> Finding {
    let explainer = subject.load(fixture.model)?;
    let explanation = explain(&*explainer, &table.rows, &ample())?;
    golden
        .rows
        .iter()
        .enumerate()
        .try_for_each(|(row, golden)| equals_golden(&*explainer, &explanation, row, golden, tolerance))
}

/// Compares one explained row with a golden row, whose last value is the base value.
fn equals_golden(
    explainer: &dyn Explainer,
    explanation: &Explanation,
    row: usize,
    golden: &[f64],
    tolerance: Tolerance,
) -> Finding {
    let (base_value, values) = golden.split_last().ok_or("an empty golden row")?;
    let attribution = attribution(explainer, explanation, row)?;
    let scale = largest(golden);
    close(explanation.base_value(), *base_value, scale, tolerance.base_value)
        .map_err(|difference| format!("base value: {difference}"))?;
    values_agree(row, attribution.values(), values, scale, tolerance.values)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()))
}

/// Checks an explainer's answers for a fixture's rows against shap's, before its speed is measured.
///
/// # Errors
/// The first difference, or the explainer's error.
pub(crate) fn verify(explainer: &dyn Explainer, rows: &[Vec<f64>], golden: &Table, budget: &Budget) -> Finding {
    let explanation = explain(explainer, rows, budget)?;
    rows.iter()
        .zip(&golden.rows)
        .enumerate()
        .try_for_each(|(row, (_, golden))| equals_golden(explainer, &explanation, row, golden, SHAP))
}
