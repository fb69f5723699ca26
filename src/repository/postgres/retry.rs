//! Repeats what lost against a concurrent transaction: a few times, and at random moments, so that the same ones do
//! not meet again.

use std::time::Duration;

use sqlx::Error;
use uuid::Uuid;

use crate::domain::InvalidField;
use crate::repository::RepositoryError;

/// The most attempts that can be asked for.
const ATTEMPTS_MAX: u32 = 20;

/// How often a transaction is begun again that Postgres ended with a serialisation failure or a deadlock.
///
/// Nothing else is repeated: after any other error a second attempt would fail as well, or it is not known whether the
/// first one was successful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    pause: Duration,
    pause_max: Duration,
}

impl Default for RetryPolicy {
    /// Five attempts, with pauses of up to 10, 20, 40 and 80 ms.
    fn default() -> Self {
        Self { attempts: 5, pause: Duration::from_millis(10), pause_max: Duration::from_secs(1) }
    }
}

impl RetryPolicy {
    /// So many attempts, the first included; the first pause is at most `pause`, each further one up to twice as
    /// long, but never longer than `pause_max`.
    ///
    /// # Errors
    /// When there would be no attempt, or more than 20, or pauses of more than a minute.
    pub fn new(attempts: u32, pause: Duration, pause_max: Duration) -> Result<Self, InvalidField> {
        if !(1..=ATTEMPTS_MAX).contains(&attempts) {
            return Err(InvalidField::new("attempts", format!("expected 1 to {ATTEMPTS_MAX}, found {attempts}")));
        }
        if pause_max > Duration::from_secs(60) {
            return Err(InvalidField::new("pause_max", format!("expected at most 60 s, found {pause_max:?}")));
        }
        Ok(Self { attempts, pause, pause_max })
    }

    /// The pause after an attempt, counted from 1: a random part, of 2^64, of the longest one that it can be.
    fn pause_after(&self, attempt: u32, random: u64) -> Duration {
        let longest = self.pause.saturating_mul(2_u32.saturating_pow(attempt - 1)).min(self.pause_max);
        let nanoseconds = (longest.as_nanos() * u128::from(random)) >> 64;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Makes attempts until one is successful, fails in another way, or was the last. Each must be a whole
    /// transaction: Postgres has undone all of what it repeats.
    pub(super) async fn run<T, F: Future<Output = Result<T, RepositoryError>>>(
        &self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, RepositoryError> {
        for number in 1..self.attempts {
            match attempt().await {
                Err(error) if is_repeatable(&error) => {
                    tracing::debug!(attempt = number, error = &error as &dyn std::error::Error, "try again");
                    tokio::time::sleep(self.pause_after(number, random())).await;
                }
                outcome => return outcome,
            }
        }
        attempt().await
    }
}

/// Half of a random UUID, which has six fixed bits in its other half.
fn random() -> u64 {
    Uuid::new_v4().as_u64_pair().1 << 2
}

/// Whether Postgres has undone the whole transaction because of a concurrent one, and says so.
fn is_repeatable(error: &RepositoryError) -> bool {
    let RepositoryError::Contended { source } = error else { return false };
    let code = source.downcast_ref().and_then(Error::as_database_error).and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = RetryPolicy::new(20, Duration::from_millis(10), Duration::from_millis(70)).unwrap();
        let longest = [1, 2, 3, 4, 19].map(|attempt| policy.pause_after(attempt, u64::MAX).as_micros());
        assert_eq!(longest, [9_999, 19_999, 39_999, 69_999, 69_999]);
        assert_eq!(policy.pause_after(3, 0), Duration::ZERO);
        assert_eq!(policy.pause_after(3, 1 << 63), Duration::from_millis(20));
    }

    #[test]
    fn a_policy_has_limits() {
        assert!(RetryPolicy::new(0, Duration::ZERO, Duration::ZERO).is_err());
        assert!(RetryPolicy::new(21, Duration::ZERO, Duration::ZERO).is_err());
        assert!(RetryPolicy::new(1, Duration::ZERO, Duration::from_secs(61)).is_err());
    }

    #[tokio::test]
    async fn what_is_not_a_lost_race_is_not_repeated() {
        let count = AtomicU32::new(0);
        let outcome: Result<(), _> = RetryPolicy::default()
            .run(async || {
                count.fetch_add(1, Ordering::Relaxed);
                Err(RepositoryError::Contended { source: "of unknown origin".into() })
            })
            .await;
        assert!(matches!(outcome, Err(RepositoryError::Contended { .. })));
        assert_eq!(count.into_inner(), 1);
    }
}
