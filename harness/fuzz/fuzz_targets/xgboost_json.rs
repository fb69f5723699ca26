#![no_main]
//! `xgboost::from_json`: an error or a model, never a panic.

use libfuzzer_sys::fuzz_target;
use proofmark::model::xgboost;

fuzz_target!(|bytes: &[u8]| drop(xgboost::from_json(bytes)));
