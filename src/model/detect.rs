//! Which format a file has, from its content.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

/// A format of model files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    XgboostJson,
    XgboostUbjson,
    LightgbmText,
    CatboostJson,
    LinearJson,
    Skops,
    Onnx,
}

/// The format of a file's content; none if it is not known.
pub(super) fn detect(bytes: &[u8]) -> Option<Format> {
    // Binary formats have no white space before them. A model of ONNX begins with the number of its format's version.
    match bytes {
        [b'P', b'K', 3 | 5, ..] => return Some(Format::Skops),
        [8, 1..=63, ..] => return Some(Format::Onnx),
        _ => {}
    }
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let content = &bytes[start..];
    match content {
        [b'{', second, ..] if b"iUIlL$#".contains(second) => Some(Format::XgboostUbjson),
        [b'{', ..] => by_keys(content),
        _ if content.starts_with(b"tree\n") || content.starts_with(b"tree\r\n") => Some(Format::LightgbmText),
        _ => None,
    }
}

/// The format of a JSON object. It is read up to the first key that tells: most often the first of all.
fn by_keys(content: &[u8]) -> Option<Format> {
    let found = Cell::new(None);
    // What this returns does not matter: where the key comes before a damaged place, its format's reader will say more.
    let _ = serde_json::Deserializer::from_slice(content).deserialize_map(Keys { found: &found });
    found.get()
}

struct Keys<'a> {
    found: &'a Cell<Option<Format>>,
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let format = match key.as_str() {
                "learner" => Some(Format::XgboostJson),
                "oblivious_trees" | "features_info" | "scale_and_bias" => Some(Format::CatboostJson),
                "coefficients" => Some(Format::LinearJson),
                _ => None,
            };
            if format.is_some() {
                self.found.set(format);
                return Err(serde::de::Error::custom("found"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
