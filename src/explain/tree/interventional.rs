//! Exact interventional SHAP values: features that are not known have the values of background rows.
//!
//! For a row x, a background row z, and a leaf of value v, let a conditions of the leaf's path (merged by feature) be
//! satisfied by x alone, b by z alone, and none by neither. Then a feature of x's own gets v (a-1)! b! / (a+b)!, and one
//! of z's own -v a! (b-1)! / (a+b)! (Zern et al. 2023; the weights are integrals of t^(a-1) (1-t)^b and t^a (1-t)^(b-1)).
//! A leaf's contributions depend only on which conditions the row satisfies, its pattern, and on how many background
//! rows have which pattern (WOODELF, arXiv 2511.09376). The background's patterns are counted once; then a leaf's
//! contributions are computed once for each pattern that occurs among a batch's rows.

mod paths;
mod table;

use std::num::NonZeroUsize;

use self::paths::{Path, Step, TreePaths};
use self::table::{Table, Weights};
use super::columns::Columns;
use super::dispatch::{Work, dispatch};
use super::margins::Margins;
use super::program::used_features;
use super::simd::{InstructionSet, Vector};
use super::{Deadline, in_place};
use crate::explain::pool::for_each_block;
use crate::explain::{Attribution, Batch, Budget, Capabilities, ExplainError, Explainer, Explanation, RowError};
use crate::model::TreeEnsemble;

/// The most rows that are worked on together: the more, the more share their patterns.
const ROWS_MAX: usize = 1024;

/// The fewest rows that are worth a thread.
const ROWS_MIN: usize = 32;

/// Explains tree ensembles by exact interventional SHAP values against background rows, on the margin's scale.
///
/// Preparation takes a time proportional to background rows x leaves; explaining does not depend on the number of
/// background rows, but on the number of their different patterns, which is at most 2^d for d features on a path.
#[derive(Debug, Clone)]
pub struct InterventionalTreeExplainer {
    ensemble: TreeEnsemble,
    instructions: InstructionSet,
    columns: Columns,
    margins: Margins,
    features: Vec<u32>,
    base_values: Vec<f64>,
    trees: Vec<TreePaths>,
    weights: Weights,
}

impl InterventionalTreeExplainer {
    /// Prepares a model and a background: once, for any number of batches.
    ///
    /// # Errors
    /// [`ExplainError::Background`] when there is no background row or one has the wrong width;
    /// [`ExplainError::TooManyFeatures`] and [`ExplainError::ModelTooLarge`] beyond the limits.
    pub fn new(ensemble: TreeEnsemble, background: &Batch) -> Result<Self, ExplainError> {
        Self::with_instructions(ensemble, background, InstructionSet::detect())
    }

    /// The same with vectors of a certain kind, if the processor has them. They do not change a bit.
    ///
    /// # Errors
    /// As for [`InterventionalTreeExplainer::new`].
    pub fn with_instructions(
        ensemble: TreeEnsemble,
        background: &Batch,
        instructions: InstructionSet,
    ) -> Result<Self, ExplainError> {
        let expected = ensemble.feature_count();
        if let Some(row) = background.rows().position(|row| row.len() != expected) {
            let found = format!("{} values in row {row}", background.row(row).len());
            return Err(ExplainError::Background { expected, found });
        }
        if background.is_empty() {
            return Err(ExplainError::Background { expected, found: "no rows".to_owned() });
        }
        let columns = Columns::of(&ensemble);
        let features = used_features(&ensemble);
        let margins = Margins::of(&ensemble, &columns);
        let mut trees = paths::of(&ensemble, &columns, &features)?;
        let rows: Vec<&[f64]> = background.rows().collect();
        let bins = Bins::of(&columns, &rows);
        let mut count = CountBackground { trees: &mut trees, bins: &bins, bytes: 0, too_large: false };
        dispatch(instructions, false, &mut count);
        if count.too_large {
            return Err(ExplainError::ModelTooLarge { limit: paths::BYTES_MAX });
        }
        let mut base_values = vec![0.0; ensemble.output_count()];
        for row in &rows {
            base_values.iter_mut().zip(ensemble.margins(row)).for_each(|(sum, margin)| *sum += margin);
        }
        #[expect(clippy::cast_precision_loss, reason = "no batch in memory has 2^53 rows")]
        base_values.iter_mut().for_each(|sum| *sum /= rows.len() as f64);
        Ok(Self {
            ensemble,
            instructions,
            columns,
            margins,
            features,
            base_values,
            trees,
            weights: Weights::new(),
        })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &TreeEnsemble {
        &self.ensemble
    }

    /// The memory of what was prepared, in bytes, without the model.
    #[must_use]
    pub fn prepared_bytes(&self) -> usize {
        self.trees.iter().map(TreePaths::bytes).sum::<usize>() + self.columns.bytes() + self.margins.bytes()
    }

    fn memory_needed(&self, rows: usize, workers: usize) -> u64 {
        let outputs = self.ensemble.output_count();
        let numbers = (self.ensemble.feature_count() * outputs + outputs) * size_of::<f64>();
        let row = numbers + 2 * size_of::<Result<Attribution, RowError>>();
        let longest = self.trees.iter().map(|tree| tree.longest).max().unwrap_or(0);
        let depth = self.trees.iter().map(|tree| tree.depth).max().unwrap_or(0);
        let at_once = rows.min(ROWS_MAX);
        let worker = at_once
            * (self.features.len() * outputs * size_of::<f64>()
                + self.columns.count() * 3 * size_of::<u32>()
                + (depth + 2) * size_of::<u64>()
                + 2 * longest.next_power_of_two().max(8) * size_of::<f64>());
        rows.saturating_mul(row).saturating_add(workers.saturating_mul(worker)) as u64
    }

    fn explain_rows(
        &self,
        rows: &[&[f64]],
        workers: NonZeroUsize,
        deadline: &Deadline,
    ) -> Vec<Result<Attribution, RowError>> {
        // A row's values depend on its own patterns alone, not on how the rows are shared out.
        let at_once = rows.len().div_ceil(workers.get()).clamp(ROWS_MIN, ROWS_MAX);
        let tiles: Vec<&[&[f64]]> = rows.chunks(at_once).collect();
        let explained =
            for_each_block(tiles.len(), workers, || |block: usize| self.explain_tile(tiles[block], deadline));
        explained.into_iter().flatten().collect()
    }

    fn explain_tile(&self, rows: &[&[f64]], deadline: &Deadline) -> Vec<Result<Attribution, RowError>> {
        let outputs = self.ensemble.output_count();
        let bins = Bins::of(&self.columns, rows);
        let sums = vec![0.0; self.features.len() * outputs * rows.len()];
        let mut work = Explain { explainer: self, bins: &bins, sums, deadline, finished: false };
        dispatch(self.instructions, false, &mut work);
        if !work.finished {
            return vec![Err(RowError::TimeLimit { limit: deadline.limit }); rows.len()];
        }
        let margins = self.margins.of_rows(self.ensemble.base_margins(), &bins.by_row());
        let attribution = |(place, row): (usize, &&[f64])| {
            let mut values = vec![0.0; row.len() * outputs].into_boxed_slice();
            for (number, sums) in work.sums.chunks_exact(rows.len()).enumerate() {
                let (output, slot) = (number / self.features.len(), number % self.features.len());
                values[self.features[slot] as usize * outputs + output] = sums[place];
            }
            Ok(Attribution::of_outputs(values, &margins[place * outputs..][..outputs]))
        };
        rows.iter().enumerate().map(attribution).collect()
    }
}

impl Explainer for InterventionalTreeExplainer {
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
        let rows = in_place(batch, self.ensemble.feature_count(), |rows| {
            self.explain_rows(rows, budget.workers, &deadline)
        });
        Ok(Explanation::of_outputs(self.base_values.clone(), rows))
    }
}

/// The bins of some rows, column by column.
struct Bins {
    bins: Vec<u32>,
    rows: usize,
}

impl Bins {
    fn of(columns: &Columns, rows: &[&[f64]]) -> Self {
        let mut bins = vec![0; columns.count().max(1) * rows.len()];
        columns.each(rows, &mut vec![0; rows.len()], |column, of| {
            bins[column * rows.len()..][..of.len()].copy_from_slice(of);
        });
        Self { bins, rows: rows.len() }
    }

    fn column(&self, column: u32) -> &[u32] {
        &self.bins[column as usize * self.rows..][..self.rows]
    }

    fn by_row(&self) -> Vec<Vec<u32>> {
        let row = |row: usize| self.bins.iter().skip(row).step_by(self.rows).copied().collect();
        (0..self.rows).map(row).collect()
    }
}

/// The patterns of rows on the current path: for each depth, bit by bit which merged conditions they satisfy.
struct Patterns {
    by_depth: Vec<Vec<u64>>,
}

impl Patterns {
    fn new(rows: usize, depth: usize) -> Self {
        Self { by_depth: vec![vec![0; rows]; depth + 1] }
    }

    /// Goes down one side of a node.
    #[inline(always)]
    fn go(&mut self, step: &paths::Side, bins: &Bins) {
        let (above, below) = self.by_depth.split_at_mut(step.depth as usize + 1);
        let (above, below) = (&above[step.depth as usize], &mut below[0]);
        let column = bins.column(step.column);
        let other = u64::from(!step.left);
        for ((below, above), bin) in below.iter_mut().zip(above).zip(column) {
            let satisfied = u64::from(*bin < step.bin) ^ other;
            *below = if step.fresh {
                above | (satisfied << step.position)
            } else {
                above & !((satisfied ^ 1) << step.position)
            };
        }
    }
}

/// Counts the background's patterns at each leaf.
struct CountBackground<'a> {
    trees: &'a mut [TreePaths],
    bins: &'a Bins,
    bytes: usize,
    too_large: bool,
}

impl Work for CountBackground<'_> {
    type Element = f64;

    #[inline(always)]
    fn run<V: Vector<Element = f64>>(&mut self) {
        #[expect(clippy::cast_precision_loss, reason = "no batch in memory has 2^53 rows")]
        let share = 1.0 / self.bins.rows as f64;
        for tree in &mut *self.trees {
            let mut patterns = Patterns::new(self.bins.rows, tree.depth);
            for step in &tree.steps {
                match step {
                    Step::Side(side) => patterns.go(side, self.bins),
                    Step::Leaf { depth, path } => {
                        let path = &mut tree.paths[*path as usize];
                        path.count(&patterns.by_depth[*depth as usize], share);
                        self.bytes += size_of::<Path>() + path.bytes();
                    }
                    Step::Flush { .. } => {}
                }
            }
            if self.bytes > paths::BYTES_MAX {
                self.too_large = true;
                return;
            }
        }
    }
}

/// Explains some rows.
struct Explain<'a> {
    explainer: &'a InterventionalTreeExplainer,
    bins: &'a Bins,
    /// For each output and slot one for each row.
    sums: Vec<f64>,
    deadline: &'a Deadline,
    finished: bool,
}

impl Work for Explain<'_> {
    type Element = f64;

    #[inline(always)]
    fn run<V: Vector<Element = f64>>(&mut self) {
        let mut table = Table::default();
        for tree in &self.explainer.trees {
            if self.deadline.has_passed() {
                return;
            }
            match tree.longest {
                0..=8 => self.tree::<8>(tree, &mut table),
                9..=16 => self.tree::<16>(tree, &mut table),
                17..=32 => self.tree::<32>(tree, &mut table),
                _ => self.tree::<64>(tree, &mut table),
            }
        }
        self.finished = !self.deadline.has_passed();
    }
}

impl Explain<'_> {
    /// Adds a tree. What the leaves contribute is kept by the feature's place on the path, which all leaves below share,
    /// and goes to the feature when the walk leaves the place.
    #[inline(always)]
    fn tree<const W: usize>(&mut self, tree: &TreePaths, table: &mut Table) {
        let rows = self.bins.rows;
        let mut patterns = Patterns::new(rows, tree.depth);
        let mut by_place = vec![[0.0; W]; rows];
        let mut entries: Vec<[f64; W]> = Vec::new();
        let slots = self.explainer.features.len();
        for step in &tree.steps {
            match step {
                Step::Side(side) => patterns.go(side, self.bins),
                Step::Leaf { depth, path } => {
                    let path = &tree.paths[*path as usize];
                    if path.value == 0.0 {
                        continue;
                    }
                    entries.clear();
                    table.begin(path.length);
                    for (pattern, sums) in patterns.by_depth[*depth as usize].iter().zip(&mut by_place) {
                        let entry = table.entry(*pattern, entries.len());
                        if entry == entries.len() {
                            entries.push(path.contributions(*pattern, &self.explainer.weights));
                        }
                        let entry = &entries[entry];
                        for place in 0..W {
                            sums[place] += entry[place];
                        }
                    }
                }
                Step::Flush { position, slot } => {
                    let start = (tree.output * slots + *slot as usize) * rows;
                    for (sum, by_place) in self.sums[start..][..rows].iter_mut().zip(&mut by_place) {
                        *sum += std::mem::take(&mut by_place[*position as usize]);
                    }
                }
            }
        }
    }
}
