//! Gauss-Legendre quadrature on [0, 1].

use super::simd::Real;

/// A node and its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Node {
    /// The place, between 0 and 1.
    pub(super) at: f64,
    /// The weight; all weights of a rule add up to 1.
    pub(super) weight: f64,
}

/// The most nodes of the quadrature that a kernel works on at once.
pub(super) const WIDTH: usize = 8;

/// How the nodes of a rule are worked on: in passes of some nodes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width {
    /// Nodes in a pass, at most [`WIDTH`].
    pub(super) nodes: usize,
    pub(super) passes: usize,
}

impl Width {
    /// Enough nodes for paths with conditions on so many features: half as many integrate exactly.
    pub(super) fn for_length(features: usize) -> Self {
        let count = features.div_ceil(2).max(1);
        match count {
            0..=6 => Self { nodes: count, passes: 1 },
            _ => Self { nodes: WIDTH, passes: count.div_ceil(WIDTH) },
        }
    }

    fn count(self) -> usize {
        self.nodes * self.passes
    }
}

/// The rules that a model's paths need.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules<E> {
    /// By the number of nodes.
    by_count: Vec<Rule<E>>,
}

/// A rule, by passes; what is beyond a pass's nodes is not used.
#[derive(Debug, Clone, Default)]
struct Rule<E> {
    nodes: Vec<[f64; WIDTH]>,
    weights: Vec<[E; WIDTH]>,
}

impl<E: Real> Rules<E> {
    /// Makes the rule of a width, unless it is there.
    pub(super) fn add(&mut self, width: Width) {
        let count = width.count();
        if self.by_count.len() <= count {
            self.by_count.resize(count + 1, Rule::default());
        }
        if self.by_count[count].nodes.is_empty() {
            let rule = gauss_legendre(u32::try_from(count).unwrap_or(u32::MAX));
            for pass in rule.chunks(width.nodes) {
                let node = |place: usize| pass.get(place).copied().unwrap_or(Node { at: 0.5, weight: 0.0 });
                let rule = &mut self.by_count[count];
                rule.nodes.push(std::array::from_fn(|place| node(place).at));
                rule.weights.push(std::array::from_fn(|place| E::from_f64(node(place).weight)));
            }
        }
    }

    /// The places of the nodes of a rule that was added, for each pass.
    pub(super) fn nodes(&self, width: Width) -> &[[f64; WIDTH]] {
        &self.by_count[width.count()].nodes
    }

    /// Their weights.
    pub(super) fn weights(&self, width: Width) -> &[[E; WIDTH]] {
        &self.by_count[width.count()].weights
    }
}

/// The rule with `count` nodes, exact for polynomials of degree `2 * count - 1`.
///
/// The nodes are the roots of the Legendre polynomial, found by Newton's method from Tricomi's approximation
/// (Press et al., Numerical Recipes, "Gaussian Quadratures and Orthogonal Polynomials").
fn gauss_legendre(count: u32) -> Vec<Node> {
    let n = f64::from(count);
    let mut nodes: Vec<Node> = (0..count)
        .map(|index| {
            let mut x = (std::f64::consts::PI * (f64::from(index) + 0.75) / (n + 0.5)).cos();
            // Newton's method converges quadratically from here: the limit is for safety.
            for _ in 0..20 {
                let (value, slope) = legendre(count, x);
                let step = value / slope;
                x -= step;
                if step.abs() <= f64::EPSILON {
                    break;
                }
            }
            let (_, slope) = legendre(count, x);
            Node { at: (1.0 - x) / 2.0, weight: 1.0 / ((1.0 - x * x) * slope * slope) }
        })
        .collect();
    nodes.sort_unstable_by(|a, b| a.at.total_cmp(&b.at));
    nodes
}

/// The Legendre polynomial of a degree and its derivative, for -1 < x < 1.
fn legendre(degree: u32, x: f64) -> (f64, f64) {
    let (mut previous, mut current) = (0.0, 1.0);
    for k in 1..=degree {
        let k = f64::from(k);
        (previous, current) = (current, ((2.0 * k - 1.0) * x * current - (k - 1.0) * previous) / k);
    }
    (current, f64::from(degree) * (x * current - previous) / (x * x - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_integrated_exactly() {
        for count in 1..=64 {
            let rule = gauss_legendre(count);
            for degree in 0..2 * count {
                let sum: f64 =
                    rule.iter().map(|node| node.weight * node.at.powi(i32::try_from(degree).unwrap())).sum();
                let exact = 1.0 / f64::from(degree + 1);
                assert!((sum - exact).abs() < 1e-14, "{count} nodes, degree {degree}: {sum} instead of {exact}");
            }
        }
    }

    #[test]
    fn every_length_gets_enough_nodes() {
        let mut rules = Rules::<f64>::default();
        for length in 0..400 {
            let width = Width::for_length(length);
            assert!(width.nodes <= WIDTH && 2 * width.count() >= length, "{length}: {width:?}");
            rules.add(width);
            assert_eq!(rules.nodes(width).len(), width.passes);
            let weights = rules.weights(width).iter().flat_map(|pass| &pass[..width.nodes]).sum::<f64>();
            assert!((weights - 1.0).abs() < 1e-14, "{length}: {weights}");
        }
    }

    #[test]
    fn nodes_lie_inside_and_weights_are_positive() {
        for count in [1, 2, 7, 100, 500] {
            let rule = gauss_legendre(count);
            assert!(rule.iter().all(|node| node.at > 0.0 && node.at < 1.0 && node.weight > 0.0));
            assert!(rule.windows(2).all(|pair| pair[0].at < pair[1].at));
        }
    }
}
