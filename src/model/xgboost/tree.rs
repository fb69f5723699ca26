//! One tree of a file.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::file::RawTree;
use super::number;
use crate::model::error::ModelError;
use crate::model::test::{CategorySet, Listed, Reading, Test};
use crate::model::tree::{RawNode, Tree, build};

/// Checks a tree and takes it over. `output` is the one that it adds to, unless its leaves have vectors.
pub(super) fn read(
    raw: &RawTree,
    place: &str,
    feature_count: usize,
    output: usize,
    factor: f64,
) -> Result<Tree, ModelError> {
    let count = raw.left_children.len();
    let declared = number(&raw.tree_param.num_nodes, &format!("{place}: tree_param.num_nodes"))?;
    if declared != count as u64 || count == 0 {
        return Err(ModelError::invalid(
            format!("{place}: left_children"),
            format!("as many entries as num_nodes says ({declared}), and at least one"),
            count,
        ));
    }
    let width = match &raw.tree_param.size_leaf_vector {
        Some(size) => number(size, &format!("{place}: tree_param.size_leaf_vector"))?,
        None => 1,
    };
    let vector = usize::try_from(width).ok().filter(|width| *width > 1);
    let leaf_vectors = match vector {
        None => LeafValues::Conditions,
        Some(width) if raw.leaf_weights.is_empty() => LeafValues::Nodes(width),
        Some(width) => LeafValues::Leaves(width),
    };
    let nodes_of_vectors = vector.map_or(0, |width| count.saturating_mul(width));
    let has_covers = vector.is_none() || !raw.sum_hessian.is_empty();
    for (name, length, expected) in [
        ("right_children", raw.right_children.len(), count),
        ("split_indices", raw.split_indices.len(), count),
        ("split_conditions", raw.split_conditions.len(), count),
        ("default_left", raw.default_left.len(), count),
        ("sum_hessian", raw.sum_hessian.len(), if has_covers { count } else { 0 }),
        ("split_type", raw.split_type.len(), if raw.split_type.is_empty() { 0 } else { count }),
        (
            "base_weights",
            raw.base_weights.len(),
            match leaf_vectors {
                LeafValues::Nodes(_) => nodes_of_vectors,
                _ => raw.base_weights.len(),
            },
        ),
    ] {
        if length != expected {
            let expected = format!("{expected} entries, as the number of nodes ({count}) asks for");
            return Err(ModelError::invalid(format!("{place}: {name}"), expected, length));
        }
    }
    let reader = TreeReader { raw, place, feature_count, leaf_vectors, categories: segments(raw, place)? };
    let outputs = vector.map_or(output..output + 1, |width| 0..width);
    let mut tree = build(count, outputs, place, |node, values| reader.node(node, values))?;
    if factor.to_bits() != 1_f64.to_bits() {
        tree.scale(factor);
    }
    Ok(tree)
}

/// Where a leaf's values are.
#[derive(Clone, Copy)]
enum LeafValues {
    Conditions,
    /// A vector for each node.
    Nodes(usize),
    /// A vector for each leaf.
    Leaves(usize),
}

struct TreeReader<'a> {
    raw: &'a RawTree,
    place: &'a str,
    feature_count: usize,
    leaf_vectors: LeafValues,
    /// For each categorical node where its categories are.
    categories: HashMap<usize, Range<usize>>,
}

impl TreeReader<'_> {
    /// A node: a leaf has -1 for its left child.
    fn node(&self, node: usize, values: &mut Vec<f64>) -> Result<RawNode, ModelError> {
        let raw = self.raw;
        let here = || format!("{}, node {node}", self.place);
        let cover = raw.sum_hessian.get(node).copied().map_or(0.0, f64::from);
        let condition = raw.split_conditions[node];
        let (left, right) = (i64::from(raw.left_children[node]), i64::from(raw.right_children[node]));
        if left == -1 {
            match self.leaf_vectors {
                LeafValues::Conditions if right == -1 => values.push(f64::from(condition)),
                LeafValues::Conditions => {
                    let found = format!("children {left} and {right}");
                    return Err(ModelError::invalid(here(), "two children, or -1 for both", found));
                }
                LeafValues::Nodes(width) => {
                    values.extend(raw.base_weights[node * width..][..width].iter().copied().map(f64::from));
                }
                LeafValues::Leaves(width) => {
                    let leaf = usize::try_from(right).ok();
                    let start = leaf.and_then(|leaf| leaf.checked_mul(width));
                    let end = start.and_then(|start| start.checked_add(width));
                    let vector = start.zip(end).and_then(|(start, end)| raw.leaf_weights.get(start..end));
                    let vector = vector.ok_or_else(|| {
                        let expected = format!("a leaf's number with {width} entries in leaf_weights");
                        ModelError::invalid(here(), expected, right)
                    })?;
                    values.extend(vector.iter().copied().map(f64::from));
                }
            }
            return Ok(RawNode::Leaf { cover });
        }
        let feature = u32::try_from(raw.split_indices[node])
            .ok()
            .filter(|&feature| (feature as usize) < self.feature_count)
            .ok_or_else(|| {
                let expected = format!("a feature index below {}", self.feature_count);
                ModelError::invalid(here(), expected, raw.split_indices[node])
            })?;
        let test = match raw.split_type.get(node) {
            None | Some(0) if condition.is_finite() => Test::single_below(condition),
            None | Some(0) => return Err(ModelError::invalid(here(), "a finite threshold", condition)),
            Some(1) => Test::Category(Arc::new(self.right_categories(node)?)),
            Some(kind) => return Err(ModelError::invalid(here(), "a split of type 0 or 1", kind)),
        };
        let missing_left = raw.default_left[node].0;
        Ok(RawNode::Split { feature, test, missing_left, left, right, cover })
    }

    /// The listed categories go right; others, and what is no category, left.
    fn right_categories(&self, node: usize) -> Result<CategorySet, ModelError> {
        let here = || format!("{}, node {node}", self.place);
        let range = self.categories.get(&node).cloned();
        let range = range.ok_or_else(|| ModelError::invalid(here(), "categories of the split", "none"))?;
        let category = |category: &i32| {
            u32::try_from(*category).map_err(|_| ModelError::invalid(here(), "categories of 0 or more", category))
        };
        let listed = self.raw.categories[range].iter().map(category).collect::<Result<_, _>>()?;
        Ok(CategorySet::new(listed, Listed::Right, true, Reading::Single))
    }
}

/// Where the categories of the categorical nodes are.
fn segments(raw: &RawTree, place: &str) -> Result<HashMap<usize, Range<usize>>, ModelError> {
    let count = raw.categories_nodes.len();
    for (name, length) in
        [("categories_segments", raw.categories_segments.len()), ("categories_sizes", raw.categories_sizes.len())]
    {
        if length != count {
            let expected = format!("{count} entries, one for each of categories_nodes");
            return Err(ModelError::invalid(format!("{place}: {name}"), expected, length));
        }
    }
    let mut segments = HashMap::with_capacity(count);
    // Together no more than there are: segments that overlap would let a small file become a large model.
    let mut left = raw.categories.len();
    for ((node, begin), size) in
        raw.categories_nodes.iter().zip(&raw.categories_segments).zip(&raw.categories_sizes)
    {
        let range = usize::try_from(*begin).ok().zip(usize::try_from(*size).ok()).and_then(|(begin, size)| {
            left = left.checked_sub(size)?;
            let end = begin.checked_add(size)?;
            (end <= raw.categories.len()).then_some(begin..end)
        });
        let is_new = |range| usize::try_from(*node).is_ok_and(|node| segments.insert(node, range).is_none());
        if !range.is_some_and(is_new) {
            return Err(ModelError::invalid(
                format!("{place}: categories of node {node}"),
                format!("one segment within the {} categories, apart from others", raw.categories.len()),
                format!("{size} from {begin} on"),
            ));
        }
    }
    Ok(segments)
}
