//! The engine against the definition of Shapley values, on generated ensembles.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "small numbers"
)]

mod generated;

use std::num::NonZeroUsize;

use self::generated::{Game, Random, Tree, chain, ensemble, random_ensemble, random_row};
use super::{InstructionSet, InterventionalTreeExplainer, Precision, TreeExplainer, TreeOptions};
use crate::explain::{Attribution, Batch, Budget, ExplainError, Explainer, Explanation};

fn budget(workers: usize) -> Budget {
    Budget { workers: NonZeroUsize::new(workers).unwrap(), ..Budget::default() }
}

fn rows(explanation: &Explanation) -> Vec<&Attribution> {
    explanation.rows().iter().map(|row| row.as_ref().unwrap()).collect()
}

/// Both to the last bit.
fn assert_same(a: &Explanation, b: &Explanation, what: &str) {
    let bits = |explanation: &Explanation| -> Vec<Vec<u64>> {
        let numbers = |row: &&Attribution| -> Vec<u64> {
            row.values().iter().chain(row.interactions().unwrap_or(&[])).map(|value| value.to_bits()).collect()
        };
        rows(explanation).iter().map(numbers).collect()
    };
    assert_eq!(bits(a), bits(b), "{what}");
}

fn assert_close(found: &[f64], expected: &[f64], scale: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(difference <= scale, "{what}, place {place}: {found} instead of {expected}");
    }
}

const FEATURES: usize = 6;

#[test]
fn path_dependent_values_and_interactions_equal_the_definition() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let trees = random_ensemble(&mut random, FEATURES, 1 + (seed as usize % 11), 7);
        let magnitude: f64 = 1.0 + trees.iter().map(Tree::magnitude).sum::<f64>();
        let inputs: Vec<Vec<f64>> = (0..70).map(|_| random_row(&mut random, FEATURES)).collect();
        let batch = Batch::from_rows(&inputs);
        for (precision, tolerance) in [(Precision::Double, 1e-12), (Precision::Single, 1e-5)] {
            let mut fused: Option<Explanation> = None;
            for instructions in InstructionSet::available() {
                let what = format!("seed {seed}, {precision:?}, {instructions:?}");
                let options = TreeOptions { precision, instructions };
                let explainer = TreeExplainer::with_options(ensemble(FEATURES, &trees), options).unwrap();
                let explanation = explainer.explain_interactions(&batch, &budget(1)).unwrap();
                for (row, input) in rows(&explanation).iter().zip(&inputs).take(5) {
                    let game = Game::path_dependent(&trees, input);
                    assert_close(&[explanation.base_value()], &[game.value(0)], 1e-12 * magnitude, &what);
                    assert_close(&[row.output()], &[game.value(63)], 1e-12 * magnitude, &what);
                    assert_close(row.values(), &game.shapley(), tolerance * magnitude, &what);
                    let interactions = row.interactions().unwrap();
                    assert_close(interactions, &game.interactions(), 4.0 * tolerance * magnitude, &what);
                }
                let values = explainer.explain(&batch, &budget(1)).unwrap();
                for (a, b) in rows(&values).iter().zip(rows(&explanation)) {
                    assert_close(a.values(), b.values(), tolerance * magnitude, &what);
                }
                for (place, input) in inputs.iter().enumerate().take(3) {
                    let alone = explainer.explain(&Batch::from_rows([input]), &budget(1)).unwrap();
                    let among = Explanation::new(values.base_value(), values.rows()[place..=place].to_vec());
                    assert_same(&alone, &among, &what);
                }
                if instructions != InstructionSet::Portable {
                    if let Some(other) = &fused {
                        assert_same(&explanation, other, &what);
                    }
                    fused = Some(explanation);
                }
            }
        }
    }
}

#[test]
fn interventional_values_equal_the_definition() {
    for seed in 100..160 {
        let mut random = Random::new(seed);
        let trees = random_ensemble(&mut random, FEATURES, 1 + (seed as usize % 11), 7);
        let magnitude: f64 = 1.0 + trees.iter().map(Tree::magnitude).sum::<f64>();
        let count = [1, 3, 20, 300][seed as usize % 4];
        let background: Vec<Vec<f64>> = (0..count).map(|_| random_row(&mut random, FEATURES)).collect();
        let inputs: Vec<Vec<f64>> = (0..90).map(|_| random_row(&mut random, FEATURES)).collect();
        let mut first: Option<Explanation> = None;
        for instructions in InstructionSet::available() {
            let what = format!("seed {seed}, {instructions:?}");
            let explainer = InterventionalTreeExplainer::with_instructions(
                ensemble(FEATURES, &trees),
                &Batch::from_rows(&background),
                instructions,
            )
            .unwrap();
            let explanation = explainer.explain(&Batch::from_rows(&inputs), &budget(3)).unwrap();
            for (row, input) in rows(&explanation).iter().zip(&inputs).take(5) {
                let game = Game::interventional(&trees, input, &background);
                assert_close(&[explanation.base_value()], &[game.value(0)], 1e-12 * magnitude, &what);
                assert_close(&[row.output()], &[game.value(63)], 1e-12 * magnitude, &what);
                assert_close(row.values(), &game.shapley(), 1e-12 * magnitude, &what);
            }
            let alone = explainer.explain(&Batch::from_rows(&inputs[..1]), &budget(1)).unwrap();
            assert_same(&alone, &Explanation::new(0.0, explanation.rows()[..1].to_vec()), &what);
            if let Some(first) = &first {
                assert_same(&explanation, first, &what);
            }
            first = Some(explanation);
        }
    }
}

/// A leaf behind n conditions, each satisfied by a share c: if the row satisfies all, each has (1 - c^n) / n of the
/// value; if it misses one, that one has -c times the integral of (t + c (1 - t))^(n - 1).
#[test]
fn long_chains_equal_the_closed_form() {
    for (count, share) in
        [(2, 0.5), (12, 0.01), (20, 0.1), (30, 0.1), (60, 0.9), (64, 0.5), (100, 0.5), (300, 0.97)]
    {
        let power = i32::try_from(count).unwrap();
        let chain = chain(count, share, 10.0);
        let explainer = TreeExplainer::new(ensemble(count, std::slice::from_ref(&chain))).unwrap();
        let mut missing_one = vec![1.0; count];
        missing_one[count / 2] = -1.0;
        let explanation =
            explainer.explain(&Batch::from_rows([vec![1.0; count], missing_one]), &budget(1)).unwrap();
        let all = rows(&explanation)[0].values().to_vec();
        let expected = 10.0 * (1.0 - share.powi(power)) / f64::from(power);
        assert_close(&all, &vec![expected; count], 1e-5, &format!("{count} conditions of {share}"));
        // The integral is (1 - c^n) / (n (1 - c)).
        let expected = -share * expected / (1.0 - share);
        let found = rows(&explanation)[1].values()[count / 2];
        assert_close(&[found], &[expected], 1e-5, &format!("{count} conditions of {share}, one missed"));
        for row in rows(&explanation) {
            let total = explanation.base_value() + row.values().iter().sum::<f64>();
            assert_close(&[total], &[row.output()], 1e-10 * 10.0, &format!("{count} conditions of {share}"));
        }
    }
}

/// Against a background row that satisfies nothing, n features share the value alike.
#[test]
fn interventional_chains_equal_the_closed_form() {
    for count in [1, 2, 15, 33, 64] {
        let trees = [chain(count, 0.5, 10.0)];
        let background = Batch::from_rows([vec![-1.0; count]]);
        let explainer = InterventionalTreeExplainer::new(ensemble(count, &trees), &background).unwrap();
        let explanation = explainer.explain(&Batch::from_rows([vec![1.0; count]]), &budget(1)).unwrap();
        let expected = vec![10.0 / count as f64; count];
        assert_close(rows(&explanation)[0].values(), &expected, 1e-12, &format!("{count} features"));
    }
    let background = Batch::from_rows([vec![-1.0; 65]]);
    let error = InterventionalTreeExplainer::new(ensemble(65, &[chain(65, 0.5, 10.0)]), &background).unwrap_err();
    assert!(matches!(error, ExplainError::TooManyFeatures { limit: 64, found: 65 }), "{error}");
}

/// One feature, asked for again and again, is one player.
#[test]
fn a_chain_on_one_feature_is_one_player() {
    let mut random = Random::new(7);
    let trees = vec![generated::same_feature_chain(60, &mut random)];
    let explainer = TreeExplainer::new(ensemble(1, &trees)).unwrap();
    for value in [-1.0, 0.5, 3.5, 59.5, 100.0, f64::NAN] {
        let explanation = explainer.explain(&Batch::from_rows([[value]]), &budget(1)).unwrap();
        let row = rows(&explanation)[0];
        assert_close(row.values(), &[row.output() - explanation.base_value()], 1e-10, &format!("{value}"));
    }
}

#[test]
fn workers_and_batches_change_no_bit() {
    let mut random = Random::new(42);
    let trees = random_ensemble(&mut random, 8, 300, 9);
    let inputs: Vec<Vec<f64>> = (0..150).map(|_| random_row(&mut random, 8)).collect();
    for precision in [Precision::Double, Precision::Single] {
        let options = TreeOptions { precision, ..TreeOptions::default() };
        let explainer = TreeExplainer::with_options(ensemble(8, &trees), options).unwrap();
        let whole = explainer.explain(&Batch::from_rows(&inputs), &budget(1)).unwrap();
        for workers in [2, 3, 8] {
            for size in [1, 7, 64, 65, 150] {
                let parts = inputs.chunks(size).flat_map(|rows| {
                    explainer.explain(&Batch::from_rows(rows), &budget(workers)).unwrap().into_rows()
                });
                let parts = Explanation::new(0.0, parts.collect());
                assert_same(&parts, &whole, &format!("{workers} workers, {size} rows at once"));
            }
        }
    }
}

#[test]
fn bad_backgrounds_are_refused() {
    let trees = [chain(2, 0.5, 1.0)];
    for background in [Batch::new(), Batch::from_rows([vec![0.0; 2], vec![0.0; 3]])] {
        let error = InterventionalTreeExplainer::new(ensemble(2, &trees), &background).unwrap_err();
        assert!(matches!(error, ExplainError::Background { expected: 2, .. }), "{error}");
    }
}

#[test]
fn trees_without_splits_contribute_nothing() {
    let trees = [Tree::Leaf { value: 2.0, cover: 3.0 }];
    let batch = Batch::from_rows([[1.0, 2.0]]);
    let explainer = TreeExplainer::new(ensemble(2, &trees)).unwrap();
    let background = InterventionalTreeExplainer::new(ensemble(2, &trees), &batch).unwrap();
    for explanation in [
        explainer.explain_interactions(&batch, &budget(1)).unwrap(),
        background.explain(&batch, &budget(1)).unwrap(),
    ] {
        assert_eq!(rows(&explanation)[0].values(), [0.0; 2]);
        assert_eq!((explanation.base_value(), rows(&explanation)[0].output()), (2.0, 2.0));
    }
}
