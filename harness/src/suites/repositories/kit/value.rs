//! Records in the one form that all adapters share: named values, which are compared exactly.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};

/// The most characters of a text that a message shows.
const SHOWN_MAX: usize = 160;

/// One value of a record.
#[derive(Clone)]
pub enum Value {
    /// Nothing, which SQL calls NULL.
    Absent,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A double.
    Float(f64),
    /// A text.
    Text(String),
    /// A moment.
    Time(DateTime<Utc>),
    /// A JSON document.
    Json(serde_json::Value),
}

/// Equal is what nobody can tell apart: -0.0 is not 0.0, NaN is NaN, an empty text is not an absent one.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent, Self::Absent) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Time(a), Self::Time(b)) => a == b,
            (Self::Json(a), Self::Json(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => formatter.write_str("absent"),
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Integer(value) => write!(formatter, "{value}"),
            Self::Float(value) => write!(formatter, "{value:?}"),
            Self::Text(value) => write!(formatter, "{}", shown(&format!("{value:?}"))),
            Self::Time(value) => write!(formatter, "{}", value.to_rfc3339()),
            Self::Json(value) => write!(formatter, "json {}", shown(&value.to_string())),
        }
    }
}

/// The text, or its beginning and its length.
fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN_MAX {
        return text.to_owned();
    }
    let begin: String = text.chars().take(SHOWN_MAX).collect();
    format!("{begin}... ({} octets)", text.len())
}

macro_rules! value_from {
    ($($from:ty => $variant:ident,)+) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })+
    };
}

value_from! {
    bool => Bool,
    i64 => Integer,
    i32 => Integer,
    u32 => Integer,
    f64 => Float,
    String => Text,
    &str => Text,
    DateTime<Utc> => Time,
    serde_json::Value => Json,
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

/// A record, a measurement, or changes to a record: values by the names of their fields.
///
/// In changes, a field that is not named stays as it is, and one that is named and [`Value::Absent`] becomes NULL.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Record {
    values: BTreeMap<&'static str, Value>,
}

impl Record {
    /// One without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The record with this field set.
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl Into<Value>) -> Self {
        self.set(field, value);
        self
    }

    /// Sets a field.
    pub fn set(&mut self, field: &'static str, value: impl Into<Value>) {
        self.values.insert(field, value.into());
    }

    /// The field's value, if it is named.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.values.get(field)
    }

    /// Whether the field is named, be it absent.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.values.contains_key(field)
    }

    /// The fields and their values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.values.iter().map(|(field, value)| (*field, value))
    }

    /// Sets what the changes name.
    pub fn apply(&mut self, changes: &Self) {
        self.values.extend(changes.values.iter().map(|(field, value)| (*field, value.clone())));
    }

    /// The field, if it is a text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        match self.get(field) {
            Some(Value::Text(value)) => Some(value),
            _ => None,
        }
    }

    /// The field, if it is a whole number.
    #[must_use]
    pub fn integer(&self, field: &str) -> Option<i64> {
        match self.get(field) {
            Some(Value::Integer(value)) => Some(*value),
            _ => None,
        }
    }

    /// The field, if it is a double.
    #[must_use]
    pub fn float(&self, field: &str) -> Option<f64> {
        match self.get(field) {
            Some(Value::Float(value)) => Some(*value),
            _ => None,
        }
    }

    /// The field, if it is a truth value.
    #[must_use]
    pub fn boolean(&self, field: &str) -> Option<bool> {
        match self.get(field) {
            Some(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    /// The field, if it is a moment.
    #[must_use]
    pub fn time(&self, field: &str) -> Option<DateTime<Utc>> {
        match self.get(field) {
            Some(Value::Time(value)) => Some(*value),
            _ => None,
        }
    }

    /// The field, if it is a JSON document.
    #[must_use]
    pub fn json(&self, field: &str) -> Option<&serde_json::Value> {
        match self.get(field) {
            Some(Value::Json(value)) => Some(value),
            _ => None,
        }
    }

    /// The first field in which the other differs, with both values.
    pub(super) fn difference(&self, found: &Self) -> Option<String> {
        let mut names: Vec<_> = self.values.keys().chain(found.values.keys()).collect();
        names.sort_unstable();
        let name = names.into_iter().find(|name| self.get(name) != found.get(name))?;
        let text = |value: Option<&Value>| value.map_or("no such field".to_owned(), |value| format!("{value:?}"));
        Some(format!("field {name}: expected {}, found {}", text(self.get(name)), text(found.get(name))))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.values.iter().map(|(field, value)| (Plain(field), value))).finish()
    }
}

/// A name without quotes.
struct Plain<'a>(&'a str);

impl fmt::Debug for Plain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_told_apart_is_not_equal() {
        assert_ne!(Value::from(0.0), Value::from(-0.0));
        assert_eq!(Value::from(f64::NAN), Value::from(-f64::NAN));
        assert_ne!(Value::from(""), Value::Absent);
        assert_ne!(Value::from(serde_json::Value::Null), Value::from(None::<String>));
        assert_ne!(Value::from(1), Value::from(1.0));
    }

    #[test]
    fn a_difference_names_the_field_and_both_values() {
        let (a, b) =
            (Record::new().with("x", 1).with("y", "a"), Record::new().with("x", 1).with("y", None::<i32>));
        assert_eq!(a.difference(&b).unwrap(), "field y: expected \"a\", found absent");
        assert_eq!(a.difference(&a), None);
        assert_eq!(
            a.difference(&Record::new().with("x", 1)).unwrap(),
            "field y: expected \"a\", found no such field"
        );
    }

    #[test]
    fn a_long_text_is_shown_in_part() {
        let shown = format!("{:?}", Value::from("a".repeat(1_000_000)));
        assert!(shown.len() < 200 && shown.ends_with("... (1000002 octets)"), "{shown}");
    }
}
