//! Ensembles of binary decision trees, in the form that predictions and explanations are made from.

/// How the raw output (margin) relates to the prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// The margin is the prediction.
    Identity,
    /// The margin is the log-odds of the predicted probability.
    Logit,
}

impl Link {
    /// The prediction of a margin.
    #[must_use]
    pub fn prediction(self, margin: f64) -> f64 {
        match self {
            Self::Identity => margin,
            Self::Logit => 1.0 / (1.0 + (-margin).exp()),
        }
    }
}

/// The condition of an inner node: `value < threshold` goes left, with both as 32-bit floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// The index of the feature.
    pub feature: u32,
    /// The threshold; finite.
    pub threshold: f32,
    /// Whether a missing value goes left.
    pub missing_left: bool,
    /// The node to the left, in the same tree.
    pub left: u32,
    /// The node to the right, in the same tree.
    pub right: u32,
}

impl Split {
    /// Whether a value goes left. Missing is NaN; infinities are ordered as any other value.
    #[must_use]
    pub fn goes_left(&self, value: f64) -> bool {
        let value = narrow(value);
        if value.is_nan() { self.missing_left } else { value < self.threshold }
    }
}

/// The value as the model compares it: rounded to the nearest 32-bit float, infinite beyond its range.
#[expect(clippy::cast_possible_truncation, reason = "rounding to 32 bits is what the model's library does")]
pub(crate) fn narrow(value: f64) -> f32 {
    value as f32
}

/// A node and its cover: the weight (sum of Hessians) of the training rows that reached it.
#[derive(Debug, Clone, Copy, PartialEq)]
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
        /// What the leaf adds to the margin; finite.
        value: f64,
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
    nodes: Vec<Node>,
}

impl Tree {
    /// Takes nodes over. The caller has checked that there is a root and that children are in range and come
    /// after their parents.
    pub(super) fn from_nodes(nodes: Vec<Node>) -> Self {
        debug_assert!(!nodes.is_empty());
        Self { nodes }
    }

    /// The nodes; the root is the first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The value of the leaf that a row ends in.
    ///
    /// # Panics
    /// When the row has no value for a feature that is asked for.
    #[must_use]
    pub fn leaf_value(&self, row: &[f64]) -> f64 {
        let mut node = &self.nodes[0];
        loop {
            match node {
                Node::Leaf { value, .. } => return *value,
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
            let share = |child: u32| self.nodes[child as usize].cover() / cover;
            (share(split.left), share(split.right))
        } else {
            (0.5, 0.5)
        }
    }
}

/// A sum of trees over numeric features, with one output.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeEnsemble {
    pub(super) trees: Vec<Tree>,
    pub(super) feature_count: usize,
    pub(super) feature_names: Vec<String>,
    pub(super) base_margin: f32,
    pub(super) objective: String,
    pub(super) link: Link,
}

impl TreeEnsemble {
    /// The trees, in the order in which they were trained.
    #[must_use]
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// How many features a row must have.
    #[must_use]
    pub fn feature_count(&self) -> usize {
        self.feature_count
    }

    /// The features' names; empty when the file has none.
    #[must_use]
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// What every row's margin begins with.
    #[must_use]
    pub fn base_margin(&self) -> f64 {
        f64::from(self.base_margin)
    }

    /// The name of the training objective.
    #[must_use]
    pub fn objective(&self) -> &str {
        &self.objective
    }

    /// How margins relate to predictions.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// The margin of a row of [`feature_count`](Self::feature_count) values, summed in 64-bit floats.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn margin(&self, row: &[f64]) -> f64 {
        self.trees.iter().fold(self.base_margin(), |sum, tree| sum + tree.leaf_value(row))
    }

    /// The margin as the model's library computes it: summed in 32-bit floats in the order of the trees, equal to the
    /// last bit.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn library_margin(&self, row: &[f64]) -> f32 {
        self.trees.iter().fold(self.base_margin, |sum, tree| sum + narrow(tree.leaf_value(row)))
    }
}
