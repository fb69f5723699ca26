//! Properties: a claim that must hold for every generated input, and the smallest input that breaks it.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::case::{CaseError, CaseResult};

/// The most attempts to make a failing input smaller; each may cost a round trip to a server.
const SHRINK_ATTEMPTS_MAX: u32 = 2_000;

/// Runs `test` on `cases` generated inputs and fails with the smallest input that it rejects.
///
/// The same seed generates the same inputs in the same order. `test` returns what is wrong, in one line.
///
/// # Errors
/// [`CaseError::Failed`] with the minimal input and the seed; [`CaseError::Harness`] when no input could be
/// generated.
pub fn check<S: Strategy>(
    seed: u64,
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), String>,
) -> CaseResult {
    let mut runner = runner(seed, cases);
    match runner.run(strategy, |input| test(input).map_err(TestCaseError::fail)) {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, input)) => Err(CaseError::failed_with(
            reason.message(),
            format!("smallest input that shows it: {input:#?}\nseed: {seed}"),
        )),
        Err(TestError::Abort(reason)) => Err(CaseError::harness(format!("no input was generated: {reason}"))),
    }
}

/// One generated value, for a case that needs data rather than a property.
///
/// # Errors
/// [`CaseError::Harness`] when the strategy rejects everything.
pub fn sample<S: Strategy>(seed: u64, strategy: &S) -> Result<S::Value, CaseError> {
    let tree = strategy.new_tree(&mut runner(seed, 1)).map_err(CaseError::harness)?;
    Ok(proptest::strategy::ValueTree::current(&tree))
}

fn runner(seed: u64, cases: u32) -> TestRunner {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: SHRINK_ATTEMPTS_MAX, ..Config::default() };
    TestRunner::new_with_rng(config, rng(seed))
}

/// The generator that a seed stands for.
fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_failure_tells_the_smallest_input_and_the_seed() {
        let found = check(7, 200, &(0..1_000_u32), |n| {
            if n < 500 { Ok(()) } else { Err(format!("expected less than 500, found {n}")) }
        });
        let Err(CaseError::Failed(failure)) = found else { panic!("expected a failure, found {found:?}") };
        assert_eq!(failure.message, "expected less than 500, found 500");
        assert_eq!(failure.detail.as_deref(), Some("smallest input that shows it: 500\nseed: 7"));
    }

    #[test]
    fn a_seed_repeats_its_inputs() {
        let inputs = |seed| {
            let inputs = RefCell::new(Vec::new());
            check(seed, 50, &(0..u64::MAX), |n| {
                inputs.borrow_mut().push(n);
                Ok(())
            })
            .unwrap();
            inputs.into_inner()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        assert_eq!(inputs(1).len(), 50);
    }
}
