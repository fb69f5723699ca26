//! Linear and logistic models.

use super::feature_count;
use super::object::Object;
use crate::model::error::ModelError;
use crate::model::linear::{LinearModel, Precision};
use crate::model::link::Link;

/// What a linear model predicts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Value,
    Logarithm,
    Classes,
}

/// The kind of a class of linear models.
pub(super) fn kind(class: &str) -> Option<Kind> {
    match class {
        "LinearRegression" | "Ridge" | "RidgeCV" | "Lasso" | "LassoCV" | "ElasticNet" | "ElasticNetCV"
        | "Lars" | "LassoLars" | "BayesianRidge" | "ARDRegression" | "HuberRegressor" | "TheilSenRegressor"
        | "QuantileRegressor" | "SGDRegressor" | "LinearSVR" => Some(Kind::Value),
        "PoissonRegressor" | "GammaRegressor" => Some(Kind::Logarithm),
        "LogisticRegression" | "LogisticRegressionCV" => Some(Kind::Classes),
        _ => None,
    }
}

pub(super) fn read(model: &Object<'_>, kind: Kind) -> Result<LinearModel, ModelError> {
    let feature_count = feature_count(model)?;
    let coefficients = model.field("coef_")?;
    let coefficients = match coefficients.with_array(|array| Ok(array.shape().len()))? {
        1 => coefficients.floats()?,
        _ => coefficients.with_array(|array| array.matrix())?.0,
    };
    let outputs = coefficients.len() / feature_count.max(1);
    let intercepts = match model.optional("intercept_") {
        Some(intercept) => match intercept.number() {
            Ok(number) => vec![number; outputs],
            Err(_) => intercept.floats()?,
        },
        None => vec![0.0; outputs],
    };
    if intercepts.len() != outputs {
        let expected = format!("{outputs}, one for each output");
        return Err(ModelError::invalid("intercept_", expected, intercepts.len()));
    }
    let link = match kind {
        Kind::Value => Link::Identity,
        Kind::Logarithm => Link::Log,
        Kind::Classes => class_link(model, outputs)?,
    };
    LinearModel {
        coefficients,
        intercepts,
        feature_count,
        feature_names: model.feature_names()?,
        objective: model.class().to_owned(),
        link,
        precision: Precision::Double,
        missing_is_zero: false,
    }
    .checked()
}

/// Several classes share one distribution, unless each is told from all others, as it was possible up to 1.7.
fn class_link(model: &Object<'_>, outputs: usize) -> Result<Link, ModelError> {
    let text = |name| model.optional(name).map_or(Ok(String::new()), |field| field.text());
    let is_each = match text("multi_class")?.as_str() {
        "ovr" => true,
        "multinomial" => false,
        _ => text("solver")? == "liblinear",
    };
    let is_shared = text("multi_class")? == "multinomial";
    Ok(match (outputs, is_each) {
        // Of two classes with a shared distribution the margin counts for one and against the other.
        (1, _) if is_shared => Link::ScaledLogit { scale: 2.0 },
        (1, _) => Link::Logit,
        (_, true) => Link::NormalisedLogit,
        (_, false) => Link::Softmax,
    })
}
