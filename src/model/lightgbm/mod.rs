//! LightGBM's text models (`Booster.save_model`), as versions 2 to 4 write them.
//!
//! All arithmetic is in 64 bits. What a value that is missing does depends on the split: NaN may be missing, zero and NaN
//! may be, or nothing may be, and NaN then counts as zero. Rows have numbers for categories.

mod section;
mod tree;

use super::ensemble::{Missing, Summation, TreeEnsemble};
use super::error::ModelError;
use super::link::Link;
use super::{FEATURES_MAX, OUTPUTS_MAX};
use section::{Section, Sections};

pub(super) const FORMAT: &str = "LightGBM's text";

const OBJECTIVES: &str =
    "one of LightGBM's objectives of regression, counts, ranking, binary and multi-class classification";

/// Reads a model.
///
/// # Errors
/// [`ModelError`] when the text is not of LightGBM's layout, inconsistent, or the model uses something unsupported.
pub fn from_text(bytes: &[u8]) -> Result<TreeEnsemble, ModelError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ModelError::Layout { format: FORMAT, message: format!("expected UTF-8: {error}") })?;
    let mut sections = Sections::of(text);
    let header = sections.next().ok_or_else(|| layout("expected a header"))?;
    let limited = |key, what, limit: u64| {
        let found: u64 = header.number(key)?;
        if found > limit {
            return Err(ModelError::TooLarge { what, found, limit });
        }
        Ok(usize::try_from(found).unwrap_or(usize::MAX))
    };
    let feature_count = limited("max_feature_idx", "number of features", FEATURES_MAX - 1)? + 1;
    let outputs = limited("num_tree_per_iteration", "number of outputs", OUTPUTS_MAX)?;
    if outputs == 0 {
        return Err(ModelError::invalid("num_tree_per_iteration", "at least one", 0));
    }
    let objective = header.get("objective").unwrap_or("").trim().to_owned();
    let link = link(&objective)?;
    let names = header.get("feature_names").unwrap_or("").split_whitespace().map(str::to_owned).collect();

    let mut treatment = vec![None; feature_count];
    let mut trees = Vec::new();
    let mut has_covers = true;
    let mut is_complete = false;
    for section in sections {
        if section.name != "Tree" {
            is_complete = true;
            break;
        }
        let place = format!("tree {}", trees.len());
        let output = trees.len() % outputs;
        let tree = tree::read(&section, &place, output, feature_count, &mut treatment)?;
        has_covers &= tree.has_covers;
        trees.push(tree.tree);
    }
    if !is_complete {
        return Err(layout("expected `end of trees`, found the end of the file; it may be truncated"));
    }
    if trees.len() % outputs != 0 {
        let expected = format!("{outputs} for each iteration");
        return Err(ModelError::invalid("number of trees", expected, trees.len()));
    }
    let iterations = trees.len() / outputs;
    let is_average = header.has("average_output");
    if is_average {
        let factor = 1.0 / f64::from(u32::try_from(iterations.max(1)).unwrap_or(u32::MAX));
        trees.iter_mut().for_each(|tree| tree.scale(factor));
    }
    let zero_is_missing = treatment.contains(&Some(Missing::NanOrZero));
    TreeEnsemble {
        trees,
        feature_count,
        feature_names: names,
        base_margins: vec![0.0; outputs],
        objective,
        link,
        missing: if zero_is_missing {
            treatment.into_iter().map(|missing| missing.unwrap_or(Missing::Nan)).collect()
        } else {
            Vec::new()
        },
        summation: Summation::Double,
        has_covers,
        iteration_ends: if is_average { Vec::new() } else { (1..=iterations).map(|end| end * outputs).collect() },
        best_iteration: None,
    }
    .checked()
}

/// What an objective, written with its parameters, makes of the margins.
fn link(objective: &str) -> Result<Link, ModelError> {
    let mut words = objective.split_whitespace();
    let name = words.next().unwrap_or("");
    let unsupported =
        || ModelError::Unsupported { what: "objective", found: objective.to_owned(), supported: OBJECTIVES };
    let sigmoid = words.clone().find_map(|word| word.strip_prefix("sigmoid:"));
    let logit = || match sigmoid.map_or(Ok(1.0), str::parse::<f64>) {
        Ok(scale) if (scale - 1.0).abs() == 0.0 => Ok(Link::Logit),
        Ok(scale) if scale.is_finite() && scale > 0.0 => Ok(Link::ScaledLogit { scale }),
        _ => Err(unsupported()),
    };
    match name {
        "regression" if words.any(|word| word == "sqrt") => Ok(Link::SignedRoot),
        // None at all: trained with a function of one's own.
        "" | "none" | "custom" | "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape"
        | "lambdarank" | "rank_xendcg" => Ok(Link::Identity),
        "poisson" | "gamma" | "tweedie" => Ok(Link::Log),
        "binary" | "multiclassova" => logit(),
        "cross_entropy" => Ok(Link::Logit),
        "cross_entropy_lambda" => Ok(Link::Softplus),
        "multiclass" => Ok(Link::Softmax),
        _ => Err(unsupported()),
    }
}

fn layout(message: impl Into<String>) -> ModelError {
    ModelError::Layout { format: FORMAT, message: message.into() }
}

impl Section<'_> {
    /// The number of a key.
    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, ModelError> {
        let text = self.get(key).ok_or_else(|| layout(format!("missing line {key:?} in {}", self.place())))?;
        text.trim().parse().map_err(|_| {
            ModelError::invalid(format!("{}: {key}", self.place()), "a whole number", format!("{text:?}"))
        })
    }

    /// The numbers of a key, of which there must be so many; none where there is no such line.
    fn numbers<T: std::str::FromStr>(&self, key: &str, count: usize) -> Result<Option<Vec<T>>, ModelError> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let place = || format!("{}: {key}", self.place());
        let number =
            |word: &str| word.parse().map_err(|_| ModelError::invalid(place(), "numbers", format!("{word:?}")));
        let numbers = text.split_ascii_whitespace().map(number).collect::<Result<Vec<_>, _>>()?;
        if numbers.len() == count {
            Ok(Some(numbers))
        } else {
            Err(ModelError::invalid(place(), format!("{count} entries"), numbers.len()))
        }
    }

    /// The numbers of a key that must be there.
    fn required<T: std::str::FromStr>(&self, key: &str, count: usize) -> Result<Vec<T>, ModelError> {
        self.numbers(key, count)?.ok_or_else(|| layout(format!("missing line {key:?} in {}", self.place())))
    }
}
