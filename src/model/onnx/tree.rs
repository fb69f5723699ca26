//! `TreeEnsembleRegressor` and `TreeEnsembleClassifier` of ai.onnx.ml.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::graph::{Element, Step};
use super::{Head, layout, post_transform};
use crate::model::ensemble::{Summation, TreeEnsemble};
use crate::model::error::ModelError;
use crate::model::link::Link;
use crate::model::test::{CategorySet, Listed, Reading, Test, narrow};
use crate::model::tree::{RawNode, Tree, build};
use crate::model::{FEATURES_MAX, OUTPUTS_MAX};

pub(super) fn read(step: &Step, element: Element, columns: Option<usize>) -> Result<Head, ModelError> {
    let is_classifier = step.operator == "TreeEnsembleClassifier";
    let aggregate = step.text("aggregate_function", "SUM");
    let is_average = aggregate == "AVERAGE";
    if !is_average && aggregate != "SUM" {
        return Err(ModelError::Unsupported {
            what: "aggregate function of trees",
            found: aggregate,
            supported: "SUM or AVERAGE",
        });
    }
    let transform = step.text("post_transform", "NONE");
    let weights = Weights::of(step, if is_classifier { "class" } else { "target" })?;
    let mut outputs = if is_classifier {
        step.integers("classlabels_int64s").len().max(step.texts("classlabels_strings").len())
    } else {
        usize::try_from(step.integer("n_targets", 1)).unwrap_or(0)
    };
    // Of two classes the weights may be those of one only, whichever its number is.
    let only_id = weights.ids.first().filter(|first| weights.ids.iter().all(|id| id == *first));
    let only_class = only_id.copied().filter(|_| is_classifier && outputs == 2);
    if only_class.is_some() {
        outputs = 1;
    }
    if outputs == 0 || outputs as u64 > OUTPUTS_MAX {
        let what = "number of outputs, of which there is at least one";
        return Err(ModelError::TooLarge { what, found: outputs as u64, limit: OUTPUTS_MAX });
    }
    let mut base_margins = step.floats("base_values")?;
    match (base_margins.len(), only_class) {
        (0, _) => base_margins = vec![0.0; outputs],
        (2, Some(_)) => base_margins = vec![base_margins[1]],
        (count, _) if count == outputs => {}
        (count, _) => {
            let expected = format!("{outputs}, one for each output, or none");
            return Err(ModelError::invalid("base_values", expected, count));
        }
    }
    let mut link = post_transform(&transform, outputs)?;
    if only_class.is_some() && link == Link::Softmax {
        // Over the margin and its negative.
        link = Link::ScaledLogit { scale: 2.0 };
    }

    let nodes = Nodes::of(step, element)?;
    let mut trees = Vec::new();
    let mut has_covers = true;
    let single = element == Element::Single;
    let mut cells_left = cells_max(&weights, &nodes);
    for places in nodes.trees() {
        let id = nodes.tree_ids[places[0]];
        let leaves = places.iter().filter(|place| nodes.modes[**place] == b"LEAF");
        let entries = leaves.clone().filter_map(|place| weights.by_leaf.get(&(id, nodes.ids[*place]))).flatten();
        let range = match only_class {
            Some(_) => 0..1,
            None => output_range(entries.map(|entry| weights.ids[*entry]), outputs, id)?,
        };
        cells_left = cells_left.checked_sub(leaves.count().saturating_mul(range.len())).ok_or_else(|| {
            let expected = "weights for most outputs of each leaf";
            ModelError::invalid(format!("tree {id}"), expected, format!("{outputs} outputs, most without any"))
        })?;
        let first = range.start;
        let tree = nodes.tree(&places, range.clone(), |node, values: &mut Vec<f64>| {
            let start = values.len();
            values.resize(start + range.len(), 0.0);
            for entry in weights.by_leaf.get(&(id, node)).map_or(&[][..], |entries| entries) {
                // In the range, which has been made from them.
                let output = usize::try_from(weights.ids[*entry]).unwrap_or(0);
                let place = if only_class.is_some() { 0 } else { output.saturating_sub(first) };
                values[start + place] += weights.weights[*entry];
            }
            Ok(())
        })?;
        has_covers &= covers_add_up(&tree);
        trees.push(tree);
    }
    if is_average {
        let factor = 1.0 / f64::from(u32::try_from(trees.len().max(1)).unwrap_or(u32::MAX));
        trees.iter_mut().for_each(|tree| tree.scale(factor));
    }
    let used = trees.iter().filter_map(Tree::last_feature).max().map_or(0, |last| last as usize + 1);
    let feature_count = columns.unwrap_or(used);
    if feature_count as u64 > FEATURES_MAX {
        let (found, limit) = (feature_count as u64, FEATURES_MAX);
        return Err(ModelError::TooLarge { what: "number of features", found, limit });
    }
    let ensemble = TreeEnsemble {
        trees,
        feature_count,
        feature_names: Vec::new(),
        base_margins,
        objective: step.operator.clone(),
        link,
        missing: Vec::new(),
        summation: if single && !is_average { Summation::SingleBaseLast } else { Summation::Double },
        has_covers,
        iteration_ends: Vec::new(),
        best_iteration: None,
    };
    Ok(Head::Trees(ensemble))
}

/// The outputs that a tree adds to, from the first to the last.
fn output_range(ids: impl Iterator<Item = i64>, outputs: usize, tree: i64) -> Result<Range<usize>, ModelError> {
    let mut range: Option<Range<usize>> = None;
    for id in ids {
        let place = usize::try_from(id).ok().filter(|output| *output < outputs).ok_or_else(|| {
            ModelError::invalid(format!("tree {tree}"), format!("numbers of outputs below {outputs}"), id)
        })?;
        let known = range.get_or_insert(place..place + 1);
        *known = known.start.min(place)..known.end.max(place + 1);
    }
    Ok(range.unwrap_or(0..1))
}

/// The most values of leaves, all trees together: leaves that lack most outputs would make a small file a large model.
fn cells_max(weights: &Weights, nodes: &Nodes<'_>) -> usize {
    const TIMES: usize = 64;
    const AT_LEAST: usize = 1 << 20;
    (weights.ids.len() + nodes.ids.len()).saturating_mul(TIMES).saturating_add(AT_LEAST)
}

/// Whether each split's hit rate is the sum of its children's: converters that know none write ones.
fn covers_add_up(tree: &Tree) -> bool {
    use crate::model::tree::Node;
    tree.nodes().iter().all(|node| match node {
        Node::Leaf { .. } => true,
        Node::Split { split, cover } => {
            let of = |child: u32| tree.nodes()[child as usize].cover();
            let sum = of(split.left) + of(split.right);
            *cover > 0.0 && (sum - cover).abs() <= 1e-4 * cover
        }
    })
}

/// What the leaves add.
struct Weights {
    ids: Vec<i64>,
    weights: Vec<f64>,
    /// The entries of each leaf, by tree and node.
    by_leaf: HashMap<(i64, i64), Vec<usize>>,
}

impl Weights {
    fn of(step: &Step, prefix: &str) -> Result<Self, ModelError> {
        let integers = |name: &str| step.integers(&format!("{prefix}_{name}")).to_vec();
        let (trees, nodes, ids) = (integers("treeids"), integers("nodeids"), integers("ids"));
        let weights = step.floats(&format!("{prefix}_weights"))?;
        for found in [trees.len(), nodes.len(), ids.len()] {
            if found != weights.len() {
                let expected = format!("{}, one for each weight", weights.len());
                return Err(ModelError::invalid(format!("{prefix}_ids, _treeids and _nodeids"), expected, found));
            }
        }
        let mut by_leaf: HashMap<_, Vec<usize>> = HashMap::new();
        for (entry, leaf) in trees.into_iter().zip(nodes).enumerate() {
            by_leaf.entry(leaf).or_default().push(entry);
        }
        Ok(Self { ids, weights, by_leaf })
    }
}

/// The nodes of all trees, as the attributes have them.
struct Nodes<'a> {
    element: Element,
    tree_ids: &'a [i64],
    ids: &'a [i64],
    features: &'a [i64],
    modes: &'a [Vec<u8>],
    values: Vec<f64>,
    when_true: &'a [i64],
    when_false: &'a [i64],
    /// Empty if no missing value is true.
    missing_true: &'a [i64],
    /// Empty if unknown.
    rates: Vec<f64>,
}

impl<'a> Nodes<'a> {
    fn of(step: &'a Step, element: Element) -> Result<Self, ModelError> {
        let nodes = Self {
            element,
            tree_ids: step.integers("nodes_treeids"),
            ids: step.integers("nodes_nodeids"),
            features: step.integers("nodes_featureids"),
            modes: step.texts("nodes_modes"),
            values: step.floats("nodes_values")?,
            when_true: step.integers("nodes_truenodeids"),
            when_false: step.integers("nodes_falsenodeids"),
            missing_true: step.integers("nodes_missing_value_tracks_true"),
            rates: step.floats("nodes_hitrates")?,
        };
        let count = nodes.ids.len();
        for (name, found, may_be_left_out) in [
            ("nodes_treeids", nodes.tree_ids.len(), false),
            ("nodes_featureids", nodes.features.len(), false),
            ("nodes_modes", nodes.modes.len(), false),
            ("nodes_values", nodes.values.len(), false),
            ("nodes_truenodeids", nodes.when_true.len(), false),
            ("nodes_falsenodeids", nodes.when_false.len(), false),
            ("nodes_missing_value_tracks_true", nodes.missing_true.len(), true),
            ("nodes_hitrates", nodes.rates.len(), true),
        ] {
            if found != count && !(may_be_left_out && found == 0) {
                return Err(ModelError::invalid(name, format!("{count} entries, one for each node"), found));
            }
        }
        Ok(nodes)
    }

    /// For each tree the places of its nodes.
    fn trees(&self) -> Vec<Vec<usize>> {
        let mut order: HashMap<i64, usize> = HashMap::new();
        let mut trees: Vec<Vec<usize>> = Vec::new();
        for (place, id) in self.tree_ids.iter().enumerate() {
            let tree = *order.entry(*id).or_insert(trees.len());
            if tree == trees.len() {
                trees.push(Vec::new());
            }
            trees[tree].push(place);
        }
        trees
    }

    /// A tree. Its root is the node that is no other's child.
    fn tree(
        &self,
        places: &[usize],
        outputs: Range<usize>,
        leaf: impl Fn(i64, &mut Vec<f64>) -> Result<(), ModelError>,
    ) -> Result<Tree, ModelError> {
        let name = format!("tree {}", self.tree_ids[places[0]]);
        let mut order = places.to_vec();
        let mut children = std::collections::HashSet::new();
        for place in places.iter().filter(|place| self.modes[**place] != b"LEAF") {
            children.extend([self.when_true[*place], self.when_false[*place]]);
        }
        let mut roots = (0..order.len()).filter(|index| !children.contains(&self.ids[order[*index]]));
        let (Some(root), None) = (roots.next(), roots.next()) else {
            return Err(ModelError::invalid(name, "one node that is no other's child", "none, or several"));
        };
        order.swap(0, root);
        let numbers: HashMap<i64, i64> =
            (0..).zip(&order).map(|(index, place)| (self.ids[*place], index)).collect();
        build(order.len(), outputs, &name, |index, values| {
            let place = order[index];
            let here = || format!("{name}, node {}", self.ids[place]);
            let cover = self.rates.get(place).copied().unwrap_or(0.0);
            if self.modes[place] == b"LEAF" {
                leaf(self.ids[place], values)?;
                return Ok(RawNode::Leaf { cover });
            }
            let feature = u32::try_from(self.features[place])
                .map_err(|_| ModelError::invalid(here(), "a feature index from 0 on", self.features[place]))?;
            let (test, is_inverted) = self.test(place).ok_or_else(|| ModelError::Unsupported {
                what: "split",
                found: format!("{} {} in {name}", String::from_utf8_lossy(&self.modes[place]), self.values[place]),
                supported: "BRANCH_LEQ, _LT, _GTE or _GT with finite values, or _EQ or _NEQ with whole ones from 0 on",
            })?;
            let tracks_true = self.missing_true.get(place).is_some_and(|flag| *flag != 0);
            // NaN is not equal to anything.
            let missing_true = tracks_true || self.modes[place] == b"BRANCH_NEQ";
            let child = |id: i64| numbers.get(&id).copied().unwrap_or(-1);
            let (when_true, when_false) = (child(self.when_true[place]), child(self.when_false[place]));
            let (left, right) = if is_inverted { (when_false, when_true) } else { (when_true, when_false) };
            let missing_left = missing_true != is_inverted;
            Ok(RawNode::Split { feature, test, missing_left, left, right, cover })
        })
    }

    /// The test of a node, and whether its contrary is meant.
    fn test(&self, place: usize) -> Option<(Test, bool)> {
        let value = self.values[place];
        if !value.is_finite() {
            return None;
        }
        let single = self.element == Element::Single;
        let at_most = || if single { Test::single_at_most(narrow(value)) } else { Test::at_most(value) };
        let below = || if single { Test::single_below(narrow(value)) } else { Test::Below(value) };
        let equal = || {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
            let category =
                ((0.0..=16_777_215.0).contains(&value) && value.fract() == 0.0).then_some(value as u32)?;
            let reading = if single { Reading::SingleWhole } else { Reading::Whole };
            Some(Test::Category(Arc::new(CategorySet::new(vec![category], Listed::Left, false, reading))))
        };
        Some(match &self.modes[place][..] {
            b"BRANCH_LEQ" => (at_most()?, false),
            b"BRANCH_GT" => (at_most()?, true),
            b"BRANCH_LT" => (below(), false),
            b"BRANCH_GTE" => (below(), true),
            b"BRANCH_EQ" => (equal()?, false),
            b"BRANCH_NEQ" => (equal()?, true),
            _ => return None,
        })
    }
}

/// A tree's attributes are there.
pub(super) fn check(step: &Step) -> Result<(), ModelError> {
    if step.has("nodes_nodeids") {
        Ok(())
    } else {
        Err(layout(format!("missing nodes_nodeids of {}", step.operator)))
    }
}
