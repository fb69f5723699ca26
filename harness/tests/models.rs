//! Predictions of loaded models.

use proofmark::model::Model;
use proofmark_harness::fixture::{FIXTURES, MODEL_FIXTURES};

/// Not within a tolerance: the sums are done in the same order, in the same precision.
#[test]
fn library_margins_are_equal_to_the_last_bit() {
    for fixture in FIXTURES {
        let Model::Trees(trees) = Model::from_bytes(fixture.model).unwrap() else { continue };
        for (row, (values, margin)) in
            fixture.rows().unwrap().rows.iter().zip(fixture.margins().unwrap()).enumerate()
        {
            let found = trees.library_margins(values)[0];
            assert_eq!(found.to_bits(), margin.to_bits(), "{}, row {row}: {found} and {margin}", fixture.name);
        }
    }
}

/// A folder that is not in the list would be a golden that nobody compares with.
#[test]
fn every_model_is_listed_and_predicts_what_its_library_predicts() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/models");
    let folders = std::fs::read_dir(root).unwrap().map(|folder| folder.unwrap());
    for folder in folders.filter(|folder| folder.path().join("golden.json").exists()) {
        let name = folder.file_name().into_string().unwrap();
        assert!(MODEL_FIXTURES.iter().any(|fixture| fixture.name == name), "{name} is not listed");
    }
    for fixture in MODEL_FIXTURES {
        let model = Model::from_bytes(fixture.model).unwrap();
        let golden = fixture.golden().unwrap();
        for (row, expected) in golden.rows.iter().zip(&golden.predictions) {
            let found = model.predictions(row);
            assert_eq!(found.len(), expected.len(), "{}", fixture.name);
            for (found, expected) in found.iter().zip(expected) {
                let allowed = 2e-6 * expected.abs().max(1.0);
                assert!((found - expected).abs() <= allowed, "{}: {found} and {expected}", fixture.name);
            }
        }
    }
}
