//! The condition of an inner node, in one form for all libraries.
//!
//! Libraries compare differently: in 32 or 64 bits, with `<` or `<=`. Each comparison is translated into `value <
//! threshold` of 64-bit floats by moving the threshold, such that every 64-bit value goes where the library sends it.
#![cfg_attr(
    not(all(feature = "onnx", feature = "sklearn")),
    allow(dead_code, reason = "what some of the formats need")
)]

use std::sync::Arc;

/// The condition of an inner node for a value that is not missing: what satisfies it goes left.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// The value is less than the threshold, which is finite. Infinities are ordered as any other value.
    Below(f64),
    /// The value is a category that goes left.
    Category(Arc<CategorySet>),
}

impl Test {
    /// `(f32) value < threshold`: XGBoost.
    pub(crate) fn single_below(threshold: f32) -> Self {
        Self::Below(rounding_to(threshold))
    }

    /// `(f32) value <= threshold` with a 32-bit threshold: CatBoost, ONNX. None without a finite form.
    pub(crate) fn single_at_most(threshold: f32) -> Option<Self> {
        threshold.is_finite().then(|| Self::Below(rounding_to(threshold.next_up())))
    }

    /// `(f32) value <= threshold` with a 64-bit threshold: scikit-learn's trees. None without a finite form.
    pub(crate) fn single_at_most_double(threshold: f64) -> Option<Self> {
        let rounded = narrow(threshold);
        let above = if f64::from(rounded) > threshold { rounded } else { rounded.next_up() };
        threshold.is_finite().then(|| Self::Below(rounding_to(above)))
    }

    /// `value <= threshold`: LightGBM, histogram gradient boosting. None without a finite form.
    pub(crate) fn at_most(threshold: f64) -> Option<Self> {
        let above = threshold.next_up();
        (threshold.is_finite() && above.is_finite()).then_some(Self::Below(above))
    }

    /// True for every value, infinite ones included.
    pub(crate) fn always() -> Self {
        Self::Category(Arc::new(CategorySet::new(Vec::new(), Listed::Right, true, Reading::Whole)))
    }

    /// Whether a value that is not missing goes left.
    #[must_use]
    pub fn goes_left(&self, value: f64) -> bool {
        match self {
            Self::Below(threshold) => value < *threshold,
            Self::Category(set) => set.goes_left(value),
        }
    }
}

/// The smallest 64-bit float that rounds to this 32-bit float or a greater one, which is not negative infinity.
fn rounding_to(value: f32) -> f64 {
    /// Half-way between the largest 32-bit float and what would follow it; ties round to infinity.
    const OVERFLOW: f64 = 340_282_356_779_733_661_637_539_395_458_142_568_448.0;
    if value == f32::INFINITY {
        return OVERFLOW;
    }
    let before = value.next_down();
    if before == f32::NEG_INFINITY {
        return (-OVERFLOW).next_up();
    }
    // Exact: 64 bits hold one more digit than needed.
    let middle = f64::midpoint(f64::from(before), f64::from(value));
    // Half-way values round to the even neighbour.
    if narrow(middle) >= value { middle } else { middle.next_up() }
}

/// The value rounded to the nearest 32-bit float, infinite beyond its range.
#[expect(clippy::cast_possible_truncation, reason = "rounding to 32 bits is what the model's library does")]
pub(crate) fn narrow(value: f64) -> f32 {
    value as f32
}

/// Where the categories go that a set lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    /// The listed ones go left, all others right.
    Left,
    /// The listed ones go right, all others left.
    Right,
}

/// How a value is read as a category; what cannot be read is no category.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Rounded to 32 bits, then towards zero: XGBoost. Negative values and those from 2^24 on are no categories.
    Single,
    /// Towards zero: LightGBM, for which -0.5 is the category 0.
    Truncated,
    /// Only whole values, rounded to 32 bits: ONNX.
    SingleWhole,
    /// Only whole values.
    Whole,
}

impl Reading {
    fn category(self, value: f64) -> Option<u32> {
        const SINGLE_END: f64 = 16_777_216.0;
        let value = match self {
            Self::Single | Self::SingleWhole => f64::from(narrow(value)),
            Self::Truncated | Self::Whole => value,
        };
        let (begin, end) = match self {
            Self::Single => (0.0, SINGLE_END),
            Self::Truncated => ((-1.0_f64).next_up(), f64::from(i32::MAX) + 1.0),
            Self::SingleWhole | Self::Whole => (0.0, f64::from(i32::MAX) + 1.0),
        };
        let is_category = value >= begin && value < end && (!self.wants_whole() || value.fract() == 0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
        is_category.then_some(value.trunc() as u32)
    }

    fn wants_whole(self) -> bool {
        matches!(self, Self::SingleWhole | Self::Whole)
    }
}

/// A set of categories, and how values are read as categories.
#[derive(Debug, Clone, PartialEq)]
pub struct CategorySet {
    members: Members,
    listed: Listed,
    /// Whether a value that is no category goes left.
    other_left: bool,
    reading: Reading,
}

/// Whichever of both forms takes less memory: a few large numbers must not become megabytes of bits.
#[derive(Debug, Clone, PartialEq)]
enum Members {
    Bits(Box<[u64]>),
    Sorted(Box<[u32]>),
}

impl CategorySet {
    /// A set of the listed categories, in any order.
    pub(crate) fn new(mut categories: Vec<u32>, listed: Listed, other_left: bool, reading: Reading) -> Self {
        categories.sort_unstable();
        categories.dedup();
        let words = categories.last().map_or(0, |last| *last as usize / 64 + 1);
        let members = if words <= categories.len() / 2 + 1 {
            let mut bits = vec![0_u64; words];
            for category in categories {
                bits[category as usize / 64] |= 1 << (category % 64);
            }
            Members::Bits(bits.into())
        } else {
            Members::Sorted(categories.into())
        };
        Self { members, listed, other_left, reading }
    }

    /// Whether a value that is not missing goes left.
    #[must_use]
    pub fn goes_left(&self, value: f64) -> bool {
        self.reading.category(value).map_or(self.other_left, |category| self.category_goes_left(category))
    }

    /// Whether a category goes left.
    #[must_use]
    pub fn category_goes_left(&self, category: u32) -> bool {
        let is_listed = match &self.members {
            Members::Bits(bits) => {
                bits.get(category as usize / 64).is_some_and(|word| word >> (category % 64) & 1 == 1)
            }
            Members::Sorted(sorted) => sorted.binary_search(&category).is_ok(),
        };
        is_listed == (self.listed == Listed::Left)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values around a threshold, where roundings matter, and anything else.
    fn around(threshold: f64) -> impl Strategy<Value = f64> {
        let single = narrow(threshold);
        let near = [single.next_down().next_down(), single.next_down(), single, single.next_up()];
        let middles = near.map(|value| f64::midpoint(f64::from(value), f64::from(value.next_up())));
        let all: Vec<f64> = near
            .into_iter()
            .map(f64::from)
            .chain(middles)
            .chain([threshold])
            .flat_map(|value| [value.next_down(), value, value.next_up()])
            .chain([0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN])
            .filter(|value| !value.is_nan())
            .collect();
        prop_oneof![4 => prop::sample::select(all), 1 => any::<f64>().prop_filter("not missing", |v| !v.is_nan())]
    }

    fn finite_single() -> impl Strategy<Value = f32> {
        let special =
            [0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, f32::from_bits(1), -f32::from_bits(1), 1.0];
        prop_oneof![any::<f32>().prop_filter("finite", |v| v.is_finite()), prop::sample::select(special.to_vec())]
    }

    fn finite_double() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |v| v.is_finite() && *v < f64::MAX),
            finite_single().prop_map(f64::from),
            finite_single().prop_map(|v| f64::from(v).next_up()),
            finite_single().prop_map(|v| f64::from(v).next_down()),
        ]
    }

    proptest! {
        #[test]
        fn xgboosts_comparison(
            (threshold, value) in finite_single().prop_flat_map(|t| (Just(t), around(f64::from(t))))
        ) {
            prop_assert_eq!(Test::single_below(threshold).goes_left(value), narrow(value) < threshold);
        }

        #[test]
        fn catboosts_comparison(
            (threshold, value) in finite_single().prop_flat_map(|t| (Just(t), around(f64::from(t))))
        ) {
            prop_assert_eq!(Test::single_at_most(threshold).unwrap().goes_left(value), narrow(value) <= threshold);
        }

        #[test]
        fn scikit_learns_comparison((threshold, value) in finite_double().prop_flat_map(|t| (Just(t), around(t)))) {
            let expected = f64::from(narrow(value)) <= threshold;
            prop_assert_eq!(Test::single_at_most_double(threshold).unwrap().goes_left(value), expected);
        }

        #[test]
        fn lightgbms_comparison((threshold, value) in finite_double().prop_flat_map(|t| (Just(t), around(t)))) {
            prop_assert_eq!(Test::at_most(threshold).unwrap().goes_left(value), value <= threshold);
        }

        #[test]
        fn sets_contain_what_they_list(categories in prop::collection::vec(prop_oneof![0_u32..200, any::<u32>()], 0..40)) {
            let set = CategorySet::new(categories.clone(), Listed::Left, false, Reading::Whole);
            for category in categories.iter().copied().chain(0..256) {
                prop_assert_eq!(set.category_goes_left(category), categories.contains(&category));
            }
        }
    }

    #[test]
    fn values_are_read_as_categories_as_each_library_does() {
        let read = |reading: Reading, value| reading.category(value);
        assert_eq!(read(Reading::Single, 5.999_999_999), Some(6));
        assert_eq!(read(Reading::Single, 5.9), Some(5));
        assert_eq!(read(Reading::Single, -0.5), None);
        assert_eq!(read(Reading::Single, 16_777_216.0), None);
        assert_eq!(read(Reading::Truncated, -0.5), Some(0));
        assert_eq!(read(Reading::Truncated, -1.0), None);
        assert_eq!(read(Reading::Truncated, 5.999_999_999), Some(5));
        assert_eq!(read(Reading::Truncated, 3e9), None);
        assert_eq!(read(Reading::Whole, 5.5), None);
        assert_eq!(read(Reading::Whole, 5.0), Some(5));
        assert_eq!(read(Reading::Whole, f64::INFINITY), None);
        for value in [0.0, -7.5, 1e300, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Test::always().goes_left(value));
        }
    }
}
