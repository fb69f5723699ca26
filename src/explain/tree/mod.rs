//! Exact path-dependent SHAP values of tree ensembles, by quadrature.
//!
//! For a leaf of value v whose path has conditions on d features, with h = 1 or 0 as the row satisfies a condition
//! or not, and c = the share of the training rows that does, the contribution to feature i is
//!
//! ```text
//! v * integral from 0 to 1 of (h_i - c_i) * product over j != i of (h_j t + c_j (1 - t)) dt
//! ```
//!
//! The integrand is a polynomial of degree d - 1: Gauss-Legendre quadrature with ceil(d / 2) nodes is exact, and as
//! all factors lie between 0 and 1 nothing cancels, however deep the tree. See Quadrature-TreeSHAP
//! (arXiv 2605.04497) and TreeGrad-Shap (arXiv 2602.11623); the values are those of TreeSHAP (Lundberg et al. 2018,
//! arXiv 1802.03888), where every condition on one feature counts as one player.
//!
//! Rows are worked on in blocks: every operation is done for all rows of a block, in the same order, so that a value
//! depends neither on the other rows nor on the number of workers.

mod kernel;
mod paths;
mod quadrature;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use self::kernel::{LANES, Scratch};
use self::paths::Paths;
use self::quadrature::Rules;
use super::pool::for_each_block;
use super::{Attribution, Batch, Budget, Capabilities, ExplainError, Explainer, Explanation, RowError};
use crate::model::{Node, Test, Tree, TreeEnsemble};

/// Explains tree ensembles by exact path-dependent SHAP values, on the margin's scale.
///
/// NaN is a missing value and goes where the model sends it; infinities are ordered as any other value. Time is
/// proportional to rows x leaves x d x ceil(d / 2), for d features on a path.
#[derive(Debug, Clone)]
pub struct TreeExplainer {
    ensemble: TreeEnsemble,
    paths: Paths,
    rules: Rules,
    /// The effort for one block of rows: conditions times quadrature nodes, over all leaves.
    block_effort: usize,
}

/// The effort for which it pays to start a thread: about 0.1 ms of work, several times what a thread costs.
const WORKER_EFFORT_MIN: usize = 5_000;

impl TreeExplainer {
    /// Prepares a model: once, for any number of batches.
    ///
    /// # Errors
    /// [`ExplainError::ModelTooLarge`] when the paths have too many conditions; [`ExplainError::Other`] when there are
    /// several outputs, categories, or no covers.
    pub fn new(ensemble: TreeEnsemble) -> Result<Self, ExplainError> {
        if ensemble.output_count() != 1 {
            let found = ensemble.output_count();
            return Err(ExplainError::Other(format!("expected a model with one output, found {found}")));
        }
        let is_category =
            |node: &Node| matches!(node, Node::Split { split, .. } if !matches!(split.test, Test::Below(_)));
        if ensemble.trees().iter().flat_map(Tree::nodes).any(is_category) {
            return Err(ExplainError::Other("expected numeric splits, found a categorical split".to_owned()));
        }
        if !ensemble.has_covers() {
            return Err(ExplainError::Other("expected a model whose nodes have covers, found none".to_owned()));
        }
        let paths = Paths::of(&ensemble)?;
        let rules = Rules::for_lengths(paths.iter().map(|(_, conditions)| conditions.len()));
        let effort = |conditions: usize| conditions * rules.for_length(conditions).len();
        let block_effort = paths.iter().map(|(_, conditions)| effort(conditions.len())).sum();
        Ok(Self { ensemble, paths, rules, block_effort })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &TreeEnsemble {
        &self.ensemble
    }

    /// The memory that a batch takes, in bytes: the result, and working space for each worker.
    fn memory_needed(&self, rows: usize, workers: usize) -> u64 {
        // The result's slots exist twice for a moment: in their blocks, and in the whole.
        let row = 2 * size_of::<Result<Attribution, RowError>>()
            + self.ensemble.feature_count().saturating_mul(size_of::<f64>());
        let worker = Scratch::bytes(&self.paths);
        rows.saturating_mul(row).saturating_add(workers.saturating_mul(worker)) as u64
    }

    /// The results for the rows of a block, all of the right width.
    fn explain_block(
        &self,
        rows: &[&[f64]],
        deadline: &Deadline,
        scratch: &mut Scratch,
    ) -> Vec<Result<Attribution, RowError>> {
        if !scratch.run(&self.ensemble, &self.paths, &self.rules, rows, || deadline.has_passed()) {
            return vec![Err(RowError::TimeLimit { limit: deadline.limit }); rows.len()];
        }
        let attribution = |(lane, row): (usize, &&[f64])| {
            let mut values = vec![0.0; row.len()].into_boxed_slice();
            for (feature, contributions) in self.paths.features.iter().zip(scratch.contributions()) {
                values[*feature as usize] = contributions[lane];
            }
            Ok(Attribution::new(values, self.ensemble.margins(row)[0]))
        };
        rows.iter().enumerate().map(attribution).collect()
    }
}

impl Explainer for TreeExplainer {
    fn capabilities(&self) -> Capabilities {
        Capabilities { time_limit: true, workers: true, partial_failure: true }
    }

    fn feature_count(&self) -> usize {
        self.ensemble.feature_count()
    }

    fn explain(&self, batch: &Batch, budget: &Budget) -> Result<Explanation, ExplainError> {
        let deadline = Deadline::after(budget.time_limit);
        let needed = self.memory_needed(batch.len(), budget.workers.get());
        if needed > budget.memory_bytes {
            return Err(ExplainError::Memory { needed, budget: budget.memory_bytes, rows: batch.len() });
        }

        let expected = self.ensemble.feature_count();
        let sound: Vec<&[f64]> = batch.rows().filter(|row| row.len() == expected).collect();
        let blocks: Vec<&[&[f64]]> = sound.chunks(LANES).collect();
        let worthwhile = blocks.len().saturating_mul(self.block_effort) / WORKER_EFFORT_MIN;
        let workers = NonZeroUsize::new(worthwhile).map_or(NonZeroUsize::MIN, |most| most.min(budget.workers));
        let explained = for_each_block(blocks.len(), workers, || {
            let mut scratch = Scratch::new(&self.paths);
            let (blocks, deadline) = (&blocks, &deadline);
            move |block| self.explain_block(blocks[block], deadline, &mut scratch)
        });

        let mut explained = explained.into_iter().flatten();
        let in_place = |row: &[f64]| {
            let width = RowError::Width { expected, found: row.len() };
            if row.len() == expected { explained.next().unwrap_or(Err(width)) } else { Err(width) }
        };
        let rows = batch.rows().map(in_place).collect();
        Ok(Explanation::new(self.ensemble.base_margins()[0] + self.paths.expected_value, rows))
    }
}

/// A moment after which nothing more is begun.
struct Deadline {
    limit: Duration,
    /// None when the limit is beyond what the clock can tell.
    at: Option<Instant>,
}

impl Deadline {
    fn after(limit: Duration) -> Self {
        Self { limit, at: Instant::now().checked_add(limit) }
    }

    fn has_passed(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at)
    }
}
