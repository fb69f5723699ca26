//! JSON objects that more than one aggregate has.

use serde_json::{Map, Value};

use super::json::stored_object;
use super::validation::InvalidField;

/// A JSON object.
pub type Document = Map<String, Value>;

/// As [`stored_object`], of which no value is an object or an array.
pub(super) fn flat(field: &'static str, object: &Document) -> Result<Document, InvalidField> {
    if let Some((key, _)) = object.iter().find(|(_, value)| value.is_object() || value.is_array()) {
        let reason = format!("expected a number, text, boolean or null for {key:?}, found an object or array");
        return Err(InvalidField::new(field, reason));
    }
    stored_object(field, object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_flat_object_has_no_objects_in_it() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        assert!(flat("d", &object(json!({"a": 1, "b": null, "c": "x", "d": true}))).is_ok());
        assert!(flat("d", &object(json!({"a": {}}))).is_err());
        assert!(flat("d", &object(json!({"a": []}))).is_err());
    }
}
