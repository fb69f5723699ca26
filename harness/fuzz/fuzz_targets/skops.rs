#![no_main]
//! `sklearn::from_skops`: an error or a model, never a panic.

use libfuzzer_sys::fuzz_target;
use proofmark::model::sklearn;

fuzz_target!(|bytes: &[u8]| drop(sklearn::from_skops(bytes)));
