//! The SHAP values of a tile of rows, from some parts of a model.

use std::ops::Range;

use super::columns::Columns;
use super::dispatch::{Work, dispatch};
use super::kernel::{Frame, Pairs, Slopes, add_tree};
use super::program::{CompiledTree, Program};
use super::simd::{InstructionSet, Kernels, Real, Vector};

/// Rows that are worked on before the next tree: its constants and the branches it takes are still at hand.
pub(super) const TILE: usize = 64;

/// The bins of at most [`TILE`] rows.
pub(super) struct Tile {
    /// Column by column.
    bins: Vec<u32>,
    columns: usize,
    /// The places of a column: one for a single row, else [`TILE`].
    stride: usize,
    rows: usize,
}

impl Tile {
    /// Turns rows into bins.
    pub(super) fn of(columns: &Columns, rows: &[&[f64]]) -> Self {
        let stride = stride(rows.len());
        // Kernels want a column even if nothing is compared.
        let count = columns.count().max(1);
        let mut bins = vec![0; count * stride];
        columns.each(rows, &mut [0; TILE], |column, of| {
            bins[column * stride..][..of.len()].copy_from_slice(of);
        });
        Self { bins, columns: count, stride, rows: rows.len() }
    }

    /// The bins as vectors, those of the first rows first.
    #[inline(always)]
    pub(super) fn vectors<V: Vector>(&self) -> Vec<V::Bins> {
        let vectors = self.rows.div_ceil(V::LANES);
        let mut bins = Vec::with_capacity(vectors * self.columns);
        for vector in 0..vectors {
            for column in 0..self.columns {
                let of = &self.bins[column * self.stride + vector * V::LANES..][..V::LANES];
                bins.push(V::bins(|lane| of[lane]));
            }
        }
        bins
    }

    /// The memory of a tile, as bins by column and by row, and as vectors, in bytes.
    pub(super) fn bytes(columns: &Columns, rows: usize) -> usize {
        3 * columns.count().max(1) * stride(rows) * size_of::<u32>()
    }

    /// The bins of each row.
    pub(super) fn by_row(&self) -> Vec<Vec<u32>> {
        let row = |row: usize| self.bins.iter().skip(row).step_by(self.stride).copied().collect();
        (0..self.rows).map(row).collect()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }
}

/// The places that each number has for so many rows.
pub(super) fn stride(rows: usize) -> usize {
    if rows == 1 { 1 } else { TILE }
}

/// What is wanted of a tile.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The parts of the model.
    pub(super) parts: Range<usize>,
    /// How many features the model uses.
    pub(super) slots: usize,
    /// Whether interactions are wanted besides.
    pub(super) interactions: bool,
}

/// Adds the contributions of some parts, each summed for itself, to sums: one for each output, used feature and place
/// of the tile; for interactions then one for each output, two used features, and place. Returns false if `expired`
/// said so.
pub(super) fn add_parts<E: Real>(
    set: InstructionSet,
    program: &Program<E>,
    wanted: &Wanted,
    tile: &Tile,
    sums: &mut [f64],
    expired: &dyn Fn() -> bool,
) -> bool {
    let mut work = Contributions { program, wanted, tile, sums, expired, finished: false };
    dispatch(set, tile.rows == 1, &mut work);
    work.finished
}

struct Contributions<'a, E> {
    program: &'a Program<E>,
    wanted: &'a Wanted,
    tile: &'a Tile,
    sums: &'a mut [f64],
    expired: &'a dyn Fn() -> bool,
    finished: bool,
}

impl<E: Real> Work for Contributions<'_, E> {
    type Element = E;

    #[inline(always)]
    fn run<V: Vector<Element = E>>(&mut self) {
        let (tile, stride) = (self.tile, self.tile.stride);
        let Wanted { parts, slots: used, interactions } = self.wanted.clone();
        let bins = tile.vectors::<V>();
        let vectors = tile.rows.div_ceil(V::LANES);
        let zero = V::splat(E::default());
        let mut frames = vec![Frame::<V>::new(); self.program.depth];
        let mut contributions = vec![zero; self.program.slots_max * vectors];
        let (slopes, pairs) =
            if interactions { (self.program.depth, self.program.slots_max.pow(2) * vectors) } else { (0, 0) };
        let mut slopes = vec![Slopes::<V>::new(); slopes];
        let mut pairs = vec![zero; pairs];
        let mut part_sums = vec![0.0; if parts.len() > 1 { self.sums.len() } else { 0 }];
        for part in parts {
            let sums = if part_sums.is_empty() { &mut *self.sums } else { &mut part_sums };
            for group in &self.program.groups[self.program.parts[part].clone()] {
                if (self.expired)() {
                    return;
                }
                contributions.fill(zero);
                let count = group.slots.len().max(1);
                let pair_count = if interactions { count * count } else { 0 };
                pairs[..pair_count * vectors].fill(zero);
                for tree in &group.trees {
                    let by_vector = bins.chunks_exact(tile.columns).zip(contributions.chunks_exact_mut(count));
                    for (vector, (bins, contributions)) in by_vector.enumerate() {
                        let sums = &mut pairs[vector * pair_count..][..pair_count];
                        let mut pairs = Pairs { slopes: &mut slopes, sums, slots: count };
                        if interactions {
                            add_any_tree::<V, true>(
                                self.program,
                                tree,
                                &mut pairs,
                                bins,
                                &mut frames,
                                contributions,
                            );
                        } else {
                            add_any_tree::<V, false>(
                                self.program,
                                tree,
                                &mut pairs,
                                bins,
                                &mut frames,
                                contributions,
                            );
                        }
                    }
                }
                let (of_values, of_pairs) = sums.split_at_mut(self.program.outputs * used * stride);
                let of_values = &mut of_values[group.output * used * stride..];
                for (vector, contributions) in contributions.chunks_exact(count).take(vectors).enumerate() {
                    for (slot, contribution) in group.slots.iter().zip(contributions) {
                        contribution.add_to(&mut of_values[*slot as usize * stride + vector * V::LANES..]);
                    }
                }
                if !interactions {
                    continue;
                }
                let of_pairs = &mut of_pairs[group.output * used * used * stride..];
                for (vector, pairs) in pairs.chunks_exact(pair_count).take(vectors).enumerate() {
                    for (above, pairs) in group.slots.iter().zip(pairs.chunks_exact(count)) {
                        for (slot, pair) in group.slots.iter().zip(pairs) {
                            let place = *above as usize * used + *slot as usize;
                            pair.add_to(&mut of_pairs[place * stride + vector * V::LANES..]);
                        }
                    }
                }
            }
            for (sum, part) in self.sums.iter_mut().zip(&mut part_sums) {
                *sum += std::mem::take(part);
            }
        }
        self.finished = !(self.expired)();
    }
}

/// Calls a kernel that is wide enough for the tree: nodes beyond the tree's have no weight.
#[inline(always)]
fn add_any_tree<V: Vector, const PAIRS: bool>(
    program: &Program<V::Element>,
    tree: &CompiledTree<V::Element>,
    pairs: &mut Pairs<'_, V>,
    bins: &[V::Bins],
    frames: &mut [Frame<V>],
    contributions: &mut [V],
) {
    let weights = program.rules.weights(tree.width);
    let nodes = tree.width.nodes;
    // A constant condition: what is not called is not compiled.
    if const { matches!(V::KERNELS, Kernels::Many) && !PAIRS } {
        match nodes {
            0..=2 => add_tree::<V, 2, PAIRS>(tree, pairs, weights, bins, frames, contributions),
            3 => add_tree::<V, 3, PAIRS>(tree, pairs, weights, bins, frames, contributions),
            4 => add_tree::<V, 4, PAIRS>(tree, pairs, weights, bins, frames, contributions),
            5..=6 => add_tree::<V, 6, PAIRS>(tree, pairs, weights, bins, frames, contributions),
            _ => add_tree::<V, 8, PAIRS>(tree, pairs, weights, bins, frames, contributions),
        }
    } else if nodes <= 4 {
        add_tree::<V, 4, PAIRS>(tree, pairs, weights, bins, frames, contributions);
    } else {
        add_tree::<V, 8, PAIRS>(tree, pairs, weights, bins, frames, contributions);
    }
}
