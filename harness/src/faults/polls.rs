//! Futures that are given up half-way, as a caller does whose own time is over.

use std::future::{Future, poll_fn};
use std::task::Poll;

/// Polls the future as often as it asks for it, but so many times at most, and then drops it. None if it was not done.
///
/// With 1, 2, 3, ... it is dropped at every point at which it waits.
pub async fn poll_times<F: Future>(future: F, polls_max: u32) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut polls = 0;
    poll_fn(|context| {
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls >= polls_max => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Polls the future until it is done, and counts how often it had to.
pub async fn count_polls<F: Future>(future: F) -> (F::Output, u32) {
    let mut future = Box::pin(future);
    let mut polls = 0_u32;
    let output = poll_fn(|context| {
        polls = polls.saturating_add(1);
        future.as_mut().poll(context)
    })
    .await;
    (output, polls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_dropped_at_the_point_that_was_asked_for() {
        let three = || async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(poll_times(three(), 1).await, None);
        assert_eq!(poll_times(three(), 2).await, None);
        assert_eq!(poll_times(three(), 3).await, Some(7));
        assert_eq!(count_polls(three()).await, (7, 3));
    }
}
