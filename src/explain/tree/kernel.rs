//! The inner loop: a tree, for a vector of rows.
//!
//! Seen as a function of each feature's time t (0: unknown, the covers average; 1: known, the row decides), a tree is
//! R(node) = F R(left) + (1 - F) R(right), with F = s + t (h - s): s the share of the covers that goes left, and h = 1
//! or 0 as the row does. A feature's SHAP value is the integral over t, the same for all features, of the derivative in
//! the feature's own time. On the way down P collects the product of the F; on the way up R is known on both sides, and
//! the node adds the integral of (h - s) P (R(left) - R(right)).
//!
//! Where a feature has been asked for above, all conditions on it count as one: that is the same formula in the
//! feature's own time, see `Bend`, if the row has satisfied the conditions above, and F = s otherwise. The chain rule
//! adds the bend's slope to the integrand.
//!
//! Covers of children need not add up to their parent's, and tiny shares must not drown in rounding: the two sides are
//! computed each for itself.

//!
//! Pairwise interactions are second derivatives, in the times of two features. On one path P depends on the time of each
//! node above as F does, so that a node adds, for each node above, the integral of its own integrand times F' / F of
//! that node. F is never zero where F' is not.

#![allow(clippy::needless_range_loop, reason = "t is the same for several arrays")]

use super::program::{Action, Bend, CompiledTree, Node};
use super::quadrature::WIDTH;
use super::simd::Vector;

/// What a node on the current path has to remember, for at most [`WIDTH`] nodes of the quadrature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<V: Vector> {
    /// The product of the factors down to the node.
    product: [V; WIDTH],
    /// On the left side, the product for the right one; then, the value of the left one.
    other: [V; WIDTH],
    /// h - s for both sides; zero where the conditions above are not satisfied.
    coefficients: [V; 2],
    /// The rows that satisfy all conditions on the node's feature on the current side.
    hot: V::Mask,
    /// The same for the right side.
    hot_right: V::Mask,
}

impl<V: Vector> Frame<V> {
    /// A frame of nothing.
    pub(super) fn new() -> Self {
        let zero = V::splat(V::Element::default());
        Self {
            product: [zero; WIDTH],
            other: [zero; WIDTH],
            coefficients: [zero; 2],
            hot: V::all(),
            hot_right: V::all(),
        }
    }
}

/// F' / F of the nodes on the current path, at each node of the quadrature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slopes<V> {
    current: [V; WIDTH],
    right: [V; WIDTH],
    slot: u32,
}

/// What interactions need besides.
pub(super) struct Pairs<'a, V: Vector> {
    pub(super) slopes: &'a mut [Slopes<V>],
    /// For each two features of the group, the node above first, the interactions so far.
    pub(super) sums: &'a mut [V],
    /// How many features the group has.
    pub(super) slots: usize,
}

impl<V: Vector> Slopes<V> {
    /// Slopes of nothing.
    pub(super) fn new() -> Self {
        let zero = V::splat(V::Element::default());
        Self { current: [zero; WIDTH], right: [zero; WIDTH], slot: 0 }
    }
}

/// A tree's walk, for one vector of rows and one pass of the quadrature.
struct Walk<'a, 'p, V: Vector, const M: usize, const PAIRS: bool> {
    pairs: &'a mut Pairs<'p, V>,
    /// For each node F' / F on both sides, if the row goes there.
    hot_slopes: &'a [[[V::Element; WIDTH]; 2]],
    /// For each bend F' / F on a side where the row does not go.
    cold_slopes: &'a [[V::Element; WIDTH]],
    nodes: &'a [Node<V::Element>],
    bends: &'a [Bend<V::Element>],
    bins: &'a [V::Bins],
    frames: &'a mut [Frame<V>],
    contributions: &'a mut [V],
    /// P of the node that comes next.
    product: [V; M],
    /// R of the node that came last.
    value: [V; M],
}

/// Adds a tree's contributions to those of the group's features; with `M` nodes of the quadrature at once, and with
/// their interactions or without.
#[inline(always)]
pub(super) fn add_tree<V: Vector, const M: usize, const PAIRS: bool>(
    tree: &CompiledTree<V::Element>,
    pairs: &mut Pairs<'_, V>,
    weights: &[[V::Element; WIDTH]],
    bins: &[V::Bins],
    frames: &mut [Frame<V>],
    contributions: &mut [V],
) {
    let count = tree.bends.len() / tree.width.passes;
    for (pass, (weights, bends)) in weights.iter().zip(tree.bends.chunks_exact(count)).enumerate() {
        let zero = V::splat(V::Element::default());
        let mut product = [zero; M];
        for t in 0..M {
            product[t] = V::splat(weights[t]);
        }
        let (hot_slopes, cold_slopes): (&[_], &[_]) = if PAIRS {
            let nodes = tree.nodes.len();
            (&tree.hot_slopes[pass * nodes..][..nodes], &tree.cold_slopes[pass * count..][..count])
        } else {
            (&[], &[])
        };
        let value = [zero; M];
        let mut walk = Walk::<'_, '_, V, M, PAIRS> {
            pairs,
            hot_slopes,
            cold_slopes,
            nodes: &tree.nodes,
            bends,
            bins,
            frames,
            contributions,
            product,
            value,
        };
        for step in &tree.steps {
            match (step.action, step.again) {
                (Action::Both, false) => walk.both::<false>(step.node),
                (Action::Both, true) => walk.both::<true>(step.node),
                (Action::Enter, false) => walk.enter::<true, true, false>(step.node),
                (Action::Enter, true) => walk.enter::<true, true, true>(step.node),
                (Action::EnterLeft, false) => walk.enter::<true, false, false>(step.node),
                (Action::EnterLeft, true) => walk.enter::<true, false, true>(step.node),
                (Action::EnterRight, false) => walk.enter::<false, true, false>(step.node),
                (Action::EnterRight, true) => walk.enter::<false, true, true>(step.node),
                (Action::Turn, _) => walk.turn(step.node),
                (Action::Leave, false) => walk.leave::<true, true, false>(step.node),
                (Action::Leave, true) => walk.leave::<true, true, true>(step.node),
                (Action::LeaveLeft, false) => walk.leave::<true, false, false>(step.node),
                (Action::LeaveLeft, true) => walk.leave::<true, false, true>(step.node),
                (Action::LeaveRight, false) => walk.leave::<false, true, false>(step.node),
                (Action::LeaveRight, true) => walk.leave::<false, true, true>(step.node),
            }
        }
    }
}

impl<V: Vector, const M: usize, const PAIRS: bool> Walk<'_, '_, V, M, PAIRS> {
    /// A node of two leaves.
    #[inline(always)]
    fn both<const AGAIN: bool>(&mut self, node: u32) {
        let node = &self.nodes[node as usize];
        let bend = &self.bends[if AGAIN { node.bend as usize } else { 0 }];
        let left = V::below(&self.bins[node.column as usize], node.bin);
        let [if_left, if_right] = node.rests.map(V::splat);
        let mut slope = V::select(left, if_left, if_right);
        let mut sum = self.product[0];
        if AGAIN {
            slope = slope.keep(self.frames[node.ancestor as usize].hot);
            sum = sum.mul(V::splat(bend.slope[0]));
        }
        for t in 1..M {
            sum = if AGAIN {
                self.product[t].mul_add(V::splat(bend.slope[t]), sum)
            } else {
                sum.add(self.product[t])
            };
        }
        let start = V::splat(node.shares[0]);
        for t in 0..M {
            self.value[t] = slope.mul_add(V::splat(bend.at[t]), start);
        }
        let contribution = &mut self.contributions[node.slot as usize];
        *contribution = slope.mul_add(sum, *contribution);
        if PAIRS {
            let mut integrand = self.product;
            for t in 0..M {
                let weight = if AGAIN { slope.mul(V::splat(bend.slope[t])) } else { slope };
                integrand[t] = integrand[t].mul(weight);
            }
            self.add_pairs(node, &integrand);
        }
    }

    /// Adds the interactions of a node with all nodes above.
    #[inline(always)]
    fn add_pairs(&mut self, node: &Node<V::Element>, integrand: &[V; M]) {
        for slopes in &self.pairs.slopes[..node.depth as usize] {
            let mut sum = integrand[0].mul(slopes.current[0]);
            for t in 1..M {
                sum = integrand[t].mul_add(slopes.current[t], sum);
            }
            let pair = &mut self.pairs.sums[slopes.slot as usize * self.pairs.slots + node.slot as usize];
            *pair = pair.add(sum);
        }
    }

    /// Enters a node with a subtree to the left, to the right, or both.
    #[inline(always)]
    fn enter<const LEFT: bool, const RIGHT: bool, const AGAIN: bool>(&mut self, node: u32) {
        let place = node as usize;
        let node = &self.nodes[place];
        let bend = &self.bends[if AGAIN { node.bend as usize } else { 0 }];
        let zero = V::splat(V::Element::default());
        let [rest_left, rest_right] = node.rests.map(V::splat);
        let [share_left, share_right] = node.shares.map(V::splat);

        let mut left = V::below(&self.bins[node.column as usize], node.bin);
        let mut coefficients =
            [V::select(left, rest_left, zero.sub(share_left)), V::select(left, zero.sub(share_right), rest_right)];
        let mut right = V::except(V::all(), left);
        if AGAIN {
            let above = self.frames[node.ancestor as usize].hot;
            coefficients = [coefficients[0].keep(above), coefficients[1].keep(above)];
            right = V::except(above, left);
            left = V::both(above, left);
        }
        let frame = &mut self.frames[node.depth as usize];
        frame.coefficients = coefficients;
        frame.hot = if LEFT { left } else { right };
        frame.hot_right = right;
        if PAIRS {
            let slopes = &mut self.pairs.slopes[node.depth as usize];
            slopes.slot = node.slot;
            let above = if AGAIN { self.frames[node.ancestor as usize].hot } else { V::all() };
            let [hot_left, hot_right] = &self.hot_slopes[place];
            let cold = &self.cold_slopes[if AGAIN { node.bend as usize } else { 0 }];
            for t in 0..M {
                let cold = V::splat(cold[t]);
                let of_left = V::select(left, V::splat(hot_left[t]), cold).keep(above);
                let of_right = V::select(right, V::splat(hot_right[t]), cold).keep(above);
                slopes.current[t] = if LEFT { of_left } else { of_right };
                slopes.right[t] = of_right;
            }
        }
        let frame = &mut self.frames[node.depth as usize];
        for t in 0..M {
            let product = self.product[t];
            let time = V::splat(bend.at[t]);
            frame.product[t] = product;
            if LEFT {
                self.product[t] = product.mul(coefficients[0].mul_add(time, share_left));
            }
            if RIGHT {
                let right = product.mul(coefficients[1].mul_add(time, share_right));
                if LEFT {
                    frame.other[t] = right;
                } else {
                    self.product[t] = right;
                }
            }
        }
    }

    /// Goes on to the right side of a node.
    #[inline(always)]
    fn turn(&mut self, node: u32) {
        let frame = &mut self.frames[self.nodes[node as usize].depth as usize];
        frame.hot = frame.hot_right;
        for t in 0..M {
            self.product[t] = frame.other[t];
            frame.other[t] = self.value[t];
        }
        if PAIRS {
            let depth = self.nodes[node as usize].depth as usize;
            let slopes = &mut self.pairs.slopes[depth];
            slopes.current = slopes.right;
        }
    }

    /// Leaves a node that was entered.
    #[inline(always)]
    fn leave<const LEFT: bool, const RIGHT: bool, const AGAIN: bool>(&mut self, node: u32) {
        let node = &self.nodes[node as usize];
        let bend = &self.bends[if AGAIN { node.bend as usize } else { 0 }];
        let frame = &self.frames[node.depth as usize];
        let [share_left, share_right] = node.shares.map(V::splat);
        let [coefficient_left, coefficient_right] = frame.coefficients;
        let leaf = V::splat(node.leaf);
        let zero = V::splat(V::Element::default());
        let (mut sum_left, mut sum_right) = (zero, zero);
        let mut integrand = [zero; M];
        for t in 0..M {
            let (left, right) = match (LEFT, RIGHT) {
                (true, true) => (frame.other[t], self.value[t]),
                (true, false) => (self.value[t], leaf),
                _ => (leaf, self.value[t]),
            };
            let mut weight = frame.product[t];
            if AGAIN {
                weight = weight.mul(V::splat(bend.slope[t]));
            }
            sum_left = weight.mul_add(left, sum_left);
            sum_right = weight.mul_add(right, sum_right);
            if PAIRS {
                integrand[t] = weight.mul(coefficient_left.mul_add(left, coefficient_right.mul(right)));
            }
            let time = V::splat(bend.at[t]);
            let factor_left = coefficient_left.mul_add(time, share_left);
            let factor_right = coefficient_right.mul_add(time, share_right);
            self.value[t] = factor_left.mul_add(left, factor_right.mul(right));
        }
        let contribution = &mut self.contributions[node.slot as usize];
        let with_left = coefficient_left.mul_add(sum_left, *contribution);
        *contribution = coefficient_right.mul_add(sum_right, with_left);
        if PAIRS {
            self.add_pairs(node, &integrand);
        }
    }
}
