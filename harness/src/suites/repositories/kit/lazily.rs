//! Strategies for other threads than the one that describes them.

use std::fmt;

use proptest::strategy::{BoxedStrategy, NewTree, Strategy};
use proptest::test_runner::TestRunner;

/// A strategy that is made where values are generated: what it consists of need not be sent there.
pub(super) struct Lazily<F>(pub(super) F);

impl<F> fmt::Debug for Lazily<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Lazily")
    }
}

impl<T: fmt::Debug, F: Fn() -> BoxedStrategy<T>> Strategy for Lazily<F> {
    type Tree = <BoxedStrategy<T> as Strategy>::Tree;
    type Value = T;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        (self.0)().new_tree(runner)
    }
}
