#![no_main]
//! `onnx::from_protobuf`: an error or a model, never a panic.

use libfuzzer_sys::fuzz_target;
use proofmark::model::onnx;

fuzz_target!(|bytes: &[u8]| drop(onnx::from_protobuf(bytes)));
