//! Work on numbered blocks, shared by a few threads.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Calls a worker for every block from 0 to `blocks` and returns the results in the order of the blocks.
///
/// Each thread makes a worker of its own (for its scratch memory) and takes the next free block until there is
/// none; the calling thread is one of them. A thread that the system refuses to start is done without.
pub(super) fn for_each_block<T, W>(
    blocks: usize,
    workers: NonZeroUsize,
    make_worker: impl Fn() -> W + Sync,
) -> Vec<T>
where
    T: Send,
    W: FnMut(usize) -> T,
{
    let next = AtomicUsize::new(0);
    let work = || {
        let mut worker = make_worker();
        let mut done = Vec::new();
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= blocks {
                return done;
            }
            done.push((block, worker(block)));
        }
    };
    let mut results = thread::scope(|scope| {
        let helpers: Vec<_> = (1..workers.get().min(blocks))
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut results = work();
        for helper in helpers {
            match helper.join() {
                Ok(more) => results.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_unstable_by_key(|(block, _)| *block);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_done_once_and_in_order() {
        for workers in 1..5 {
            for blocks in [0, 1, 2, 100] {
                let workers = NonZeroUsize::new(workers).unwrap();
                let results = for_each_block(blocks, workers, || |block| block * 2);
                assert_eq!(results, (0..blocks).map(|block| block * 2).collect::<Vec<_>>());
            }
        }
    }
}
