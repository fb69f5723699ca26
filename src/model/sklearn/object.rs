//! Python's objects, as far as a model needs them: fields with names, lists, numbers, texts and arrays.

use super::archive::{Archive, layout};
use super::item::Item;
use crate::model::error::ModelError;
use crate::model::npy::Array;

/// An object, and the archive that has its arrays.
#[derive(Clone)]
pub(super) struct Object<'a> {
    item: &'a Item,
    archive: &'a Archive<'a>,
    /// Where it is, for messages.
    place: String,
}

impl<'a> Object<'a> {
    pub(super) fn root(item: &'a Item, archive: &'a Archive<'a>) -> Self {
        Self { item, archive, place: "model".to_owned() }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The name of its class.
    pub(super) fn class(&self) -> &'a str {
        self.item.get("__class__").and_then(Item::text).unwrap_or("")
    }

    /// A field; none if it is not there or is None.
    pub(super) fn optional(&self, name: &str) -> Option<Self> {
        let state = self.item.get("content")?;
        // An object has a dictionary, which has the fields.
        let fields = state.get("content").unwrap_or(state);
        let item = fields.get(name)?;
        let is_none = item.get("content").and_then(Item::text) == Some("null");
        let place = format!("{}.{name}", self.place);
        (!is_none).then_some(Self { item, archive: self.archive, place })
    }

    /// A field that must be there.
    pub(super) fn field(&self, name: &str) -> Result<Self, ModelError> {
        self.optional(name).ok_or_else(|| {
            let class = self.class();
            layout(format!("missing {name} in {} ({class}); is the model fitted?", self.place))
        })
    }

    fn loader(&self) -> &'a str {
        self.item.get("__loader__").and_then(Item::text).unwrap_or("")
    }

    fn unlike(&self, expected: &str) -> ModelError {
        layout(format!("{}: expected {expected}, found {} ({})", self.place, self.class(), self.loader()))
    }

    /// The text of a number, a truth value or a string, as JSON.
    fn json(&self) -> Option<&'a str> {
        (self.loader() == "JsonNode").then(|| self.item.get("content").and_then(Item::text)).flatten()
    }

    /// A string.
    pub(super) fn text(&self) -> Result<String, ModelError> {
        let text = self.json().and_then(|json| serde_json::from_str(json).ok());
        text.ok_or_else(|| self.unlike("a string"))
    }

    /// A number, be it one of Python or of NumPy.
    pub(super) fn number(&self) -> Result<f64, ModelError> {
        match self.json() {
            Some(json) => json.parse().map_err(|_| self.unlike("a number")),
            None => match self.floats()?[..] {
                [number] => Ok(number),
                _ => Err(self.unlike("a number")),
            },
        }
    }

    /// A whole number from 0 on.
    pub(super) fn count(&self) -> Result<usize, ModelError> {
        let found = match self.json() {
            Some(json) => json.parse().ok(),
            None => match self.integers()?[..] {
                [number] => usize::try_from(number).ok(),
                _ => None,
            },
        };
        found.ok_or_else(|| self.unlike("a whole number from 0 on"))
    }

    /// The elements of a list, a tuple or an array of objects.
    pub(super) fn list(&self) -> Result<Vec<Self>, ModelError> {
        let content = self.item.get("content");
        // An array of objects is a list of lists, in another list or as it is.
        let list = content.and_then(|content| content.list().or_else(|| content.get("content")?.list()));
        let list = list.ok_or_else(|| self.unlike("a list"))?;
        let element =
            |(index, item)| Self { item, archive: self.archive, place: format!("{}[{index}]", self.place) };
        Ok(list.iter().enumerate().map(element).collect())
    }

    /// The elements of a list of lists, or of a list.
    pub(super) fn flat_list(&self) -> Result<Vec<Self>, ModelError> {
        let mut flat = Vec::new();
        for element in self.list()? {
            match element.loader() {
                "ListNode" | "TupleNode" => flat.extend(element.list()?),
                _ => flat.push(element),
            }
        }
        Ok(flat)
    }

    /// Reads an array of numbers.
    pub(super) fn with_array<T>(
        &self,
        read: impl FnOnce(&Array<'_>) -> Result<T, crate::model::npy::NpyError>,
    ) -> Result<T, ModelError> {
        let file = self.item.get("file").and_then(Item::text).ok_or_else(|| self.unlike("an array of numbers"))?;
        let bytes = self.archive.unpack(file)?;
        let value = Array::read(&bytes).and_then(|array| read(&array));
        value.map_err(|error| layout(format!("{}: {error}", self.place)))
    }

    /// The numbers of an array.
    pub(super) fn floats(&self) -> Result<Vec<f64>, ModelError> {
        self.with_array(|array| array.floats(""))
    }

    /// The integers of an array.
    pub(super) fn integers(&self) -> Result<Vec<i64>, ModelError> {
        self.with_array(|array| array.integers(""))
    }

    /// The names of the features; none if there are none.
    pub(super) fn feature_names(&self) -> Result<Vec<String>, ModelError> {
        match self.optional("feature_names_in_") {
            Some(names) => names.list()?.iter().map(Self::text).collect(),
            None => Ok(Vec::new()),
        }
    }
}
