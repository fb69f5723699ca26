//! Gauss-Legendre quadrature on [0, 1].

/// A node and its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Node {
    /// The place, between 0 and 1.
    pub(super) at: f64,
    /// The weight; all weights of a rule add up to 1.
    pub(super) weight: f64,
}

/// The rules that a model's paths need.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    by_count: Vec<Vec<Node>>,
}

impl Rules {
    /// The rules for paths of these lengths.
    pub(super) fn for_lengths(lengths: impl Iterator<Item = usize>) -> Self {
        let mut rules = Self { by_count: Vec::new() };
        for length in lengths {
            let count = node_count(length);
            if rules.by_count.len() <= count {
                rules.by_count.resize(count + 1, Vec::new());
            }
            if rules.by_count[count].is_empty() {
                rules.by_count[count] = gauss_legendre(u32::try_from(count).unwrap_or(u32::MAX));
            }
        }
        rules
    }

    /// The rule for a path of a length that was announced.
    pub(super) fn for_length(&self, length: usize) -> &[Node] {
        &self.by_count[node_count(length)]
    }
}

/// How many nodes integrate a path exactly: half its length. Beyond 32 the count is rounded up by at most a
/// sixteenth, so that very deep models share a few rules.
fn node_count(length: usize) -> usize {
    let count = length.div_ceil(2).max(1);
    if count <= 32 { count } else { count.next_multiple_of(1 << (count.ilog2() - 4)) }
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
        let rules = Rules::for_lengths(1..400);
        for length in 1..400 {
            let nodes = rules.for_length(length).len();
            assert!(2 * nodes >= length && nodes <= length.div_ceil(2) * 17 / 16 + 1, "{length}: {nodes}");
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
