//! The description of a model, without what only a program that rebuilds Python's objects needs.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value of the description. The parser limits how deep they nest.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Nothing,
    Text(Box<str>),
    List(Vec<Item>),
    Map(Vec<(Box<str>, Item)>),
}

impl Item {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Item> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| **name == *key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Item]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AsItem)
    }
}

struct AsItem;

impl<'de> Visitor<'de> for AsItem {
    type Value = Item;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    // Numbers and truth values are ids and versions; those of the model are in texts.
    fn visit_bool<E>(self, _: bool) -> Result<Item, E> {
        Ok(Item::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Item, E> {
        Ok(Item::Nothing)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Item, E> {
        Ok(Item::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Item, E> {
        Ok(Item::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Item, E> {
        Ok(Item::Nothing)
    }

    fn visit_str<E>(self, text: &str) -> Result<Item, E> {
        Ok(Item::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Item, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = sequence.next_element()? {
            // A few bytes of bare numbers would become many of items.
            if item != Item::Nothing {
                list.push(item);
            }
        }
        Ok(Item::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Box<str>>()? {
            if matches!(&*key, "key_types" | "__module__" | "__id__" | "is_json" | "__reduce__") {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((key, map.next_value()?));
            }
        }
        Ok(Item::Map(entries))
    }
}
