//! The oracle of explanations: Shapley values by their definition.
//!
//! Nothing here is shared with the engine. The game is that of path-dependent TreeSHAP (Lundberg et al. 2018,
//! arXiv 1802.03888, algorithm 1): the value of a coalition S is the tree's output when the row decides at splits on
//! features in S, and the covers average over both sides elsewhere. The Shapley value is summed over all coalitions,
//! tree by tree, over the features that the tree uses: to other features the value is zero, and the values of a sum
//! are the sums of the values.

use crate::strategy::ensemble::{Ensemble, Tree};

/// The most features that one tree may use: the effort is two to their power.
pub const FEATURES_PER_TREE_MAX: usize = 16;

/// What an explanation must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Exact {
    /// The output with no feature known.
    pub base_value: f64,
    /// One value for each feature.
    pub values: Vec<f64>,
    /// The output for the row.
    pub output: f64,
}

/// A tree uses more than [`FEATURES_PER_TREE_MAX`] features.
#[derive(Debug, thiserror::Error)]
#[error("the oracle takes trees of at most {FEATURES_PER_TREE_MAX} features, found {found}")]
pub struct TooManyFeatures {
    found: usize,
}

/// Explains a row by the definition.
///
/// # Errors
/// [`TooManyFeatures`] when it would take too long.
pub fn explain(ensemble: &Ensemble, row: &[f64]) -> Result<Exact, TooManyFeatures> {
    let base = f64::from(ensemble.base_score);
    let mut exact = Exact { base_value: base, values: vec![0.0; ensemble.features], output: base };
    for tree in &ensemble.trees {
        let players = tree.features();
        if players.len() > FEATURES_PER_TREE_MAX {
            return Err(TooManyFeatures { found: players.len() });
        }
        let coalitions: Vec<f64> =
            (0..1_usize << players.len()).map(|members| value(tree, row, &players, members)).collect();
        exact.base_value += coalitions[0];
        exact.output += coalitions[coalitions.len() - 1];
        for (place, feature) in players.iter().enumerate() {
            let player = 1 << place;
            exact.values[*feature] += (0..coalitions.len())
                .filter(|members| members & player == 0)
                .map(|members| {
                    weight(members.count_ones(), players.len()) * (coalitions[members | player] - coalitions[members])
                })
                .sum::<f64>();
        }
    }
    Ok(exact)
}

/// |S|! (n - |S| - 1)! / n!: the share of the orders in which exactly S comes before the player.
fn weight(before: u32, players: usize) -> f64 {
    // 1 / (n * binomial(n - 1, |S|))
    let players = u32::try_from(players).unwrap_or(u32::MAX);
    let choices = (0..before).fold(1.0, |product, k| product * f64::from(players - 1 - k) / f64::from(k + 1));
    1.0 / (f64::from(players) * choices)
}

/// The value of a coalition: `members` has a bit for each of the players.
fn value(tree: &Tree, row: &[f64], players: &[usize], members: usize) -> f64 {
    match tree {
        Tree::Leaf { value, .. } => f64::from(*value),
        Tree::Split { feature, threshold, missing_left, left, right } => {
            let is_member = players
                .iter()
                .position(|player| player == feature)
                .is_some_and(|place| members & (1 << place) != 0);
            if is_member {
                let goes_left = goes_left(row[*feature], *threshold, *missing_left);
                value(if goes_left { left } else { right }, row, players, members)
            } else {
                let cover = f64::from(tree.cover());
                // Where no training row came by, neither side is more likely.
                let share =
                    |side: &Tree| if cover > 0.0 { f64::from(side.cover()) / cover } else { 0.5 };
                share(left) * value(left, row, players, members)
                    + share(right) * value(right, row, players, members)
            }
        }
    }
}

/// XGBoost's comparison: in 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "the rounding is what is specified")]
fn goes_left(value: f64, threshold: f32, missing_left: bool) -> bool {
    if value.is_nan() { missing_left } else { (value as f32) < threshold }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(value: f32, cover: f32) -> Box<Tree> {
        Box::new(Tree::Leaf { value, cover })
    }

    /// The worked example of two features where the order matters: f = 8 only if both hold.
    #[test]
    fn and_gate_of_two_fair_features() {
        let second = Tree::Split {
            feature: 1,
            threshold: 1.0,
            missing_left: true,
            left: leaf(0.0, 1.0),
            right: leaf(8.0, 1.0),
        };
        let first = Tree::Split {
            feature: 0,
            threshold: 1.0,
            missing_left: true,
            left: leaf(0.0, 2.0),
            right: Box::new(second),
        };
        let ensemble = Ensemble { features: 3, base_score: 0.5, trees: vec![first] };
        let exact = explain(&ensemble, &[1.0, 1.0, 0.0]).unwrap();
        assert_eq!(exact, Exact { base_value: 2.5, values: vec![3.0, 3.0, 0.0], output: 8.5 });
        let exact = explain(&ensemble, &[1.0, f64::NAN, 0.0]).unwrap();
        assert_eq!(exact, Exact { base_value: 2.5, values: vec![1.0, -3.0, 0.0], output: 0.5 });
    }

    #[test]
    fn weights_are_a_distribution() {
        for players in 1..=FEATURES_PER_TREE_MAX {
            let total: f64 = (0..1_usize << (players - 1)).map(|members| weight(members.count_ones(), players)).sum();
            assert!((total - 1.0).abs() < 1e-12, "{players} players: {total}");
        }
    }
}
