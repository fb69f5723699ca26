//! Rows as small integers: what the kernels compare.
//!
//! The thresholds of a feature are sorted once, and a value becomes a bin, the number of thresholds that are not
//! above it. `value < threshold` is `bin < place of the threshold + 1` then: one comparison of integers, whatever the
//! type of the values. Missing values are below all bins in one column and above all in another, and each split asks
//! the one that sends them its way. A test that is no comparison has a column to itself, of zeros and ones.

use std::collections::HashMap;

use crate::model::{Missing, Node, Split, Test, Tree, TreeEnsemble};

/// The bin of missing values that go right; above all others, and positive as a signed integer.
const HIGH: u32 = i32::MAX as u32;

/// How many of the tests before are searched for an equal one.
const DUPLICATES_WITHIN: usize = 256;

/// What is compared, for every split of an ensemble.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    ordered: Vec<Ordered>,
    tests: Vec<Single>,
    /// The columns of splits that are no comparisons, by tree and node.
    test_columns: HashMap<(usize, usize), u32>,
    count: usize,
    /// For each feature its place in `ordered`; the greatest number if there is none.
    places: Vec<u32>,
}

/// A feature that is compared with thresholds.
#[derive(Debug, Clone)]
struct Ordered {
    feature: u32,
    missing: Missing,
    /// In ascending order, without duplicates.
    thresholds: Vec<f64>,
    /// The column in which missing values go left.
    low: Option<u32>,
    /// The column in which missing values go right.
    high: Option<u32>,
}

/// A test of its own.
#[derive(Debug, Clone, PartialEq)]
struct Single {
    missing: Missing,
    split: Split,
    column: u32,
}

/// A split as the kernels see it: left if the column's bin is below this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) column: u32,
    pub(super) bin: u32,
}

impl Columns {
    /// Collects what an ensemble compares.
    pub(super) fn of(ensemble: &TreeEnsemble) -> Self {
        let mut thresholds: Vec<Vec<f64>> = vec![Vec::new(); ensemble.feature_count()];
        let mut directions = vec![(false, false); ensemble.feature_count()];
        for (_, split) in splits(ensemble) {
            if let Test::Below(threshold) = split.test {
                let feature = split.feature as usize;
                thresholds[feature].push(threshold);
                let (low, high) = &mut directions[feature];
                *(if split.missing_left { low } else { high }) = true;
            }
        }
        let mut columns = 0_u32;
        let mut next = || {
            columns += 1;
            columns - 1
        };
        let mut ordered = Vec::new();
        let mut places = vec![u32::MAX; ensemble.feature_count()];
        for ((feature, mut thresholds), (low, high)) in (0_u32..).zip(thresholds).zip(directions) {
            if thresholds.is_empty() {
                continue;
            }
            thresholds.sort_unstable_by(f64::total_cmp);
            #[allow(
                clippy::float_cmp,
                reason = "equal thresholds are one; 0 and -0 are equal in every comparison"
            )]
            thresholds.dedup_by(|a, b| a == b);
            places[feature as usize] = u32::try_from(ordered.len()).unwrap_or(u32::MAX);
            let missing = ensemble.missing(feature as usize);
            let (low, high) = (low.then(&mut next), high.then(&mut next));
            ordered.push(Ordered { feature, missing, thresholds, low, high });
        }
        let mut tests: Vec<Single> = Vec::new();
        let mut test_columns = HashMap::new();
        for (place, split) in splits(ensemble).filter(|(_, split)| !matches!(split.test, Test::Below(_))) {
            // Looking further would take a time that grows with the square of the model's size.
            let recent = tests.iter().rev().take(DUPLICATES_WITHIN).find(|test| test.same(split));
            let column = recent.map(|test| test.column).unwrap_or_else(|| {
                let (missing, column) = (ensemble.missing(split.feature as usize), next());
                tests.push(Single { missing, split: split.clone(), column });
                column
            });
            test_columns.insert(place, column);
        }
        Self { ordered, tests, test_columns, count: columns as usize, places }
    }

    /// How many columns there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The memory for the thresholds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.ordered.iter().map(|ordered| ordered.thresholds.len() * size_of::<f64>()).sum::<usize>()
            + self.tests.len() * size_of::<Single>()
    }

    /// The split of a tree and a node of the ensemble, as a comparison of bins.
    pub(super) fn comparison(&self, tree: usize, node: usize, split: &Split) -> Comparison {
        if let Test::Below(threshold) = split.test {
            let ordered = &self.ordered[self.places[split.feature as usize] as usize];
            let place = ordered.thresholds.partition_point(|other| *other < threshold);
            let column = if split.missing_left { ordered.low } else { ordered.high };
            let bin = u32::try_from(place + 1).unwrap_or(HIGH).min(HIGH);
            Comparison { column: column.unwrap_or(0), bin }
        } else {
            Comparison { column: self.test_columns.get(&(tree, node)).copied().unwrap_or(0), bin: 1 }
        }
    }

    /// Calls with each column and its bins for some rows; at most as many as `bins` is long.
    pub(super) fn each(&self, rows: &[&[f64]], bins: &mut [u32], mut give: impl FnMut(usize, &[u32])) {
        let bins = &mut bins[..rows.len()];
        for ordered in &self.ordered {
            let mut any_missing = false;
            for (bin, row) in bins.iter_mut().zip(rows) {
                let value = ordered.missing.normalised(row[ordered.feature as usize]);
                let place = ordered.thresholds.partition_point(|threshold| *threshold <= value);
                *bin = u32::try_from(place).unwrap_or(HIGH - 1);
                any_missing |= value.is_nan();
            }
            for (column, missing_bin) in [(ordered.low, 0), (ordered.high, HIGH)] {
                let Some(column) = column else { continue };
                if any_missing {
                    for (bin, row) in bins.iter_mut().zip(rows) {
                        if ordered.missing.normalised(row[ordered.feature as usize]).is_nan() {
                            *bin = missing_bin;
                        }
                    }
                }
                give(column as usize, bins);
            }
        }
        for test in &self.tests {
            for (bin, row) in bins.iter_mut().zip(rows) {
                let value = test.missing.normalised(row[test.split.feature as usize]);
                *bin = u32::from(!test.split.goes_left(value));
            }
            give(test.column as usize, bins);
        }
    }
}

impl Single {
    fn same(&self, split: &Split) -> bool {
        self.split.feature == split.feature
            && self.split.missing_left == split.missing_left
            && self.split.test == split.test
    }
}

/// The splits of all trees, by tree and node.
fn splits(ensemble: &TreeEnsemble) -> impl Iterator<Item = ((usize, usize), &Split)> {
    ensemble.trees().iter().map(Tree::nodes).enumerate().flat_map(|(tree, nodes)| {
        nodes.iter().enumerate().filter_map(move |(node, of)| match of {
            Node::Split { split, .. } => Some(((tree, node), split)),
            Node::Leaf { .. } => None,
        })
    })
}
