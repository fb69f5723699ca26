//! Real models, and what other libraries say about them.
//!
//! Tolerances, relative to the sizes of a row's terms:
//!
//! - XGBoost computes margins and contributions in 32-bit floats, where a sum over T trees may be off by about
//!   `T * 2^-24`: 1e-5 allows for 160 trees.
//! - shap computes in 64-bit floats, but from leaf values and a base value that it has rounded to 32 bits: 1e-6.
//!
//! Where a golden is known to be wrong (XGBoost since 3.3 integrates with a fixed number of points) it is left out, and
//! the other one decides.

use proofmark::explain::{Budget, Explainer, Explanation};

use super::subject::{ExplanationSubject, Finding, ample, attribution, close, compare, explain};
use crate::case::{CaseError, CaseResult};
use crate::fixture::{FIXTURES, Fixture, FixtureError, Table};
use crate::oracle::Exact;

const XGBOOST: f64 = 1e-5;
const SHAP: f64 = 1e-6;

pub(super) fn margins_equal_the_librarys(subject: &ExplanationSubject) -> CaseResult {
    for fixture in FIXTURES {
        let table = fixture.rows().map_err(CaseError::harness)?;
        let margins = fixture.margins().map_err(CaseError::harness)?;
        let check = || {
            let explainer = subject.load(fixture.model)?;
            let explanation = explain(&*explainer, &table.rows, &ample())?;
            margins.iter().enumerate().try_for_each(|(row, margin)| {
                let attribution = attribution(&*explainer, &explanation, row)?;
                let scale = explanation.base_value().abs()
                    + attribution.values().iter().map(|value| value.abs()).sum::<f64>();
                close(attribution.output(), *margin, scale, XGBOOST)
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
    tolerance: f64,
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
    tolerance: f64,
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
    tolerance: f64,
) -> Finding {
    let (base_value, values) = golden.split_last().ok_or("an empty golden row")?;
    let attribution = attribution(explainer, explanation, row)?;
    // The goldens say nothing of the output; that has a case of its own.
    let exact = Exact { base_value: *base_value, values: values.to_vec(), output: attribution.output() };
    let scale = golden.iter().map(|value| value.abs()).sum();
    compare(row, explanation, attribution, &exact, scale, tolerance)
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
