//! Generated trees, and Shapley values by their definition: nothing here is shared with the engine.

use crate::model::{Model, TreeEnsemble};

/// Numbers that are the same in every run (Steele et al. 2014, SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

pub(super) enum Tree {
    Leaf { value: f32, cover: f32 },
    Split { feature: usize, threshold: f32, missing_left: bool, cover: f32, sides: Box<[Tree; 2]> },
}

impl Tree {
    fn cover(&self) -> f32 {
        match self {
            Self::Leaf { cover, .. } | Self::Split { cover, .. } => *cover,
        }
    }

    pub(super) fn magnitude(&self) -> f64 {
        match self {
            Self::Leaf { value, .. } => f64::from(value.abs()),
            Self::Split { sides, .. } => sides[0].magnitude().max(sides[1].magnitude()),
        }
    }

    fn write(&self, arrays: &mut Arrays) -> usize {
        let place = arrays.left.len();
        arrays.left.push(-1);
        arrays.right.push(-1);
        arrays.covers.push(self.cover());
        match self {
            Self::Leaf { value, .. } => {
                arrays.features.push(0);
                arrays.conditions.push(*value);
                arrays.missing_left.push(0);
            }
            Self::Split { feature, threshold, missing_left, sides, .. } => {
                arrays.features.push(*feature);
                arrays.conditions.push(*threshold);
                arrays.missing_left.push(u8::from(*missing_left));
                arrays.left[place] = sides[0].write(arrays) as i64;
                arrays.right[place] = sides[1].write(arrays) as i64;
            }
        }
        place
    }
}

#[derive(Default)]
struct Arrays {
    left: Vec<i64>,
    right: Vec<i64>,
    features: Vec<usize>,
    conditions: Vec<f32>,
    missing_left: Vec<u8>,
    covers: Vec<f32>,
}

/// An ensemble of the trees, read from a file's bytes.
pub(super) fn ensemble(features: usize, trees: &[Tree]) -> TreeEnsemble {
    let tree = |tree: &Tree| {
        let mut arrays = Arrays::default();
        tree.write(&mut arrays);
        serde_json::json!({
            "left_children": arrays.left, "right_children": arrays.right, "split_indices": arrays.features,
            "split_conditions": arrays.conditions, "default_left": arrays.missing_left, "sum_hessian": arrays.covers,
            "tree_param": {"num_nodes": arrays.left.len().to_string(), "size_leaf_vector": "1"},
        })
    };
    let model = serde_json::json!({"learner": {
        "feature_names": [], "objective": {"name": "reg:squarederror"},
        "learner_model_param":
            {"base_score": "0E0", "num_class": "0", "num_feature": features.to_string(), "num_target": "1"},
        "gradient_booster": {"name": "gbtree", "model": {"trees": trees.iter().map(tree).collect::<Vec<_>>()}},
    }});
    let Model::Trees(trees) = Model::from_bytes(model.to_string().as_bytes()).unwrap() else {
        panic!("expected trees, found another model");
    };
    trees
}

/// Trees of different shapes, with features that come again on a path, covers that do not add up, and covers of zero.
pub(super) fn random_ensemble(random: &mut Random, features: usize, trees: usize, depth: usize) -> Vec<Tree> {
    (0..trees).map(|_| random_tree(random, features, depth)).collect()
}

fn random_tree(random: &mut Random, features: usize, depth: usize) -> Tree {
    if depth == 0 || random.below(6) == 0 {
        let cover = if random.below(8) == 0 { 0.0 } else { 1.0 + random.below(20) as f32 };
        return Tree::Leaf { value: (random.unit() * 4.0 - 2.0) as f32, cover };
    }
    let sides = Box::new([random_tree(random, features, depth - 1), random_tree(random, features, depth - 1)]);
    let sum = sides[0].cover() + sides[1].cover();
    Tree::Split {
        feature: random.below(features),
        threshold: random.below(7) as f32 - 3.0,
        missing_left: random.below(2) == 0,
        cover: if random.below(10) == 0 { sum * 1.25 } else { sum },
        sides,
    }
}

/// Small whole numbers, some missing, some infinite.
pub(super) fn random_row(random: &mut Random, features: usize) -> Vec<f64> {
    let value = |random: &mut Random| match random.below(12) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        _ => random.below(8) as f64 - 4.0,
    };
    (0..features).map(|_| value(random)).collect()
}

/// One leaf behind conditions on as many features, each satisfied (by values that are not negative) by a share.
pub(super) fn chain(features: usize, share: f64, value: f32) -> Tree {
    // The covers of a long chain of small shares are too small for 32 bits: those below are all zero then, and the
    // test's shares must be such that it does not matter.
    let cover = |above: usize| share.powi(i32::try_from(above).unwrap()) as f32;
    let mut tree = Tree::Leaf { value, cover: cover(features) };
    for feature in (0..features).rev() {
        let rest = Tree::Leaf { value: 0.0, cover: cover(feature) - cover(feature + 1) };
        let sides = Box::new([rest, tree]);
        tree = Tree::Split { feature, threshold: 0.0, missing_left: true, cover: cover(feature), sides };
    }
    tree
}

/// Splits on one feature, one below the other.
pub(super) fn same_feature_chain(length: usize, random: &mut Random) -> Tree {
    let mut tree = Tree::Leaf { value: 1.0, cover: 1.0 };
    for place in (0..length).rev() {
        let leaf = Tree::Leaf { value: (random.unit() * 4.0 - 2.0) as f32, cover: 1.0 + random.below(5) as f32 };
        let cover = tree.cover() + leaf.cover();
        let sides = Box::new([leaf, tree]);
        tree = Tree::Split { feature: 0, threshold: place as f32, missing_left: place % 2 == 0, cover, sides };
    }
    tree
}

fn goes_left(value: f64, threshold: f32, missing_left: bool) -> bool {
    if value.is_nan() { missing_left } else { (value as f32) < threshold }
}

/// The value of each coalition of features.
pub(super) struct Game {
    values: Vec<f64>,
    features: usize,
}

impl Game {
    /// What is not known is averaged over by the covers.
    pub(super) fn path_dependent(trees: &[Tree], row: &[f64]) -> Self {
        let value = |members: usize| trees.iter().map(|tree| by_covers(tree, row, members)).sum();
        Self { values: (0..1 << row.len()).map(value).collect(), features: row.len() }
    }

    /// What is not known is averaged over background rows.
    pub(super) fn interventional(trees: &[Tree], row: &[f64], background: &[Vec<f64>]) -> Self {
        let value = |members: usize| {
            let mixed = |other: &Vec<f64>| -> Vec<f64> {
                let of = |(feature, (own, other)): (usize, (&f64, &f64))| {
                    if members >> feature & 1 == 1 { *own } else { *other }
                };
                row.iter().zip(other).enumerate().map(of).collect()
            };
            let sum: f64 = background
                .iter()
                .map(mixed)
                .map(|row| trees.iter().map(|tree| by_covers(tree, &row, usize::MAX)).sum::<f64>())
                .sum();
            sum / background.len() as f64
        };
        Self { values: (0..1 << row.len()).map(value).collect(), features: row.len() }
    }

    pub(super) fn value(&self, members: usize) -> f64 {
        self.values[members]
    }

    pub(super) fn shapley(&self) -> Vec<f64> {
        let value = |player: usize| {
            let without = (0..self.values.len()).filter(|members| members >> player & 1 == 0);
            without
                .map(|members| {
                    weight(members.count_ones(), self.features)
                        * (self.values[members | 1 << player] - self.values[members])
                })
                .sum()
        };
        (0..self.features).map(value).collect()
    }

    /// Half of the Shapley interaction index (Grabisch and Roubens 1999) off the diagonal, the rest on it.
    pub(super) fn interactions(&self) -> Vec<f64> {
        let features = self.features;
        let mut pairs = vec![0.0; features * features];
        let shapley = self.shapley();
        for a in 0..features {
            for b in (0..features).filter(|b| *b != a) {
                let both = 1 << a | 1 << b;
                pairs[a * features + b] = (0..self.values.len())
                    .filter(|members| members & both == 0)
                    .map(|members| {
                        let of = |more: usize| self.values[members | more];
                        0.5 * weight(members.count_ones(), features - 1)
                            * (of(both) - of(1 << a) - of(1 << b) + of(0))
                    })
                    .sum();
            }
            let others: f64 = pairs[a * features..(a + 1) * features].iter().sum();
            pairs[a * features + a] = shapley[a] - others;
        }
        pairs
    }
}

/// |S|! (n - |S| - 1)! / n!
fn weight(before: u32, players: usize) -> f64 {
    let factorial = |n: usize| (1..=n).map(|k| k as f64).product::<f64>();
    let before = before as usize;
    factorial(before) * factorial(players - before - 1) / factorial(players)
}

fn by_covers(tree: &Tree, row: &[f64], members: usize) -> f64 {
    match tree {
        Tree::Leaf { value, .. } => f64::from(*value),
        Tree::Split { feature, threshold, missing_left, cover, sides } => {
            if members >> (*feature).min(63) & 1 == 1 {
                let left = goes_left(row[*feature], *threshold, *missing_left);
                return by_covers(&sides[usize::from(!left)], row, members);
            }
            let value = |side: usize| {
                let share = if *cover > 0.0 { f64::from(sides[side].cover()) / f64::from(*cover) } else { 0.5 };
                share * by_covers(&sides[side], row, members)
            };
            value(0) + value(1)
        }
    }
}
