//! CatBoost's models as JSON (`save_model(format="json")`), as versions 1.x write them.
//!
//! Values and borders are 32-bit floats, sums 64-bit ones. Oblivious trees ask all nodes of a level the same; the other
//! kinds of trees are supported as well. Categorical, text and embedding features that trees use are not: what they
//! are turned into depends on data that is hashed or gone.

use serde::Deserialize;

use super::ensemble::{Summation, TreeEnsemble};
use super::error::ModelError;
use super::link::Link;
use super::test::{Test, narrow};
use super::tree::{RawNode, Tree, build};
use super::{FEATURES_MAX, OUTPUTS_MAX};

const FORMAT: &str = "CatBoost's JSON";

#[derive(Deserialize)]
struct File {
    features_info: FeaturesInfo,
    #[serde(default)]
    model_info: ModelInfo,
    oblivious_trees: Option<Vec<ObliviousTree>>,
    trees: Option<Vec<RawTree>>,
    scale_and_bias: Option<(f64, OneOrMore)>,
}

#[derive(Deserialize)]
struct FeaturesInfo {
    #[serde(default)]
    float_features: Vec<FloatFeature>,
    #[serde(default)]
    categorical_features: Vec<OtherFeature>,
    #[serde(default)]
    text_features: Vec<OtherFeature>,
    #[serde(default)]
    embedding_features: Vec<OtherFeature>,
}

#[derive(Deserialize)]
struct FloatFeature {
    feature_index: u32,
    flat_feature_index: u32,
    #[serde(default)]
    feature_id: String,
    #[serde(default)]
    nan_value_treatment: String,
}

#[derive(Deserialize)]
struct OtherFeature {
    flat_feature_index: u32,
    #[serde(default)]
    feature_id: String,
}

#[derive(Deserialize, Default)]
struct ModelInfo {
    #[serde(default)]
    params: Params,
}

#[derive(Deserialize, Default)]
struct Params {
    loss_function: Option<LossFunction>,
}

#[derive(Deserialize)]
struct LossFunction {
    #[serde(rename = "type")]
    name: String,
}

#[derive(Deserialize)]
struct ObliviousTree {
    /// Leaf by leaf; the first split is the lowest bit of a leaf's number.
    leaf_values: Vec<f64>,
    #[serde(default)]
    leaf_weights: Vec<f64>,
    #[serde(default)]
    splits: Vec<RawSplit>,
}

/// An inner node, or a leaf. The parser limits how deep they nest.
#[derive(Deserialize)]
struct RawTree {
    split: Option<RawSplit>,
    left: Option<Box<RawTree>>,
    right: Option<Box<RawTree>>,
    value: Option<OneOrMore>,
    weight: Option<f64>,
}

#[derive(Deserialize)]
struct RawSplit {
    split_type: String,
    border: Option<f64>,
    float_feature_index: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(f64),
    More(Vec<f64>),
}

impl OneOrMore {
    fn as_slice(&self) -> &[f64] {
        match self {
            Self::One(number) => std::slice::from_ref(number),
            Self::More(numbers) => numbers,
        }
    }
}

/// Reads a model.
///
/// # Errors
/// [`ModelError`] when the bytes are not JSON, not of CatBoost's layout, inconsistent, or the model uses something
/// unsupported.
pub fn from_json(bytes: &[u8]) -> Result<TreeEnsemble, ModelError> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| ModelError::json(FORMAT, &error))?;
    let features = Features::of(&file.features_info)?;
    let (scale, bias) = file.scale_and_bias.unwrap_or((1.0, OneOrMore::One(0.0)));
    let bias = bias.as_slice().to_vec();
    if bias.is_empty() || bias.len() as u64 > OUTPUTS_MAX {
        return Err(ModelError::TooLarge {
            what: "number of outputs, of which there is at least one",
            found: bias.len() as u64,
            limit: OUTPUTS_MAX,
        });
    }
    let objective = file.model_info.params.loss_function.map(|loss| loss.name).unwrap_or_default();
    let link = match objective.as_str() {
        "Logloss" | "CrossEntropy" | "MultiClassOneVsAll" | "MultiLogloss" | "MultiCrossEntropy" => Link::Logit,
        "MultiClass" => Link::Softmax,
        "Poisson" | "Tweedie" => Link::Log,
        _ => Link::Identity,
    };
    let mut has_covers = true;
    let mut trees = Vec::new();
    let outputs = bias.len();
    for (index, raw) in file.oblivious_trees.into_iter().flatten().enumerate() {
        has_covers &= !raw.leaf_weights.is_empty();
        trees.push(oblivious(&raw, &format!("tree {index}"), &features, outputs)?);
    }
    for (index, raw) in file.trees.into_iter().flatten().enumerate() {
        let mut flat = Vec::new();
        has_covers &= flatten(&raw, &mut flat);
        trees.push(other(&flat, &format!("tree {index}"), &features, outputs)?);
    }
    trees.iter_mut().for_each(|tree| tree.scale(scale));
    TreeEnsemble {
        iteration_ends: (1..=trees.len()).collect(),
        trees,
        feature_count: features.names.len(),
        feature_names: if features.names.iter().all(String::is_empty) { Vec::new() } else { features.names },
        base_margins: bias,
        objective,
        link,
        missing: Vec::new(),
        summation: Summation::Double,
        has_covers,
        best_iteration: None,
    }
    .checked()
}

/// The columns of a row.
struct Features {
    names: Vec<String>,
    /// For each float feature its column, and whether a missing value is greater than every border.
    floats: Vec<Option<(u32, bool)>>,
}

impl Features {
    fn of(info: &FeaturesInfo) -> Result<Self, ModelError> {
        let others = info.categorical_features.iter().chain(&info.text_features).chain(&info.embedding_features);
        let floats = info.float_features.iter();
        let columns = floats
            .map(|feature| (feature.flat_feature_index, &feature.feature_id))
            .chain(others.map(|feature| (feature.flat_feature_index, &feature.feature_id)));
        let columns: Vec<_> = columns.collect();
        let count = columns.iter().map(|column| u64::from(column.0) + 1).max().unwrap_or(0);
        // Every column is listed: a list that is much shorter than its numbers is damaged.
        if count > FEATURES_MAX || count > columns.len() as u64 * 16 + 1024 {
            return Err(ModelError::TooLarge { what: "number of features", found: count, limit: FEATURES_MAX });
        }
        let mut names = vec![String::new(); usize::try_from(count).unwrap_or(0)];
        for (column, name) in columns {
            names[column as usize].clone_from(name);
        }
        let mut known = vec![None; names.len()];
        for feature in &info.float_features {
            let is_greatest = match feature.nan_value_treatment.as_str() {
                "AsTrue" => true,
                // NaN is not greater than a border.
                "" | "AsIs" | "AsFalse" => false,
                other => {
                    return Err(ModelError::invalid("nan_value_treatment", "AsIs, AsFalse or AsTrue", other));
                }
            };
            let place = known.get_mut(feature.feature_index as usize).ok_or_else(|| {
                ModelError::invalid("feature_index", format!("a number below {count}"), feature.feature_index)
            })?;
            *place = Some((feature.flat_feature_index, is_greatest));
        }
        Ok(Self { names, floats: known })
    }

    /// What is greater than the border goes right.
    fn split(&self, split: &RawSplit, place: &str) -> Result<(u32, Test, bool), ModelError> {
        if split.split_type != "FloatFeature" {
            return Err(ModelError::Unsupported {
                what: "split",
                found: format!("{} in {place}", split.split_type),
                supported: "FloatFeature: train without categorical features, or encode them as numbers",
            });
        }
        let index = split.float_feature_index.unwrap_or(u32::MAX);
        let (column, is_greatest) = self.floats.get(index as usize).copied().flatten().ok_or_else(|| {
            ModelError::invalid(format!("{place}: float_feature_index"), "a feature of features_info", index)
        })?;
        let border = narrow(split.border.unwrap_or(f64::NAN));
        let test = Test::single_at_most(border);
        let test =
            test.ok_or_else(|| ModelError::invalid(format!("{place}: border"), "a finite number", border))?;
        Ok((column, test, !is_greatest))
    }
}

/// An oblivious tree: the last split is at the root, for it is the highest bit.
fn oblivious(raw: &ObliviousTree, place: &str, features: &Features, outputs: usize) -> Result<Tree, ModelError> {
    const DEPTH_MAX: usize = 24;
    let depth = raw.splits.len();
    if depth > DEPTH_MAX {
        let limit = DEPTH_MAX as u64;
        return Err(ModelError::TooLarge { what: "depth of an oblivious tree", found: depth as u64, limit });
    }
    let leaves = 1_usize << depth;
    let expected = leaves.saturating_mul(outputs);
    if raw.leaf_values.len() != expected {
        let expected = format!("{expected}, one for each leaf and output");
        return Err(ModelError::invalid(format!("{place}: leaf_values"), expected, raw.leaf_values.len()));
    }
    if !raw.leaf_weights.is_empty() && raw.leaf_weights.len() != leaves {
        let expected = format!("{leaves}, one for each leaf, or none");
        return Err(ModelError::invalid(format!("{place}: leaf_weights"), expected, raw.leaf_weights.len()));
    }
    // As a heap: the children of node n are 2 n + 1 and 2 n + 2, and the leaves come last.
    let inner = leaves - 1;
    let mut covers = vec![0.0; inner + leaves];
    covers[inner..][..raw.leaf_weights.len()].copy_from_slice(&raw.leaf_weights);
    for node in (0..inner).rev() {
        covers[node] = covers[2 * node + 1] + covers[2 * node + 2];
    }
    let splits = raw.splits.iter().map(|split| features.split(split, place)).collect::<Result<Vec<_>, _>>()?;
    build(inner + leaves, 0..outputs, place, |node, values| {
        if node >= inner {
            values.extend_from_slice(&raw.leaf_values[(node - inner) * outputs..][..outputs]);
            return Ok(RawNode::Leaf { cover: covers[node] });
        }
        let level = (node + 1).ilog2() as usize;
        let (feature, test, missing_left) = splits[depth - 1 - level].clone();
        let child = i64::try_from(2 * node + 1).unwrap_or(i64::MAX);
        Ok(RawNode::Split { feature, test, missing_left, left: child, right: child + 1, cover: covers[node] })
    })
}

/// A node of a tree of the other kinds, with the places of its children.
struct FlatNode<'a> {
    node: &'a RawTree,
    left: i64,
    right: i64,
    cover: f64,
}

/// Lists the nodes, the root first, and says whether all leaves have weights.
fn flatten<'a>(root: &'a RawTree, flat: &mut Vec<FlatNode<'a>>) -> bool {
    let mut has_covers = true;
    flat.push(FlatNode { node: root, left: -1, right: -1, cover: 0.0 });
    let mut next = 0;
    while next < flat.len() {
        let node = flat[next].node;
        let place = |flat: &Vec<FlatNode<'_>>| i64::try_from(flat.len()).unwrap_or(i64::MAX);
        if let Some(left) = &node.left {
            flat[next].left = place(flat);
            flat.push(FlatNode { node: left, left: -1, right: -1, cover: 0.0 });
        }
        if let Some(right) = &node.right {
            flat[next].right = place(flat);
            flat.push(FlatNode { node: right, left: -1, right: -1, cover: 0.0 });
        }
        if node.split.is_none() {
            has_covers &= node.weight.is_some();
            flat[next].cover = node.weight.unwrap_or(0.0);
        }
        next += 1;
    }
    // Children come after their parents.
    for index in (0..flat.len()).rev() {
        let of = |child: i64| usize::try_from(child).ok().map_or(0.0, |child: usize| flat[child].cover);
        let sum = of(flat[index].left) + of(flat[index].right);
        flat[index].cover += sum;
    }
    has_covers
}

fn other(flat: &[FlatNode<'_>], place: &str, features: &Features, outputs: usize) -> Result<Tree, ModelError> {
    build(flat.len(), 0..outputs, place, |index, values| {
        let FlatNode { node, left, right, cover } = &flat[index];
        let (left, right, cover) = (*left, *right, *cover);
        let Some(split) = &node.split else {
            let found = node.value.as_ref().map_or(&[][..], OneOrMore::as_slice);
            if found.len() != outputs || left >= 0 || right >= 0 {
                let expected = format!("a leaf with {outputs} values, one for each output, and no children");
                return Err(ModelError::invalid(place, expected, format!("{} values", found.len())));
            }
            values.extend_from_slice(found);
            return Ok(RawNode::Leaf { cover });
        };
        let (feature, test, missing_left) = features.split(split, place)?;
        Ok(RawNode::Split { feature, test, missing_left, left, right, cover })
    })
}
