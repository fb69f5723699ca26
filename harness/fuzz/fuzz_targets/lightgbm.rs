#![no_main]
//! `lightgbm::from_text`: an error or a model, never a panic.

use libfuzzer_sys::fuzz_target;
use proofmark::model::lightgbm;

fuzz_target!(|bytes: &[u8]| drop(lightgbm::from_text(bytes)));
