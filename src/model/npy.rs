//! NumPy's array files (`.npy`, versions 1 to 3) of numbers and of records of numbers. Objects (pickles) are refused.

/// The most dimensions of an array.
const DIMENSIONS_MAX: usize = 8;

/// The deepest nesting in a header.
const DEPTH_MAX: usize = 8;

/// Why bytes are no array that can be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct NpyError(String);

fn error<T>(message: impl Into<String>) -> Result<T, NpyError> {
    Err(NpyError(message.into()))
}

/// The type of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Signed,
    Unsigned,
    Float,
}

/// Numbers at one place of each record; the only one of a plain array.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: String,
    kind: Kind,
    width: usize,
    offset: usize,
}

/// An array.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array<'a> {
    fields: Vec<Field>,
    record: usize,
    shape: Vec<usize>,
    is_fortran: bool,
    data: &'a [u8],
}

impl<'a> Array<'a> {
    /// Reads the header of a file, and checks that there are as many bytes as it says.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, NpyError> {
        let Some(rest) = bytes.strip_prefix(b"\x93NUMPY") else { return error("expected an array of NumPy") };
        let (length, rest) = match rest {
            [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
            [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
            _ => return error("expected an array of version 1, 2 or 3"),
        };
        let (Some(header), Some(data)) = (rest.get(..length), rest.get(length..)) else {
            return error("expected a longer header; the file is truncated");
        };
        let header = std::str::from_utf8(header).map_err(|_| NpyError("expected a header in UTF-8".to_owned()))?;
        let mut literal = Literal { text: header.trim_end(), depth: 0 };
        let Value::Dict(entries) = literal.value()? else { return error("expected a dictionary as header") };
        let entry = |name: &str| {
            let found = entries.iter().find(|(key, _)| *key == Value::Text(name));
            found.map(|(_, value)| value).ok_or_else(|| NpyError(format!("expected {name} in the header")))
        };
        let (fields, record) = fields(entry("descr")?)?;
        let Value::Bool(is_fortran) = entry("fortran_order")? else { return error("expected an order") };
        let Value::List(dimensions) = entry("shape")? else { return error("expected a shape") };
        if dimensions.len() > DIMENSIONS_MAX {
            return error(format!("expected at most {DIMENSIONS_MAX} dimensions, found {}", dimensions.len()));
        }
        let mut shape = Vec::new();
        for dimension in dimensions {
            match dimension {
                Value::Number(number) => shape.push(*number),
                _ => return error("expected a shape of numbers"),
            }
        }
        let size = shape.iter().try_fold(record, |size, dimension| size.checked_mul(*dimension));
        match size.and_then(|size| data.get(..size)) {
            Some(data) => Ok(Self { fields, record, shape, is_fortran: *is_fortran, data }),
            None => error(format!("expected an array of shape {shape:?}, found {} bytes", data.len())),
        }
    }

    /// The size in each dimension.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn field(&self, name: &str) -> Result<&Field, NpyError> {
        let found = self.fields.iter().find(|field| field.name == name);
        found.ok_or_else(|| NpyError(format!("expected numbers {name:?} in each record")))
    }

    fn values(&self, name: &str) -> Result<(&Field, impl Iterator<Item = &'a [u8]>), NpyError> {
        let field = self.field(name)?;
        let (start, end) = (field.offset, field.offset + field.width);
        Ok((field, self.data.chunks_exact(self.record).map(move |record| &record[start..end])))
    }

    /// The numbers of a field as 64-bit floats; those of a plain array have no name.
    #[expect(clippy::cast_precision_loss, reason = "what needs all digits is read as integers")]
    pub(super) fn floats(&self, name: &str) -> Result<Vec<f64>, NpyError> {
        let (field, values) = self.values(name)?;
        let kind = field.kind;
        let value = |bytes: &[u8]| match (kind, bytes) {
            (Kind::Float, [a, b, c, d]) => Ok(f64::from(f32::from_le_bytes([*a, *b, *c, *d]))),
            (Kind::Float, [a, b, c, d, e, f, g, h]) => Ok(f64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
            (Kind::Float, _) => error("expected floats of 32 or 64 bits"),
            _ => integer(kind, bytes).map(|number| number as f64),
        };
        values.map(value).collect()
    }

    /// The numbers of a field as integers.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>, NpyError> {
        let (field, values) = self.values(name)?;
        let kind = field.kind;
        if kind == Kind::Float {
            return error(format!("expected integers {name:?}, found floats"));
        }
        values.map(|bytes| integer(kind, bytes)).collect()
    }

    /// The numbers of a plain array of two dimensions, row by row, and the numbers of rows and columns.
    pub(super) fn matrix(&self) -> Result<(Vec<f64>, usize, usize), NpyError> {
        let [rows, columns] = self.shape[..] else {
            return error(format!("expected two dimensions, found {}", self.shape.len()));
        };
        let numbers = self.floats("")?;
        if !self.is_fortran {
            return Ok((numbers, rows, columns));
        }
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| column * rows + row));
        Ok((cells.map(|cell| numbers[cell]).collect(), rows, columns))
    }
}

fn integer(kind: Kind, bytes: &[u8]) -> Result<i64, NpyError> {
    let mut wide =
        [if kind == Kind::Signed && bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    if kind == Kind::Unsigned && bytes.len() == 8 && bytes[7] & 0x80 != 0 {
        return error("expected integers of 63 bits, found a larger one");
    }
    Ok(i64::from_le_bytes(wide))
}

/// The fields of a record, and its size in bytes.
fn fields(description: &Value<'_>) -> Result<(Vec<Field>, usize), NpyError> {
    let mut fields = Vec::new();
    let mut offset = 0_usize;
    let mut add = |name: &str, format: &str| {
        let mut characters = format.chars();
        let order = characters.next();
        let kind = characters.next();
        let width = characters.as_str().parse::<usize>().ok().filter(|width| *width <= 1 << 16);
        let Some(width) = width else { return error(format!("expected numbers, found the type {format:?}")) };
        let kind = match kind {
            Some('i') => Some(Kind::Signed),
            Some('u' | 'b') => Some(Kind::Unsigned),
            Some('f') => Some(Kind::Float),
            // Bytes of no meaning between the numbers of a record.
            Some('V') => None,
            _ => return error(format!("expected numbers, found the type {format:?}")),
        };
        if let Some(kind) = kind {
            if !matches!((order, width), (Some('<'), 2 | 4 | 8) | (Some('|' | '<'), 1)) {
                return error(format!(
                    "expected little-endian numbers of 1 to 8 bytes, found the type {format:?}"
                ));
            }
            fields.push(Field { name: name.to_owned(), kind, width, offset });
        }
        offset += width;
        Ok(())
    };
    match description {
        Value::Text(format) => add("", format)?,
        Value::List(entries) => {
            for entry in entries {
                match entry {
                    Value::List(entry) => match entry[..] {
                        [Value::Text(name), Value::Text(format)] => add(name, format)?,
                        _ => return error("expected records of names and types"),
                    },
                    _ => return error("expected records of names and types"),
                }
            }
        }
        _ => return error("expected a type"),
    }
    if offset == 0 { error("expected a type with bytes") } else { Ok((fields, offset)) }
}

/// A literal of Python, as headers have them.
#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Text(&'a str),
    Number(usize),
    Bool(bool),
    List(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
}

struct Literal<'a> {
    text: &'a str,
    depth: usize,
}

impl<'a> Literal<'a> {
    fn skip(&mut self, token: char) -> bool {
        self.text = self.text.trim_start();
        let rest = self.text.strip_prefix(token);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn value(&mut self) -> Result<Value<'a>, NpyError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return error("expected a header of less depth");
        }
        let value = self.value_within()?;
        self.depth -= 1;
        Ok(value)
    }

    fn value_within(&mut self) -> Result<Value<'a>, NpyError> {
        for quote in ['\'', '"'] {
            if self.skip(quote) {
                let Some((text, rest)) = self.text.split_once(quote) else {
                    return error("expected a closing quote");
                };
                self.text = rest;
                return Ok(Value::Text(text));
            }
        }
        for (open, close) in [('(', ')'), ('[', ']')] {
            if self.skip(open) {
                let mut list = Vec::new();
                while !self.skip(close) {
                    list.push(self.value()?);
                    if !self.skip(',') && !self.text.starts_with(close) {
                        return error("expected a comma in the header");
                    }
                }
                return Ok(Value::List(list));
            }
        }
        if self.skip('{') {
            let mut entries = Vec::new();
            while !self.skip('}') {
                let key = self.value()?;
                if !self.skip(':') {
                    return error("expected a colon in the header");
                }
                entries.push((key, self.value()?));
                if !self.skip(',') && !self.text.starts_with('}') {
                    return error("expected a comma in the header");
                }
            }
            return Ok(Value::Dict(entries));
        }
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.text.strip_prefix(word) {
                self.text = rest;
                return Ok(Value::Bool(value));
            }
        }
        let end = self.text.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.text.len());
        let (digits, rest) = self.text.split_at(end);
        // Python 2 wrote 3L.
        self.text = rest.strip_prefix('L').unwrap_or(rest);
        digits.parse().map(Value::Number).map_err(|_| NpyError("expected a value in the header".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn records_and_orders_are_read() {
        let header =
            "{'descr': [('a', '|u1'), ('', '|V1'), ('b', '<i2')], 'fortran_order': False, 'shape': (2,), }  \n";
        let bytes = file(header, &[7, 0, 0xfe, 0xff, 8, 0, 1, 1]);
        let array = Array::read(&bytes).unwrap();
        assert_eq!(array.integers("a").unwrap(), [7, 8]);
        assert_eq!(array.floats("b").unwrap(), [-2.0, 257.0]);
        assert!(array.integers("c").is_err());

        let header = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}";
        let data: Vec<u8> = [1_f32, 2.0, 3.0, 4.0, 5.0, 6.0].into_iter().flat_map(f32::to_le_bytes).collect();
        let bytes = file(header, &data);
        assert_eq!(Array::read(&bytes).unwrap().matrix().unwrap(), (vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0], 2, 3));
    }

    #[test]
    fn what_is_no_array_of_numbers_is_refused() {
        let nested = format!("{{'descr': {}", "(".repeat(10_000));
        for (header, expected) in [
            ("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "'|O'".replace('\'', "\"")),
            ("{'descr': '>f8', 'fortran_order': False, 'shape': (1,)}", "little-endian".to_owned()),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999, 9999999)}", "bytes".to_owned()),
            ("{'descr': '|V0', 'fortran_order': False, 'shape': (9999999999999,)}", "with bytes".to_owned()),
            (&nested, "depth".to_owned()),
            ("{'descr'", "colon".to_owned()),
        ] {
            let bytes = file(header, &[]);
            let message = Array::read(&bytes).unwrap_err().to_string();
            assert!(message.contains(&expected), "{message}");
        }
    }
}
