//! Trees and averages of trees.

use std::ops::Range;

use super::feature_count;
use super::object::Object;
use crate::model::OUTPUTS_MAX;
use crate::model::ensemble::{Summation, TreeEnsemble};
use crate::model::error::ModelError;
use crate::model::link::Link;
use crate::model::test::Test;
use crate::model::tree::{RawNode, Tree, build};

/// A decision tree.
pub(super) fn single(model: &Object<'_>) -> Result<TreeEnsemble, ModelError> {
    let class = model.class();
    let outputs = outputs(model, class)?;
    let arrays = Arrays::read(model, feature_count(model)?)?;
    let tree = arrays.tree(0..outputs, |leaf| arrays.leaf(leaf, outputs, class.ends_with("Classifier")))?;
    ensemble(model, vec![tree], vec![0.0; outputs], Link::Identity)
}

/// A forest: the average of its trees.
pub(super) fn average(model: &Object<'_>) -> Result<TreeEnsemble, ModelError> {
    let class = model.class();
    let outputs = outputs(model, class)?;
    let features = feature_count(model)?;
    let estimators = model.field("estimators_")?.list()?;
    let factor = share(estimators.len());
    let mut trees = Vec::with_capacity(estimators.len());
    for estimator in &estimators {
        let arrays = Arrays::read(estimator, features)?;
        let mut tree =
            arrays.tree(0..outputs, |leaf| arrays.leaf(leaf, outputs, class.ends_with("Classifier")))?;
        tree.scale(factor);
        trees.push(tree);
    }
    ensemble(model, trees, vec![0.0; outputs], Link::Identity)
}

/// An isolation forest: the average length of the paths, as if each leaf went on as a tree of the rows that it holds.
pub(super) fn isolation(model: &Object<'_>) -> Result<TreeEnsemble, ModelError> {
    let features = feature_count(model)?;
    let estimators = model.field("estimators_")?.list()?;
    let subsets = model.field("estimators_features_")?.list()?;
    if subsets.len() != estimators.len() {
        let expected = format!("{}, one for each tree", estimators.len());
        return Err(ModelError::invalid("estimators_features_", expected, subsets.len()));
    }
    let factor = share(estimators.len());
    let mut trees = Vec::with_capacity(estimators.len());
    for (estimator, subset) in estimators.iter().zip(&subsets) {
        let mut arrays = Arrays::read(estimator, features)?;
        arrays.rename_features(&subset.integers()?)?;
        let depths = arrays.depths();
        let mut tree = arrays.tree(0..1, |leaf| Ok(vec![depths[leaf] + normal_length(arrays.counts[leaf])]))?;
        tree.scale(factor);
        trees.push(tree);
    }
    let normal_length = normal_length(model.field("max_samples_")?.number()?);
    let offset = model.field("offset_")?.number()?;
    if !(normal_length > 0.0 && normal_length.is_finite() && offset.is_finite()) {
        return Err(ModelError::invalid("max_samples_ and offset_", "a sample of at least 2 rows", normal_length));
    }
    ensemble(model, trees, vec![0.0], Link::Isolation { normal_length, offset })
}

/// The expected length of the path of an unsuccessful search in a binary search tree of so many rows (Liu, Ting and Zhou,
/// "Isolation Forest", 2008).
fn normal_length(rows: f64) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    if rows <= 1.0 {
        0.0
    } else if rows <= 2.0 {
        1.0
    } else {
        2.0 * ((rows - 1.0).ln() + EULER) - 2.0 * (rows - 1.0) / rows
    }
}

fn share(count: usize) -> f64 {
    1.0 / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX))
}

/// How many outputs there are: those of a regressor, or the classes of a classifier.
fn outputs(model: &Object<'_>, class: &str) -> Result<usize, ModelError> {
    let regressions = model.field("n_outputs_")?.count()?;
    let found = if class.ends_with("Regressor") {
        regressions
    } else if regressions == 1 {
        model.field("n_classes_")?.count()?
    } else {
        return Err(ModelError::Unsupported {
            what: "number of classifications",
            found: regressions.to_string(),
            supported: "one",
        });
    };
    if found == 0 || found as u64 > OUTPUTS_MAX {
        let limit = OUTPUTS_MAX;
        let what = "number of outputs, of which there is at least one";
        return Err(ModelError::TooLarge { what, found: found as u64, limit });
    }
    Ok(found)
}

/// An ensemble of trees of this library.
pub(super) fn ensemble(
    model: &Object<'_>,
    trees: Vec<Tree>,
    base_margins: Vec<f64>,
    link: Link,
) -> Result<TreeEnsemble, ModelError> {
    TreeEnsemble {
        trees,
        feature_count: feature_count(model)?,
        feature_names: model.feature_names()?,
        base_margins,
        objective: model.class().to_owned(),
        link,
        missing: Vec::new(),
        summation: Summation::Double,
        has_covers: true,
        iteration_ends: Vec::new(),
        best_iteration: None,
    }
    .checked()
}

/// The arrays of a tree, one entry for each node.
pub(super) struct Arrays {
    place: String,
    left: Vec<i64>,
    right: Vec<i64>,
    features: Vec<i64>,
    thresholds: Vec<f64>,
    covers: Vec<f64>,
    /// The number of training rows.
    counts: Vec<f64>,
    missing_left: Vec<bool>,
    values: Vec<f64>,
    /// The values of each node.
    width: usize,
    feature_count: usize,
}

impl Arrays {
    /// Reads the arrays of an estimator's tree.
    pub(super) fn read(estimator: &Object<'_>, feature_count: usize) -> Result<Self, ModelError> {
        let tree = estimator.field("tree_")?;
        let values = tree.field("values")?.floats()?;
        let nodes = tree.field("nodes")?;
        let arrays = nodes.with_array(|array| {
            Ok(Self {
                place: tree.place().to_owned(),
                left: array.integers("left_child")?,
                right: array.integers("right_child")?,
                features: array.integers("feature")?,
                thresholds: array.floats("threshold")?,
                covers: array.floats("weighted_n_node_samples")?,
                counts: array.floats("n_node_samples")?,
                // Versions before 1.3 know no missing values.
                missing_left: match array.integers("missing_go_to_left") {
                    Ok(flags) => flags.into_iter().map(|flag| flag != 0).collect(),
                    Err(_) => vec![false; array.shape().iter().product()],
                },
                values: Vec::new(),
                width: 0,
                feature_count,
            })
        })?;
        let count = arrays.left.len();
        if count == 0 || values.is_empty() || !values.len().is_multiple_of(count) {
            let expected = format!("as many for each of {count} nodes, of which there is at least one");
            return Err(ModelError::invalid(format!("{}.values", arrays.place), expected, values.len()));
        }
        Ok(Self { width: values.len() / count, values, ..arrays })
    }

    /// Replaces the numbers of features, which are places in a list, by what the list says.
    fn rename_features(&mut self, names: &[i64]) -> Result<(), ModelError> {
        for (feature, left) in self.features.iter_mut().zip(&self.left) {
            if *left < 0 {
                continue;
            }
            let name = usize::try_from(*feature).ok().and_then(|feature| names.get(feature));
            *feature = *name.ok_or_else(|| {
                ModelError::invalid(self.place.clone(), format!("a feature below {}", names.len()), *feature)
            })?;
        }
        Ok(())
    }

    /// How many splits lead to each node, where it can be told; the tree's check finds what is wrong.
    fn depths(&self) -> Vec<f64> {
        let mut depths = vec![0.0; self.left.len()];
        for node in 0..self.left.len() {
            for child in [self.left[node], self.right[node]] {
                // scikit-learn lists children after their parents.
                if let Some(child) = usize::try_from(child).ok().filter(|&child| child > node)
                    && let Some(depth) = depths.get(child)
                {
                    debug_assert!(*depth <= 0.0 || *depth > 0.0);
                    depths[child] = depths[node] + 1.0;
                }
            }
        }
        depths
    }

    /// What a leaf says: of a classifier the shares of the classes, which older versions have as weights.
    pub(super) fn leaf(&self, node: usize, outputs: usize, is_classifier: bool) -> Result<Vec<f64>, ModelError> {
        let mut values = self.values[node * self.width..][..self.width].to_vec();
        if values.len() != outputs {
            let expected = format!("{outputs} for each node");
            return Err(ModelError::invalid(format!("{}.values", self.place), expected, values.len()));
        }
        if is_classifier {
            let total: f64 = values.iter().sum();
            // Shares add up to one but for rounding, which must not be rounded again.
            if (total - 1.0).abs() > 1e-9 && total > 0.0 {
                values.iter_mut().for_each(|value| *value /= total);
            }
        }
        Ok(values)
    }

    /// The tree, whose leaves get values by their node.
    pub(super) fn tree(
        &self,
        outputs: Range<usize>,
        leaf: impl Fn(usize) -> Result<Vec<f64>, ModelError>,
    ) -> Result<Tree, ModelError> {
        build(self.left.len(), outputs, &self.place, |node, values| {
            let cover = self.covers[node];
            let (left, right) = (self.left[node], self.right[node]);
            if left == -1 && right == -1 {
                values.extend(leaf(node)?);
                return Ok(RawNode::Leaf { cover });
            }
            let here = || format!("{}, node {node}", self.place);
            // Children after their parents: lengths of paths rely on it.
            let least = i64::try_from(node).unwrap_or(i64::MAX);
            if left <= least || right <= least {
                let found = format!("children {left} and {right}");
                return Err(ModelError::invalid(here(), "two children after their parent, or -1 for both", found));
            }
            let feature =
                usize::try_from(self.features[node]).ok().filter(|feature| *feature < self.feature_count);
            let feature = feature.and_then(|feature| u32::try_from(feature).ok()).ok_or_else(|| {
                let expected = format!("a feature index below {}", self.feature_count);
                ModelError::invalid(here(), expected, self.features[node])
            })?;
            let threshold = self.thresholds[node];
            let test = if threshold == f64::INFINITY {
                // Splits missing values from all others.
                Some(Test::always())
            } else {
                Test::single_at_most_double(threshold)
            };
            let test = test.ok_or_else(|| ModelError::invalid(here(), "a threshold", threshold))?;
            let missing_left = self.missing_left[node];
            Ok(RawNode::Split { feature, test, missing_left, left, right, cover })
        })
    }
}
