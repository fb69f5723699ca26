//! Predictions from bins, for a tile of rows: every row's margin, summed in the order of the trees.

use std::ops::Range;

use super::columns::Columns;
use super::contributions::Tile;
use crate::model::{Node as ModelNode, Tree, TreeEnsemble};

/// Rows that go down a tree together, so that one does not wait for the other.
const TOGETHER: usize = 8;

/// A node: a leaf leads to itself.
#[derive(Debug, Clone, Copy)]
struct Node {
    column: u32,
    bin: u32,
    left: u32,
    right: u32,
}

/// The trees of an ensemble, for predictions.
#[derive(Debug, Clone)]
pub(super) struct Margins {
    nodes: Vec<Node>,
    /// Where the trees' nodes are.
    trees: Vec<Range<usize>>,
}

impl Margins {
    pub(super) fn of(ensemble: &TreeEnsemble, columns: &Columns) -> Self {
        let mut nodes = Vec::with_capacity(ensemble.trees().iter().map(|tree| tree.nodes().len()).sum());
        let mut trees = Vec::with_capacity(ensemble.trees().len());
        for (tree, of) in ensemble.trees().iter().enumerate() {
            let start = nodes.len();
            for (place, node) in of.nodes().iter().enumerate() {
                nodes.push(match node {
                    ModelNode::Leaf { .. } => {
                        let itself = u32::try_from(place).unwrap_or(u32::MAX);
                        Node { column: 0, bin: 0, left: itself, right: itself }
                    }
                    ModelNode::Split { split, .. } => {
                        let compared = columns.comparison(tree, place, split);
                        Node { column: compared.column, bin: compared.bin, left: split.left, right: split.right }
                    }
                });
            }
            trees.push(start..nodes.len());
        }
        Self { nodes, trees }
    }

    /// The memory for it, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.nodes.len() * size_of::<Node>() + self.trees.len() * size_of::<Range<usize>>()
    }

    /// The margins of a tile's rows, for each row one for each output: the same to the last bit as the ensemble's.
    pub(super) fn of_tile(&self, ensemble: &TreeEnsemble, tile: &Tile) -> Vec<f64> {
        let outputs = ensemble.output_count();
        let mut sums: Vec<f64> = ensemble.base_margins().repeat(tile.rows());
        for (tree, nodes) in ensemble.trees().iter().zip(&self.trees) {
            let nodes = &self.nodes[nodes.clone()];
            for start in (0..tile.rows()).step_by(TOGETHER) {
                let count = TOGETHER.min(tile.rows() - start);
                let places = if count == TOGETHER {
                    descend::<TOGETHER>(nodes, tile, start)
                } else {
                    let mut places = [0; TOGETHER];
                    for (row, place) in places[..count].iter_mut().enumerate() {
                        [*place] = descend::<1>(nodes, tile, start + row);
                    }
                    places
                };
                for (row, place) in places[..count].iter().enumerate() {
                    add(tree, *place, &mut sums[(start + row) * outputs..][..outputs]);
                }
            }
        }
        sums
    }
}

/// The leaves that some rows end in.
fn descend<const N: usize>(nodes: &[Node], tile: &Tile, start: usize) -> [u32; N] {
    let mut places = [0_u32; N];
    loop {
        let mut moved = false;
        for (row, place) in places.iter_mut().enumerate() {
            let node = &nodes[*place as usize];
            let left = tile.bin(node.column as usize, start + row) < node.bin;
            let next = if left { node.left } else { node.right };
            moved |= next != *place;
            *place = next;
        }
        if !moved {
            return places;
        }
    }
}

fn add(tree: &Tree, place: u32, sums: &mut [f64]) {
    if let ModelNode::Leaf { leaf, .. } = &tree.nodes()[place as usize] {
        for (sum, value) in sums[tree.outputs()].iter_mut().zip(tree.leaf_values(*leaf)) {
            *sum += value;
        }
    }
}
