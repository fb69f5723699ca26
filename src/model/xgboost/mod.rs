//! XGBoost's models (`Booster.save_model`) as JSON and UBJSON, as versions 1.x to 3.x write them.
//!
//! Layout: the model schema in XGBoost's documentation ("Introduction to Model IO"). Rows have numbers for categories, as
//! a `DMatrix` has them. All iterations count, as for `Booster.predict`; what early stopping found best is told by
//! [`TreeEnsemble::best_iteration`].

mod file;
mod objective;
mod tree;

use super::ensemble::{Summation, TreeEnsemble};
use super::error::ModelError;
use super::linear::{LinearModel, Precision};
use super::link::Link;
use super::{FEATURES_MAX, Model, OUTPUTS_MAX, ubjson};
use file::{BoosterModel, File, Learner};

const JSON: &str = "XGBoost's JSON";
const UBJSON: &str = "XGBoost's UBJSON";

/// Reads a model from JSON.
///
/// # Errors
/// [`ModelError`] when the bytes are not JSON, not of XGBoost's layout, inconsistent, or the model uses something
/// unsupported.
pub fn from_json(bytes: &[u8]) -> Result<Model, ModelError> {
    let File { learner } = serde_json::from_slice(bytes).map_err(|error| ModelError::json(JSON, &error))?;
    read(learner)
}

/// Reads a model from UBJSON.
///
/// # Errors
/// [`ModelError`] as for [`from_json`].
pub fn from_ubjson(bytes: &[u8]) -> Result<Model, ModelError> {
    let File { learner } = ubjson::from_slice(bytes)
        .map_err(|error| ModelError::Layout { format: UBJSON, message: error.to_string() })?;
    read(learner)
}

/// What is common to all boosters.
struct Common {
    feature_count: usize,
    feature_names: Vec<String>,
    base_margins: Vec<f64>,
    objective: String,
    link: Link,
}

fn read(learner: Learner) -> Result<Model, ModelError> {
    let param = learner.learner_model_param;
    let parameter = |name: &str| format!("learner.learner_model_param.{name}");
    let limited = |what, name, text: &str, limit| {
        let found = number(text, &parameter(name))?;
        if found > limit {
            return Err(ModelError::TooLarge { what, found, limit });
        }
        Ok(usize::try_from(found).unwrap_or(usize::MAX))
    };
    let outputs = |name, text: &Option<String>| {
        text.as_deref().map_or(Ok(1), |text| limited("number of outputs", name, text, OUTPUTS_MAX))
    };
    let output_count =
        outputs("num_class", &param.num_class)?.max(outputs("num_target", &param.num_target)?).max(1);
    let objective = learner.objective.name;
    let (link, base_link) = objective::links(&objective, output_count)?;
    let place = parameter("base_score");
    let common = Common {
        feature_count: limited("number of features", "num_feature", &param.num_feature, FEATURES_MAX)?,
        feature_names: learner.feature_names,
        base_margins: objective::base_margins(&param.base_score, base_link, output_count, &place)?,
        objective,
        link,
    };
    let missing = |what| ModelError::Layout {
        format: JSON,
        message: format!("missing field learner.gradient_booster.{what}"),
    };
    let booster = learner.gradient_booster;
    match booster.name.as_str() {
        "gbtree" => {
            let mut model = booster.model.ok_or_else(|| missing("model"))?;
            let factors = std::mem::take(&mut model.weight_drop);
            let best = learner.attributes.get("best_iteration").and_then(|best| best.parse().ok());
            trees(common, model, &factors, best).map(Model::Trees)
        }
        "dart" => {
            let model = booster.gbtree.ok_or_else(|| missing("gbtree"))?.model;
            trees(common, model, &booster.weight_drop, None).map(Model::Trees)
        }
        "gblinear" => {
            let weights = booster.model.and_then(|model| model.weights).ok_or_else(|| missing("model.weights"))?;
            linear(common, &weights).map(Model::Linear)
        }
        _ => Err(ModelError::Unsupported {
            what: "booster",
            found: booster.name,
            supported: "gbtree, dart or gblinear",
        }),
    }
}

fn trees(
    common: Common,
    model: BoosterModel,
    factors: &[f32],
    best_iteration: Option<usize>,
) -> Result<TreeEnsemble, ModelError> {
    let parallel = model.gbtree_model_param.and_then(|param| param.num_parallel_tree);
    let parallel = parallel.map_or(Ok(1), |text| number(&text, "gbtree_model_param.num_parallel_tree"))?;
    let raw = model.trees.ok_or_else(|| ModelError::Layout {
        format: JSON,
        message: "missing field learner.gradient_booster.model.trees".to_owned(),
    })?;
    let count = raw.len();
    if !model.tree_info.is_empty() && model.tree_info.len() != count {
        let expected = format!("{count} entries, one for each tree");
        return Err(ModelError::invalid("tree_info", expected, model.tree_info.len()));
    }
    // Trees that DART never dropped may be left out at the end.
    if factors.len() > count {
        let expected = format!("at most {count} entries, one for each tree");
        return Err(ModelError::invalid("weight_drop", expected, factors.len()));
    }
    let mut has_covers = true;
    let mut trees = Vec::with_capacity(count);
    // One after the other, so that the file's form of a tree goes when its own has come.
    for (index, raw) in raw.into_iter().enumerate() {
        let factor = f64::from(factors.get(index).copied().unwrap_or(1.0));
        let output = model.tree_info.get(index).copied().unwrap_or(0) as usize;
        has_covers &= !raw.sum_hessian.is_empty();
        trees.push(tree::read(&raw, &format!("tree {index}"), common.feature_count, output, factor)?);
    }
    let per_output = trees.first().map_or(1, |tree| tree.outputs().len());
    let of_iteration = usize::try_from(parallel).unwrap_or(usize::MAX);
    let of_iteration = of_iteration.saturating_mul(common.base_margins.len() / per_output.max(1)).max(1);
    let iteration_ends = match &model.iteration_indptr[..] {
        [] => (1..=count / of_iteration).map(|iteration| iteration * of_iteration).collect(),
        [0, ends @ ..] if ends.is_sorted() && ends.last().copied().unwrap_or(0) == count => ends.to_vec(),
        other => {
            let expected = format!("ascending numbers of trees from 0 to {count}");
            return Err(ModelError::invalid("iteration_indptr", expected, format!("{} others", other.len())));
        }
    };
    TreeEnsemble {
        trees,
        feature_count: common.feature_count,
        feature_names: common.feature_names,
        base_margins: common.base_margins,
        objective: common.objective,
        link: common.link,
        missing: Vec::new(),
        summation: Summation::Single,
        has_covers,
        best_iteration: best_iteration.filter(|best| *best < iteration_ends.len()),
        iteration_ends,
    }
    .checked()
}

/// A linear booster. It adds the first output's base score to all outputs.
fn linear(common: Common, weights: &[f32]) -> Result<LinearModel, ModelError> {
    let outputs = common.base_margins.len();
    let expected = (common.feature_count + 1).saturating_mul(outputs);
    if weights.len() != expected {
        let expected = format!("{expected}: for each feature and the bias one for each output");
        return Err(ModelError::invalid("learner.gradient_booster.model.weights", expected, weights.len()));
    }
    let of_feature = |feature: usize, output: usize| weights[feature * outputs + output];
    let coefficient =
        |output| (0..common.feature_count).map(move |feature| f64::from(of_feature(feature, output)));
    let base = super::test::narrow(common.base_margins[0]);
    let intercept = |output| f64::from(of_feature(common.feature_count, output) + base);
    LinearModel {
        coefficients: (0..outputs).flat_map(coefficient).collect(),
        intercepts: (0..outputs).map(intercept).collect(),
        feature_count: common.feature_count,
        feature_names: common.feature_names,
        objective: common.objective,
        link: common.link,
        precision: Precision::Single,
        missing_is_zero: true,
    }
    .checked()
}

/// A count, which XGBoost writes as a string.
fn number(text: &str, place: &str) -> Result<u64, ModelError> {
    text.parse().map_err(|_| ModelError::invalid(place, "a whole number", format!("{text:?}")))
}
