//! The SHAP values of a tile of rows, from some parts of a model.

use std::ops::Range;

use super::columns::Columns;
use super::dispatch::{Work, dispatch};
use super::kernel::{Frame, add_tree};
use super::program::{CompiledTree, Program};
use super::simd::{InstructionSet, Real, Vector};

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

    /// The memory of a tile, as bins and as vectors, in bytes.
    pub(super) fn bytes(columns: &Columns, rows: usize) -> usize {
        2 * columns.count().max(1) * stride(rows) * size_of::<u32>()
    }

    /// The bin of a row in a column.
    #[inline(always)]
    pub(super) fn bin(&self, column: usize, row: usize) -> u32 {
        self.bins[column * self.stride + row]
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

/// Adds the contributions of some parts, each summed for itself, to sums: one for each output, used feature and place
/// of the tile. Returns false if `expired` said so.
pub(super) fn add_parts<E: Real>(
    set: InstructionSet,
    program: &Program<E>,
    parts: Range<usize>,
    slots: usize,
    tile: &Tile,
    sums: &mut [f64],
    expired: &dyn Fn() -> bool,
) -> bool {
    let mut work = Contributions { program, parts, slots, tile, sums, expired, finished: false };
    dispatch(set, tile.rows == 1, &mut work);
    work.finished
}

struct Contributions<'a, E> {
    program: &'a Program<E>,
    parts: Range<usize>,
    slots: usize,
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
        let bins = tile.vectors::<V>();
        let zero = V::splat(E::default());
        let mut frames = vec![Frame::<V>::new(); self.program.depth];
        let mut contributions = vec![zero; self.program.slots_max * tile.rows.div_ceil(V::LANES)];
        let mut part_sums = vec![0.0; if self.parts.len() > 1 { self.sums.len() } else { 0 }];
        for part in self.parts.clone() {
            let sums = if part_sums.is_empty() { &mut *self.sums } else { &mut part_sums };
            for group in &self.program.groups[self.program.parts[part].clone()] {
                if (self.expired)() {
                    return;
                }
                contributions.fill(zero);
                let count = group.slots.len().max(1);
                for tree in &group.trees {
                    let by_vector = bins.chunks_exact(tile.columns).zip(contributions.chunks_exact_mut(count));
                    for (bins, contributions) in by_vector {
                        add_any_tree::<V>(self.program, tree, bins, &mut frames, contributions);
                    }
                }
                let sums = &mut sums[group.output * self.slots * stride..];
                for (vector, contributions) in
                    contributions.chunks_exact(count).take(bins.len() / tile.columns).enumerate()
                {
                    for (slot, contribution) in group.slots.iter().zip(contributions) {
                        contribution.add_to(&mut sums[*slot as usize * stride + vector * V::LANES..]);
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

/// Calls the kernel for the tree's width.
#[inline(always)]
fn add_any_tree<V: Vector>(
    program: &Program<V::Element>,
    tree: &CompiledTree<V::Element>,
    bins: &[V::Bins],
    frames: &mut [Frame<V>],
    contributions: &mut [V],
) {
    let weights = program.rules.weights(tree.width);
    match tree.width.nodes {
        1 => add_tree::<V, 1>(tree, weights, bins, frames, contributions),
        2 => add_tree::<V, 2>(tree, weights, bins, frames, contributions),
        3 => add_tree::<V, 3>(tree, weights, bins, frames, contributions),
        4 => add_tree::<V, 4>(tree, weights, bins, frames, contributions),
        5 => add_tree::<V, 5>(tree, weights, bins, frames, contributions),
        6 => add_tree::<V, 6>(tree, weights, bins, frames, contributions),
        _ => add_tree::<V, 8>(tree, weights, bins, frames, contributions),
    }
}
