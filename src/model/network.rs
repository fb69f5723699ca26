//! Feed-forward networks: a chain of layers, from the features to the outputs.
#![cfg_attr(
    not(all(feature = "onnx", feature = "sklearn")),
    allow(dead_code, reason = "what some of the formats need")
)]

use super::error::ModelError;
use super::link::Link;
use super::test::narrow;

/// A function of one value, applied to each value of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x where positive, else a multiple of it.
    LeakyRelu {
        /// The multiple; finite.
        slope: f64,
    },
    /// x where positive, else a multiple of e^x - 1.
    Elu {
        /// The multiple; finite.
        scale: f64,
    },
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// ln(1 + e^x).
    Softplus,
}

impl Activation {
    /// The function's value.
    #[must_use]
    pub fn apply(self, value: f64) -> f64 {
        match self {
            // NaN stays NaN, unlike with max.
            Self::Relu => {
                if value < 0.0 {
                    0.0
                } else {
                    value
                }
            }
            Self::LeakyRelu { slope } => {
                if value < 0.0 {
                    slope * value
                } else {
                    value
                }
            }
            Self::Elu { scale } => {
                if value < 0.0 {
                    scale * value.exp_m1()
                } else {
                    value
                }
            }
            Self::Sigmoid => 1.0 / (1.0 + (-value).exp()),
            Self::Tanh => value.tanh(),
            Self::Softplus => Link::Softplus.prediction(value),
        }
    }

    /// The function's derivative; at a kink that from the right.
    #[must_use]
    pub fn derivative(self, value: f64) -> f64 {
        match self {
            Self::Relu => f64::from(u8::from(value >= 0.0)),
            Self::LeakyRelu { slope } => {
                if value < 0.0 {
                    slope
                } else {
                    1.0
                }
            }
            Self::Elu { scale } => {
                if value < 0.0 {
                    scale * value.exp()
                } else {
                    1.0
                }
            }
            Self::Sigmoid => {
                let logistic = Self::Sigmoid.apply(value);
                logistic * (1.0 - logistic)
            }
            Self::Tanh => {
                let tangent = value.tanh();
                1.0 - tangent * tangent
            }
            Self::Softplus => Self::Sigmoid.apply(value),
        }
    }
}

/// A layer of a network.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Layer {
    /// Each output is a sum of all inputs times weights, plus a bias.
    Dense {
        /// Output by output, for each as many as there are inputs; finite.
        weights: Vec<f64>,
        /// One for each output; finite.
        biases: Vec<f64>,
    },
    /// Each value is multiplied and shifted on its own.
    Scale {
        /// One for each value; finite.
        factors: Vec<f64>,
        /// One for each value; finite.
        shifts: Vec<f64>,
    },
    /// Each value goes through a function.
    Activation(Activation),
}

impl Layer {
    /// How many values come out when so many go in; none if they do not fit.
    fn width(&self, inputs: usize) -> Option<usize> {
        match self {
            Self::Dense { weights, biases } => {
                (weights.len() == inputs.checked_mul(biases.len())?).then_some(biases.len())
            }
            Self::Scale { factors, shifts } => {
                (factors.len() == inputs && shifts.len() == inputs).then_some(inputs)
            }
            Self::Activation(_) => Some(inputs),
        }
    }

    /// The layer's values.
    ///
    /// # Panics
    /// When there are not as many inputs as the layer takes.
    #[must_use]
    pub fn apply(&self, inputs: &[f64]) -> Vec<f64> {
        match self {
            Self::Dense { weights, biases } => {
                let output = |(index, bias): (usize, &f64)| {
                    let weights = &weights[index * inputs.len()..(index + 1) * inputs.len()];
                    weights.iter().zip(inputs).fold(*bias, |sum, (weight, input)| sum + weight * input)
                };
                biases.iter().enumerate().map(output).collect()
            }
            Self::Scale { factors, shifts } => {
                let scaled = |(input, (factor, shift)): (&f64, (&f64, &f64))| input * factor + shift;
                inputs.iter().zip(factors.iter().zip(shifts)).map(scaled).collect()
            }
            Self::Activation(activation) => inputs.iter().map(|input| activation.apply(*input)).collect(),
        }
    }
}

/// A feed-forward network. What it makes of the last layer's values, the margins, is its link.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    pub(super) layers: Vec<Layer>,
    pub(super) feature_count: usize,
    pub(super) feature_names: Vec<String>,
    pub(super) output_count: usize,
    pub(super) objective: String,
    pub(super) link: Link,
    /// Whether the features are rounded to 32 bits before anything is done with them.
    pub(super) single_inputs: bool,
}

impl Network {
    /// The layers, in the order in which they are applied.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// How many features a row must have.
    #[must_use]
    pub fn feature_count(&self) -> usize {
        self.feature_count
    }

    /// The features' names; empty when the file has none.
    #[must_use]
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// How many outputs there are; at least one.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.output_count
    }

    /// The kind of model.
    #[must_use]
    pub fn objective(&self) -> &str {
        &self.objective
    }

    /// How margins relate to predictions.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// The margins of a row of [`feature_count`](Self::feature_count) values, one for each output, in 64-bit floats.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn margins(&self, row: &[f64]) -> Vec<f64> {
        let row = &row[..self.feature_count];
        let inputs = if self.single_inputs {
            row.iter().map(|value| f64::from(narrow(*value))).collect()
        } else {
            row.to_vec()
        };
        self.layers.iter().fold(inputs, |values, layer| layer.apply(&values))
    }

    /// The predictions for a row, one for each output.
    ///
    /// # Panics
    /// When the row has fewer values.
    #[must_use]
    pub fn predictions(&self, row: &[f64]) -> Vec<f64> {
        let mut values = self.margins(row);
        self.link.predict(&mut values);
        values
    }

    /// Checks that the layers fit each other and hold finite numbers, and finds out how many outputs there are.
    pub(super) fn checked(mut self) -> Result<Self, ModelError> {
        let mut width = self.feature_count;
        for (index, layer) in self.layers.iter().enumerate() {
            let place = format!("layer {index}");
            width = layer.width(width).ok_or_else(|| {
                ModelError::invalid(place.clone(), format!("weights for {width} values"), "another number")
            })?;
            let numbers = match layer {
                Layer::Dense { weights, biases } => [&weights[..], biases],
                Layer::Scale { factors, shifts } => [&factors[..], shifts],
                Layer::Activation(_) => [&[][..], &[]],
            };
            if let Some(number) = numbers.into_iter().flatten().find(|number| !number.is_finite()) {
                return Err(ModelError::invalid(place, "finite numbers", number));
            }
        }
        if width == 0 {
            return Err(ModelError::invalid("network", "at least one output", 0));
        }
        self.output_count = width;
        if !self.feature_names.is_empty() && self.feature_names.len() != self.feature_count {
            let expected = format!("{}, one for each feature", self.feature_count);
            return Err(ModelError::invalid("names of features", expected, self.feature_names.len()));
        }
        Ok(self)
    }
}
