//! Cases that keep a processor busy: away from the threads that drive everything else.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::case::{CaseError, CaseResult};

/// Runs a case on a thread where it may block. A panic goes on in the caller.
///
/// # Errors
/// What the case returns.
pub async fn blocking(case: impl FnOnce() -> CaseResult + Send + 'static) -> CaseResult {
    let task = tokio::task::spawn_blocking(move || catch_unwind(AssertUnwindSafe(case)));
    match task.await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(error) => Err(CaseError::harness(error)),
    }
}
