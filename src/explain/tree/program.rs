//! Trees, compiled into the steps of the kernels.
//!
//! A tree's steps are a walk, depth first: enter a node, turn to its right side, leave it. A node of two leaves takes
//! one step. What the steps need is laid out in their order.

use std::collections::HashMap;
use std::ops::Range;

use super::columns::Columns;
use super::quadrature::{Rules, WIDTH, Width};
use super::simd::Real;
use crate::explain::ExplainError;
use crate::model::{Node as ModelNode, Split, Tree, TreeEnsemble};

/// The deepest tree that is explained.
pub(super) const DEPTH_MAX: usize = 4096;

/// The most memory for compiled trees, in bytes.
pub(super) const PROGRAM_BYTES_MAX: usize = 4 << 30;

/// Trees whose 32-bit sums are added up before they are widened.
const GROUP_TREES: usize = 8;

/// The work, in nodes times quadrature nodes, of a part of a model, at least: about 0.1 ms for a row.
const PART_EFFORT_MIN: usize = 60_000;

/// The most parts that a model is shared out in.
const PARTS_MAX: usize = 16;

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Action {
    /// A node of two leaves.
    Both,
    /// Enters a node of two subtrees.
    Enter,
    /// From the left subtree to the right one.
    Turn,
    /// Leaves a node of two subtrees.
    Leave,
    /// Enters a node whose left side is a leaf.
    EnterRight,
    /// Leaves a node whose left side is a leaf.
    LeaveRight,
    /// Enters a node whose right side is a leaf.
    EnterLeft,
    /// Leaves a node whose right side is a leaf.
    LeaveLeft,
}

/// A step: what to do, with which node, and whether its feature has been asked for above.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) again: bool,
    pub(super) node: u32,
}

/// A node, with the constants of its steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<E> {
    /// What is compared.
    pub(super) column: u32,
    pub(super) bin: u32,
    /// The feature's place in the group.
    pub(super) slot: u32,
    /// How many nodes with a frame are above.
    pub(super) depth: u32,
    /// The depth of the nearest node above that asks for the same feature.
    pub(super) ancestor: u32,
    /// The place of the bend, see [`Bend`]; 0 for the first node on a path that asks for the feature.
    pub(super) bend: u32,
    /// The shares of the left and right side; for two leaves the value at t = 0, and 0.
    pub(super) shares: [E; 2],
    /// Their complements; for two leaves the slope of the value if the row goes left, and if it goes right.
    pub(super) rests: [E; 2],
    /// The value of the only leaf.
    pub(super) leaf: E,
}

/// A feature's own time, at the nodes of the quadrature. If the share c of rows has satisfied all conditions on the
/// feature so far, and this one has too, the next split on the feature sees the time t / (t + c (1 - t)).
#[derive(Debug, Clone, Copy)]
pub(super) struct Bend<E> {
    /// The feature's time.
    pub(super) at: [E; WIDTH],
    /// Its derivative.
    pub(super) slope: [E; WIDTH],
}

/// A tree, for one output.
#[derive(Debug, Clone)]
pub(super) struct CompiledTree<E> {
    pub(super) steps: Vec<Step>,
    pub(super) nodes: Vec<Node<E>>,
    /// For each pass the bends of all places.
    pub(super) bends: Vec<Bend<E>>,
    /// For interactions: for each pass and node F' / F on both sides if the row goes there, see `kernel`; else empty.
    pub(super) hot_slopes: Vec<[[E; WIDTH]; 2]>,
    /// For interactions: for each pass and bend F' / F on a side where the row does not go; else empty.
    pub(super) cold_slopes: Vec<[E; WIDTH]>,
    pub(super) width: Width,
}

/// Trees of one output whose sums are kept together.
#[derive(Debug, Clone)]
pub(super) struct Group<E> {
    pub(super) output: usize,
    /// The places of the features among all used ones.
    pub(super) slots: Vec<u32>,
    pub(super) trees: Vec<CompiledTree<E>>,
    pub(super) effort: usize,
}

/// An ensemble.
#[derive(Debug, Clone)]
pub(super) struct Program<E> {
    pub(super) groups: Vec<Group<E>>,
    /// Groups that are worked on together. Sums are made part by part, whoever makes them.
    pub(super) parts: Vec<Range<usize>>,
    /// For each pass of each width that is needed, the weights.
    pub(super) rules: Rules<E>,
    pub(super) outputs: usize,
    pub(super) depth: usize,
    pub(super) slots_max: usize,
    /// Nodes times quadrature nodes.
    pub(super) effort: usize,
    pub(super) bytes: usize,
}

/// The features that some split uses, in ascending order: slot to feature.
pub(super) fn used_features(ensemble: &TreeEnsemble) -> Vec<u32> {
    let mut used = vec![false; ensemble.feature_count()];
    for node in ensemble.trees().iter().flat_map(Tree::nodes) {
        if let ModelNode::Split { split, .. } = node {
            used[split.feature as usize] = true;
        }
    }
    (0_u32..).zip(used).filter_map(|(feature, used)| used.then_some(feature)).collect()
}

impl<E: Real> Program<E> {
    /// Compiles an ensemble.
    ///
    /// # Errors
    /// [`ExplainError::TooDeep`] and [`ExplainError::ModelTooLarge`].
    pub(super) fn of(ensemble: &TreeEnsemble, columns: &Columns, features: &[u32]) -> Result<Self, ExplainError> {
        let mut slots = vec![0; ensemble.feature_count()];
        for (slot, feature) in (0_u32..).zip(features) {
            slots[*feature as usize] = slot;
        }
        let mut compiler = Compiler {
            columns,
            slots: &slots,
            local: vec![None; features.len()],
            active: vec![None; features.len()],
        };
        let mut program = Self {
            groups: Vec::new(),
            parts: Vec::new(),
            rules: Rules::default(),
            outputs: ensemble.output_count(),
            depth: 0,
            slots_max: 0,
            effort: 0,
            bytes: 0,
        };
        for output in 0..ensemble.output_count() {
            let trees = ensemble.trees().iter().enumerate().filter(|(_, tree)| tree.outputs().contains(&output));
            let trees: Vec<_> = trees.filter(|(_, tree)| tree.nodes().len() > 1).collect();
            for trees in trees.chunks(GROUP_TREES) {
                let group = compiler.group(output, trees, &mut program)?;
                program.slots_max = program.slots_max.max(group.slots.len());
                program.effort = program.effort.saturating_add(group.effort);
                program.groups.push(group);
            }
        }
        program.parts = parts(&program.groups, program.effort);
        Ok(program)
    }

    /// The same program with what interactions need.
    pub(super) fn with_slopes(&self) -> Self {
        let mut program = self.clone();
        let rules = &self.rules;
        for tree in program.groups.iter_mut().flat_map(|group| &mut group.trees) {
            tree.add_slopes(rules.nodes(tree.width));
            program.bytes += tree.hot_slopes.len() * size_of::<[[E; WIDTH]; 2]>()
                + tree.cold_slopes.len() * size_of::<[E; WIDTH]>();
        }
        program
    }
}

/// Shares the groups out in parts of similar effort. It depends on the model alone: sums are the same for any number
/// of workers.
fn parts<E>(groups: &[Group<E>], effort: usize) -> Vec<Range<usize>> {
    let wanted = (effort / PART_EFFORT_MIN).clamp(1, PARTS_MAX);
    let share = effort.div_ceil(wanted).max(1);
    let mut parts = Vec::new();
    let (mut start, mut done) = (0, 0);
    for (place, group) in groups.iter().enumerate() {
        done += group.effort;
        if done >= share || place + 1 == groups.len() {
            parts.push(start..place + 1);
            (start, done) = (place + 1, 0);
        }
    }
    parts
}

/// The nearest split on a feature above, on the current path.
#[derive(Debug, Clone, Copy)]
struct Active {
    depth: u32,
    share: f64,
}

struct Compiler<'a> {
    columns: &'a Columns,
    /// Feature to slot.
    slots: &'a [u32],
    /// Slot to its place in the current group.
    local: Vec<Option<u32>>,
    /// By slot; all none between trees.
    active: Vec<Option<Active>>,
}

enum Task {
    Visit(u32),
    Set(usize, Option<Active>),
    Step(Action, u32),
    Leave(Action, u32),
}

impl Compiler<'_> {
    fn group<E: Real>(
        &mut self,
        output: usize,
        trees: &[(usize, &Tree)],
        program: &mut Program<E>,
    ) -> Result<Group<E>, ExplainError> {
        let mut group = Group { output, slots: Vec::new(), trees: Vec::new(), effort: 0 };
        for (place, tree) in trees {
            let compiled = self.tree(*place, tree, output, program, &mut group.slots)?;
            let passes = compiled.width.passes * compiled.width.nodes;
            group.effort += compiled.nodes.len().saturating_mul(passes);
            program.bytes += compiled.nodes.len() * size_of::<Node<E>>()
                + compiled.steps.len() * size_of::<Step>()
                + compiled.bends.len() * size_of::<Bend<E>>();
            if program.bytes > PROGRAM_BYTES_MAX {
                return Err(ExplainError::ModelTooLarge { limit: PROGRAM_BYTES_MAX });
            }
            group.trees.push(compiled);
        }
        for slot in &group.slots {
            self.local[*slot as usize] = None;
        }
        Ok(group)
    }

    fn local(&mut self, slot: u32, slots: &mut Vec<u32>) -> u32 {
        *self.local[slot as usize].get_or_insert_with(|| {
            slots.push(slot);
            u32::try_from(slots.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// Walks a tree without recursion.
    fn tree<E: Real>(
        &mut self,
        place: usize,
        tree: &Tree,
        output: usize,
        program: &mut Program<E>,
        slots: &mut Vec<u32>,
    ) -> Result<CompiledTree<E>, ExplainError> {
        let leaf_value = |node: u32| match &tree.nodes()[node as usize] {
            ModelNode::Leaf { leaf, .. } => Some(tree.leaf_values(*leaf)[output - tree.outputs().start]),
            ModelNode::Split { .. } => None,
        };
        let mut steps: Vec<Step> = Vec::new();
        let mut nodes: Vec<Node<E>> = Vec::new();
        let mut bends = BendShares::default();
        let (mut depth, mut unique, mut longest) = (0_u32, 0_usize, 0_usize);
        let mut tasks = vec![Task::Visit(0)];
        while let Some(task) = tasks.pop() {
            let node = match task {
                Task::Visit(node) => node,
                Task::Set(slot, active) => {
                    unique -= usize::from(self.active[slot].is_some());
                    unique += usize::from(active.is_some());
                    self.active[slot] = active;
                    continue;
                }
                Task::Step(action, node) => {
                    steps.push(Step { action, again: nodes[node as usize].bend != 0, node });
                    continue;
                }
                Task::Leave(action, node) => {
                    depth -= 1;
                    steps.push(Step { action, again: nodes[node as usize].bend != 0, node });
                    continue;
                }
            };
            let ModelNode::Split { split, cover } = &tree.nodes()[node as usize] else { continue };
            let slot = self.slots[split.feature as usize] as usize;
            let above = self.active[slot];
            longest = longest.max(unique + usize::from(above.is_none()));
            let (left, right) = tree.shares(split, *cover);
            let leaves = (leaf_value(split.left), leaf_value(split.right));
            let compiled = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            let compared = self.columns.comparison(place, node as usize, split);
            nodes.push(Node {
                column: compared.column,
                bin: compared.bin,
                slot: self.local(self.slots[split.feature as usize], slots),
                depth,
                ancestor: above.map_or(0, |above| above.depth),
                bend: above.map_or(0, |above| bends.place(above.share)),
                ..constants(left, right, leaves)
            });
            let again = above.is_some();
            let (enter, leave) = match leaves {
                (Some(_), Some(_)) => {
                    steps.push(Step { action: Action::Both, again, node: compiled });
                    continue;
                }
                (None, None) => (Action::Enter, Action::Leave),
                (Some(_), None) => (Action::EnterRight, Action::LeaveRight),
                (None, Some(_)) => (Action::EnterLeft, Action::LeaveLeft),
            };
            steps.push(Step { action: enter, again, node: compiled });
            let below = |share: f64| Active { depth, share: above.map_or(1.0, |above| above.share) * share };
            tasks.push(Task::Set(slot, above));
            tasks.push(Task::Leave(leave, compiled));
            if leaves.1.is_none() {
                tasks.push(Task::Visit(split.right));
                tasks.push(Task::Set(slot, Some(below(right))));
            }
            if leaves == (None, None) {
                tasks.push(Task::Step(Action::Turn, compiled));
            }
            if leaves.0.is_none() {
                tasks.push(Task::Visit(split.left));
                tasks.push(Task::Set(slot, Some(below(left))));
            }
            depth += 1;
            program.depth = program.depth.max(depth as usize);
            if program.depth > DEPTH_MAX {
                return Err(ExplainError::TooDeep { limit: DEPTH_MAX });
            }
        }
        let width = Width::for_length(longest);
        let bytes = bends.shares.len().saturating_mul(width.passes).saturating_mul(size_of::<Bend<E>>());
        if program.bytes.saturating_add(bytes) > PROGRAM_BYTES_MAX {
            return Err(ExplainError::ModelTooLarge { limit: PROGRAM_BYTES_MAX });
        }
        program.rules.add(width);
        let bends = bends.at(program.rules.nodes(width));
        Ok(CompiledTree { steps, nodes, bends, hot_slopes: Vec::new(), cold_slopes: Vec::new(), width })
    }
}

impl<E: Real> CompiledTree<E> {
    /// Adds what interactions need.
    pub(super) fn add_slopes(&mut self, passes: &[[f64; WIDTH]]) {
        let count = self.bends.len() / self.width.passes;
        for (bends, times) in self.bends.chunks_exact(count).zip(passes) {
            for node in &self.nodes {
                let bend = &bends[node.bend as usize];
                let slope = |side: usize, t: usize| {
                    let factor = node.shares[side].to_f64() + node.rests[side].to_f64() * bend.at[t].to_f64();
                    let slope = node.rests[side].to_f64() * bend.slope[t].to_f64();
                    E::from_f64(if factor > 0.0 { slope / factor } else { 0.0 })
                };
                self.hot_slopes.push([0, 1].map(|side| std::array::from_fn(|t| slope(side, t))));
            }
            // For a share c that has satisfied the conditions so far: 1 / ((t + c (1 - t)) (1 - t)), and the bend is at
            // t / (t + c (1 - t)).
            for bend in bends {
                let slope = |t: usize| -bend.at[t].to_f64() / (times[t] * (1.0 - times[t]));
                self.cold_slopes.push(std::array::from_fn(|t| E::from_f64(slope(t))));
            }
        }
    }
}

/// The constants of a node with these shares and leaves; the rest is zero.
fn constants<E: Real>(left: f64, right: f64, leaves: (Option<f64>, Option<f64>)) -> Node<E> {
    let (shares, rests) = match leaves {
        (Some(l), Some(r)) => {
            ([left * l + right * r, 0.0], [(1.0 - left) * l - right * r, (1.0 - right) * r - left * l])
        }
        _ => ([left, right], [1.0 - left, 1.0 - right]),
    };
    Node {
        column: 0,
        bin: 0,
        slot: 0,
        depth: 0,
        ancestor: 0,
        bend: 0,
        shares: shares.map(E::from_f64),
        rests: rests.map(E::from_f64),
        leaf: E::from_f64(leaves.0.or(leaves.1).unwrap_or(0.0)),
    }
}

/// The shares whose bends a tree needs, each once.
#[derive(Default)]
struct BendShares {
    shares: Vec<f64>,
    places: HashMap<u64, u32>,
}

impl BendShares {
    fn place(&mut self, share: f64) -> u32 {
        *self.places.entry(share.to_bits()).or_insert_with(|| {
            self.shares.push(share);
            u32::try_from(self.shares.len()).unwrap_or(u32::MAX)
        })
    }

    /// The bends at these places of the quadrature: pass by pass, in each the straight one first.
    fn at<E: Real>(&self, passes: &[[f64; WIDTH]]) -> Vec<Bend<E>> {
        let bend = |nodes: &[f64; WIDTH], share: f64| {
            let time = |t: &f64| t + share * (1.0 - t);
            Bend {
                at: nodes.each_ref().map(|t| E::from_f64(t / time(t))),
                slope: nodes.each_ref().map(|t| E::from_f64(share / (time(t) * time(t)))),
            }
        };
        let bends =
            |nodes| std::iter::once(1.0).chain(self.shares.iter().copied()).map(move |share| bend(nodes, share));
        passes.iter().flat_map(bends).collect()
    }
}

/// What an ensemble's trees are expected to add to an output when no feature is known.
pub(super) fn expected_value(ensemble: &TreeEnsemble, output: usize) -> f64 {
    let expected = |tree: &Tree| {
        let mut values = vec![0.0; tree.nodes().len()];
        // Children come after their parents.
        for (place, node) in tree.nodes().iter().enumerate().rev() {
            values[place] = match node {
                ModelNode::Leaf { leaf, .. } => tree.leaf_values(*leaf)[output - tree.outputs().start],
                ModelNode::Split { split: split @ Split { left, right, .. }, cover } => {
                    let shares = tree.shares(split, *cover);
                    shares.0 * values[*left as usize] + shares.1 * values[*right as usize]
                }
            };
        }
        values[0]
    };
    ensemble.trees().iter().filter(|tree| tree.outputs().contains(&output)).map(expected).sum()
}
