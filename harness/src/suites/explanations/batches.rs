//! Batches: their sizes, bad rows in them, and the limits of time, workers and memory.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use proofmark::explain::{Attribution, Batch, Budget, ExplainError, Explanation, RowError};

use super::subject::{ExplanationSubject, Finding, ample, attribution, explain};
use crate::case::{CaseError, CaseResult};
use crate::fixture::{FIXTURES, Fixture, Table};

/// The fixture that has the most rows.
fn large() -> Result<(&'static Fixture, Table), CaseError> {
    let fixture = Fixture::named("breast-cancer-binary").ok_or_else(|| CaseError::harness("no such fixture"))?;
    Ok((fixture, fixture.rows().map_err(CaseError::harness)?))
}

fn conclude(finding: Finding) -> CaseResult {
    finding.map_err(CaseError::failed)
}

pub(super) fn an_empty_batch_is_no_error(subject: &ExplanationSubject) -> CaseResult {
    for fixture in FIXTURES {
        let check = || {
            let explainer = subject.load(fixture.model)?;
            let workers = NonZeroUsize::new(2).unwrap_or(NonZeroUsize::MIN);
            explain::<Vec<f64>>(&*explainer, &[], &Budget { workers, ..ample() }).map(|_| ())
        };
        check().map_err(|finding: String| CaseError::failed(format!("{}: {finding}", fixture.name)))?;
    }
    Ok(())
}

/// Rows that are too short, too long, or empty fail alone; their neighbours have the very values that they have in a
/// batch of good rows.
pub(super) fn bad_rows_do_not_lose_the_batch(subject: &ExplanationSubject) -> CaseResult {
    let (fixture, table) = large()?;
    conclude((|| {
        let explainer = subject.load(fixture.model)?;
        let width = explainer.feature_count();
        let good = explain(&*explainer, &table.rows, &ample())?;
        let mut mixed = table.rows.clone();
        for (place, found) in [(0, 0), (1, width - 1), (17, width + 1), (18, 1), (mixed.len() - 1, 2 * width)] {
            mixed[place] = vec![0.5; found];
        }
        let explanation = explain(&*explainer, &mixed, &ample())?;
        for (row, values) in mixed.iter().enumerate() {
            let result = &explanation.rows()[row];
            if values.len() == width {
                let expected = attribution(&*explainer, &good, row)?;
                if result.as_ref() != Ok(expected) {
                    return Err(format!(
                        "row {row}: expected the explanation that it has without bad neighbours, found {}",
                        describe(result)
                    ));
                }
            } else {
                let expected = RowError::Width { expected: width, found: values.len() };
                if result.as_ref() != Err(&expected) {
                    return Err(format!("row {row}: expected the error: {expected}; found {}", describe(result)));
                }
            }
        }
        Ok(())
    })())
}

pub(super) fn an_expired_deadline_gives_no_numbers(subject: &ExplanationSubject) -> CaseResult {
    let (fixture, table) = large()?;
    conclude((|| {
        let explainer = subject.load(fixture.model)?;
        let limit = Duration::ZERO;
        let explanation = explain(&*explainer, &table.rows, &Budget { time_limit: limit, ..ample() })?;
        let expected = RowError::TimeLimit { limit };
        for (row, result) in explanation.rows().iter().enumerate() {
            if result.as_ref() != Err(&expected) {
                return Err(format!("row {row}: expected the error: {expected}; found {}", describe(result)));
            }
        }
        // The next batch is not affected.
        let explanation = explain(&*explainer, &table.rows[..1], &ample())?;
        attribution(&*explainer, &explanation, 0).map(|_| ())
    })())
}

/// A batch that takes far longer than its limit ends soon after it, and every row is either whole or an error.
pub(super) fn a_deadline_ends_a_long_batch(subject: &ExplanationSubject) -> CaseResult {
    let (fixture, table) = large()?;
    conclude((|| {
        let explainer = subject.load(fixture.model)?;
        let whole = explain(&*explainer, &table.rows, &ample())?;
        let began = Instant::now();
        let once = explain(&*explainer, &table.rows, &ample()).map(|_| began.elapsed())?;
        // As many repetitions as take about a second, and a limit of a hundredth of that.
        let limit = Duration::from_millis(10);
        let repetitions = (100.0 * limit.as_secs_f64() / once.as_secs_f64().max(1e-6)).clamp(2.0, 1000.0);
        let mut batch = Batch::new();
        let mut repeated = 0.0;
        while repeated < repetitions {
            table.rows.iter().for_each(|row| batch.push(row));
            repeated += 1.0;
        }
        let budget = Budget { time_limit: limit, memory_bytes: 4 << 30, ..ample() };
        let began = Instant::now();
        let explanation = explainer
            .explain(&batch, &budget)
            .map_err(|error| format!("explain: expected results by row, found: {}", crate::error_chain(&error)))?;
        let elapsed = began.elapsed();
        let expired = explanation.rows().iter().filter(|row| row.is_err()).count();
        if expired == 0 {
            return Err(format!(
                "expected the limit of {limit:?} to end a batch of {} rows, found all of them explained after {elapsed:?}",
                batch.len()
            ));
        }
        for (row, result) in explanation.rows().iter().enumerate() {
            let sound = match result {
                Ok(found) => {
                    let expected = attribution(&*explainer, &whole, row % table.rows.len())?;
                    found == expected
                }
                Err(error) => *error == RowError::TimeLimit { limit },
            };
            if !sound {
                return Err(format!(
                    "row {row}: expected its whole explanation or the time limit, found {result:?}"
                ));
            }
        }
        Ok(())
    })())
}

pub(super) fn workers_do_not_change_a_bit(subject: &ExplanationSubject) -> CaseResult {
    let (fixture, table) = large()?;
    conclude((|| {
        let explainer = subject.load(fixture.model)?;
        let whole = explain(&*explainer, &table.rows, &ample())?;
        for workers in [1, 2, 3, 8] {
            for split in [1, 7, 100, table.rows.len()] {
                let workers = NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN);
                for (number, rows) in table.rows.chunks(split).enumerate() {
                    let part = explain(&*explainer, rows, &Budget { workers, ..ample() })?;
                    for row in 0..rows.len() {
                        let at = number * split + row;
                        let found = numbers(&part, attribution(&*explainer, &part, row)?);
                        let expected = numbers(&whole, attribution(&*explainer, &whole, at)?);
                        if let Some((found, expected)) =
                            found.zip(expected).find(|(found, expected)| found.to_bits() != expected.to_bits())
                        {
                            return Err(format!(
                                "row {at}: expected the same bits with {workers} workers in batches of {split} as with \
                                 one worker in one batch, {expected:e}, found {found:e}"
                            ));
                        }
                    }
                }
            }
        }
        Ok(())
    })())
}

/// All numbers of an explained row.
fn numbers<'a>(explanation: &Explanation, row: &'a Attribution) -> impl Iterator<Item = f64> + use<'a> {
    row.values().iter().copied().chain([row.output(), explanation.base_value()])
}

/// A row's result in a few words.
fn describe(result: &Result<Attribution, RowError>) -> String {
    match result {
        Ok(row) => format!("an explanation with the output {}", row.output()),
        Err(error) => format!("the error: {error}"),
    }
}

pub(super) fn too_little_memory_is_refused(subject: &ExplanationSubject) -> CaseResult {
    let (fixture, table) = large()?;
    conclude((|| {
        let explainer = subject.load(fixture.model)?;
        let budget = Budget { memory_bytes: 1000, ..ample() };
        match explainer.explain(&Batch::from_rows(&table.rows), &budget) {
            Err(ExplainError::Memory { needed, .. }) => {
                // What it says it needs must do.
                let budget = Budget { memory_bytes: needed, ..ample() };
                explain(&*explainer, &table.rows, &budget).map(|_| ())
            }
            Err(other) => Err(format!(
                "explain: expected the error that 1000 bytes do not suffice, found: {}",
                crate::error_chain(&other)
            )),
            Ok(_) => Err(format!(
                "explain: expected 1000 bytes not to suffice for {} rows of {} values, found an explanation",
                table.rows.len(),
                explainer.feature_count()
            )),
        }
    })())
}
