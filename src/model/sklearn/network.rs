//! Multi-layer perceptrons.

use super::feature_count;
use super::object::Object;
use crate::model::error::ModelError;
use crate::model::link::Link;
use crate::model::network::{Activation, Layer, Network};

pub(super) fn read(model: &Object<'_>) -> Result<Network, ModelError> {
    let activation = match model.field("activation")?.text()?.as_str() {
        "identity" => None,
        "logistic" => Some(Activation::Sigmoid),
        "tanh" => Some(Activation::Tanh),
        "relu" => Some(Activation::Relu),
        other => return Err(ModelError::invalid("activation", "a function of the library", other)),
    };
    let link = match model.field("out_activation_")?.text()?.as_str() {
        "identity" => Link::Identity,
        "logistic" => Link::Logit,
        "softmax" => Link::Softmax,
        "exp" => Link::Log,
        other => return Err(ModelError::invalid("out_activation_", "a function of the library", other)),
    };
    let coefficients = model.field("coefs_")?.list()?;
    let intercepts = model.field("intercepts_")?.list()?;
    if coefficients.is_empty() || coefficients.len() != intercepts.len() {
        let expected = format!("{}, one for each layer, and at least one", coefficients.len());
        return Err(ModelError::invalid("intercepts_", expected, intercepts.len()));
    }
    let mut layers = Vec::new();
    for (index, (coefficients, intercepts)) in coefficients.iter().zip(&intercepts).enumerate() {
        if let Some(activation) = activation.filter(|_| index > 0) {
            layers.push(Layer::Activation(activation));
        }
        // Input by input in the file.
        let (matrix, rows, columns) = coefficients.with_array(|array| array.matrix())?;
        let weights = (0..columns).flat_map(|output| (0..rows).map(move |input| input * columns + output));
        let weights = weights.map(|cell| matrix[cell]).collect();
        layers.push(Layer::Dense { weights, biases: intercepts.floats()? });
    }
    Network {
        layers,
        feature_count: feature_count(model)?,
        feature_names: model.feature_names()?,
        output_count: 0,
        objective: model.class().to_owned(),
        link,
        single_inputs: false,
    }
    .checked()
}
