//! A tree as a walk over its leaves, with the conditions on one feature merged.

use super::super::columns::Columns;
use super::super::program::DEPTH_MAX;
use super::table::Weights;
use crate::explain::ExplainError;
use crate::model::{Node, Tree, TreeEnsemble};

/// The most features on a path: the bits of a pattern.
pub(super) const FEATURES_MAX: usize = 64;

/// The most memory for the background's patterns, in bytes.
pub(super) const BYTES_MAX: usize = 4 << 30;

/// The longest patterns that are counted in an array.
const COUNTED_BITS: usize = 12;

/// Goes down one side of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    pub(super) column: u32,
    pub(super) bin: u32,
    pub(super) left: bool,
    pub(super) depth: u32,
    /// The feature's place on the path.
    pub(super) position: u32,
    /// Whether no node above asks for the feature.
    pub(super) fresh: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Side(Side),
    /// A leaf, with all conditions of its path decided.
    Leaf {
        depth: u32,
        path: u32,
    },
    /// The walk leaves the node that gave a feature its place.
    Flush {
        position: u32,
        slot: u32,
    },
}

/// A leaf's path, and the background at it.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) value: f64,
    /// How many features it asks for.
    pub(super) length: usize,
    /// The different patterns of the background rows, and their shares.
    background: Vec<(u64, f64)>,
}

/// A tree, for one output.
#[derive(Debug, Clone)]
pub(super) struct TreePaths {
    pub(super) output: usize,
    pub(super) steps: Vec<Step>,
    pub(super) paths: Vec<Path>,
    pub(super) depth: usize,
    /// The most features on a path.
    pub(super) longest: usize,
}

impl TreePaths {
    pub(super) fn bytes(&self) -> usize {
        self.steps.len() * size_of::<Step>()
            + self.paths.iter().map(|path| size_of::<Path>() + path.bytes()).sum::<usize>()
    }
}

impl Path {
    pub(super) fn bytes(&self) -> usize {
        self.background.len() * size_of::<(u64, f64)>()
    }

    /// Counts the patterns of the background rows, of which each has the same share.
    pub(super) fn count(&mut self, patterns: &[u64], share: f64) {
        let add = |background: &mut Vec<(u64, f64)>, pattern: u64, count: u32| {
            if count > 0 {
                background.push((pattern, f64::from(count) * share));
            }
        };
        if self.length <= COUNTED_BITS && patterns.len() > 1 << self.length {
            let mut counts = vec![0_u32; 1 << self.length];
            for pattern in patterns {
                counts[usize::try_from(*pattern).unwrap_or(0)] += 1;
            }
            for (pattern, count) in (0_u64..).zip(counts) {
                add(&mut self.background, pattern, count);
            }
        } else {
            let mut sorted = patterns.to_vec();
            sorted.sort_unstable();
            for same in sorted.chunk_by(|a, b| a == b) {
                add(&mut self.background, same[0], u32::try_from(same.len()).unwrap_or(u32::MAX));
            }
        }
        self.background.shrink_to_fit();
    }

    /// What the leaf contributes for a row of some pattern, by the features' places.
    #[inline(always)]
    pub(super) fn contributions<const W: usize>(&self, pattern: u64, weights: &Weights) -> [f64; W] {
        let mut contributions = [0.0; W];
        let all = u64::MAX >> (FEATURES_MAX - self.length);
        let missed = all & !pattern;
        let b = missed.count_ones();
        let mut of_missed = 0.0;
        for (background, share) in &self.background {
            if missed & !background != 0 {
                continue;
            }
            let mut own = all & !background;
            let a = own.count_ones();
            if b > 0 {
                of_missed += share * weights.of(a, b - 1);
            }
            if a > 0 {
                let weight = share * weights.of(a - 1, b);
                while own != 0 {
                    contributions[own.trailing_zeros() as usize] += weight;
                    own &= own - 1;
                }
            }
        }
        for (place, contribution) in contributions[..self.length].iter_mut().enumerate() {
            let missed = missed >> place & 1 == 1;
            *contribution = self.value * if missed { -of_missed } else { *contribution };
        }
        contributions
    }
}

/// The walks of all trees of an ensemble, without a background yet.
pub(super) fn of(
    ensemble: &TreeEnsemble,
    columns: &Columns,
    features: &[u32],
) -> Result<Vec<TreePaths>, ExplainError> {
    let mut slots = vec![0; ensemble.feature_count()];
    for (slot, feature) in (0_u32..).zip(features) {
        slots[*feature as usize] = slot;
    }
    let mut positions = vec![None; features.len()];
    let mut trees = Vec::new();
    for output in 0..ensemble.output_count() {
        for (place, tree) in ensemble.trees().iter().enumerate() {
            if tree.nodes().len() > 1 && tree.outputs().contains(&output) {
                trees.push(walk(place, tree, output, columns, &slots, &mut positions)?);
            }
        }
    }
    Ok(trees)
}

enum Task {
    Visit {
        node: u32,
        depth: u32,
    },
    Step(Step),
    /// Forgets the place of a feature.
    Leave {
        slot: u32,
        position: u32,
    },
}

/// Walks a tree without recursion. `positions` has for each feature its place on the current path, and is all none
/// between trees.
fn walk(
    place: usize,
    tree: &Tree,
    output: usize,
    columns: &Columns,
    slots: &[u32],
    positions: &mut [Option<u32>],
) -> Result<TreePaths, ExplainError> {
    let mut walk = TreePaths { output, steps: Vec::new(), paths: Vec::new(), depth: 0, longest: 0 };
    let mut length = 0_u32;
    let mut tasks = vec![Task::Visit { node: 0, depth: 0 }];
    while let Some(task) = tasks.pop() {
        let (node, depth) = match task {
            Task::Visit { node, depth } => (node, depth),
            Task::Step(step) => {
                walk.steps.push(step);
                continue;
            }
            Task::Leave { slot, position } => {
                walk.steps.push(Step::Flush { position, slot });
                positions[slot as usize] = None;
                length -= 1;
                continue;
            }
        };
        match &tree.nodes()[node as usize] {
            Node::Leaf { leaf, .. } => {
                let path = u32::try_from(walk.paths.len()).unwrap_or(u32::MAX);
                walk.steps.push(Step::Leaf { depth, path });
                let value = tree.leaf_values(*leaf)[output - tree.outputs().start];
                walk.paths.push(Path { value, length: length as usize, background: Vec::new() });
            }
            Node::Split { split, .. } => {
                let slot = slots[split.feature as usize];
                let fresh = positions[slot as usize].is_none();
                let position = *positions[slot as usize].get_or_insert(length);
                if fresh {
                    length += 1;
                    tasks.push(Task::Leave { slot, position });
                }
                walk.longest = walk.longest.max(length as usize);
                walk.depth = walk.depth.max(depth as usize + 1);
                if walk.longest > FEATURES_MAX {
                    return Err(ExplainError::TooManyFeatures { limit: FEATURES_MAX, found: walk.longest });
                }
                if walk.depth > DEPTH_MAX {
                    return Err(ExplainError::TooDeep { limit: DEPTH_MAX });
                }
                let compared = columns.comparison(place, node as usize, split);
                let (column, bin) = (compared.column, compared.bin);
                for (left, child) in [(false, split.right), (true, split.left)] {
                    tasks.push(Task::Visit { node: child, depth: depth + 1 });
                    tasks.push(Task::Step(Step::Side(Side { column, bin, left, depth, position, fresh })));
                }
            }
        }
    }
    Ok(walk)
}
