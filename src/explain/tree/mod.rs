//! Exact SHAP values of tree ensembles.
//!
//! For a leaf of value v whose path has conditions on d features, with h = 1 or 0 as the row satisfies a condition
//! or not, and c = the share of the training rows that does, the path-dependent contribution to feature i is
//!
//! ```text
//! v * integral from 0 to 1 of (h_i - c_i) * product over j != i of (h_j t + c_j (1 - t)) dt
//! ```
//!
//! The integrand is a polynomial of degree d - 1: Gauss-Legendre quadrature with ceil(d / 2) nodes is exact, and as
//! all factors lie between 0 and 1 nothing cancels, however deep the tree. See Quadrature-TreeSHAP
//! (arXiv 2605.04497) and TreeGrad-Shap (arXiv 2602.11623); the values are those of TreeSHAP (Lundberg et al. 2018,
//! arXiv 1802.03888), where every condition on one feature counts as one player. All leaves of a tree share the work
//! on what their paths have in common: `kernel` says how.
//!
//! Rows are worked on in vectors: every operation is done for all rows of a vector, in the same order, so that a value
//! depends neither on the other rows nor on the number of workers.

mod columns;
mod contributions;
mod dispatch;
mod interventional;
mod kernel;
mod margins;
mod program;
mod quadrature;
mod simd;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use self::columns::Columns;
use self::contributions::{TILE, Tile, Wanted, add_parts, stride};
pub use self::interventional::InterventionalTreeExplainer;
use self::margins::Margins;
use self::program::{Program, expected_value, used_features};
pub use self::simd::InstructionSet;
use super::pool::for_each_block;
use super::{Attribution, Batch, Budget, Capabilities, ExplainError, Explainer, Explanation, RowError};
use crate::model::TreeEnsemble;

/// How exact an explanation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precision {
    /// 64 bits: base value and values add up to the output within 1e-10 of the sizes of the terms.
    #[default]
    Double,
    /// 32 bits for each tree, summed in 64: within 1e-5. About twice as fast.
    Single,
}

/// How a [`TreeExplainer`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeOptions {
    /// How exact it is.
    pub precision: Precision,
    /// The vectors that it uses, if the processor has them. On one processor all but [`InstructionSet::Portable`] give
    /// the same numbers, to the last bit.
    pub instructions: InstructionSet,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self { precision: Precision::default(), instructions: InstructionSet::detect() }
    }
}

/// Explains tree ensembles by exact path-dependent SHAP values, on the margin's scale.
///
/// Missing values go where the model sends them; infinities are ordered as any other value. Time is proportional to
/// rows x nodes x ceil(d / 2), for d features on the longest path of a tree.
#[derive(Debug, Clone)]
pub struct TreeExplainer {
    ensemble: TreeEnsemble,
    options: TreeOptions,
    columns: Columns,
    margins: Margins,
    /// The features that some split uses: slot to feature.
    features: Vec<u32>,
    base_values: Vec<f64>,
    program: AnyProgram,
    /// The program for interactions, made when it is first asked for.
    with_slopes: OnceLock<AnyProgram>,
}

#[derive(Debug, Clone)]
enum AnyProgram {
    Double(Program<f64>),
    Single(Program<f32>),
}

/// The effort for which it pays to start a thread, in nodes times quadrature nodes times rows: about 0.1 ms of work,
/// several times what a thread costs.
const WORKER_EFFORT_MIN: usize = 200_000;

/// How much more a single row costs than one among many.
const SINGLE_ROW_FACTOR: usize = 4;

impl TreeExplainer {
    /// Prepares a model: once, for any number of batches.
    ///
    /// # Errors
    /// [`ExplainError::ModelTooLarge`] or [`ExplainError::TooDeep`] when the limits do not suffice, and
    /// [`ExplainError::NoCovers`] when the model's format does not say how many rows went where.
    pub fn new(ensemble: TreeEnsemble) -> Result<Self, ExplainError> {
        Self::with_options(ensemble, TreeOptions::default())
    }

    /// Prepares a model.
    ///
    /// # Errors
    /// As for [`TreeExplainer::new`].
    pub fn with_options(ensemble: TreeEnsemble, options: TreeOptions) -> Result<Self, ExplainError> {
        if !ensemble.has_covers() {
            return Err(ExplainError::NoCovers);
        }
        let columns = Columns::of(&ensemble);
        let features = used_features(&ensemble);
        let program = match options.precision {
            Precision::Double => AnyProgram::Double(Program::of(&ensemble, &columns, &features)?),
            Precision::Single => AnyProgram::Single(Program::of(&ensemble, &columns, &features)?),
        };
        let base_values = ensemble.base_margins().iter().enumerate();
        let base_values = base_values.map(|(output, base)| base + expected_value(&ensemble, output)).collect();
        let margins = Margins::of(&ensemble, &columns);
        Ok(Self {
            options,
            columns,
            margins,
            features,
            base_values,
            program,
            with_slopes: OnceLock::new(),
            ensemble,
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
        let with_slopes = self.with_slopes.get().map_or(0, AnyProgram::bytes);
        self.program.bytes() + with_slopes + self.columns.bytes() + self.margins.bytes()
    }

    /// Explains a batch with all pairwise interactions, see [`Attribution::interactions`]. The values are the same as
    /// without. Time is proportional to rows x nodes x depth x ceil(d / 2).
    ///
    /// # Errors
    /// [`ExplainError::Memory`] when the budget does not suffice: each row has features x features numbers.
    pub fn explain_interactions(&self, batch: &Batch, budget: &Budget) -> Result<Explanation, ExplainError> {
        self.explain_batch(batch, budget, true)
    }

    fn explain_batch(
        &self,
        batch: &Batch,
        budget: &Budget,
        interactions: bool,
    ) -> Result<Explanation, ExplainError> {
        let deadline = Deadline::after(budget.time_limit);
        let needed = self.memory_needed(batch.len(), budget.workers.get(), interactions);
        if needed > budget.memory_bytes {
            return Err(ExplainError::Memory { needed, budget: budget.memory_bytes, rows: batch.len() });
        }
        let program =
            if interactions { self.with_slopes.get_or_init(|| self.program.with_slopes()) } else { &self.program };
        let job = Job { program, interactions, deadline };
        let rows =
            in_place(batch, self.ensemble.feature_count(), |rows| self.explain_rows(rows, budget.workers, &job));
        Ok(Explanation::of_outputs(self.base_values.clone(), rows))
    }

    /// The numbers of a tile's sums.
    fn sum_count(&self, rows: usize, interactions: bool) -> usize {
        let slots = self.features.len();
        let numbers = if interactions { slots.saturating_add(slots.saturating_mul(slots)) } else { slots };
        (self.ensemble.output_count() * stride(rows)).saturating_mul(numbers)
    }

    /// The memory that a batch takes, in bytes: the result, and working space for each worker.
    fn memory_needed(&self, rows: usize, workers: usize, interactions: bool) -> u64 {
        let (outputs, features) = (self.ensemble.output_count(), self.ensemble.feature_count());
        let numbers =
            if interactions { features.saturating_add(features.saturating_mul(features)) } else { features };
        // The result's slots exist twice for a moment: in their tiles, and in the whole.
        let numbers = numbers.saturating_mul(outputs).saturating_add(outputs).saturating_mul(size_of::<f64>());
        let row = numbers.saturating_add(2 * size_of::<Result<Attribution, RowError>>());
        // The sums of a tile, of its parts, and of its groups.
        let sums = self.sum_count(rows, interactions).saturating_mul(3 * size_of::<f64>());
        let worker = Tile::bytes(&self.columns, rows).saturating_add(sums);
        rows.saturating_mul(row).saturating_add(workers.saturating_mul(worker)) as u64
    }

    /// Adds the contributions of some parts of the model to a tile's sums; false if there was no time.
    fn add_parts(&self, parts: Range<usize>, tile: &Tile, sums: &mut [f64], job: &Job) -> bool {
        let wanted = Wanted { parts, slots: self.features.len(), interactions: job.interactions };
        let (set, expired) = (self.options.instructions, || job.deadline.has_passed());
        match job.program {
            AnyProgram::Double(program) => add_parts(set, program, &wanted, tile, sums, &expired),
            AnyProgram::Single(program) => add_parts(set, program, &wanted, tile, sums, &expired),
        }
    }

    /// The values of a tile's rows from its sums.
    fn attributions(
        &self,
        rows: &[&[f64]],
        tile: &Tile,
        sums: &[f64],
        interactions: bool,
    ) -> Vec<Result<Attribution, RowError>> {
        let (outputs, stride) = (self.ensemble.output_count(), tile.stride());
        let margins = self.margins.of_tile(self.ensemble.base_margins(), tile);
        let (of_values, of_pairs) = sums.split_at(outputs * self.features.len() * stride);
        let attribution = |(place, row): (usize, &&[f64])| {
            let mut values = vec![0.0; row.len() * outputs].into_boxed_slice();
            for output in 0..outputs {
                let sums = &of_values[output * self.features.len() * stride..];
                for (slot, feature) in self.features.iter().enumerate() {
                    values[*feature as usize * outputs + output] = sums[slot * stride + place];
                }
            }
            let pairs = interactions.then(|| self.interactions(of_pairs, &values, stride, place));
            let attribution = Attribution::of_outputs(values, &margins[place * outputs..][..outputs]);
            Ok(match pairs {
                Some(pairs) => attribution.with_interactions(pairs),
                None => attribution,
            })
        };
        rows.iter().enumerate().map(attribution).collect()
    }

    /// The interactions of one row: each pair's is shared by its two places, and the main effect is what is left of the
    /// feature's value.
    fn interactions(&self, sums: &[f64], values: &[f64], stride: usize, place: usize) -> Box<[f64]> {
        let (outputs, slots) = (self.ensemble.output_count(), self.features.len());
        let features = self.ensemble.feature_count();
        let mut pairs = vec![0.0; features * features * outputs].into_boxed_slice();
        for output in 0..outputs {
            let sum = |a: usize, b: usize| sums[((output * slots + a) * slots + b) * stride + place];
            let at = |a: usize, b: usize| {
                (self.features[a] as usize * features + self.features[b] as usize) * outputs + output
            };
            for a in 0..slots {
                let mut main = values[self.features[a] as usize * outputs + output];
                for b in (0..slots).filter(|b| *b != a) {
                    // In the same order for both places.
                    let shared = 0.5 * (sum(a.min(b), a.max(b)) + sum(a.max(b), a.min(b)));
                    pairs[at(a, b)] = shared;
                    main -= shared;
                }
                pairs[at(a, a)] = main;
            }
        }
        pairs
    }

    /// Explains rows of the right width.
    fn explain_rows(
        &self,
        rows: &[&[f64]],
        workers: NonZeroUsize,
        job: &Job<'_>,
    ) -> Vec<Result<Attribution, RowError>> {
        let tiles: Vec<&[&[f64]]> = rows.chunks(TILE).collect();
        let factor = if rows.len() == 1 { SINGLE_ROW_FACTOR } else { 1 };
        let worthwhile =
            rows.len().saturating_mul(job.program.effort()).saturating_mul(factor) / WORKER_EFFORT_MIN;
        let workers = NonZeroUsize::new(worthwhile).map_or(NonZeroUsize::MIN, |most| most.min(workers));
        let late = |rows: &[&[f64]]| vec![Err(RowError::TimeLimit { limit: job.deadline.limit }); rows.len()];
        let parts = job.program.parts();
        let interactions = job.interactions;
        // A few rows of a large model: the workers share out the trees. Each part is summed for itself either way.
        if workers.get() > 1 && parts > 1 && tiles.len() < 2 * workers.get() {
            let binned: Vec<Tile> = tiles.iter().map(|rows| Tile::of(&self.columns, rows)).collect();
            let sums = for_each_block(tiles.len() * parts, workers, || {
                |number: usize| {
                    let (tile, part) = (&binned[number / parts], number % parts);
                    let mut sums = vec![0.0; self.sum_count(tile.rows(), interactions)];
                    self.add_parts(part..part + 1, tile, &mut sums, job).then_some(sums)
                }
            });
            let explained = tiles.iter().zip(&binned).zip(sums.chunks(parts)).map(|((rows, tile), sums)| {
                let mut total = vec![0.0; self.sum_count(rows.len(), interactions)];
                for sums in sums {
                    let Some(sums) = sums else { return late(rows) };
                    total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
                }
                self.attributions(rows, tile, &total, interactions)
            });
            return explained.flatten().collect();
        }
        let explained = for_each_block(tiles.len(), workers, || {
            let mut sums = Vec::new();
            let tiles = &tiles;
            move |block: usize| {
                let rows = tiles[block];
                let tile = Tile::of(&self.columns, rows);
                sums.clear();
                sums.resize(self.sum_count(rows.len(), interactions), 0.0);
                if self.add_parts(0..parts, &tile, &mut sums, job) {
                    self.attributions(rows, &tile, &sums, interactions)
                } else {
                    late(rows)
                }
            }
        });
        explained.into_iter().flatten().collect()
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
        self.explain_batch(batch, budget, false)
    }
}

/// What is to be done for the rows of a batch.
struct Job<'a> {
    program: &'a AnyProgram,
    interactions: bool,
    deadline: Deadline,
}

impl AnyProgram {
    fn effort(&self) -> usize {
        match self {
            Self::Double(program) => program.effort,
            Self::Single(program) => program.effort,
        }
    }

    fn parts(&self) -> usize {
        match self {
            Self::Double(program) => program.parts.len(),
            Self::Single(program) => program.parts.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Double(program) => program.bytes,
            Self::Single(program) => program.bytes,
        }
    }

    fn with_slopes(&self) -> Self {
        match self {
            Self::Double(program) => Self::Double(program.with_slopes()),
            Self::Single(program) => Self::Single(program.with_slopes()),
        }
    }
}

/// Has the rows of the right width explained, and puts errors in the places of the others.
pub(super) fn in_place(
    batch: &Batch,
    expected: usize,
    explain: impl FnOnce(&[&[f64]]) -> Vec<Result<Attribution, RowError>>,
) -> Vec<Result<Attribution, RowError>> {
    let sound: Vec<&[f64]> = batch.rows().filter(|row| row.len() == expected).collect();
    let mut explained = explain(&sound).into_iter();
    let in_place = |row: &[f64]| {
        let width = RowError::Width { expected, found: row.len() };
        if row.len() == expected { explained.next().unwrap_or(Err(width)) } else { Err(width) }
    };
    batch.rows().map(in_place).collect()
}

/// A moment after which nothing more is begun.
pub(super) struct Deadline {
    pub(super) limit: Duration,
    /// None when the limit is beyond what the clock can tell.
    at: Option<Instant>,
}

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
        Self { limit, at: Instant::now().checked_add(limit) }
    }

    pub(super) fn has_passed(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at)
    }
}

#[cfg(test)]
mod tests;
