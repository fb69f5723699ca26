//! Constants of a graph.

use super::{layout, proto};
use crate::model::error::ModelError;

/// A constant's numbers and shape.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f64>,
}

impl Numbers {
    #[expect(clippy::cast_precision_loss, reason = "integers are shapes and axes here")]
    pub(super) fn of(tensor: &proto::Tensor) -> Result<Self, ModelError> {
        if tensor.location.is_some_and(|location| location != 0) {
            return Err(ModelError::Unsupported {
                what: "place of a tensor",
                found: "another file".to_owned(),
                supported: "tensors within the file; save the model without external data",
            });
        }
        let raw = tensor.raw.as_deref();
        let values: Vec<f64> = match (tensor.data_type, raw) {
            (Some(1), None) => tensor.floats.iter().copied().map(f64::from).collect(),
            (Some(1), Some(raw)) => wide(raw, |bytes| f64::from(f32::from_le_bytes(bytes)))?,
            (Some(11), None) => tensor.doubles.clone(),
            (Some(11), Some(raw)) => wide(raw, f64::from_le_bytes)?,
            (Some(6), None) => tensor.small_integers.iter().copied().map(f64::from).collect(),
            (Some(6), Some(raw)) => wide(raw, |bytes| f64::from(i32::from_le_bytes(bytes)))?,
            (Some(7), None) => tensor.integers.iter().map(|integer| *integer as f64).collect(),
            (Some(7), Some(raw)) => wide(raw, |bytes| i64::from_le_bytes(bytes) as f64)?,
            (other, _) => {
                return Err(ModelError::Unsupported {
                    what: "type of a tensor",
                    found: format!("number {}", other.unwrap_or(0)),
                    supported: "float, double, int32 or int64",
                });
            }
        };
        let shape: Option<Vec<usize>> = tensor.dimensions.iter().map(|size| usize::try_from(*size).ok()).collect();
        let shape = shape.ok_or_else(|| layout("expected a shape of numbers from 0 on"))?;
        let count = shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size));
        if count == Some(values.len()) {
            Ok(Self { shape, values })
        } else {
            let expected = format!("as many as the shape {shape:?} says");
            Err(ModelError::invalid("numbers of a tensor", expected, values.len()))
        }
    }

    /// The numbers as one for each of so many values: all of them, or the same for each.
    pub(super) fn broadcast(&self, width: usize) -> Option<Vec<f64>> {
        let is_row = self.shape.iter().rev().skip(1).all(|size| *size == 1);
        match self.values[..] {
            [only] => Some(vec![only; width]),
            _ => (is_row && self.values.len() == width).then(|| self.values.clone()),
        }
    }
}

fn wide<const N: usize>(raw: &[u8], number: impl Fn([u8; N]) -> f64) -> Result<Vec<f64>, ModelError> {
    let (chunks, rest) = raw.as_chunks::<N>();
    if rest.is_empty() {
        Ok(chunks.iter().map(|chunk| number(*chunk)).collect())
    } else {
        Err(ModelError::invalid("bytes of a tensor", format!("a multiple of {N}"), raw.len()))
    }
}
