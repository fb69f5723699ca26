#![no_main]
//! Whatever format the bytes are of: an error, or a model that predicts.

use libfuzzer_sys::fuzz_target;
use proofmark::model::Model;

/// Wider rows would only fill memory.
const FEATURES_MAX: usize = 100_000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = Model::from_bytes(bytes) else { return };
    if model.feature_count() <= FEATURES_MAX {
        let row = vec![0.5; model.feature_count()];
        assert_eq!(model.predictions(&row).len(), model.output_count());
    }
});
