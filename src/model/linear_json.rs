//! Linear models as JSON, in a layout of this project's own, for models of any origin:
//!
//! ```json
//! {"coefficients": [[0.5, -1.25]], "intercept": [0.1], "feature_names": ["age", "income"], "link": "logit"}
//! ```
//!
//! `coefficients` has a list for each output, or is the list of the only one, and `intercept` a number for each. The rest
//! may be left out; `link` is one of identity, logit, log and softmax.

use serde::Deserialize;

use super::error::ModelError;
use super::linear::{LinearModel, Precision};
use super::link::Link;
use super::{FEATURES_MAX, OUTPUTS_MAX};

const FORMAT: &str = "a linear model's JSON";

#[derive(Deserialize)]
struct File {
    coefficients: Coefficients,
    #[serde(default)]
    intercept: Option<Intercept>,
    #[serde(default)]
    feature_names: Vec<String>,
    #[serde(default)]
    link: LinkName,
    #[serde(default)]
    objective: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Coefficients {
    One(Vec<f64>),
    More(Vec<Vec<f64>>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Intercept {
    One(f64),
    More(Vec<f64>),
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum LinkName {
    #[default]
    Identity,
    Logit,
    Log,
    Softmax,
}

/// Reads a model.
///
/// # Errors
/// [`ModelError`] when the bytes are not JSON, not of the layout above, or inconsistent.
pub fn from_json(bytes: &[u8]) -> Result<LinearModel, ModelError> {
    let file: File = serde_json::from_slice(bytes).map_err(|error| ModelError::json(FORMAT, &error))?;
    let outputs = match file.coefficients {
        Coefficients::One(coefficients) => vec![coefficients],
        Coefficients::More(outputs) => outputs,
    };
    let feature_count = outputs.first().map_or(0, Vec::len);
    for (what, found, limit) in
        [("number of features", feature_count, FEATURES_MAX), ("number of outputs", outputs.len(), OUTPUTS_MAX)]
    {
        if found as u64 > limit {
            return Err(ModelError::TooLarge { what, found: found as u64, limit });
        }
    }
    if let Some((output, other)) = outputs.iter().enumerate().find(|(_, other)| other.len() != feature_count) {
        let expected = format!("{feature_count} for each output");
        return Err(ModelError::invalid(format!("coefficients of output {output}"), expected, other.len()));
    }
    let intercepts = match file.intercept {
        None => vec![0.0; outputs.len()],
        Some(Intercept::One(intercept)) => vec![intercept],
        Some(Intercept::More(intercepts)) => intercepts,
    };
    if intercepts.len() != outputs.len() {
        let expected = format!("{}, one for each output", outputs.len());
        return Err(ModelError::invalid("intercept", expected, intercepts.len()));
    }
    LinearModel {
        coefficients: outputs.concat(),
        intercepts,
        feature_count,
        feature_names: file.feature_names,
        objective: file.objective,
        link: match file.link {
            LinkName::Identity => Link::Identity,
            LinkName::Logit => Link::Logit,
            LinkName::Log => Link::Log,
            LinkName::Softmax => Link::Softmax,
        },
        precision: Precision::Double,
        missing_is_zero: false,
    }
    .checked()
}
