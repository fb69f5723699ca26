//! Fields of records: which values they hold, and values to try.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::json;

use super::corpus;
use super::value::Value;

/// The longest generated text, in characters.
const GENERATED_CHARACTERS_MAX: usize = 60;

/// The first moment of generated times, in seconds since 1970: a leap day's end in 2024.
const EPOCH_SECONDS: i64 = 1_709_251_199;

/// A field of a record.
///
/// Made by the kind of its values, and narrowed from there: `Field::text("title").characters_max(80).unique()`.
#[derive(Debug, Clone)]
pub struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) optional: bool,
    pub(super) unique: bool,
    pub(super) searchable: bool,
    pub(super) fixed: bool,
    pub(super) plain: bool,
    pub(super) initial: Option<Value>,
}

/// Which values a field holds.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Text { characters_max: Option<usize>, octets_max: Option<usize>, may_be_empty: bool },
    Integer { min: i64, max: i64 },
    Float { min: f64, max: f64, finite: bool },
    Bool,
    Time,
    Json,
    Choice(&'static [&'static str]),
}

impl Field {
    fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            optional: false,
            unique: false,
            searchable: false,
            fixed: false,
            plain: false,
            initial: None,
        }
    }

    /// A text of any length, which may be empty.
    #[must_use]
    pub fn text(name: &'static str) -> Self {
        Self::new(name, Kind::Text { characters_max: None, octets_max: None, may_be_empty: true })
    }

    /// A whole number of 64 bits.
    #[must_use]
    pub fn integer(name: &'static str) -> Self {
        Self::integer_between(name, i64::MIN, i64::MAX)
    }

    /// A whole number from a range; others must be refused.
    #[must_use]
    pub fn integer_between(name: &'static str, min: i64, max: i64) -> Self {
        Self::new(name, Kind::Integer { min, max })
    }

    /// Any double, NaN and the infinities as well.
    #[must_use]
    pub fn float(name: &'static str) -> Self {
        Self::new(name, Kind::Float { min: f64::NEG_INFINITY, max: f64::INFINITY, finite: false })
    }

    /// Any number; NaN and the infinities must be refused.
    #[must_use]
    pub fn finite_float(name: &'static str) -> Self {
        Self::float_between(name, f64::MIN, f64::MAX)
    }

    /// A number from a range; others, NaN and the infinities must be refused.
    #[must_use]
    pub fn float_between(name: &'static str, min: f64, max: f64) -> Self {
        Self::new(name, Kind::Float { min, max, finite: true })
    }

    /// A truth value.
    #[must_use]
    pub fn boolean(name: &'static str) -> Self {
        Self::new(name, Kind::Bool)
    }

    /// A moment, kept to the microsecond.
    #[must_use]
    pub fn time(name: &'static str) -> Self {
        Self::new(name, Kind::Time)
    }

    /// A JSON document, as `jsonb` keeps it.
    #[must_use]
    pub fn json(name: &'static str) -> Self {
        Self::new(name, Kind::Json)
    }

    /// One of a few texts; others must be refused.
    #[must_use]
    pub fn choice(name: &'static str, of: &'static [&'static str]) -> Self {
        Self::new(name, Kind::Choice(of))
    }

    /// It may be absent.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// With the other fields that say so, it tells a record from every other one.
    #[must_use]
    pub fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// Records can be found by its value.
    #[must_use]
    pub fn searchable(self) -> Self {
        Self { searchable: true, ..self }
    }

    /// No update changes it.
    #[must_use]
    pub fn fixed(self) -> Self {
        Self { fixed: true, ..self }
    }

    /// Its values depend on other fields: nothing but what [`Spec::adjust`](super::Spec::adjust) makes of them is
    /// tried.
    #[must_use]
    pub fn plain(self) -> Self {
        Self { plain: true, ..self }
    }

    /// An insert cannot set it: a new record has this value.
    #[must_use]
    pub fn starts_as(self, value: impl Into<Value>) -> Self {
        Self { initial: Some(value.into()), ..self }
    }

    /// A text has at most so many characters; a longer one must be refused.
    #[must_use]
    pub fn characters_max(mut self, max: usize) -> Self {
        if let Kind::Text { characters_max, .. } = &mut self.kind {
            *characters_max = Some(max);
        }
        self
    }

    /// A text has at most so many octets; a longer one must be refused.
    #[must_use]
    pub fn octets_max(mut self, max: usize) -> Self {
        if let Kind::Text { octets_max, .. } = &mut self.kind {
            *octets_max = Some(max);
        }
        self
    }

    /// An empty text must be refused.
    #[must_use]
    pub fn not_empty(mut self) -> Self {
        if let Kind::Text { may_be_empty, .. } = &mut self.kind {
            *may_be_empty = false;
        }
        self
    }

    /// Whether an insert can set it to whatever it holds.
    pub(super) fn is_free(&self) -> bool {
        !self.plain && self.initial.is_none()
    }

    /// Whether the value is one of the field's, for stores that have no other to ask.
    pub(super) fn accepts(&self, value: &Value) -> bool {
        match (&self.kind, value) {
            (_, Value::Absent) => self.optional,
            (Kind::Text { characters_max, octets_max, may_be_empty }, Value::Text(text)) => {
                !text.contains('\0')
                    && (*may_be_empty || !text.is_empty())
                    && characters_max.is_none_or(|max| text.chars().count() <= max)
                    && octets_max.is_none_or(|max| text.len() <= max)
            }
            (Kind::Integer { min, max }, Value::Integer(value)) => (min..=max).contains(&value),
            (Kind::Float { min, max, finite }, Value::Float(value)) => {
                !finite || (min..=max).contains(&value) && value.is_finite()
            }
            (Kind::Bool, Value::Bool(_)) | (Kind::Time, Value::Time(_)) => true,
            (Kind::Json, Value::Json(value)) => !corpus::has_nul(value),
            (Kind::Choice(of), Value::Text(text)) => of.contains(&text.as_str()),
            _ => false,
        }
    }

    /// Whether the value is of the field's type, be it one of its values or not.
    pub(super) fn is_like(&self, value: &Value) -> bool {
        matches!(
            (&self.kind, value),
            (Kind::Text { .. } | Kind::Choice(_), Value::Text(_))
                | (Kind::Integer { .. }, Value::Integer(_))
                | (Kind::Float { .. }, Value::Float(_))
                | (Kind::Bool, Value::Bool(_))
                | (Kind::Time, Value::Time(_))
                | (Kind::Json, Value::Json(_))
        )
    }

    /// The field's value in the record of this number: another one in every record, where there are enough.
    pub(super) fn sample(&self, number: u64) -> Value {
        if let Some(initial) = &self.initial {
            return initial.clone();
        }
        // Not where the number must tell records apart.
        if self.optional && !self.unique && number % 5 == 4 {
            return Value::Absent;
        }
        let small = u32::try_from(number % 1_000_000).unwrap_or(0);
        match &self.kind {
            Kind::Text { characters_max, octets_max, .. } => {
                let text = format!("{} {number}", self.name);
                let max = characters_max.unwrap_or(usize::MAX).min(octets_max.unwrap_or(usize::MAX));
                Value::Text(if text.len() <= max { text } else { format!("{number}") })
            }
            Kind::Integer { min, max } => {
                let span = max.wrapping_sub(*min).unsigned_abs();
                let offset = if span == u64::MAX { number } else { number % (span + 1) };
                let from = if *min <= 0 && *max > 1_000_000 { 0 } else { *min };
                Value::Integer(from.wrapping_add_unsigned(offset))
            }
            Kind::Float { min, max, finite } => {
                let step = f64::from(small);
                Value::Float(if *finite && max - min < 1e9 {
                    // Sixteenths of the range, in no order.
                    min + (max - min) * ((step * 7.0) % 16.0) / 16.0
                } else {
                    min.max(0.0) + 0.25 * step
                })
            }
            Kind::Bool => Value::Bool(number % 2 == 1),
            Kind::Time => Value::Time(moment(i64::from(small))),
            Kind::Json => Value::Json(json!({ "n": small, "list": [small, null, "a"], "empty": {} })),
            Kind::Choice(of) => {
                let index = usize::try_from(number).unwrap_or(0).checked_rem(of.len()).unwrap_or(0);
                of.get(index).map_or(Value::Absent, |text| Value::from(*text))
            }
        }
    }

    /// Values of the field; none of them must be refused.
    pub(super) fn strategy(&self) -> BoxedStrategy<Value> {
        let values = match &self.kind {
            Kind::Text { characters_max, octets_max, may_be_empty } => {
                let max = characters_max
                    .unwrap_or(GENERATED_CHARACTERS_MAX)
                    .min(octets_max.unwrap_or(usize::MAX) / 4)
                    .clamp(1, GENERATED_CHARACTERS_MAX);
                let character = any::<char>().prop_map(|c| if c == '\0' { ' ' } else { c });
                prop::collection::vec(character, usize::from(!may_be_empty)..=max)
                    .prop_map(|text| Value::Text(text.into_iter().collect()))
                    .boxed()
            }
            Kind::Integer { min, max } => (*min..=*max).prop_map(Value::Integer).boxed(),
            Kind::Float { min, max, finite } => {
                let (min, max, finite) = (*min, *max, *finite);
                any::<u64>()
                    .prop_map(move |bits| {
                        let value = f64::from_bits(bits);
                        let fits = !finite || value.is_finite() && (min..=max).contains(&value);
                        // What does not fit becomes a share of the range.
                        let share = value.abs().fract();
                        Value::Float(if fits {
                            value
                        } else if share.is_finite() && max - min < 1e300 {
                            (min + (max - min) * share).clamp(min, max)
                        } else {
                            min.max(0.0)
                        })
                    })
                    .boxed()
            }
            Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
            Kind::Time => (-60_000_000_000_000_000_i64..60_000_000_000_000_000)
                .prop_map(|micros| Value::Time(DateTime::from_timestamp_micros(micros).unwrap_or_default()))
                .boxed(),
            Kind::Json => corpus::json_strategy().prop_map(Value::Json).boxed(),
            Kind::Choice(of) => prop::sample::select(*of).prop_map(Value::from).boxed(),
        };
        if self.optional { prop_oneof![1 => Just(Value::Absent), 4 => values].boxed() } else { values }
    }
}

/// So many minutes after the first moment, with as many microseconds.
pub(super) fn moment(minutes: i64) -> DateTime<Utc> {
    let start = DateTime::from_timestamp(EPOCH_SECONDS, 0).unwrap_or_default();
    start + TimeDelta::minutes(minutes) + TimeDelta::microseconds(minutes % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::check;

    fn fields() -> Vec<Field> {
        vec![
            Field::text("a"),
            Field::text("b").characters_max(5).not_empty().optional(),
            Field::text("o").octets_max(16),
            Field::integer("c"),
            Field::integer_between("d", -3, 5),
            Field::integer_between("i", 0, i64::MAX),
            Field::float("e"),
            Field::finite_float("f"),
            Field::float_between("g", 0.0, 1.0),
            Field::float_between("h", 1e-12, 1e15),
            Field::json("j"),
            Field::time("k"),
            Field::choice("l", &["x", "y"]),
            Field::boolean("m").optional(),
        ]
    }

    #[test]
    fn every_sample_and_every_generated_value_is_one_of_the_fields() {
        for field in fields() {
            for number in 0..2_000 {
                let value = field.sample(number);
                assert!(field.accepts(&value), "{field:?}: {value:?}");
            }
            check(1, 500, &field.strategy(), |value| {
                if field.accepts(&value) { Ok(()) } else { Err(format!("{field:?}: {value:?}")) }
            })
            .unwrap();
        }
    }

    #[test]
    fn samples_tell_records_apart() {
        let field = Field::text("name").unique();
        let texts: std::collections::HashSet<_> = (0..1_000).map(|n| format!("{:?}", field.sample(n))).collect();
        assert_eq!(texts.len(), 1_000);
    }
}
