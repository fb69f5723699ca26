//! Binary decision trees, in the form that predictions and explanations are made from.

use std::ops::Range;

use super::error::ModelError;
use super::test::Test;

/// An inner node's condition, and where it leads.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The index of the feature.
    pub feature: u32,
    /// What a value that is not missing must satisfy to go left.
    pub test: Test,
    /// Whether a missing value goes left.
    pub missing_left: bool,
    /// The node to the left, in the same tree.
    pub left: u32,
    /// The node to the right, in the same tree.
    pub right: u32,
}

impl Split {
    /// Whether a value goes left; NaN stands for a missing one. Values of features for which other values are missing
    /// must have gone through [`Missing::normalised`](super::Missing::normalised).
    #[must_use]
    pub fn goes_left(&self, value: f64) -> bool {
        if value.is_nan() { self.missing_left } else { self.test.goes_left(value) }
    }
}

/// A node and its cover: the weight or number of the training rows that reached it.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// An inner node.
    Split {
        /// The condition and the children.
        split: Split,
        /// The cover; finite and not negative.
        cover: f64,
    },
    /// A leaf.
    Leaf {
        /// The leaf's number in its tree: where [`Tree::leaf_values`] has its values.
        leaf: u32,
        /// The cover; finite and not negative.
        cover: f64,
    },
}

impl Node {
    /// The weight of the training rows that reached the node.
    #[must_use]
    pub fn cover(&self) -> f64 {
        match self {
            Self::Split { cover, .. } | Self::Leaf { cover, .. } => *cover,
        }
    }
}

/// A binary tree. The root is node 0, and children come after their parents: no walk can go on for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    nodes: Box<[Node]>,
    /// The values of all leaves, for each as many as the tree has outputs.
    values: Box<[f64]>,
    first_output: u32,
    width: u32,
}

impl Tree {
    /// The nodes; the root is the first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The model's outputs that the tree adds to.
    #[must_use]
    pub fn outputs(&self) -> Range<usize> {
        let first = self.first_output as usize;
        first..first + self.width as usize
    }

    /// How many leaves there are.
    #[must_use]
    pub fn leaf_count(&self) -> usize {
        self.values.len() / self.width as usize
    }

    /// What a leaf adds to each of [`outputs`](Self::outputs); finite. All factors of the tree (its weight in DART, its
    /// share in the average of a forest) are in it.
    ///
    /// # Panics
    /// When there is no such leaf.
    #[must_use]
    pub fn leaf_values(&self, leaf: u32) -> &[f64] {
        let width = self.width as usize;
        let start = leaf as usize * width;
        &self.values[start..start + width]
    }

    /// The values of the leaf that a row ends in. See [`Split::goes_left`] for missing values.
    ///
    /// # Panics
    /// When the row has no value for a feature that is asked for.
    #[must_use]
    pub fn values_of(&self, row: &[f64]) -> &[f64] {
        let mut node = &self.nodes[0];
        loop {
            match node {
                Node::Leaf { leaf, .. } => return self.leaf_values(*leaf),
                Node::Split { split, .. } => {
                    let next = if split.goes_left(row[split.feature as usize]) { split.left } else { split.right };
                    node = &self.nodes[next as usize];
                }
            }
        }
    }

    /// The shares of a node's training rows that a split sends left and right: the children's covers relative to
    /// their parent's, as XGBoost and shap define them. A split that no training row reached says nothing about
    /// the shares; both are then one half, so that the result stays defined.
    #[must_use]
    pub fn shares(&self, split: &Split, cover: f64) -> (f64, f64) {
        if cover > 0.0 {
            let share = |node: u32| self.nodes[node as usize].cover() / cover;
            (share(split.left), share(split.right))
        } else {
            (0.5, 0.5)
        }
    }

    /// The greatest index of a feature that is asked for; none if the tree is one leaf.
    pub(super) fn last_feature(&self) -> Option<u32> {
        let feature = |node: &Node| match node {
            Node::Split { split, .. } => Some(split.feature),
            Node::Leaf { .. } => None,
        };
        self.nodes.iter().filter_map(feature).max()
    }

    /// Multiplies what the leaves add.
    pub(super) fn scale(&mut self, factor: f64) {
        self.values.iter_mut().for_each(|value| *value *= factor);
    }
}

/// A node as a file has it, with the file's numbering of nodes.
pub(super) enum RawNode {
    /// An inner node. The children's indices are what the file says.
    Split { feature: u32, test: Test, missing_left: bool, left: i64, right: i64, cover: f64 },
    /// A leaf, whose values have been appended.
    Leaf { cover: f64 },
}

/// Puts a tree together from nodes in any order: takes over those that the root, node 0, leads to, parents before
/// children, and checks that it is a tree. `node` reads the node of an index below `count`; of a leaf it appends one
/// value for each output to the vector.
pub(super) fn build(
    count: usize,
    outputs: Range<usize>,
    place: &str,
    mut node: impl FnMut(usize, &mut Vec<f64>) -> Result<RawNode, ModelError>,
) -> Result<Tree, ModelError> {
    let limit = u64::from(u32::MAX);
    if count == 0 || u32::try_from(count).is_err() {
        return Err(if count == 0 {
            ModelError::invalid(place, "at least one node", "none")
        } else {
            ModelError::TooLarge { what: "number of nodes in a tree", found: count as u64, limit }
        });
    }
    let width = outputs.len();
    let mut nodes = Vec::new();
    let mut values = Vec::new();
    let mut leaves = 0_u32;
    let mut seen = vec![false; count];
    // Nodes to take over, with the place in `nodes` of the parent that waits for their new index.
    let mut waiting: Vec<(usize, Option<(usize, Side)>)> = vec![(0, None)];
    while let Some((old, parent)) = waiting.pop() {
        if std::mem::replace(&mut seen[old], true) {
            return Err(ModelError::invalid(
                format!("{place}, node {old}"),
                "one parent for each node",
                "a node that is reached twice (a cycle or a shared child)",
            ));
        }
        // No more nodes than `count`, which fits.
        let new = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        if let Some((parent, side)) = parent
            && let Some(Node::Split { split, .. }) = nodes.get_mut::<usize>(parent)
        {
            match side {
                Side::Left => split.left = new,
                Side::Right => split.right = new,
            }
        }
        let here = || format!("{place}, node {old}");
        let cover_of = |cover: f64| {
            if cover >= 0.0 && cover.is_finite() {
                Ok(cover)
            } else {
                Err(ModelError::invalid(here(), "a cover that is finite and not negative", cover))
            }
        };
        match node(old, &mut values)? {
            RawNode::Leaf { cover } => {
                let start = leaves as usize * width;
                if let Some(value) = values[start..].iter().find(|value| !value.is_finite()) {
                    return Err(ModelError::invalid(here(), "a finite leaf value", value));
                }
                nodes.push(Node::Leaf { leaf: leaves, cover: cover_of(cover)? });
                leaves += 1;
            }
            RawNode::Split { feature, test, missing_left, left, right, cover } => {
                let child = |child: i64| usize::try_from(child).ok().filter(|&child| child < count);
                let (Some(left), Some(right)) = (child(left), child(right)) else {
                    let found = format!("children {left} and {right}");
                    return Err(ModelError::invalid(here(), format!("two children below {count}"), found));
                };
                let parent = nodes.len();
                let split = Split { feature, test, missing_left, left: 0, right: 0 };
                nodes.push(Node::Split { split, cover: cover_of(cover)? });
                waiting.push((right, Some((parent, Side::Right))));
                waiting.push((left, Some((parent, Side::Left))));
            }
        }
    }
    debug_assert_eq!(values.len(), leaves as usize * width);
    let narrow = |number: usize| {
        u32::try_from(number).map_err(|_| ModelError::TooLarge {
            what: "number of outputs",
            found: number as u64,
            limit,
        })
    };
    Ok(Tree {
        nodes: nodes.into(),
        values: values.into(),
        first_output: narrow(outputs.start)?,
        width: narrow(width)?,
    })
}

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}
