//! How raw outputs relate to predictions.

/// How the raw outputs (margins) of a model relate to its predictions.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Link {
    /// The margin is the prediction.
    Identity,
    /// The margin is the log-odds of the predicted probability; with several outputs, of each for itself.
    Logit,
    /// The margin, times a factor, is the log-odds of the predicted probability (LightGBM's `sigmoid`).
    ScaledLogit {
        /// The factor; finite and positive.
        scale: f64,
    },
    /// The margin is the logarithm of the prediction.
    Log,
    /// The margins are the logarithms of the classes' probabilities, but for a common term.
    Softmax,
    /// The predictions are the classes' probabilities: each margin's logistic function, divided by their sum.
    NormalisedLogit,
    /// The margin is a signed square root of the prediction (LightGBM's `reg_sqrt`).
    SignedRoot,
    /// The prediction is ln(1 + exp(margin)) (LightGBM's `cross_entropy_lambda`).
    Softplus,
    /// The prediction is 1 for a positive margin, else 0 (XGBoost's `binary:hinge`).
    Step,
    /// The margin is the length of a row's path through an isolation tree, averaged over the trees; the prediction is
    /// the anomaly score less an offset: `-2^(-margin / normal_length) - offset`, lower for what is more abnormal.
    Isolation {
        /// The expected length of a path through a tree of the training sample's size; finite and positive.
        normal_length: f64,
        /// What divides inliers from outliers; finite.
        offset: f64,
    },
}

impl Link {
    /// Turns the margins of one row, one for each output, into predictions.
    pub fn predict(self, margins: &mut [f64]) {
        match self {
            Self::Softmax => {
                let largest = margins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                margins.iter_mut().for_each(|margin| *margin = (*margin - largest).exp());
                normalise(margins);
            }
            Self::NormalisedLogit => {
                margins.iter_mut().for_each(|margin| *margin = logistic(*margin));
                normalise(margins);
            }
            _ => margins.iter_mut().for_each(|margin| *margin = self.prediction(*margin)),
        }
    }

    /// The prediction of a single margin. Of the links that concern several outputs together it says what they do to
    /// the only one: a class that has no alternative is certain.
    #[must_use]
    pub fn prediction(self, margin: f64) -> f64 {
        match self {
            Self::Identity => margin,
            Self::Logit => logistic(margin),
            Self::ScaledLogit { scale } => logistic(scale * margin),
            Self::Log => margin.exp(),
            Self::Softmax | Self::NormalisedLogit => 1.0,
            Self::SignedRoot => margin * margin.abs(),
            // For large margins exp overflows where the result does not.
            Self::Softplus => margin.max(0.0) + (-margin.abs()).exp().ln_1p(),
            Self::Step => f64::from(u8::from(margin > 0.0)),
            Self::Isolation { normal_length, offset } => -(-margin / normal_length).exp2() - offset,
        }
    }
}

fn logistic(margin: f64) -> f64 {
    1.0 / (1.0 + (-margin).exp())
}

fn normalise(values: &mut [f64]) {
    let total: f64 = values.iter().sum();
    values.iter_mut().for_each(|value| *value /= total);
}
