//! Gradient boosting: what training began with, plus the trees times the learning rate.

use super::feature_count;
use super::forest::{Arrays, ensemble};
use super::object::Object;
use crate::model::ensemble::TreeEnsemble;
use crate::model::error::ModelError;
use crate::model::link::Link;

pub(super) fn read(model: &Object<'_>) -> Result<TreeEnsemble, ModelError> {
    let features = feature_count(model)?;
    let loss = model.field("loss")?.text()?;
    let is_classifier = model.class() == "GradientBoostingClassifier";
    let outputs = match model.optional("n_trees_per_iteration_") {
        Some(count) => count.count()?,
        // Before 1.3.
        None => {
            match model.optional("n_classes_").filter(|_| is_classifier).map(|count| count.count()).transpose()? {
                None | Some(2) => 1,
                Some(classes) => classes,
            }
        }
    };
    let estimators = model.field("estimators_")?.flat_list()?;
    if outputs == 0 || !estimators.len().is_multiple_of(outputs) {
        let expected = format!("a multiple of {outputs}, the trees of an iteration");
        return Err(ModelError::invalid("estimators_", expected, estimators.len()));
    }
    let link = match (is_classifier, loss.as_str(), outputs) {
        (false, ..) => Link::Identity,
        (true, "exponential", 1) => Link::ScaledLogit { scale: 2.0 },
        (true, _, 1) => Link::Logit,
        (true, ..) => Link::Softmax,
    };
    let rate = model.field("learning_rate")?.number()?;
    let mut trees = Vec::with_capacity(estimators.len());
    for (index, estimator) in estimators.iter().enumerate() {
        let arrays = Arrays::read(estimator, features)?;
        let output = index % outputs;
        let mut tree = arrays.tree(output..output + 1, |leaf| arrays.leaf(leaf, 1, false))?;
        tree.scale(rate);
        trees.push(tree);
    }
    let iterations = trees.len() / outputs;
    let base_margins = base_margins(model, link, outputs)?;
    let mut ensemble = ensemble(model, trees, base_margins, link)?;
    ensemble.iteration_ends = (1..=iterations).map(|end| end * outputs).collect();
    Ok(ensemble)
}

/// What training began with: a constant, or the classes' shares of the training rows.
fn base_margins(model: &Object<'_>, link: Link, outputs: usize) -> Result<Vec<f64>, ModelError> {
    let init = model.field("init_")?;
    let numbers = match init.class() {
        "DummyRegressor" => init.field("constant_")?.floats()?,
        "DummyClassifier" if init.field("strategy")?.text()? == "prior" => {
            let shares = init.field("class_prior_")?.floats()?;
            // As scikit-learn bounds them.
            let least = f64::from(f32::EPSILON);
            let shares: Vec<f64> = shares.into_iter().map(|share| share.clamp(least, 1.0 - least)).collect();
            match (link, &shares[..]) {
                (Link::Softmax, shares) => {
                    let logarithms: Vec<f64> = shares.iter().map(|share| share.ln()).collect();
                    let count = f64::from(u32::try_from(shares.len()).unwrap_or(u32::MAX));
                    let mean = logarithms.iter().sum::<f64>() / count;
                    logarithms.into_iter().map(|logarithm| logarithm - mean).collect()
                }
                (Link::ScaledLogit { scale }, [_, share]) => vec![(share / (1.0 - share)).ln() / scale],
                (_, [_, share]) => vec![(share / (1.0 - share)).ln()],
                (_, other) => return Err(ModelError::invalid("class_prior_", "two classes", other.len())),
            }
        }
        "str" if init.text()? == "zero" => vec![0.0; outputs],
        other => {
            return Err(ModelError::Unsupported {
                what: "estimator that boosting begins with",
                found: other.to_owned(),
                supported: "the default or \"zero\"",
            });
        }
    };
    if numbers.len() == outputs {
        Ok(numbers)
    } else {
        Err(ModelError::invalid("init_", format!("{outputs} numbers, one for each output"), numbers.len()))
    }
}
