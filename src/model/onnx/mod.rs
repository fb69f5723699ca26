//! ONNX models: ensembles of trees and linear models of ai.onnx.ml, and networks of dense layers and activations.
//!
//! A graph must be a chain of operators from one input, which has all features, to the last output. Values are in 32 bits
//! unless the input is of type double. Trees are summed as ONNX Runtime does it in one thread, to the last bit; products of
//! matrices depend on the machine, and are computed in 64 bits here.

mod chain;
mod graph;
mod proto;
mod tensor;
mod tree;

use super::Model;
use super::ensemble::TreeEnsemble;
use super::error::ModelError;
use super::linear::LinearModel;
use super::link::Link;
use super::network::Layer;

pub(super) const FORMAT: &str = "ONNX";

/// The largest file, in bytes: what protobuf allows.
pub const ONNX_BYTES_MAX: u64 = 2 << 30;

/// What a chain of operators has become so far.
enum Head {
    /// Nothing but the features, or layers upon them.
    Layers(Vec<Layer>),
    Trees(TreeEnsemble),
    Linear(LinearModel),
}

/// Reads a model.
///
/// # Errors
/// [`ModelError`] when the bytes are not ONNX, inconsistent, or the model uses something unsupported.
pub fn from_protobuf(bytes: &[u8]) -> Result<Model, ModelError> {
    if bytes.len() as u64 > ONNX_BYTES_MAX {
        let found = bytes.len() as u64;
        return Err(ModelError::TooLarge { what: "ONNX file, in bytes", found, limit: ONNX_BYTES_MAX });
    }
    chain::read(graph::Chain::of(bytes)?)
}

fn layout(message: impl Into<String>) -> ModelError {
    ModelError::Layout { format: FORMAT, message: message.into() }
}

/// What a transformation after an operator of ai.onnx.ml makes of the margins.
fn post_transform(name: &str, outputs: usize) -> Result<Link, ModelError> {
    match name {
        "NONE" => Ok(Link::Identity),
        "LOGISTIC" => Ok(Link::Logit),
        "SOFTMAX" if outputs > 0 => Ok(Link::Softmax),
        other => Err(ModelError::Unsupported {
            what: "post_transform",
            found: other.to_owned(),
            supported: "NONE, LOGISTIC or SOFTMAX",
        }),
    }
}
