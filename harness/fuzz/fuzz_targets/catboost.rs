#![no_main]
//! `catboost::from_json`: an error or a model, never a panic.

use libfuzzer_sys::fuzz_target;
use proofmark::model::catboost;

fuzz_target!(|bytes: &[u8]| drop(catboost::from_json(bytes)));
