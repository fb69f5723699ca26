//! Linearizability: whether the answers of concurrent calls could have been given one after another.
//!
//! The search is that of Wing and Gong, "Testing and Verifying Concurrent Objects" (1993): among the calls that no
//! other one must precede, take one whose answer the oracle gives as well, and go on from there.

use std::collections::HashSet;

/// The most steps of a search; beyond that, nothing is claimed.
const STEPS_MAX: u32 = 200_000;

/// One call as it was observed.
#[derive(Debug, Clone)]
pub(super) struct Call<O, A> {
    /// When it was made and when it was answered, on one clock that counts such events.
    pub(super) called: u64,
    pub(super) answered: u64,
    pub(super) operation: O,
    pub(super) answer: A,
}

/// What a search came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none.
    Impossible,
    /// It took too long to find out.
    Unknown,
}

/// A store that a search can go back in.
pub(super) trait Model: Clone {
    /// A call.
    type Operation;
    /// What a call answers.
    type Answer: PartialEq;

    /// Does what the operation says.
    fn apply(&mut self, operation: &Self::Operation) -> Self::Answer;

    /// What it holds, as a text that is the same for the same contents.
    fn fingerprint(&self) -> String;
}

/// Whether the calls, of which there are 64 at most, have an order.
pub(super) fn verdict<M: Model>(model: &M, calls: &[Call<M::Operation, M::Answer>]) -> Verdict {
    if calls.len() > 64 {
        return Verdict::Unknown;
    }
    let mut search = Search { calls, seen: HashSet::new(), steps: 0 };
    match search.from(model, 0) {
        Some(true) => Verdict::Linearizable,
        Some(false) => Verdict::Impossible,
        None => Verdict::Unknown,
    }
}

struct Search<'a, O, A> {
    calls: &'a [Call<O, A>],
    /// Where nothing was found before: what was done, and what was then there.
    seen: HashSet<(u64, String)>,
    steps: u32,
}

impl<O, A: PartialEq> Search<'_, O, A> {
    /// Whether the calls that are not done yet have an order; None if it took too long.
    fn from<M: Model<Operation = O, Answer = A>>(&mut self, model: &M, done: u64) -> Option<bool> {
        let is_open = |index: usize| done & (1 << index) == 0;
        let open: Vec<_> = self.calls.iter().enumerate().filter(|(index, _)| is_open(*index)).collect();
        let Some(first_answer) = open.iter().map(|(_, call)| call.answered).min() else { return Some(true) };
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return None;
        }
        if !self.seen.insert((done, model.fingerprint())) {
            return Some(false);
        }
        for (index, call) in open {
            // One that was made after another was answered comes after it.
            if call.called > first_answer {
                continue;
            }
            let mut next = model.clone();
            if next.apply(&call.operation) == call.answer && self.from(&next, done | 1 << index)? {
                return Some(true);
            }
        }
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that is set and read.
    #[derive(Clone)]
    struct Register(i32);

    impl Model for Register {
        type Operation = Option<i32>;
        type Answer = i32;

        fn apply(&mut self, operation: &Option<i32>) -> i32 {
            self.0 = operation.unwrap_or(self.0);
            self.0
        }

        fn fingerprint(&self) -> String {
            self.0.to_string()
        }
    }

    fn call(called: u64, answered: u64, operation: Option<i32>, answer: i32) -> Call<Option<i32>, i32> {
        Call { called, answered, operation, answer }
    }

    #[test]
    fn a_read_beside_a_write_may_see_either() {
        for seen in [0, 1] {
            let calls = [call(1, 4, Some(1), 1), call(2, 3, None, seen)];
            assert_eq!(verdict(&Register(0), &calls), Verdict::Linearizable);
        }
    }

    #[test]
    fn a_read_after_a_write_may_not_see_what_was_before() {
        let calls = [call(1, 2, Some(1), 1), call(3, 4, None, 0)];
        assert_eq!(verdict(&Register(0), &calls), Verdict::Impossible);
    }

    #[test]
    fn what_was_seen_is_not_undone() {
        // The write is still under way, but the first of two reads has seen it.
        let calls = [call(1, 10, Some(1), 1), call(2, 3, None, 1), call(4, 5, None, 0)];
        assert_eq!(verdict(&Register(0), &calls), Verdict::Impossible);
    }
}
