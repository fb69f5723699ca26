//! The paths from the roots to the leaves, with the conditions on one feature merged into one.

use crate::explain::ExplainError;
use crate::model::{Node, Split, Test, Tree, TreeEnsemble};

/// The most conditions, summed over all leaves: 1.6 GB of them.
pub(super) const CONDITIONS_MAX: usize = 1 << 26;

/// Everything that one path says about one feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Condition {
    /// The place of the feature among those that are used.
    pub(super) slot: u32,
    /// The values from here on satisfy the condition.
    lower: f64,
    /// The values below satisfy the condition; infinite when there is no such bound.
    upper: f64,
    /// Whether a missing value satisfies it.
    missing: bool,
    /// The share of the training rows that goes on along the path, from all splits on the feature.
    pub(super) share: f64,
}

impl Condition {
    fn unconstrained(slot: u32) -> Self {
        Self { slot, lower: f64::NEG_INFINITY, upper: f64::INFINITY, missing: true, share: 1.0 }
    }

    /// Adds one side of a split.
    fn add(&mut self, split: &Split, left: bool, share: f64) {
        if let Test::Below(threshold) = split.test {
            if left {
                self.upper = self.upper.min(threshold);
            } else {
                self.lower = self.lower.max(threshold);
            }
        }
        self.missing &= split.missing_left == left;
        self.share *= share;
    }

    /// Whether a value satisfies the condition: 1 or 0. Positive infinity must come as the largest finite value:
    /// thresholds are finite, so that both go the same way.
    pub(super) fn indicator(&self, value: f64) -> f64 {
        let inside = value >= self.lower && value < self.upper;
        f64::from(u8::from(inside || (value.is_nan() && self.missing)))
    }
}

/// A leaf: its value, and where its conditions are.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Leaf {
    value: f64,
    start: usize,
    end: usize,
}

/// All leaves of an ensemble that can contribute to an explanation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Paths {
    conditions: Vec<Condition>,
    leaves: Vec<Leaf>,
    /// The features that some split uses, in ascending order: slot to feature.
    pub(super) features: Vec<u32>,
    /// The expected sum of the trees when no feature is known.
    pub(super) expected_value: f64,
    /// The most conditions on one path.
    pub(super) longest: usize,
}

impl Paths {
    /// Collects the paths of an ensemble with one output and numeric tests.
    ///
    /// # Errors
    /// [`ExplainError::ModelTooLarge`] beyond [`CONDITIONS_MAX`].
    pub(super) fn of(ensemble: &TreeEnsemble) -> Result<Self, ExplainError> {
        let features = used_features(ensemble);
        let mut slots = vec![0; ensemble.feature_count()];
        for (slot, feature) in (0_u32..).zip(&features) {
            slots[*feature as usize] = slot;
        }
        let mut active = vec![None; features.len()];
        let mut paths =
            Self { conditions: Vec::new(), leaves: Vec::new(), features, expected_value: 0.0, longest: 0 };
        for tree in ensemble.trees() {
            paths.add_tree(tree, &slots, &mut active)?;
        }
        Ok(paths)
    }

    /// The leaves with their conditions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (f64, &[Condition])> {
        self.leaves.iter().map(|leaf| (leaf.value, &self.conditions[leaf.start..leaf.end]))
    }

    /// Walks a tree depth first, without recursion: trees can be as deep as they have nodes. `active` says for
    /// each slot where on the current path its condition is; it is all `None` before and after.
    fn add_tree(&mut self, tree: &Tree, slots: &[u32], active: &mut [Option<usize>]) -> Result<(), ExplainError> {
        enum Step<'a> {
            Enter(u32, Option<(&'a Split, bool, f64)>),
            Forget(u32),
            Restore(usize, Condition),
        }
        let nodes = tree.nodes();
        let mut path: Vec<Condition> = Vec::new();
        let mut steps = vec![Step::Enter(0, None)];
        while let Some(step) = steps.pop() {
            let (node, taken) = match step {
                Step::Enter(node, taken) => (node, taken),
                Step::Forget(slot) => {
                    path.pop();
                    active[slot as usize] = None;
                    continue;
                }
                Step::Restore(place, condition) => {
                    path[place] = condition;
                    continue;
                }
            };
            if let Some((split, left, share)) = taken {
                let slot = slots[split.feature as usize];
                let place = match active[slot as usize] {
                    Some(place) => {
                        steps.push(Step::Restore(place, path[place]));
                        place
                    }
                    None => {
                        steps.push(Step::Forget(slot));
                        active[slot as usize] = Some(path.len());
                        path.push(Condition::unconstrained(slot));
                        path.len() - 1
                    }
                };
                path[place].add(split, left, share);
            }
            match &nodes[node as usize] {
                Node::Leaf { leaf, .. } => self.add_leaf(tree.leaf_values(*leaf)[0], &path)?,
                Node::Split { split, cover } => {
                    let (left, right) = tree.shares(split, *cover);
                    steps.push(Step::Enter(split.right, Some((split, false, right))));
                    steps.push(Step::Enter(split.left, Some((split, true, left))));
                }
            }
        }
        Ok(())
    }

    fn add_leaf(&mut self, value: f64, path: &[Condition]) -> Result<(), ExplainError> {
        self.expected_value += value * path.iter().map(|condition| condition.share).product::<f64>();
        if value == 0.0 || path.is_empty() {
            return Ok(());
        }
        if self.conditions.len() + path.len() > CONDITIONS_MAX {
            return Err(ExplainError::ModelTooLarge { limit: CONDITIONS_MAX });
        }
        let start = self.conditions.len();
        self.conditions.extend_from_slice(path);
        self.leaves.push(Leaf { value, start, end: self.conditions.len() });
        self.longest = self.longest.max(path.len());
        Ok(())
    }
}

fn used_features(ensemble: &TreeEnsemble) -> Vec<u32> {
    let mut used = vec![false; ensemble.feature_count()];
    for node in ensemble.trees().iter().flat_map(Tree::nodes) {
        if let Node::Split { split, .. } = node {
            used[split.feature as usize] = true;
        }
    }
    (0_u32..).zip(used).filter_map(|(feature, used)| used.then_some(feature)).collect()
}
