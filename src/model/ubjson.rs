//! Universal Binary JSON (draft 12), as XGBoost writes it: for serde, so that one description of a layout serves both forms.
//!
//! Numbers are big-endian. Containers may begin with a type and a count; keys of objects are strings without the mark
//! of one.

use std::fmt::Display;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};

/// The deepest nesting of containers.
const DEPTH_MAX: usize = 64;

/// Why bytes are not the value that was expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// The bytes are no UBJSON.
    #[error("{message}, at byte {at}")]
    Syntax { at: usize, message: String },
    /// The value is of another shape.
    #[error("{0}")]
    Shape(String),
}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::Shape(message.to_string())
    }
}

/// Reads a value from all bytes.
pub(super) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    let value = T::deserialize(&mut reader)?;
    // XGBoost pads nothing, others may end with no-ops.
    match bytes[reader.at..].iter().find(|byte| **byte != b'N') {
        None => Ok(value),
        Some(_) => Err(reader.syntax("expected the end of the file, found more")),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn syntax(&self, message: impl Into<String>) -> Error {
        Error::Syntax { at: self.at, message: message.into() }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            let left = self.bytes.len() - self.at;
            return Err(self.syntax(format!("expected {count} more bytes, found {left}; the file is truncated")));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn mark(&mut self) -> Result<u8, Error> {
        loop {
            match self.array::<1>()? {
                [b'N'] => {}
                [mark] => return Ok(mark),
            }
        }
    }

    /// An integer with its mark: a length or a count.
    fn length(&mut self) -> Result<usize, Error> {
        let value = match self.mark()? {
            b'i' => i64::from(i8::from_be_bytes(self.array()?)),
            b'U' => i64::from(self.array::<1>()?[0]),
            b'I' => i64::from(i16::from_be_bytes(self.array()?)),
            b'l' => i64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?),
            other => return Err(self.syntax(format!("expected a length, found the mark {}", shown(other)))),
        };
        usize::try_from(value).map_err(|_| self.syntax(format!("expected a length, found {value}")))
    }

    fn text(&mut self) -> Result<&'a str, Error> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.syntax("expected UTF-8, found another encoding"))
    }

    /// What is said at the beginning of a container of its elements' type and number.
    fn header(&mut self, end: u8) -> Result<Container, Error> {
        let mut mark = None;
        if self.peek() == Some(b'$') {
            self.at += 1;
            let [found] = self.array()?;
            // Elements without bytes would let a few bytes stand for any number of them.
            if width(found).is_none() && !b"[{SH".contains(&found) {
                return Err(self.syntax(format!("expected a type with content, found {}", shown(found))));
            }
            mark = Some(found);
        }
        let mut left = None;
        if self.peek() == Some(b'#') {
            self.at += 1;
            let count = self.length()?;
            let least = mark.map_or(1, |mark| width(mark).unwrap_or(1));
            let there = self.bytes.len() - self.at;
            if count.checked_mul(least).is_none_or(|bytes| bytes > there) {
                let message = format!("expected {count} elements, found {there} bytes; the file is truncated");
                return Err(self.syntax(message));
            }
            left = Some(count);
        } else if mark.is_some() {
            return Err(self.syntax("expected a count after the type of a container"));
        }
        Ok(Container { mark, left, end })
    }

    fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.syntax(format!("expected at most {DEPTH_MAX} containers within each other")));
        }
        Ok(())
    }

    /// A value whose mark has been read.
    fn value<'de, V: Visitor<'de>>(&mut self, mark: u8, visitor: V) -> Result<V::Value, Error> {
        match mark {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'i' => visitor.visit_i8(i8::from_be_bytes(self.array()?)),
            b'U' => visitor.visit_u8(self.array::<1>()?[0]),
            b'I' => visitor.visit_i16(i16::from_be_bytes(self.array()?)),
            b'l' => visitor.visit_i32(i32::from_be_bytes(self.array()?)),
            b'L' => visitor.visit_i64(i64::from_be_bytes(self.array()?)),
            b'd' => visitor.visit_f32(f32::from_be_bytes(self.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(self.array()?)),
            b'C' => visitor.visit_char(char::from(self.array::<1>()?[0])),
            b'S' | b'H' => visitor.visit_str(self.text()?),
            b'[' => {
                self.enter()?;
                let container = self.header(b']')?;
                let value = visitor.visit_seq(Elements { reader: &mut *self, container })?;
                self.depth -= 1;
                Ok(value)
            }
            b'{' => {
                self.enter()?;
                let container = self.header(b'}')?;
                let value = visitor.visit_map(Elements { reader: &mut *self, container })?;
                self.depth -= 1;
                Ok(value)
            }
            other => Err(self.syntax(format!("expected a value, found the mark {}", shown(other)))),
        }
    }
}

/// The bytes of a value of a type of fixed size.
fn width(mark: u8) -> Option<usize> {
    match mark {
        b'i' | b'U' | b'C' => Some(1),
        b'I' => Some(2),
        b'l' | b'd' => Some(4),
        b'L' | b'D' => Some(8),
        _ => None,
    }
}

fn shown(mark: u8) -> String {
    char::from(mark).escape_default().to_string()
}

struct Container {
    mark: Option<u8>,
    left: Option<usize>,
    end: u8,
}

struct Elements<'r, 'a> {
    reader: &'r mut Reader<'a>,
    container: Container,
}

impl Elements<'_, '_> {
    /// Whether there is another element.
    fn advance(&mut self) -> Result<bool, Error> {
        match &mut self.container.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => {
                while self.reader.peek() == Some(b'N') {
                    self.reader.at += 1;
                }
                match self.reader.peek() {
                    Some(byte) if byte == self.container.end => {
                        self.reader.at += 1;
                        Ok(false)
                    }
                    Some(_) => Ok(true),
                    None => Err(self.reader.syntax("expected the end of a container; the file is truncated")),
                }
            }
        }
    }

    fn element<'de, T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        match self.container.mark {
            Some(mark) => seed.deserialize(Marked { reader: self.reader, mark }),
            None => seed.deserialize(&mut *self.reader),
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.advance()? { self.element(seed).map(Some) } else { Ok(None) }
    }

    fn size_hint(&self) -> Option<usize> {
        self.container.left
    }
}

impl<'de> MapAccess<'de> for Elements<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if !self.advance()? {
            return Ok(None);
        }
        let key = self.reader.text()?;
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.element(seed)
    }
}

impl<'de> de::Deserializer<'de> for &mut Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mark = self.mark()?;
        self.value(mark, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() == Some(b'Z') {
            self.at += 1;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// A value in a container that says the type of all.
struct Marked<'r, 'a> {
    reader: &'r mut Reader<'a>,
    mark: u8,
}

impl<'de> de::Deserializer<'de> for Marked<'_, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.reader.value(self.mark, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn containers_are_read_with_and_without_types() {
        let typed = b"{L\x00\x00\x00\x00\x00\x00\x00\x01a[$d#L\x00\x00\x00\x00\x00\x00\x00\x02\x3f\x80\x00\x00\xc0\x00\x00\x00}";
        let map: BTreeMap<String, Vec<f32>> = from_slice(typed).unwrap();
        assert_eq!(map["a"], [1.0, -2.0]);
        assert_eq!(from_slice::<Vec<i64>>(b"[i\xffU\xffNI\x01\x00]").unwrap(), [-1, 255, 256]);
        assert_eq!(from_slice::<Vec<Option<String>>>(b"[#i\x02ZSi\x02hi").unwrap(), [None, Some("hi".to_owned())]);
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let deep = vec![b'['; 100_000];
        let cases: [(&[u8], &str); 6] = [
            (b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff", "truncated"),
            (b"[$Z#L\x7f\xff\xff\xff\xff\xff\xff\xff", "a type with content"),
            (b"[$d\x00", "a count"),
            (b"[i\x01", "truncated"),
            (b"[]i", "the end of the file"),
            (&deep, "within each other"),
        ];
        for (bytes, expected) in cases {
            let error = from_slice::<serde::de::IgnoredAny>(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
