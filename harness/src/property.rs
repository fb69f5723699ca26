//! Properties: a claim that must hold for every generated input, and the smallest input that breaks it.

use std::cell::RefCell;

use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio::runtime::Handle;

use crate::case::{CaseError, CaseResult};

/// The most attempts to make a failing input smaller.
const SHRINK_ATTEMPTS_MAX: u32 = 2_000;
/// The time that the attempts may take together, in milliseconds; each may cost round trips to a server.
const SHRINK_MS_MAX: u32 = 10_000;

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

/// [`check`] for a test that is asynchronous; it runs beside the runtime's own threads.
///
/// # Errors
/// As [`check`]; a [`CaseError::Harness`] of the test stays one.
pub async fn check_async<S, F, T>(seed: u64, cases: u32, strategy: S, test: F) -> CaseResult
where
    S: Strategy + Send + 'static,
    F: Fn(S::Value) -> T + Send + 'static,
    T: Future<Output = CaseResult>,
{
    let runtime = Handle::current();
    let checked = tokio::task::spawn_blocking(move || {
        let broken = RefCell::new(None);
        let result = check(seed, cases, &strategy, |input| {
            // Nothing is learnt from further inputs once the harness is broken.
            if broken.borrow().is_some() {
                return Ok(());
            }
            match runtime.block_on(test(input)) {
                Ok(()) => Ok(()),
                Err(CaseError::Failed(failure)) => Err(failure.to_string()),
                Err(error) => {
                    *broken.borrow_mut() = Some(error);
                    Ok(())
                }
            }
        });
        broken.into_inner().map_or(result, Err)
    });
    match checked.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(CaseError::harness(error)),
        },
    }
}

/// One generated value, for a case that needs data rather than a property.
///
/// # Errors
/// [`CaseError::Harness`] when the strategy rejects everything.
pub fn sample<S: Strategy>(seed: u64, strategy: &S) -> Result<S::Value, CaseError> {
    let tree = strategy.new_tree(&mut runner(seed, 1)).map_err(CaseError::harness)?;
    Ok(tree.current())
}

fn runner(seed: u64, cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: SHRINK_ATTEMPTS_MAX,
        max_shrink_time: SHRINK_MS_MAX,
        ..Config::default()
    };
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

    #[tokio::test]
    async fn a_broken_harness_is_not_the_subjects_failure() {
        let found = check_async(7, 10, 0..10_u32, |_| async { Err(CaseError::harness("no server")) }).await;
        assert!(matches!(&found, Err(CaseError::Harness(message)) if message == "no server"), "{found:?}");
        let found = check_async(7, 200, 0..10_u32, |n| async move {
            crate::check!(n < 3, "expected less than 3, found {n}");
            Ok(())
        })
        .await;
        assert!(matches!(&found, Err(CaseError::Failed(failure)) if failure.message.ends_with("found 3")));
    }
}
