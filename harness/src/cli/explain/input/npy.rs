//! NumPy's format for one array (NEP 1): rows x features of any type of numbers.

use std::fs::File;
use std::io::Seek as _;
use std::os::unix::fs::FileExt as _;

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};

use super::{Columns, Position, Row, Table};

/// The longest header, in bytes: that of a plain array has about a hundred.
const HEADER_BYTES_MAX: u64 = 64 * 1024;

/// How an element becomes a number.
type Decode = fn(&[u8]) -> f64;

/// An array that is read piece by piece, whichever way round it is stored.
pub(super) struct Npy {
    file: File,
    /// Where the elements begin.
    offset: u64,
    rows: usize,
    columns: usize,
    order: Order,
    size: usize,
    is_big_endian: bool,
    decode: Decode,
    places: Vec<usize>,
    next: usize,
}

impl Npy {
    pub(super) fn open(mut file: File) -> Result<Self, String> {
        let claimed = header_bytes(&file)?;
        if claimed > HEADER_BYTES_MAX {
            return Err(format!("expected a header of at most {HEADER_BYTES_MAX} bytes, found {claimed}"));
        }
        let header = NpyHeader::from_reader(&mut file).map_err(|error| format!("in the header: {error}"))?;
        let offset = file.stream_position().map_err(|error| error.to_string())?;
        let [rows, columns] = *header.shape() else {
            let shape = header.shape().iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            return Err(format!("expected an array of two dimensions, rows x features, found shape ({shape})"));
        };
        let DType::Plain(kind) = header.dtype() else {
            return Err("expected an array of numbers, found one of records".to_owned());
        };
        let (size, decode) = decoder(kind.type_char(), kind.size_field()).ok_or_else(|| {
            format!("expected numbers of 1, 2, 4 or 8 bytes or booleans, found the type {kind}; convert with astype('float64')")
        })?;
        let needed = rows.checked_mul(columns).and_then(|count| count.checked_mul(size as u64));
        let found = file.metadata().map_err(|error| error.to_string())?.len().saturating_sub(offset);
        if needed.is_none_or(|needed| needed > found) {
            return Err(format!(
                "expected {rows} x {columns} values of {size} bytes, found {found} bytes; is it cut off?"
            ));
        }
        let count = |claimed: u64| usize::try_from(claimed).map_err(|error| error.to_string());
        Ok(Self {
            file,
            offset,
            rows: count(rows)?,
            columns: count(columns)?,
            order: header.order(),
            size,
            is_big_endian: kind.endianness() == Endianness::Big,
            decode,
            places: Vec::new(),
            next: 0,
        })
    }

    /// Reads elements that lie side by side.
    fn elements(&self, first: usize, count: usize) -> Result<Vec<f64>, String> {
        let mut bytes = vec![0; count * self.size];
        let at = self.offset + (first as u64) * (self.size as u64);
        self.file.read_exact_at(&mut bytes, at).map_err(|error| error.to_string())?;
        let number = |element: &mut [u8]| {
            if self.is_big_endian {
                element.reverse();
            }
            (self.decode)(element)
        };
        Ok(bytes.chunks_exact_mut(self.size).map(number).collect())
    }
}

/// How long a file says that its header is.
fn header_bytes(file: &File) -> Result<u64, String> {
    let mut start = [0; 12];
    file.read_exact_at(&mut start, 0).map_err(|error| format!("in the header: {error}"))?;
    Ok(match start[6] {
        1 => u64::from(u16::from_le_bytes([start[8], start[9]])),
        _ => u64::from(u32::from_le_bytes([start[8], start[9], start[10], start[11]])),
    })
}

/// The size of a type, and what it means, least significant byte first.
fn decoder(kind: TypeChar, size: u64) -> Option<(usize, Decode)> {
    /// The first bytes; there are as many as the type has.
    fn first<const N: usize>(element: &[u8]) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&element[..N]);
        bytes
    }
    #[expect(clippy::cast_precision_loss, reason = "models compute in floats: the nearest is what they would get")]
    let decode: Decode = match (kind, size) {
        (TypeChar::Float, 8) => |e| f64::from_le_bytes(first(e)),
        (TypeChar::Float, 4) => |e| f64::from(f32::from_le_bytes(first(e))),
        (TypeChar::Float, 2) => |e| half(u16::from_le_bytes(first(e))),
        (TypeChar::Int, 8) => |e| i64::from_le_bytes(first(e)) as f64,
        (TypeChar::Int, 4) => |e| f64::from(i32::from_le_bytes(first(e))),
        (TypeChar::Int, 2) => |e| f64::from(i16::from_le_bytes(first(e))),
        (TypeChar::Int, 1) => |e| f64::from(i8::from_le_bytes(first(e))),
        (TypeChar::Uint, 8) => |e| u64::from_le_bytes(first(e)) as f64,
        (TypeChar::Uint, 4) => |e| f64::from(u32::from_le_bytes(first(e))),
        (TypeChar::Uint, 2) => |e| f64::from(u16::from_le_bytes(first(e))),
        (TypeChar::Uint, 1) => |e| f64::from(e[0]),
        (TypeChar::Bool, 1) => |e| f64::from(u8::from(e[0] != 0)),
        _ => return None,
    };
    Some((usize::try_from(size).ok()?, decode))
}

/// A float of 16 bits (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    sign * match exponent {
        0 => fraction * 2.0_f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1024.0 + fraction) * 2.0_f64.powi(exponent - 25),
    }
}

impl Table for Npy {
    fn columns(&self) -> Columns {
        Columns::Counted(self.columns)
    }

    fn select(&mut self, places: &[usize]) -> Result<(), String> {
        self.places = places.to_vec();
        Ok(())
    }

    fn next_rows(&mut self, most: usize) -> Result<Vec<Row>, String> {
        let count = most.min(self.rows - self.next);
        if count == 0 {
            return Ok(Vec::new());
        }
        let rows = match self.order {
            Order::C => {
                let values = self.elements(self.next * self.columns, count * self.columns)?;
                let row = |values: &[f64]| self.places.iter().map(|place| values[*place]).collect();
                (0..count)
                    .map(|row| row * self.columns..(row + 1) * self.columns)
                    .map(|range| row(&values[range]))
                    .collect()
            }
            Order::Fortran => {
                let mut rows: Vec<Vec<f64>> = vec![Vec::with_capacity(self.places.len()); count];
                for place in &self.places {
                    let column = self.elements(place * self.rows + self.next, count)?;
                    for (row, value) in rows.iter_mut().zip(column) {
                        row.push(value);
                    }
                }
                rows
            }
        };
        self.next += count;
        Ok(rows.into_iter().map(Ok).collect())
    }

    fn position(&self) -> Position {
        Position { read: self.next as u64, of: Some(self.rows as u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_are_decoded() {
        for (bits, expected) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_625e-5),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x7c00, f64::INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), f64::to_bits(expected), "{bits:04x}");
        }
        assert!(half(0x7e00).is_nan());
    }
}
