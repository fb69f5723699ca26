//! What the operators of a chain make of each other.

use super::graph::{Chain, Element, Step};
use super::tensor::Numbers;
use super::{Head, layout, post_transform, tree};
use crate::model::error::ModelError;
use crate::model::linear::{LinearModel, Precision};
use crate::model::link::Link;
use crate::model::network::{Activation, Layer, Network};
use crate::model::{FEATURES_MAX, Model};

const OPERATORS: &str = "TreeEnsembleRegressor, TreeEnsembleClassifier, LinearRegressor, LinearClassifier, Scaler, MatMul, Gemm, \
                         Add, Sub, Mul, Div, BatchNormalization, Relu, LeakyRelu, Elu, Sigmoid, Tanh, Softplus, Softmax, and \
                         operators that pass their input on";

pub(super) fn read(chain: Chain) -> Result<Model, ModelError> {
    let mut reader = Reader {
        head: Head::Layers(Vec::new()),
        link: None,
        feature_count: chain.columns,
        width: chain.columns,
        element: chain.element,
    };
    for step in &chain.steps {
        reader.add(step)?;
    }
    reader.finish()
}

struct Reader {
    head: Head,
    /// What the last operators make of the margins.
    link: Option<Link>,
    /// None until it is known.
    feature_count: Option<usize>,
    /// How many values there are; none while it is unknown how many features there are.
    width: Option<usize>,
    element: Element,
}

impl Reader {
    fn add(&mut self, step: &Step) -> Result<(), ModelError> {
        let operator = step.operator.as_str();
        match operator {
            // What only passes a row on: as the rows are, or in another shape of the same values.
            "Identity" | "Dropout" | "Flatten" | "Squeeze" | "Unsqueeze" | "Reshape" | "ZipMap" => return Ok(()),
            "Cast" if matches!(step.integer("to", 0), 1 | 11) => return Ok(()),
            // The probabilities of both classes from that of one.
            "Concat" => return Ok(()),
            "Normalizer" => return self.normalise(step),
            _ => {}
        }
        if let Some(link) = self.link {
            return Err(ModelError::Unsupported {
                what: "operator",
                found: format!("{operator} after {link:?}"),
                supported: "operators before the last activation only",
            });
        }
        match operator {
            "TreeEnsembleRegressor" | "TreeEnsembleClassifier" => {
                self.first(operator)?;
                tree::check(step)?;
                self.head = tree::read(step, self.element, self.feature_count)?;
            }
            "LinearRegressor" | "LinearClassifier" => {
                self.first(operator)?;
                self.head = linear(step)?;
            }
            "Softmax" | "Sigmoid" | "Exp" if matches!(self.head, Head::Trees(_) | Head::Linear(_)) => {
                self.link = Some(match operator {
                    "Softmax" => Link::Softmax,
                    "Sigmoid" => Link::Logit,
                    _ => Link::Log,
                });
            }
            "Softmax" => self.link = Some(Link::Softmax),
            "Exp" => self.link = Some(Link::Log),
            _ => {
                let layer = self.layer(step)?;
                let Head::Layers(layers) = &mut self.head else { return Err(unsupported(operator)) };
                layers.push(layer);
            }
        }
        Ok(())
    }

    /// Operators of whole models come first.
    fn first(&self, operator: &str) -> Result<(), ModelError> {
        match &self.head {
            Head::Layers(layers) if layers.is_empty() => Ok(()),
            _ => Err(ModelError::Unsupported {
                what: "operator",
                found: format!("{operator} after others"),
                supported: "trees and linear models of the features as they are",
            }),
        }
    }

    /// Divides by the sum: of what adds up to one already it changes nothing.
    fn normalise(&mut self, step: &Step) -> Result<(), ModelError> {
        if step.text("norm", "MAX") != "L1" {
            return Err(unsupported("Normalizer with another norm than L1"));
        }
        let link = match &mut self.head {
            Head::Linear(linear) => &mut linear.link,
            Head::Trees(trees) => &mut trees.link,
            Head::Layers(_) => match &mut self.link {
                Some(link) => link,
                None => return Err(unsupported("Normalizer without probabilities")),
            },
        };
        match link {
            Link::Softmax => {}
            Link::Logit => *link = Link::NormalisedLogit,
            _ => return Err(unsupported("Normalizer without probabilities")),
        }
        Ok(())
    }

    /// How many values there are, which the first constant tells where the graph does not.
    fn width(&mut self, told: usize) -> Result<usize, ModelError> {
        if told as u64 > FEATURES_MAX {
            let (found, limit) = (told as u64, FEATURES_MAX);
            return Err(ModelError::TooLarge { what: "number of values of a layer", found, limit });
        }
        self.feature_count.get_or_insert(told);
        Ok(*self.width.get_or_insert(told))
    }

    fn layer(&mut self, step: &Step) -> Result<Layer, ModelError> {
        let operator = step.operator.as_str();
        let constant = |index: usize| {
            let found = step.constants.get(index).and_then(Option::as_ref);
            found.ok_or_else(|| layout(format!("expected constant number {index} of {operator}")))
        };
        let activation = |activation| Ok(Layer::Activation(activation));
        match operator {
            "Relu" => activation(Activation::Relu),
            "LeakyRelu" => activation(Activation::LeakyRelu { slope: step.float("alpha", 0.01) }),
            "Elu" => activation(Activation::Elu { scale: step.float("alpha", 1.0) }),
            "Sigmoid" => activation(Activation::Sigmoid),
            "Tanh" => activation(Activation::Tanh),
            "Softplus" => activation(Activation::Softplus),
            "MatMul" if step.position == 0 => self.dense(constant(0)?, false, 1.0, None),
            "Gemm" if step.position == 0 && step.integer("transA", 0) == 0 => {
                let biases = step.constants.get(1).and_then(Option::as_ref);
                let biases = biases.map(|biases| (biases, step.float("beta", 1.0)));
                self.dense(constant(0)?, step.integer("transB", 0) != 0, step.float("alpha", 1.0), biases)
            }
            "Add" => self.scale(constant(0)?, |number| (1.0, number)),
            "Sub" if step.position == 0 => self.scale(constant(0)?, |number| (1.0, -number)),
            "Sub" => self.scale(constant(0)?, |number| (-1.0, number)),
            "Mul" => self.scale(constant(0)?, |number| (number, 0.0)),
            "Div" if step.position == 0 => self.scale(constant(0)?, |number| (1.0 / number, 0.0)),
            "Scaler" => {
                let (offsets, factors) = (step.floats("offset")?, step.floats("scale")?);
                let width = self.width(offsets.len().max(factors.len()))?;
                let wide =
                    |numbers: Vec<f64>| Numbers { shape: vec![numbers.len()], values: numbers }.broadcast(width);
                let (Some(offsets), Some(factors)) = (wide(offsets), wide(factors)) else {
                    return Err(ModelError::invalid("Scaler", format!("{width} numbers"), "another number"));
                };
                let shifts = offsets.iter().zip(&factors).map(|(offset, factor)| -offset * factor).collect();
                Ok(Layer::Scale { factors, shifts })
            }
            "BatchNormalization" if step.position == 0 && step.integer("training_mode", 0) == 0 => {
                let [scale, bias, mean, variance] =
                    [constant(0)?, constant(1)?, constant(2)?, constant(3)?].map(|numbers| &numbers.values);
                let epsilon = step.float("epsilon", 1e-5);
                let width = self.width(scale.len())?;
                if [scale, bias, mean, variance].iter().any(|numbers| numbers.len() != width) {
                    return Err(ModelError::invalid(operator, format!("{width} numbers"), "another number"));
                }
                let factors =
                    scale.iter().zip(variance).map(|(scale, variance)| scale / (variance + epsilon).sqrt());
                let factors: Vec<f64> = factors.collect();
                let shifts = bias.iter().zip(mean.iter().zip(&factors));
                let shifts = shifts.map(|(bias, (mean, factor))| bias - mean * factor).collect();
                Ok(Layer::Scale { factors, shifts })
            }
            _ => Err(unsupported(operator)),
        }
    }

    fn dense(
        &mut self,
        matrix: &Numbers,
        is_transposed: bool,
        factor: f64,
        biases: Option<(&Numbers, f64)>,
    ) -> Result<Layer, ModelError> {
        let [rows, columns] = matrix.shape[..] else {
            return Err(ModelError::invalid("matrix", "two dimensions", matrix.shape.len()));
        };
        let (inputs, outputs) = if is_transposed { (columns, rows) } else { (rows, columns) };
        let width = self.width(inputs)?;
        if inputs != width {
            return Err(ModelError::invalid("matrix", format!("weights of {width} values"), inputs));
        }
        let weights = if is_transposed {
            matrix.values.iter().map(|weight| factor * weight).collect()
        } else {
            let cells = (0..outputs).flat_map(|output| (0..inputs).map(move |input| input * columns + output));
            cells.map(|cell| factor * matrix.values[cell]).collect()
        };
        let biases = match biases {
            None => vec![0.0; outputs],
            Some((biases, factor)) => {
                let found = biases.broadcast(outputs);
                let found = found.ok_or_else(|| {
                    ModelError::invalid("biases", format!("{outputs}, one for each output"), biases.values.len())
                })?;
                found.into_iter().map(|bias| factor * bias).collect()
            }
        };
        self.width = Some(outputs);
        Ok(Layer::Dense { weights, biases })
    }

    /// What multiplies and shifts each value, from its constant.
    fn scale(&mut self, numbers: &Numbers, of: impl Fn(f64) -> (f64, f64)) -> Result<Layer, ModelError> {
        let width = self.width(numbers.values.len())?;
        let found = numbers.broadcast(width);
        let found = found.ok_or_else(|| {
            ModelError::invalid(
                "constant",
                format!("one number, or {width}"),
                format!("shape {:?}", numbers.shape),
            )
        })?;
        let (factors, shifts) = found.into_iter().map(of).unzip();
        Ok(Layer::Scale { factors, shifts })
    }

    fn finish(self) -> Result<Model, ModelError> {
        match self.head {
            Head::Trees(mut trees) => {
                trees.link = last(trees.link, self.link)?;
                trees.checked().map(Model::Trees)
            }
            Head::Linear(mut linear) => {
                linear.link = last(linear.link, self.link)?;
                linear.checked().map(Model::Linear)
            }
            Head::Layers(mut layers) => {
                let mut link = self.link.unwrap_or(Link::Identity);
                // An activation at the end belongs to the prediction: margins are what comes before it.
                if self.link.is_none() && matches!(layers.last(), Some(Layer::Activation(Activation::Sigmoid))) {
                    layers.pop();
                    link = Link::Logit;
                }
                if layers.is_empty() {
                    return Err(unsupported("no operator that computes"));
                }
                let network = Network {
                    layers,
                    feature_count: self.feature_count.unwrap_or(0),
                    feature_names: Vec::new(),
                    output_count: 0,
                    objective: "network".to_owned(),
                    link,
                    single_inputs: self.element == Element::Single,
                };
                network.checked().map(Model::Network)
            }
        }
    }
}

/// The link of a model and of what comes after it, of which one must be none.
fn last(own: Link, after: Option<Link>) -> Result<Link, ModelError> {
    match after {
        None => Ok(own),
        Some(after) if own == Link::Identity => Ok(after),
        Some(_) => Err(unsupported("two transformations after another")),
    }
}

fn unsupported(operator: &str) -> ModelError {
    ModelError::Unsupported { what: "operator", found: operator.to_owned(), supported: OPERATORS }
}

/// `LinearRegressor` and `LinearClassifier` of ai.onnx.ml.
fn linear(step: &Step) -> Result<Head, ModelError> {
    let coefficients = step.floats("coefficients")?;
    let intercepts = step.floats("intercepts")?;
    let labels = ["classlabels_ints", "classlabels_strings"];
    let labels = step.integers(labels[0]).len().max(step.texts(labels[1]).len());
    let outputs = if !intercepts.is_empty() {
        intercepts.len()
    } else if step.operator == "LinearRegressor" {
        usize::try_from(step.integer("targets", 1)).unwrap_or(0)
    } else {
        labels
    };
    if outputs == 0 || coefficients.is_empty() || !coefficients.len().is_multiple_of(outputs) {
        let expected = format!("a multiple of {outputs}, the number of outputs");
        return Err(ModelError::invalid("coefficients", expected, coefficients.len()));
    }
    Ok(Head::Linear(LinearModel {
        feature_count: coefficients.len() / outputs,
        coefficients,
        intercepts: if intercepts.is_empty() { vec![0.0; outputs] } else { intercepts },
        feature_names: Vec::new(),
        objective: step.operator.clone(),
        link: post_transform(&step.text("post_transform", "NONE"), outputs)?,
        precision: Precision::Double,
        missing_is_zero: false,
    }))
}
