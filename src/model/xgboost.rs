//! XGBoost's JSON model (`Booster.save_model("model.json")`), as versions 1.x to 3.x write it.
//!
//! Layout: the model schema in XGBoost's documentation ("Introduction to Model IO"). Supported are `gbtree`
//! boosters (boosted trees and random forests) with one output, numeric splits, and an objective whose link is
//! the identity or the logit. All else is refused by name, for a silent approximation would be a wrong answer.

use serde::Deserialize;

use super::ensemble::{Summation, TreeEnsemble};
use super::error::ModelError;
use super::link::Link;
use super::test::{Test, narrow};
use super::tree::{RawNode, Tree, build};

/// The most features that a model may have.
pub const FEATURES_MAX: u64 = 1 << 24;

const OBJECTIVES: &str = "reg:squarederror, reg:squaredlogerror, reg:pseudohubererror, reg:absoluteerror, \
                          reg:logistic, binary:logistic or binary:logitraw";

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    feature_names: Vec<String>,
    gradient_booster: Booster,
    learner_model_param: ModelParam,
    objective: Objective,
}

/// The fields of every kind of booster are optional here, so that an unsupported one is refused by its name.
#[derive(Deserialize)]
struct Booster {
    name: String,
    model: Option<BoosterModel>,
}

#[derive(Deserialize)]
struct BoosterModel {
    trees: Option<Vec<RawTree>>,
    /// The factors of DART's trees: since 3.4 only these tell such a model from a boosted one.
    #[serde(default)]
    weight_drop: Vec<f32>,
}

#[derive(Deserialize)]
struct ModelParam {
    base_score: String,
    num_class: Option<String>,
    num_feature: String,
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct RawTree {
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<i64>,
    /// The threshold of an inner node, the value of a leaf.
    split_conditions: Vec<f32>,
    default_left: Vec<Flag>,
    sum_hessian: Vec<f32>,
    /// 0 = numeric, 1 = categorical.
    #[serde(default)]
    split_type: Vec<u8>,
    tree_param: TreeParam,
}

#[derive(Deserialize)]
struct TreeParam {
    num_nodes: String,
    size_leaf_vector: Option<String>,
}

/// A truth value: `true` and `false`, or 1 and 0, by version.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Integer(i64),
}

impl Flag {
    fn is_set(self) -> bool {
        match self {
            Self::Bool(flag) => flag,
            Self::Integer(number) => number != 0,
        }
    }
}

/// Reads a model.
///
/// # Errors
/// [`ModelError`] when the bytes are not JSON, not of XGBoost's layout, inconsistent, or the model uses something
/// unsupported.
pub fn from_json(bytes: &[u8]) -> Result<TreeEnsemble, ModelError> {
    let File { learner } = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => ModelError::Layout { message: error.to_string() },
        _ => ModelError::NotJson { message: error.to_string() },
    })?;

    let booster = learner.gradient_booster;
    if booster.name != "gbtree" {
        return Err(ModelError::Unsupported { what: "booster", found: booster.name, supported: "gbtree" });
    }
    let link = match learner.objective.name.as_str() {
        "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror" => Link::Identity,
        "binary:logistic" | "binary:logitraw" | "reg:logistic" => Link::Logit,
        other => {
            return Err(ModelError::Unsupported {
                what: "objective",
                found: other.to_owned(),
                supported: OBJECTIVES,
            });
        }
    };
    let param = learner.learner_model_param;
    let parameter = |name: &str| format!("learner.learner_model_param.{name}");
    for (what, name, value) in [
        ("number of classes", "num_class", &param.num_class),
        ("number of targets", "num_target", &param.num_target),
    ] {
        if let Some(value) = value
            && number(value, &parameter(name))? > 1
        {
            return Err(ModelError::Unsupported {
                what,
                found: value.clone(),
                supported: "a model with one output",
            });
        }
    }
    let features = number(&param.num_feature, &parameter("num_feature"))?;
    if features > FEATURES_MAX {
        return Err(ModelError::TooLarge { what: "number of features", found: features, limit: FEATURES_MAX });
    }
    let feature_count = usize::try_from(features).unwrap_or(usize::MAX);
    if !learner.feature_names.is_empty() && learner.feature_names.len() != feature_count {
        return Err(invalid(
            "learner.feature_names".to_owned(),
            format!("{feature_count} names, one for each feature"),
            learner.feature_names.len(),
        ));
    }
    // The base score of `binary:logitraw` is a margin already.
    let base_link = if learner.objective.name == "binary:logitraw" { Link::Identity } else { link };
    let base_margin = base_margin(&param.base_score, base_link, parameter("base_score"))?;

    let missing = |what| ModelError::Layout { message: format!("missing field learner.gradient_booster.{what}") };
    let model = booster.model.ok_or_else(|| missing("model"))?;
    if !model.weight_drop.is_empty() {
        return Err(ModelError::Unsupported {
            what: "booster",
            found: "dart (trees with weights)".to_owned(),
            supported: "gbtree",
        });
    }
    let trees = model
        .trees
        .ok_or_else(|| missing("model.trees"))?
        .iter()
        .enumerate()
        .map(|(index, tree)| build_tree(tree, &format!("tree {index}"), feature_count))
        .collect::<Result<_, _>>()?;
    TreeEnsemble {
        trees,
        feature_count,
        feature_names: learner.feature_names,
        base_margins: vec![f64::from(base_margin)],
        objective: learner.objective.name,
        link,
        missing: Vec::new(),
        summation: Summation::Single,
        has_covers: true,
        iteration_ends: Vec::new(),
        best_iteration: None,
    }
    .checked()
}

/// The margin of the stored base score: a prediction, written as `5E-1` up to 3.0 and as `[5E-1]` since. XGBoost computes
/// it in 32 bits, and margins are equal to the last bit only if it is done likewise.
fn base_margin(text: &str, link: Link, place: String) -> Result<f32, ModelError> {
    let text = text.trim();
    let single = text.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(text);
    if single.contains(',') {
        return Err(ModelError::Unsupported {
            what: "base score",
            found: text.to_owned(),
            supported: "a model with one output",
        });
    }
    let score: f32 =
        single.trim().parse().map_err(|_| invalid(place.clone(), "a number".to_owned(), format!("{text:?}")))?;
    let margin = match link {
        Link::Identity => score,
        _ => narrow(-f64::from(1.0 / score - 1.0).ln()),
    };
    if margin.is_finite() {
        Ok(margin)
    } else {
        let expected = match link {
            Link::Logit => "a probability between 0 and 1, both excluded",
            _ => "a finite number",
        };
        Err(invalid(place, expected.to_owned(), format!("{text:?}")))
    }
}

/// Checks a tree and takes over the nodes that the root leads to, parents before children.
fn build_tree(raw: &RawTree, place: &str, feature_count: usize) -> Result<Tree, ModelError> {
    let count = raw.left_children.len();
    let declared = number(&raw.tree_param.num_nodes, &format!("{place}: tree_param.num_nodes"))?;
    if declared != count as u64 || count == 0 {
        return Err(invalid(
            format!("{place}: left_children"),
            format!("as many entries as num_nodes says ({declared}), and at least one"),
            count,
        ));
    }
    for (name, length) in [
        ("right_children", raw.right_children.len()),
        ("split_indices", raw.split_indices.len()),
        ("split_conditions", raw.split_conditions.len()),
        ("default_left", raw.default_left.len()),
        ("sum_hessian", raw.sum_hessian.len()),
    ] {
        if length != count {
            return Err(invalid(
                format!("{place}: {name}"),
                format!("{count} entries, one for each node"),
                length,
            ));
        }
    }
    if let Some(size) = &raw.tree_param.size_leaf_vector
        && number(size, &format!("{place}: tree_param.size_leaf_vector"))? > 1
    {
        return Err(ModelError::Unsupported {
            what: "size of leaf vectors",
            found: size.clone(),
            supported: "a model with one output",
        });
    }
    if raw.split_type.iter().any(|&kind| kind != 0) {
        return Err(ModelError::Unsupported {
            what: "split",
            found: format!("a categorical split in {place}"),
            supported: "numeric splits",
        });
    }

    build(count, 0..1, place, |node, values| read_node(raw, node, place, feature_count, values))
}

/// A node: a leaf has -1 for both children.
fn read_node(
    raw: &RawTree,
    node: usize,
    place: &str,
    feature_count: usize,
    values: &mut Vec<f64>,
) -> Result<RawNode, ModelError> {
    let here = || format!("{place}, node {node}");
    let cover = f64::from(raw.sum_hessian[node]);
    let condition = raw.split_conditions[node];
    if !condition.is_finite() {
        return Err(ModelError::invalid(here(), "a finite threshold or leaf value", condition));
    }
    let (left, right) = (raw.left_children[node], raw.right_children[node]);
    if left == -1 && right == -1 {
        values.push(f64::from(condition));
        return Ok(RawNode::Leaf { cover });
    }
    let feature = u32::try_from(raw.split_indices[node])
        .ok()
        .filter(|&feature| (feature as usize) < feature_count)
        .ok_or_else(|| {
            ModelError::invalid(here(), format!("a feature index below {feature_count}"), raw.split_indices[node])
        })?;
    let missing_left = raw.default_left[node].is_set();
    let test = Test::single_below(condition);
    Ok(RawNode::Split { feature, test, missing_left, left: left.into(), right: right.into(), cover })
}

/// A count, which XGBoost writes as a string.
fn number(text: &str, place: &str) -> Result<u64, ModelError> {
    text.parse().map_err(|_| invalid(place.to_owned(), "a whole number".to_owned(), format!("{text:?}")))
}

fn invalid(place: String, expected: String, found: impl std::fmt::Display) -> ModelError {
    ModelError::Invalid { place, expected, found: found.to_string() }
}
