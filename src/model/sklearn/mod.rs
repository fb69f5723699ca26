//! scikit-learn's models in skops' format (`skops.io.dump`), which is read, never executed: no pickle.
//!
//! Trees compare 32-bit floats with 64-bit thresholds, histogram gradient boosting 64-bit ones; all sums are in 64 bits.
//! Classifiers of trees and forests have an output for each class, their probabilities; those of gradient boosting and
//! logistic regression have margins, one if there are two classes.

mod archive;
mod boosting;
mod forest;
mod histogram;
mod item;
mod linear;
mod network;
mod object;

use super::error::ModelError;
use super::{FEATURES_MAX, Model};
use archive::Archive;
use object::Object;

pub(super) const FORMAT: &str = "skops (scikit-learn)";

const SUPPORTED: &str = "trees, forests, extra trees, gradient boosting, histogram gradient boosting, isolation forests, linear \
                         and logistic models, or multi-layer perceptrons of scikit-learn";

/// Reads a model.
///
/// # Errors
/// [`ModelError`] when the bytes are no zip file, not of skops' layout, inconsistent, or the model uses something
/// unsupported.
pub fn from_skops(bytes: &[u8]) -> Result<Model, ModelError> {
    let archive = Archive::open(bytes)?;
    let schema = archive.schema()?;
    let model = Object::root(&schema, &archive);
    match model.class() {
        "DecisionTreeRegressor" | "ExtraTreeRegressor" | "DecisionTreeClassifier" | "ExtraTreeClassifier" => {
            forest::single(&model).map(Model::Trees)
        }
        "RandomForestRegressor" | "ExtraTreesRegressor" | "RandomForestClassifier" | "ExtraTreesClassifier" => {
            forest::average(&model).map(Model::Trees)
        }
        "IsolationForest" => forest::isolation(&model).map(Model::Trees),
        "GradientBoostingRegressor" | "GradientBoostingClassifier" => boosting::read(&model).map(Model::Trees),
        "HistGradientBoostingRegressor" | "HistGradientBoostingClassifier" => {
            histogram::read(&model).map(Model::Trees)
        }
        "MLPRegressor" | "MLPClassifier" => network::read(&model).map(Model::Network),
        class => match linear::kind(class) {
            Some(kind) => linear::read(&model, kind).map(Model::Linear),
            None => Err(ModelError::Unsupported {
                what: "class of scikit-learn",
                found: if class.is_empty() { "none".to_owned() } else { class.to_owned() },
                supported: SUPPORTED,
            }),
        },
    }
}

/// How many features a model takes.
fn feature_count(model: &Object<'_>) -> Result<usize, ModelError> {
    let found = model.field("n_features_in_")?.count()?;
    if found as u64 > FEATURES_MAX {
        return Err(ModelError::TooLarge { what: "number of features", found: found as u64, limit: FEATURES_MAX });
    }
    Ok(found)
}
