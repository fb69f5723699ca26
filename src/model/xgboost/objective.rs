//! Objectives: what they make of margins, and of the base score.

use crate::model::error::ModelError;
use crate::model::link::Link;
use crate::model::test::narrow;

const SUPPORTED: &str = "one of XGBoost's objectives of regression, counts, survival, ranking, binary and multi-class \
                         classification; expectiles only with one output";

/// What an objective makes of the margins, and how the base score, which is a prediction, becomes one.
pub(super) fn links(objective: &str, outputs: usize) -> Result<(Link, Link), ModelError> {
    Ok(match objective {
        // The base score and the prediction of logitraw are margins.
        "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror"
        | "reg:quantileerror"
        | "binary:logitraw"
        | "rank:ndcg"
        | "rank:pairwise"
        | "rank:map" => (Link::Identity, Link::Identity),
        "reg:expectileerror" if outputs == 1 => (Link::Identity, Link::Identity),
        "binary:logistic" | "reg:logistic" => (Link::Logit, Link::Logit),
        "binary:hinge" => (Link::Step, Link::Identity),
        "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => (Link::Log, Link::Log),
        // softmax says the class of the largest margin; the probabilities say more.
        "multi:softprob" | "multi:softmax" => (Link::Softmax, Link::Identity),
        other => {
            let found = other.to_owned();
            return Err(ModelError::Unsupported { what: "objective", found, supported: SUPPORTED });
        }
    })
}

/// The margins of the stored base score: predictions, written as `5E-1` up to 3.0 and as `[5E-1,...]` since. XGBoost
/// computes them in 32 bits, and margins are equal to the last bit only if it is done likewise.
pub(super) fn base_margins(text: &str, link: Link, outputs: usize, place: &str) -> Result<Vec<f64>, ModelError> {
    let text = text.trim();
    let list = text.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(text);
    let mut margins = Vec::new();
    for single in list.split(',') {
        let score = single.trim().parse();
        let score: f32 = score.map_err(|_| ModelError::invalid(place, "a number", format!("{text:?}")))?;
        let (margin, expected) = match link {
            Link::Logit => {
                (narrow(-f64::from(1.0 / score - 1.0).ln()), "a probability between 0 and 1, both excluded")
            }
            Link::Log => (narrow(f64::from(score).ln()), "a positive number"),
            _ => (score, "a finite number"),
        };
        if !margin.is_finite() {
            return Err(ModelError::invalid(place, expected, format!("{text:?}")));
        }
        margins.push(f64::from(margin));
    }
    match margins[..] {
        [only] => Ok(vec![only; outputs]),
        _ if margins.len() == outputs => Ok(margins),
        _ => {
            let expected = format!("one number, or {outputs}, one for each output");
            Err(ModelError::invalid(place, expected, margins.len()))
        }
    }
}
