//! One tree of a file.

use std::sync::Arc;

use super::section::Section;
use crate::model::ensemble::Missing;
use crate::model::error::ModelError;
use crate::model::test::{CategorySet, Listed, Reading, Test};
use crate::model::tree::{RawNode, Tree, build};

/// The bits of `decision_type`.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;
const MISSING_SHIFT: u8 = 2;
const MISSING_MASK: u8 = 3;

pub(super) struct Read {
    pub(super) tree: Tree,
    pub(super) has_covers: bool,
}

/// Checks a tree and takes it over. `treatment` collects what is missing, for each feature.
pub(super) fn read(
    section: &Section<'_>,
    place: &str,
    output: usize,
    feature_count: usize,
    treatment: &mut [Option<Missing>],
) -> Result<Read, ModelError> {
    if section.get("is_linear").is_some_and(|text| text.trim() != "0") {
        return Err(ModelError::Unsupported {
            what: "leaves",
            found: format!("linear models in the leaves of {place}"),
            supported: "constant leaves; train with linear_tree=false",
        });
    }
    let leaves: usize = section.number("num_leaves")?;
    let inner = leaves.checked_sub(1).ok_or_else(|| ModelError::invalid(place, "at least one leaf", 0))?;
    let values: Vec<f64> = section.required("leaf_value", leaves)?;
    if inner == 0 {
        let tree = build(1, output..output + 1, place, |_, leaf| {
            leaf.push(values[0]);
            Ok(RawNode::Leaf { cover: 0.0 })
        })?;
        return Ok(Read { tree, has_covers: true });
    }
    let leaf_covers: Option<Vec<f64>> = section.numbers("leaf_count", leaves)?;
    let inner_covers: Option<Vec<f64>> = section.numbers("internal_count", inner)?;
    let cover = |covers: &Option<Vec<f64>>, index: usize| covers.as_ref().map_or(0.0, |covers| covers[index]);
    let has_covers = leaf_covers.is_some() && inner_covers.is_some();
    let features: Vec<u32> = section.required("split_feature", inner)?;
    let thresholds: Vec<f64> = section.required("threshold", inner)?;
    let decisions: Vec<u8> = section.required("decision_type", inner)?;
    let left: Vec<i64> = section.required("left_child", inner)?;
    let right: Vec<i64> = section.required("right_child", inner)?;
    let sets = category_sets(section, place)?;

    // Leaves are -1, -2, ...; here they come after the inner nodes.
    let inner_end = i64::try_from(inner).unwrap_or(i64::MAX);
    let child = |child: i64| if child < 0 { (!child).saturating_add(inner_end) } else { child };
    let tree = build(inner + leaves, output..output + 1, place, |node, out| {
        let here = || format!("{place}, node {node}");
        if node >= inner {
            out.push(values[node - inner]);
            return Ok(RawNode::Leaf { cover: cover(&leaf_covers, node - inner) });
        }
        let is_inner_or_leaf = |child: i64| child < inner_end;
        if !is_inner_or_leaf(left[node]) || !is_inner_or_leaf(right[node]) {
            let found = format!("children {} and {}", left[node], right[node]);
            return Err(ModelError::invalid(here(), format!("two children below {inner}"), found));
        }
        let feature = features[node];
        if feature as usize >= feature_count {
            let expected = format!("a feature index below {feature_count}");
            return Err(ModelError::invalid(here(), expected, feature));
        }
        let decision = decisions[node];
        let threshold = thresholds[node];
        let (test, missing_left, missing) = if decision & CATEGORICAL != 0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates, and is looked up"
            )]
            let set = sets.get(threshold as usize).filter(|_| threshold >= 0.0);
            let set = set.ok_or_else(|| {
                ModelError::invalid(here(), format!("a set of categories below {}", sets.len()), threshold)
            })?;
            (Test::Category(Arc::clone(set)), false, Missing::Nan)
        } else {
            let test = Test::at_most(threshold)
                .ok_or_else(|| ModelError::invalid(here(), "a finite threshold", threshold))?;
            let default_left = decision & DEFAULT_LEFT != 0;
            match decision >> MISSING_SHIFT & MISSING_MASK {
                // Nothing is missing: NaN goes where zero goes.
                0 => (test, 0.0 <= threshold, Missing::Nan),
                1 => (test, default_left, Missing::NanOrZero),
                2 => (test, default_left, Missing::Nan),
                _ => return Err(ModelError::invalid(here(), "a decision type of a known kind", decision)),
            }
        };
        let known = treatment[feature as usize].get_or_insert(missing);
        if *known != missing {
            return Err(ModelError::Unsupported {
                what: "treatment of missing values",
                found: format!("feature {feature}, whose zeros are missing for some splits and not for others"),
                supported: "one for each feature",
            });
        }
        let (left, right) = (child(left[node]), child(right[node]));
        Ok(RawNode::Split { feature, test, missing_left, left, right, cover: cover(&inner_covers, node) })
    })?;
    Ok(Read { tree, has_covers })
}

/// The sets of categories that go left.
fn category_sets(section: &Section<'_>, place: &str) -> Result<Vec<Arc<CategorySet>>, ModelError> {
    const WORD_BITS: u32 = 32;
    let count = if section.has("num_cat") { section.number("num_cat")? } else { 0_usize };
    if count == 0 {
        return Ok(Vec::new());
    }
    let wanted = count.checked_add(1).unwrap_or(count);
    let bounds: Vec<usize> = section.required("cat_boundaries", wanted)?;
    let words: Vec<u32> = section.required("cat_threshold", bounds.last().copied().unwrap_or(0))?;
    let set = |range: &[usize]| {
        let words = words.get(range[0]..range[1]).ok_or_else(|| {
            let expected = format!("ascending numbers up to {}", words.len());
            ModelError::invalid(format!("{place}: cat_boundaries"), expected, format!("{range:?}"))
        })?;
        let of_word = |(first, word): (u32, &u32)| {
            let word = *word;
            (0..WORD_BITS).filter(move |bit| word >> bit & 1 == 1).map(move |bit| first.saturating_add(bit))
        };
        let categories = (0..=u32::MAX).step_by(WORD_BITS as usize).zip(words).flat_map(of_word).collect();
        Ok(Arc::new(CategorySet::new(categories, Listed::Left, false, Reading::Truncated)))
    };
    bounds.windows(2).map(set).collect()
}
