//! Predictions of loaded models.

use proofmark::model::Model;
use proofmark_harness::fixture::FIXTURES;

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
