//! The inner loops: all leaves, for a block of rows at a time.

use super::paths::{Condition, Paths};
use super::quadrature::{Node, Rules};
use crate::model::TreeEnsemble;

/// Rows in a block.
pub(super) const LANES: usize = 8;

/// Leaves between two looks at the clock.
const LEAVES_PER_LOOK: usize = 256;

/// One number for each row of a block.
type Lanes<T> = [T; LANES];

/// The working memory of one worker.
pub(super) struct Scratch {
    /// The values of the block's rows, by slot.
    values: Vec<Lanes<f64>>,
    /// The contributions so far, by slot.
    contributions: Vec<Lanes<f64>>,
    /// What is known of each condition of the current path.
    steps: Vec<Step>,
}

#[derive(Clone, Copy)]
struct Step {
    /// Whether the rows satisfy the condition: 1 or 0.
    satisfied: Lanes<f64>,
    /// The condition's factor at the current node.
    factor: Lanes<f64>,
    /// The product of the factors before this one, at the current node.
    before: Lanes<f64>,
    /// The integral of the product of all other factors, so far.
    integral: Lanes<f64>,
}

const STEP: Step =
    Step { satisfied: [0.0; LANES], factor: [0.0; LANES], before: [0.0; LANES], integral: [0.0; LANES] };

impl Scratch {
    pub(super) fn new(paths: &Paths) -> Self {
        Self {
            values: vec![[0.0; LANES]; paths.features.len()],
            contributions: vec![[0.0; LANES]; paths.features.len()],
            steps: vec![STEP; paths.longest],
        }
    }

    /// The size of one, in bytes.
    pub(super) fn bytes(paths: &Paths) -> usize {
        paths.features.len() * 2 * size_of::<Lanes<f64>>() + paths.longest * size_of::<Step>()
    }

    /// The contributions that the last run found, by slot.
    pub(super) fn contributions(&self) -> &[Lanes<f64>] {
        &self.contributions
    }

    /// Explains at most [`LANES`] rows; gives up and returns false when `expired` says so.
    pub(super) fn run(
        &mut self,
        ensemble: &TreeEnsemble,
        paths: &Paths,
        rules: &Rules,
        rows: &[&[f64]],
        expired: impl Fn() -> bool,
    ) -> bool {
        for (values, feature) in self.values.iter_mut().zip(&paths.features) {
            for (value, row) in values.iter_mut().zip(rows) {
                let feature = *feature as usize;
                let normalised = ensemble.missing(feature).normalised(row[feature]);
                *value = if normalised > f64::MAX { f64::MAX } else { normalised };
            }
        }
        self.contributions.fill([0.0; LANES]);
        for (number, (value, conditions)) in paths.iter().enumerate() {
            if number % LEAVES_PER_LOOK == 0 && expired() {
                return false;
            }
            let steps = &mut self.steps[..conditions.len()];
            for (step, condition) in steps.iter_mut().zip(conditions) {
                let values = &self.values[condition.slot as usize];
                step.satisfied = values.map(|value| condition.indicator(value));
                step.integral = [0.0; LANES];
            }
            for node in rules.for_length(conditions.len()) {
                integrate(steps, conditions, node);
            }
            for (step, condition) in steps.iter().zip(conditions) {
                let contributions = &mut self.contributions[condition.slot as usize];
                let integrals = step.satisfied.iter().zip(&step.integral);
                for (contribution, (satisfied, integral)) in contributions.iter_mut().zip(integrals) {
                    *contribution += value * (satisfied - condition.share) * integral;
                }
            }
        }
        !expired()
    }
}

/// Adds one node of the quadrature to the integrals of a path.
///
/// The product of all factors but one is the product of those before it and those after it: nothing is divided, for
/// a factor may be zero.
fn integrate(steps: &mut [Step], conditions: &[Condition], node: &Node) {
    let mut before = [1.0; LANES];
    for (step, condition) in steps.iter_mut().zip(conditions) {
        let absent = condition.share * (1.0 - node.at);
        step.before = before;
        step.factor = step.satisfied.map(|satisfied| absent + satisfied * node.at);
        multiply(&mut before, &step.factor);
    }
    let mut after = [node.weight; LANES];
    for step in steps.iter_mut().rev() {
        for (integral, (before, after)) in step.integral.iter_mut().zip(step.before.iter().zip(&after)) {
            *integral += before * after;
        }
        multiply(&mut after, &step.factor);
    }
}

fn multiply(products: &mut Lanes<f64>, factors: &Lanes<f64>) {
    for (product, factor) in products.iter_mut().zip(factors) {
        *product *= factor;
    }
}
