//! The layout of a model file. Fields of every kind of booster are optional, so that the wrong one is refused by its name.

use std::collections::HashMap;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};

#[derive(Deserialize)]
pub(super) struct File {
    pub(super) learner: Learner,
}

#[derive(Deserialize)]
pub(super) struct Learner {
    #[serde(default)]
    pub(super) attributes: HashMap<String, String>,
    #[serde(default)]
    pub(super) feature_names: Vec<String>,
    pub(super) gradient_booster: Booster,
    pub(super) learner_model_param: ModelParam,
    pub(super) objective: Objective,
}

#[derive(Deserialize)]
pub(super) struct Booster {
    pub(super) name: String,
    pub(super) model: Option<BoosterModel>,
    /// Where DART has its trees, up to 3.3.
    pub(super) gbtree: Option<NestedBooster>,
    /// The factors of DART's trees, up to 3.3.
    #[serde(default)]
    pub(super) weight_drop: Vec<f32>,
}

#[derive(Deserialize)]
pub(super) struct NestedBooster {
    pub(super) model: BoosterModel,
}

#[derive(Deserialize)]
pub(super) struct BoosterModel {
    pub(super) trees: Option<Vec<RawTree>>,
    /// For each tree the output that it adds to.
    #[serde(default)]
    pub(super) tree_info: Vec<u32>,
    /// Where iterations begin, and the number of trees.
    #[serde(default)]
    pub(super) iteration_indptr: Vec<usize>,
    /// The factors of DART's trees, since 3.4, where only these tell such a model from a boosted one.
    #[serde(default)]
    pub(super) weight_drop: Vec<f32>,
    /// Of a linear booster: for each feature the weights of all outputs, then their biases.
    pub(super) weights: Option<Vec<f32>>,
    pub(super) gbtree_model_param: Option<TreesParam>,
}

#[derive(Deserialize)]
pub(super) struct TreesParam {
    pub(super) num_parallel_tree: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ModelParam {
    pub(super) base_score: String,
    pub(super) num_class: Option<String>,
    pub(super) num_feature: String,
    pub(super) num_target: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Objective {
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct RawTree {
    pub(super) left_children: Vec<i32>,
    /// Of a leaf with a vector the number among the leaves, since 3.1.
    pub(super) right_children: Vec<i32>,
    pub(super) split_indices: Vec<i32>,
    /// The threshold of an inner node, the value of a leaf.
    pub(super) split_conditions: Vec<f32>,
    pub(super) default_left: Vec<Flag>,
    /// Trees with leaf vectors have it since 3.1 only.
    #[serde(default)]
    pub(super) sum_hessian: Vec<f32>,
    /// 0 = numeric, 1 = categorical.
    #[serde(default)]
    pub(super) split_type: Vec<u8>,
    /// The categories that go right, of all categorical splits.
    #[serde(default)]
    pub(super) categories: Vec<i32>,
    #[serde(default)]
    pub(super) categories_nodes: Vec<i32>,
    /// Where in `categories` those of a node begin.
    #[serde(default)]
    pub(super) categories_segments: Vec<i64>,
    #[serde(default)]
    pub(super) categories_sizes: Vec<i64>,
    /// The leaves' vectors, since 3.1.
    #[serde(default)]
    pub(super) leaf_weights: Vec<f32>,
    /// The nodes' vectors; those of the leaves are what counts before 3.1.
    #[serde(default)]
    pub(super) base_weights: Vec<f32>,
    pub(super) tree_param: TreeParam,
}

#[derive(Deserialize)]
pub(super) struct TreeParam {
    pub(super) num_nodes: String,
    pub(super) size_leaf_vector: Option<String>,
}

/// A truth value: `true` and `false`, or 1 and 0, by version.
#[derive(Clone, Copy)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsFlag;
        impl Visitor<'_> for AsFlag {
            type Value = Flag;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("true, false, 1 or 0")
            }
            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Flag, E> {
                Ok(Flag(number != 0))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Flag, E> {
                Ok(Flag(number != 0))
            }
        }
        deserializer.deserialize_any(AsFlag)
    }
}
