//! Objects as `jsonb` keeps them: what is checked before it is sent, and how numbers come back.

use serde_json::{Map, Number, Value};

use super::validation::InvalidField;

/// The deepest nesting; readers of JSON have limits as well.
pub const JSON_DEPTH_MAX: usize = 64;
/// The most octets of an object, as Postgres prints it.
pub const JSON_OCTETS_MAX: usize = 1024 * 1024;
/// A number with an exponent may be printed with as many digits.
const EXPONENT_OCTETS: usize = 330;

/// An object as `jsonb` will give it back, if it can keep it: without NUL, not too deep and not too long.
///
/// Postgres keeps numbers as decimals: -0.0 becomes 0.0, and what JSON writes with an exponent comes back as digits,
/// that is, as an integer if it is one. Everything else is kept exactly.
pub(super) fn stored_object(
    field: &'static str,
    object: &Map<String, Value>,
) -> Result<Map<String, Value>, InvalidField> {
    let mut octets = 2;
    let stored = members(field, object, 1, &mut octets)?;
    if octets > JSON_OCTETS_MAX {
        let reason = format!("expected at most {JSON_OCTETS_MAX} octets of JSON, found up to {octets}");
        return Err(InvalidField::new(field, reason));
    }
    Ok(stored)
}

fn members(
    field: &'static str,
    object: &Map<String, Value>,
    depth: usize,
    octets: &mut usize,
) -> Result<Map<String, Value>, InvalidField> {
    let mut stored = Map::new();
    for (key, value) in object {
        *octets = octets.saturating_add(string_octets(field, key)? + 4);
        stored.insert(key.clone(), self::value(field, value, depth, octets)?);
    }
    Ok(stored)
}

fn value(field: &'static str, value: &Value, depth: usize, octets: &mut usize) -> Result<Value, InvalidField> {
    if depth > JSON_DEPTH_MAX {
        return Err(InvalidField::new(field, format!("expected at most {JSON_DEPTH_MAX} levels, found more")));
    }
    Ok(match value {
        Value::Null | Value::Bool(_) => {
            *octets = octets.saturating_add(5);
            value.clone()
        }
        Value::Number(number) => {
            let text = number.to_string();
            let length = if text.contains(['e', 'E']) { EXPONENT_OCTETS } else { text.len() };
            *octets = octets.saturating_add(length);
            Value::Number(stored_number(number))
        }
        Value::String(text) => {
            *octets = octets.saturating_add(string_octets(field, text)?);
            value.clone()
        }
        Value::Array(values) => {
            *octets = octets.saturating_add(2 + 2 * values.len());
            let values = values.iter().map(|value| self::value(field, value, depth + 1, octets));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Value::Object(object) => {
            *octets = octets.saturating_add(2);
            Value::Object(members(field, object, depth + 1, octets)?)
        }
    })
}

fn string_octets(field: &'static str, text: &str) -> Result<usize, InvalidField> {
    if text.contains('\0') {
        return Err(InvalidField::new(field, "expected no NUL in a string of JSON, found one"));
    }
    // A control character is printed with six.
    Ok(2 + text.chars().fold(0, |octets: usize, character| {
        octets.saturating_add(match character {
            '"' | '\\' => 2,
            character if u32::from(character) < 0x20 => 6,
            character => character.len_utf8(),
        })
    }))
}

/// The number that is read back: Postgres prints all digits of a number that was written with an exponent.
fn stored_number(number: &Number) -> Number {
    let Some(double) = number.as_f64().filter(|_| number.is_f64()) else { return number.clone() };
    if double == 0.0 {
        return Number::from_f64(0.0).unwrap_or_else(|| number.clone());
    }
    if !number.to_string().contains(['e', 'E']) || double.fract() != 0.0 {
        return number.clone();
    }
    // Integers of 64 bits are read as such; greater ones as the double that they are.
    let digits = format!("{double:.0}");
    if let Ok(integer) = digits.parse::<u64>() {
        return integer.into();
    }
    digits.parse::<i64>().map_or_else(|_| number.clone(), Number::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn numbers_are_as_postgres_prints_them() {
        let given =
            object(json!({ "a": 0.1, "b": -0.0, "c": 1e16, "d": 1e300, "e": 1.0, "f": u64::MAX, "g": 1e-7 }));
        let stored = stored_object("x", &given).unwrap();
        let expected = json!({
            "a": 0.1, "b": 0.0, "c": 10_000_000_000_000_000_u64, "d": 1e300, "e": 1.0, "f": u64::MAX, "g": 1e-7
        });
        assert_eq!(Value::Object(stored.clone()), expected);
        assert_eq!(stored_object("x", &stored).unwrap(), stored);
    }

    #[test]
    fn what_postgres_cannot_keep_is_refused() {
        let mut deep = json!({});
        for _ in 0..JSON_DEPTH_MAX {
            deep = json!({ "a": deep });
        }
        for refused in [
            json!({ "a": "\0" }),
            json!({ "\0": 1 }),
            json!({ "a": "x".repeat(JSON_OCTETS_MAX) }),
            json!({ "a": vec![1e300; 4000] }),
            json!({ "a": [deep] }),
        ] {
            assert_eq!(stored_object("x", &object(refused)).unwrap_err().field, "x");
        }
        assert!(stored_object("x", &Map::new()).is_ok());
    }
}
