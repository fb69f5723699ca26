//! Generated tree ensembles and rows that sit on their edges.
//!
//! An ensemble is described here in a form of its own, which knows nothing of the loader or the engine: the oracle
//! works on it directly, and subjects get it as a model file.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// A tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// A leaf.
    Leaf {
        /// What it adds to the output.
        value: f32,
        /// The weight of the training rows that reached it.
        cover: f32,
    },
    /// A split: smaller values go left.
    Split {
        /// The feature.
        feature: usize,
        /// The threshold.
        threshold: f32,
        /// Whether a missing value goes left.
        missing_left: bool,
        /// For smaller values.
        left: Box<Self>,
        /// For the others.
        right: Box<Self>,
    },
}

impl Tree {
    /// The weight of the training rows that reached it. Generated covers are small whole numbers, so that sums are
    /// exact.
    #[must_use]
    pub fn cover(&self) -> f32 {
        match self {
            Self::Leaf { cover, .. } => *cover,
            Self::Split { left, right, .. } => left.cover() + right.cover(),
        }
    }

    /// The features that some split uses, in ascending order.
    #[must_use]
    pub fn features(&self) -> Vec<usize> {
        fn collect(tree: &Tree, features: &mut Vec<usize>) {
            if let Tree::Split { feature, left, right, .. } = tree {
                features.push(*feature);
                collect(left, features);
                collect(right, features);
            }
        }
        let mut features = Vec::new();
        collect(self, &mut features);
        features.sort_unstable();
        features.dedup();
        features
    }
}

/// A sum of trees.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// How many features a row has.
    pub features: usize,
    /// What every output begins with.
    pub base_score: f32,
    /// The trees.
    pub trees: Vec<Tree>,
}

impl Ensemble {
    /// The features that some split uses, in ascending order.
    #[must_use]
    pub fn used_features(&self) -> Vec<usize> {
        let mut features: Vec<usize> = self.trees.iter().flat_map(Tree::features).collect();
        features.sort_unstable();
        features.dedup();
        features
    }

    /// The ensemble as a model file: XGBoost's JSON.
    #[must_use]
    pub fn to_xgboost_json(&self) -> Vec<u8> {
        self.to_xgboost_json_with("reg:squarederror", &format!("{:E}", self.base_score))
    }

    /// The same with an objective and a base score as given.
    #[must_use]
    pub fn to_xgboost_json_with(&self, objective: &str, base_score: &str) -> Vec<u8> {
        let trees: Vec<Value> = self.trees.iter().map(|tree| tree_json(tree, self.features)).collect();
        let model = json!({
            "version": [3, 0, 0],
            "learner": {
                "attributes": {},
                "feature_names": [],
                "feature_types": [],
                "gradient_booster": {
                    "name": "gbtree",
                    "model": {
                        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": trees.len().to_string()},
                        "tree_info": vec![0; trees.len()],
                        "trees": trees,
                    },
                },
                "learner_model_param": {
                    "base_score": base_score,
                    "boost_from_average": "1",
                    "num_class": "0",
                    "num_feature": self.features.to_string(),
                    "num_target": "1",
                },
                "objective": {"name": objective},
            },
        });
        model.to_string().into_bytes()
    }
}

/// A tree in XGBoost's layout: one array for each property, indexed by node.
fn tree_json(tree: &Tree, features: usize) -> Value {
    struct Arrays {
        left: Vec<i64>,
        right: Vec<i64>,
        feature: Vec<usize>,
        condition: Vec<f32>,
        default_left: Vec<u8>,
        cover: Vec<f32>,
    }
    fn add(tree: &Tree, arrays: &mut Arrays) -> i64 {
        let node = arrays.left.len();
        arrays.left.push(-1);
        arrays.right.push(-1);
        arrays.cover.push(tree.cover());
        match tree {
            Tree::Leaf { value, .. } => {
                arrays.feature.push(0);
                arrays.condition.push(*value);
                arrays.default_left.push(0);
            }
            Tree::Split { feature, threshold, missing_left, left, right } => {
                arrays.feature.push(*feature);
                arrays.condition.push(*threshold);
                arrays.default_left.push(u8::from(*missing_left));
                arrays.left[node] = add(left, arrays);
                arrays.right[node] = add(right, arrays);
            }
        }
        i64::try_from(node).unwrap_or(i64::MAX)
    }
    let mut arrays = Arrays {
        left: Vec::new(),
        right: Vec::new(),
        feature: Vec::new(),
        condition: Vec::new(),
        default_left: Vec::new(),
        cover: Vec::new(),
    };
    add(tree, &mut arrays);
    let nodes = arrays.left.len();
    json!({
        "id": 0,
        "left_children": arrays.left,
        "right_children": arrays.right,
        "split_indices": arrays.feature,
        "split_conditions": arrays.condition,
        "split_type": vec![0; nodes],
        "default_left": arrays.default_left,
        "sum_hessian": arrays.cover,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": features.to_string(),
            "num_nodes": nodes.to_string(),
            "size_leaf_vector": "1",
        },
    })
}

/// Thresholds: a few values that occur again and again, so that paths get several conditions on one feature and rows
/// hit them exactly; 0.1 and 1e-40 are not what they seem in 32 bits.
const THRESHOLDS: &[f32] = &[-1e30, -2.0, -0.5, -0.0, 0.0, 1e-40, 0.1, 0.5, 1.0, 16_777_216.0, 1e30];

fn tree(features: usize, depth: u32, covers: std::ops::Range<u8>) -> impl Strategy<Value = Tree> {
    let leaf = (-8.0_f32..8.0, covers).prop_map(|(value, cover)| Tree::Leaf { value, cover: f32::from(cover) });
    leaf.prop_recursive(depth, 64, 2, move |inner| {
        (0..features, select(THRESHOLDS), any::<bool>(), inner.clone(), inner).prop_map(
            |(feature, threshold, missing_left, left, right)| Tree::Split {
                feature,
                threshold,
                missing_left,
                left: Box::new(left),
                right: Box::new(right),
            },
        )
    })
}

/// Ensembles of at most `trees` trees of a depth over at most `features` features. Covers are at least 1.
pub fn ensembles(features: usize, depth: u32, trees: usize) -> impl Strategy<Value = Ensemble> {
    ensembles_with_covers(features, depth, trees, 1..100)
}

/// The same with covers from a range; with 0 in it, some nodes were reached by no training row.
pub fn ensembles_with_covers(
    features: usize,
    depth: u32,
    trees: usize,
    covers: std::ops::Range<u8>,
) -> impl Strategy<Value = Ensemble> {
    (1..=features).prop_flat_map(move |features| {
        let trees = prop::collection::vec(tree(features, depth, covers.clone()), 1..=trees);
        (trees, -4.0_f32..4.0).prop_map(move |(trees, base_score)| Ensemble { features, base_score, trees })
    })
}

/// A value of a row: ordinary ones, thresholds and their neighbours in 32 and in 64 bits.
pub fn finite_values() -> impl Strategy<Value = f64> {
    let near = select(THRESHOLDS).prop_flat_map(|threshold| {
        let exact = f64::from(threshold);
        select(vec![
            exact,
            f64::from(threshold.next_up()),
            f64::from(threshold.next_down()),
            exact.next_up(),
            exact.next_down(),
        ])
    });
    prop_oneof![3 => near, 1 => -3.0_f64..3.0]
}

/// The same, or missing.
pub fn values_or_missing() -> impl Strategy<Value = f64> {
    prop_oneof![3 => finite_values(), 1 => Just(f64::NAN)]
}

/// The same, missing, infinite, or beyond the range of 32 bits.
pub fn any_values() -> impl Strategy<Value = f64> {
    prop_oneof![
        2 => values_or_missing(),
        1 => select(vec![f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 5e-324, -0.0]),
    ]
}

/// Ensembles with rows for them.
pub fn ensembles_with_rows<E, V>(
    ensembles: E,
    values: impl Fn() -> V,
    rows: usize,
) -> impl Strategy<Value = (Ensemble, Vec<Vec<f64>>)>
where
    E: Strategy<Value = Ensemble>,
    V: Strategy<Value = f64> + 'static,
{
    ensembles.prop_flat_map(move |ensemble| {
        let row = prop::collection::vec(values(), ensemble.features);
        (Just(ensemble), prop::collection::vec(row, 1..=rows))
    })
}
