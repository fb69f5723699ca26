//! JSON documents as `jsonb` keeps them: what it cannot hold is refused, and what it writes another way is written
//! that way before it is stored, so that a value is the same on both sides of a store.

use serde_json::{Map, Number, Value};

use super::validation::InvalidField;

/// How deep a document may be nested.
const DEPTH_MAX: usize = 32;

/// A JSON object.
pub type Document = Map<String, Value>;

/// The object as it is stored.
///
/// Numbers are kept exactly, with two exceptions that `numeric` imposes: a negative zero becomes zero, and a whole
/// number from 1e16 on that fits into 64 bits becomes an integer.
///
/// # Errors
/// When the object is nested too deeply, has more octets than the limit as Postgres writes it, or holds a NUL.
pub(super) fn document(
    field: &'static str,
    object: &Document,
    octets_max: usize,
) -> Result<Document, InvalidField> {
    let mut octets = 0;
    let stored = object_as_stored(field, object, DEPTH_MAX, &mut octets)?;
    if octets > octets_max {
        return Err(InvalidField::new(field, format!("expected at most {octets_max} octets, found {octets}")));
    }
    Ok(stored)
}

/// As [`document`], of which no value is an object or an array.
pub(super) fn flat(field: &'static str, object: &Document, octets_max: usize) -> Result<Document, InvalidField> {
    if let Some((key, _)) = object.iter().find(|(_, value)| value.is_object() || value.is_array()) {
        let reason = format!("expected a number, text, boolean or null for {key:?}, found an object or array");
        return Err(InvalidField::new(field, reason));
    }
    document(field, object, octets_max)
}

fn object_as_stored(
    field: &'static str,
    object: &Document,
    depth: usize,
    octets: &mut usize,
) -> Result<Document, InvalidField> {
    let depth = deeper(field, depth)?;
    *octets += 2;
    let mut stored = Document::new();
    for (key, value) in object {
        text(field, key, octets)?;
        *octets += 4;
        stored.insert(key.clone(), as_stored(field, value, depth, octets)?);
    }
    Ok(stored)
}

fn as_stored(field: &'static str, value: &Value, depth: usize, octets: &mut usize) -> Result<Value, InvalidField> {
    Ok(match value {
        Value::Object(object) => Value::Object(object_as_stored(field, object, depth, octets)?),
        Value::Array(items) => {
            let depth = deeper(field, depth)?;
            *octets += 2 + 2 * items.len();
            let items = items.iter().map(|item| as_stored(field, item, depth, octets));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::String(string) => {
            text(field, string, octets)?;
            value.clone()
        }
        Value::Number(number) => {
            let (stored, length) = number_as_stored(number);
            *octets += length;
            Value::Number(stored)
        }
        Value::Bool(_) | Value::Null => {
            *octets += 5;
            value.clone()
        }
    })
}

fn deeper(field: &'static str, depth: usize) -> Result<usize, InvalidField> {
    depth
        .checked_sub(1)
        .ok_or_else(|| InvalidField::new(field, format!("expected at most {DEPTH_MAX} levels, found more")))
}

/// Adds the length of a text in quotes.
fn text(field: &'static str, text: &str, octets: &mut usize) -> Result<(), InvalidField> {
    if text.contains('\0') {
        return Err(InvalidField::new(field, "expected no NUL, found one, which jsonb cannot hold"));
    }
    *octets += 2 + text.len();
    *octets += text
        .bytes()
        .map(|octet| match octet {
            b'"' | b'\\' | 0x08 | 0x09 | 0x0a | 0x0c | 0x0d => 1,
            0..0x20 => 5,
            _ => 0,
        })
        .sum::<usize>();
    Ok(())
}

/// The number as `numeric` keeps it, and how many digits Postgres writes of it.
fn number_as_stored(number: &Number) -> (Number, usize) {
    let text = number.to_string();
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else { return (number.clone(), text.len()) };
    if float == 0.0 {
        return (Number::from_f64(0.0).unwrap_or_else(|| 0.into()), 3);
    }
    // `Display` of a float writes no exponent, as `numeric` does not.
    let digits = float.to_string();
    let length = digits.len() + 2;
    if text.contains('.') && !text.contains('e') || text.contains("e-") {
        return (number.clone(), length);
    }
    let whole = digits.parse::<i64>().map(Number::from).or_else(|_| digits.parse::<u64>().map(Number::from));
    (whole.unwrap_or_else(|_| number.clone()), length)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Document {
        match value {
            Value::Object(object) => object,
            other => panic!("expected an object, found {other}"),
        }
    }

    #[test]
    fn numbers_become_what_numeric_keeps() {
        let stored = document(
            "d",
            &object(json!({"zero": -0.0, "big": 1e16, "huge": 1.5e300, "small": 1e-7, "one": 1.0})),
            10_000,
        );
        let expected =
            json!({"zero": 0.0, "big": 10_000_000_000_000_000_i64, "huge": 1.5e300, "small": 1e-7, "one": 1.0});
        let stored = Value::Object(stored.unwrap());
        assert_eq!(stored, expected);
        assert_eq!(stored["zero"].to_string(), "0.0");
    }

    #[test]
    fn what_jsonb_cannot_hold_is_refused() {
        for (value, fragment) in [
            (json!({"a\0": 1}), "NUL"),
            (json!({"a": ["\0"]}), "NUL"),
            (json!({"a": "x".repeat(200)}), "at most 100 octets"),
            (json!({"a": 1e300}), "at most 100 octets"),
        ] {
            let error = document("d", &object(value), 100).unwrap_err();
            assert!(error.to_string().contains(fragment), "{error}");
        }
        let mut deep = json!(1);
        for _ in 0..DEPTH_MAX {
            deep = json!([deep]);
        }
        assert!(document("d", &object(json!({"a": deep})), 10_000).is_err());
        assert!(flat("d", &object(json!({"a": {}})), 10_000).is_err());
    }

    #[test]
    fn lengths_are_those_that_postgres_writes_or_a_little_more() {
        let mut octets = 0;
        object_as_stored("d", &object(json!({"a\n": [1, "\u{1}"], "b": 0.5})), 9, &mut octets).unwrap();
        let written = r#"{"a\n": [1, "\u0001"], "b": 0.5}"#.len();
        assert!((written..=written + 8).contains(&octets), "{octets} for {written}");
    }
}
