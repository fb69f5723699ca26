//! Histogram gradient boosting. Columns of categories come first in its trees, as numbers of their own.

use std::sync::Arc;

use super::feature_count;
use super::forest::ensemble;
use super::object::Object;
use crate::model::ensemble::TreeEnsemble;
use crate::model::error::ModelError;
use crate::model::link::Link;
use crate::model::test::{CategorySet, Listed, Reading, Test};
use crate::model::tree::{RawNode, Tree, build};

/// The words of a set of categories.
const WORDS: usize = 8;
const WORD_BITS: usize = 32;

pub(super) fn read(model: &Object<'_>) -> Result<TreeEnsemble, ModelError> {
    let loss = model.field("_loss")?;
    let link = match loss.class() {
        "HalfSquaredError" | "AbsoluteError" | "PinballLoss" => Link::Identity,
        "HalfPoissonLoss" | "HalfGammaLoss" => Link::Log,
        "HalfBinomialLoss" => Link::Logit,
        "HalfMultinomialLoss" => Link::Softmax,
        other => {
            return Err(ModelError::Unsupported {
                what: "loss",
                found: other.to_owned(),
                supported: "one of histogram gradient boosting's losses",
            });
        }
    };
    let base_margins = model.field("_baseline_prediction")?.floats()?;
    let outputs = base_margins.len();
    let columns = columns(model)?;
    let mut trees = Vec::new();
    for iteration in model.field("_predictors")?.list()? {
        let predictors = iteration.list()?;
        if predictors.len() != outputs {
            let expected = format!("{outputs} trees, one for each output");
            return Err(ModelError::invalid(iteration.place(), expected, predictors.len()));
        }
        for (output, predictor) in predictors.iter().enumerate() {
            trees.push(tree(predictor, output, &columns)?);
        }
    }
    let iterations = trees.len() / outputs.max(1);
    let mut ensemble = ensemble(model, trees, base_margins, link)?;
    ensemble.iteration_ends = (1..=iterations).map(|end| end * outputs).collect();
    Ok(ensemble)
}

/// A column as the trees number them.
struct Column {
    feature: u32,
    /// The values of the categories, in the order of their numbers; none for a numeric column.
    categories: Option<Vec<u32>>,
}

fn columns(model: &Object<'_>) -> Result<Vec<Column>, ModelError> {
    let features = u32::try_from(feature_count(model)?).unwrap_or(u32::MAX);
    let numeric = |feature| Column { feature, categories: None };
    let Some(preprocessor) = model.optional("_preprocessor") else {
        return Ok((0..features).map(numeric).collect());
    };
    let is_categorical = model.field("is_categorical_")?.integers()?;
    let encoder = preprocessor.field("transformers_")?.list()?;
    let encoder = encoder.first().map(Object::list).transpose()?.and_then(|encoder| encoder.get(1).cloned());
    let encoder = encoder.filter(|encoder| encoder.class() == "OrdinalEncoder").ok_or_else(|| {
        ModelError::invalid(preprocessor.place(), "an encoder of categories as the first step", "another")
    })?;
    let mut categories = encoder.field("categories_")?.list()?.into_iter();
    let mut columns = Vec::new();
    for feature in (0..features).zip(&is_categorical).filter(|(_, flag)| **flag != 0).map(|(feature, _)| feature) {
        let values = categories.next().ok_or_else(|| {
            ModelError::invalid(encoder.place(), "categories of each categorical column", "fewer")
        })?;
        columns.push(Column { feature, categories: Some(whole_numbers(&values)?) });
    }
    columns.extend((0..features).zip(&is_categorical).filter(|(_, flag)| **flag == 0).map(|(f, _)| numeric(f)));
    Ok(columns)
}

/// The values of categories, which must be numbers that a row can have.
fn whole_numbers(values: &Object<'_>) -> Result<Vec<u32>, ModelError> {
    let unsupported = |found: String| ModelError::Unsupported {
        what: "category",
        found,
        supported: "categories that are whole numbers from 0 on",
    };
    let values = values.floats().map_err(|_| unsupported("texts".to_owned()))?;
    let whole = |value: &f64| {
        let is_whole = *value >= 0.0 && *value <= f64::from(i32::MAX) && value.fract() == 0.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
        is_whole.then_some(*value as u32).ok_or_else(|| unsupported(value.to_string()))
    };
    // A missing value may be the last.
    values.iter().filter(|value| !value.is_nan()).map(whole).collect()
}

/// The arrays of a tree, one entry for each node.
struct Nodes {
    values: Vec<f64>,
    counts: Vec<f64>,
    features: Vec<i64>,
    thresholds: Vec<f64>,
    missing_left: Vec<i64>,
    left: Vec<i64>,
    right: Vec<i64>,
    is_leaf: Vec<i64>,
    is_categorical: Vec<i64>,
    sets: Vec<i64>,
}

fn tree(predictor: &Object<'_>, output: usize, columns: &[Column]) -> Result<Tree, ModelError> {
    let nodes = predictor.field("nodes")?.with_array(|array| {
        Ok(Nodes {
            values: array.floats("value")?,
            counts: array.floats("count")?,
            features: array.integers("feature_idx")?,
            thresholds: array.floats("num_threshold")?,
            missing_left: array.integers("missing_go_to_left")?,
            left: array.integers("left")?,
            right: array.integers("right")?,
            is_leaf: array.integers("is_leaf")?,
            is_categorical: array.integers("is_categorical")?,
            sets: array.integers("bitset_idx")?,
        })
    })?;
    let sets = predictor.field("raw_left_cat_bitsets")?.integers()?;
    let place = predictor.place();
    build(nodes.values.len(), output..output + 1, place, |node, values| {
        let here = || format!("{place}, node {node}");
        let cover = nodes.counts[node];
        if nodes.is_leaf[node] != 0 {
            values.push(nodes.values[node]);
            return Ok(RawNode::Leaf { cover });
        }
        let column = usize::try_from(nodes.features[node]).ok().and_then(|feature| columns.get(feature));
        let column = column.ok_or_else(|| {
            ModelError::invalid(here(), format!("a feature index below {}", columns.len()), nodes.features[node])
        })?;
        let missing_left = nodes.missing_left[node] != 0;
        let threshold = nodes.thresholds[node];
        let test = if nodes.is_categorical[node] != 0 {
            let set = usize::try_from(nodes.sets[node]).ok().and_then(|set| set.checked_mul(WORDS));
            let words = set.and_then(|start| sets.get(start..start.checked_add(WORDS)?));
            match (&column.categories, words) {
                (Some(categories), Some(words)) => {
                    Test::Category(Arc::new(category_set(categories, words, missing_left)))
                }
                _ => return Err(ModelError::invalid(here(), "a set of a categorical column", nodes.sets[node])),
            }
        } else if threshold == f64::INFINITY {
            // Splits missing values from all others.
            Test::always()
        } else {
            Test::at_most(threshold).ok_or_else(|| ModelError::invalid(here(), "a threshold", threshold))?
        };
        let (left, right) = (nodes.left[node], nodes.right[node]);
        Ok(RawNode::Split { feature: column.feature, test, missing_left, left, right, cover })
    })
}

/// The categories that go left, or, where missing values do, those that go right: unknown ones go with the missing.
fn category_set(categories: &[u32], left: &[i64], missing_left: bool) -> CategorySet {
    let is_left = |code: usize| left.get(code / WORD_BITS).is_some_and(|word| word >> (code % WORD_BITS) & 1 == 1);
    let listed = categories.iter().enumerate().filter(|(code, _)| is_left(*code) != missing_left);
    let listed = listed.map(|(_, category)| *category).collect();
    let side = if missing_left { Listed::Right } else { Listed::Left };
    CategorySet::new(listed, side, missing_left, Reading::Whole)
}
