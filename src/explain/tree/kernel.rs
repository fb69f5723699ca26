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

/// A tree's walk, for one vector of rows and one pass of the quadrature.
struct Walk<'a, V: Vector, const M: usize> {
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

/// Adds a tree's contributions to those of the group's features; with `M` nodes of the quadrature at once.
#[inline(always)]
pub(super) fn add_tree<V: Vector, const M: usize>(
    tree: &CompiledTree<V::Element>,
    weights: &[[V::Element; WIDTH]],
    bins: &[V::Bins],
    frames: &mut [Frame<V>],
    contributions: &mut [V],
) {
    let bends = tree.bends.len() / tree.width.passes;
    for (weights, bends) in weights.iter().zip(tree.bends.chunks_exact(bends)) {
        let zero = V::splat(V::Element::default());
        let mut product = [zero; M];
        for t in 0..M {
            product[t] = V::splat(weights[t]);
        }
        let mut walk = Walk { nodes: &tree.nodes, bends, bins, frames, contributions, product, value: [zero; M] };
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

impl<V: Vector, const M: usize> Walk<'_, V, M> {
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
    }

    /// Enters a node with a subtree to the left, to the right, or both.
    #[inline(always)]
    fn enter<const LEFT: bool, const RIGHT: bool, const AGAIN: bool>(&mut self, node: u32) {
        let node = &self.nodes[node as usize];
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
            let time = V::splat(bend.at[t]);
            let factor_left = coefficient_left.mul_add(time, share_left);
            let factor_right = coefficient_right.mul_add(time, share_right);
            self.value[t] = factor_left.mul_add(left, factor_right.mul(right));
        }
        let contribution = &mut self.contributions[node.slot as usize];
        let with_left = coefficient_left.mul_add(sum_left, *contribution);
        *contribution = coefficient_right.mul_add(sum_right, with_left);
    }
}
