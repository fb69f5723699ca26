//! Predictions from bins, for a tile of rows: every row's margin, summed in the order of the trees.

use std::ops::Range;

use super::columns::Columns;
use super::contributions::Tile;
use crate::model::{Node as ModelNode, TreeEnsemble};

/// Rows that go down a tree together, so that one does not wait for the other.
const TOGETHER: usize = 8;

/// Levels between two looks whether all rows have arrived.
const LEVELS: usize = 3;

/// A node: a leaf leads to itself, and its bin is its number.
#[derive(Debug, Clone, Copy)]
struct Node {
    column: u32,
    bin: u32,
    /// To the left and to the right.
    next: [u32; 2],
}

/// Where a tree's nodes and the values of its leaves are.
#[derive(Debug, Clone)]
struct Place {
    nodes: Range<usize>,
    values: Range<usize>,
    outputs: Range<usize>,
}

/// The trees of an ensemble, for predictions.
#[derive(Debug, Clone)]
pub(super) struct Margins {
    nodes: Vec<Node>,
    values: Vec<f64>,
    trees: Vec<Place>,
}

impl Margins {
    pub(super) fn of(ensemble: &TreeEnsemble, columns: &Columns) -> Self {
        let mut nodes = Vec::with_capacity(ensemble.trees().iter().map(|tree| tree.nodes().len()).sum());
        let mut values = Vec::new();
        let mut trees = Vec::with_capacity(ensemble.trees().len());
        for (number, tree) in ensemble.trees().iter().enumerate() {
            let starts = (nodes.len(), values.len());
            for (place, node) in tree.nodes().iter().enumerate() {
                nodes.push(match node {
                    ModelNode::Leaf { leaf, .. } => {
                        let itself = u32::try_from(place).unwrap_or(u32::MAX);
                        Node { column: 0, bin: *leaf, next: [itself; 2] }
                    }
                    ModelNode::Split { split, .. } => {
                        let compared = columns.comparison(number, place, split);
                        Node { column: compared.column, bin: compared.bin, next: [split.left, split.right] }
                    }
                });
            }
            for leaf in (0_u32..).take(tree.leaf_count()) {
                values.extend_from_slice(tree.leaf_values(leaf));
            }
            let (nodes, values) = (starts.0..nodes.len(), starts.1..values.len());
            trees.push(Place { nodes, values, outputs: tree.outputs() });
        }
        Self { nodes, values, trees }
    }

    /// The memory for it, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.nodes.len() * size_of::<Node>()
            + self.values.len() * size_of::<f64>()
            + self.trees.len() * size_of::<Place>()
    }

    /// The margins of a tile's rows, for each row one for each output: the same to the last bit as the ensemble's.
    pub(super) fn of_tile(&self, base_margins: &[f64], tile: &Tile) -> Vec<f64> {
        self.of_rows(base_margins, &tile.by_row())
    }

    /// The margins of rows of bins.
    pub(super) fn of_rows(&self, base_margins: &[f64], rows: &[Vec<u32>]) -> Vec<f64> {
        let mut sums = base_margins.repeat(rows.len());
        for tree in &self.trees {
            let nodes = &self.nodes[tree.nodes.clone()];
            let values = &self.values[tree.values.clone()];
            let (together, alone) = rows.as_chunks::<TOGETHER>();
            let alone = alone.iter().flat_map(|row| descend(nodes, &[row]));
            let leaves = together.iter().flat_map(|rows| descend(nodes, &rows.each_ref().map(Vec::as_slice)));
            let width = tree.outputs.len();
            for (leaf, sums) in leaves.chain(alone).zip(sums.chunks_exact_mut(base_margins.len())) {
                let values = &values[leaf as usize * width..][..width];
                sums[tree.outputs.clone()].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
        sums
    }
}

/// The leaves that some rows of bins end in. There is no branch that depends on a row: it would be taken at random.
#[inline(always)]
fn descend<const N: usize>(nodes: &[Node], rows: &[&[u32]; N]) -> [u32; N] {
    let mut places = [0_u32; N];
    loop {
        let mut moved = 0;
        for _ in 0..LEVELS {
            moved = 0;
            for (place, row) in places.iter_mut().zip(rows) {
                let node = &nodes[*place as usize];
                let next = node.next[usize::from(row[node.column as usize] >= node.bin)];
                moved |= next ^ *place;
                *place = next;
            }
        }
        if moved == 0 {
            return places.map(|place| nodes[place as usize].bin);
        }
    }
}
