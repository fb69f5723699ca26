//! Models of every family against what their libraries predict: `harness/fixtures/models`, made by `make_models.py`
//! beside it.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::Deserialize;

use super::{Model, ModelError, Node, Tree, TreeEnsemble};

/// What a library says about some rows.
#[derive(Deserialize)]
struct Golden {
    rows: Vec<Vec<Option<f64>>>,
    /// None where a library's interface hides them.
    margins: Option<Vec<Vec<f64>>>,
    predictions: Vec<Vec<f64>>,
    /// For each row and output the contributions of the features, and the base value.
    contributions: Option<Vec<Vec<Vec<f64>>>>,
    /// Who computed the contributions.
    source: Option<String>,
    /// Margins of the iterations up to the best one.
    best_margins: Option<Vec<Vec<f64>>>,
}

/// Models that must be refused, and a word that the refusal must have in it.
const REFUSED: &[(&str, &str)] = &[("lightgbm-linear-trees", "linear models"), ("catboost-ctr", "OnlineCtr")];

/// How close a library's numbers must be, relative to the largest of a row.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Tolerance {
    /// Computed in 32 bits in a known order: margins must be equal to the last bit.
    Bits,
    /// In 32 or 64 bits, and in an order of the machine's.
    Relative(f64),
}

const IN_64_BITS: Tolerance = Tolerance::Relative(1e-12);

fn tolerance(name: &str) -> Tolerance {
    match name.split_once('-') {
        Some(("xgboost", _)) => Tolerance::Bits,
        // The margins of a probability of 32 bits are less exact than it is.
        Some(("onnx", "boosting-binary" | "network-binary")) => Tolerance::Relative(1e-5),
        Some(("onnx", kind)) if kind.starts_with("network") || kind.starts_with('l') => Tolerance::Relative(2e-6),
        Some(("onnx", _)) => Tolerance::Bits,
        // The golden's margins come out of a power of two.
        Some(("sklearn", kind)) if kind.starts_with("isolation") => Tolerance::Relative(1e-11),
        _ => IN_64_BITS,
    }
}

fn fixtures() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/fixtures/models");
    let mut found = Vec::new();
    for folder in std::fs::read_dir(root).unwrap().map(Result::unwrap) {
        for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            if file.file_name().to_string_lossy().starts_with("model.") {
                found.push((folder.file_name().to_string_lossy().into_owned(), file.path()));
            }
        }
    }
    found.sort();
    assert!(found.len() > 50, "only {} fixtures", found.len());
    found
}

fn golden(model: &Path) -> Option<Golden> {
    let text = std::fs::read_to_string(model.with_file_name("golden.json")).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// What is wrong with a model that a library's golden is known of.
fn differences(name: &str, path: &Path) -> Result<(), String> {
    let model = Model::from_file(path).map_err(|error| error.to_string())?;
    let golden = golden(path).ok_or("no golden")?;
    for (index, row) in golden.rows.iter().enumerate() {
        let row: Vec<f64> = row.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        if let Some(expected) = golden.margins.as_ref().map(|margins| &margins[index]) {
            let margins = model.library_margins(&row);
            let is_equal = match tolerance(name) {
                Tolerance::Bits => margins.iter().map(|m| m.to_bits()).eq(expected.iter().map(|m| m.to_bits())),
                Tolerance::Relative(tolerance) => close(&margins, expected, tolerance),
            };
            if !is_equal {
                return Err(format!("row {index}: margins: expected {expected:?}, found {margins:?}"));
            }
            // Sums in 64 bits are within what 32 bits round.
            let margins = model.margins(&row);
            if !close(&margins, expected, 1e-5) {
                return Err(format!("row {index}: margins in 64 bits: expected {expected:?}, found {margins:?}"));
            }
        }
        let predictions = model.predictions(&row);
        let expected = &golden.predictions[index];
        let tolerance = if tolerance(name) == IN_64_BITS { 1e-12 } else { 2e-6 };
        if !close(&predictions, expected, tolerance) {
            return Err(format!("row {index}: predictions: expected {expected:?}, found {predictions:?}"));
        }
    }
    Ok(())
}

/// Whether numbers agree, relative to the largest of them or to one.
fn close(found: &[f64], expected: &[f64], tolerance: f64) -> bool {
    let largest = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= tolerance * largest)
}

#[test]
fn predictions_are_the_librarys() {
    let mut wrong = Vec::new();
    for (name, path) in fixtures() {
        if REFUSED.iter().any(|(refused, _)| *refused == name) {
            continue;
        }
        if let Err(difference) = differences(&name, &path) {
            wrong.push(format!("{}: {difference}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_cannot_be_exact_is_refused_by_name() {
    for (name, word) in REFUSED {
        let (_, path) = fixtures().into_iter().find(|(fixture, _)| fixture == name).unwrap();
        let error = Model::from_file(&path).unwrap_err();
        assert!(matches!(error, ModelError::Unsupported { .. }), "{name}: {error}");
        assert!(error.to_string().contains(word), "{name}: {error}");
    }
}

/// What a tree is expected to add to its outputs when only some features are known, by the covers: the definition of
/// path-dependent explanations.
fn expectation(tree: &Tree, node: u32, row: &[f64], known: usize, weight: f64, sums: &mut [f64]) {
    match &tree.nodes()[node as usize] {
        Node::Leaf { leaf, .. } => {
            for (output, value) in tree.outputs().zip(tree.leaf_values(*leaf)) {
                sums[output] += weight * value;
            }
        }
        Node::Split { split, cover } => {
            let (left, right) = if known >> split.feature & 1 == 1 {
                if split.goes_left(row[split.feature as usize]) { (1.0, 0.0) } else { (0.0, 1.0) }
            } else {
                tree.shares(split, *cover)
            };
            for (child, share) in [(split.left, left), (split.right, right)] {
                if share > 0.0 {
                    expectation(tree, child, row, known, weight * share, sums);
                }
            }
        }
    }
}

/// The Shapley values of a row by their definition, for each output, and the base value.
fn shapley(model: &TreeEnsemble, row: &[f64]) -> Vec<Vec<f64>> {
    let features = model.feature_count();
    let row: Vec<f64> = (0..).zip(row).map(|(feature, value)| model.missing(feature).normalised(*value)).collect();
    let expected: Vec<Vec<f64>> = (0..1_usize << features)
        .map(|known| {
            let mut sums = model.base_margins().to_vec();
            model.trees().iter().for_each(|tree| expectation(tree, 0, &row, known, 1.0, &mut sums));
            sums
        })
        .collect();
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    let all = u32::try_from(features).unwrap();
    let value = |output: usize, feature: usize| {
        let without = (0..1_usize << features).filter(|known| known >> feature & 1 == 0);
        let gain = |known: usize| {
            let others = known.count_ones();
            let weight = factorial(others) * factorial(all - others - 1) / factorial(all);
            weight * (expected[known | 1 << feature][output] - expected[known][output])
        };
        without.map(gain).sum::<f64>()
    };
    let of_output = |output: usize| {
        let mut values: Vec<f64> = (0..features).map(|feature| value(output, feature)).collect();
        values.push(expected[0][output]);
        values
    };
    (0..model.output_count()).map(of_output).collect()
}

/// Covers, directions of missing values and the order of splits are right, if the contributions are.
#[test]
fn contributions_are_the_librarys() {
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (_, path) in fixtures() {
        let Some(golden) = golden(&path) else { continue };
        let (Some(contributions), Some(source)) = (&golden.contributions, &golden.source) else { continue };
        let Model::Trees(model) = Model::from_file(&path).unwrap() else { continue };
        let tolerance = if source.starts_with("xgboost") { 5e-6 } else { 1e-9 };
        for (index, (row, expected)) in golden.rows.iter().zip(contributions).enumerate() {
            let row: Vec<f64> = row.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
            let found = shapley(&model, &row);
            compared += 1;
            if !(found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, expected)| close(found, expected, tolerance)))
            {
                wrong.push(format!("{}, row {index}: expected {expected:?}, found {found:?}", path.display()));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 1000, "only {compared} rows compared");
}

fn fixture(name: &str, ending: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/fixtures/models").join(name);
    path.join(format!("model.{ending}"))
}

/// Up to XGBoost 3.3 the trees of DART are in a booster within the booster.
#[test]
fn both_forms_of_dart_are_the_same_model() {
    let bytes = std::fs::read(fixture("xgboost-dart", "json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let booster = json["learner"]["gradient_booster"].take();
    let mut model = booster["model"].clone();
    let weights = model.as_object_mut().unwrap().remove("weight_drop").unwrap();
    assert!(!weights.as_array().unwrap().is_empty());
    json["learner"]["gradient_booster"] =
        serde_json::json!({"name": "dart", "gbtree": {"name": "gbtree", "model": model}, "weight_drop": weights});
    let nested = Model::from_bytes(&serde_json::to_vec(&json).unwrap()).unwrap();
    assert_eq!(nested, Model::from_bytes(&bytes).unwrap());
}

#[test]
fn both_encodings_are_the_same_model() {
    let mut compared = 0;
    for (name, path) in fixtures().into_iter().filter(|(_, path)| path.extension().is_some_and(|ubj| ubj == "ubj"))
    {
        let json = Model::from_file(&path.with_extension("json")).unwrap();
        assert_eq!(Model::from_file(&path).unwrap(), json, "{name}");
        compared += 1;
    }
    assert!(compared > 4, "only {compared} models in UBJSON");
}

#[test]
fn early_stopping_tells_the_best_iteration() {
    let path = fixture("xgboost-early-stopping", "json");
    let golden = golden(&path).unwrap();
    let Model::Trees(model) = Model::from_file(&path).unwrap() else { panic!("expected trees") };
    let (best, all) = (model.best_iteration().unwrap(), model.iteration_count().unwrap());
    assert!(best + 1 < all, "{best} of {all}");
    let shorter = model.clone().first_iterations(best + 1).unwrap();
    for (row, expected) in golden.rows.iter().zip(golden.best_margins.unwrap()) {
        let row: Vec<f64> = row.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        assert_eq!(shorter.library_margins(&row), expected);
    }
    let error = model.first_iterations(all + 1).unwrap_err().to_string();
    assert!(error.contains(&format!("at least {}", all + 1)), "{error}");
}

#[test]
fn directories_of_mlflow_lead_to_their_model() {
    let directory = std::env::temp_dir().join(format!("proofmark-mlflow-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let model = fixture("lightgbm-regression", "txt");
    std::fs::copy(&model, directory.join("model.lgb")).unwrap();
    std::fs::write(directory.join("MLmodel"), "flavors:\n  lightgbm:\n    data: model.lgb\n").unwrap();
    let found = Model::from_file(&directory);
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(found.unwrap(), Model::from_file(&model).unwrap());
}

/// One change to a file's bytes.
#[derive(Debug, Clone)]
enum Change {
    Flip(usize, u8),
    Cut(usize, usize),
    Repeat(usize, usize, usize),
    End(usize),
    Digit(usize, u8),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<usize>();
    prop_oneof![
        (place, any::<u8>()).prop_map(|(at, byte)| Change::Flip(at, byte)),
        (place, 1_usize..40).prop_map(|(at, length)| Change::Cut(at, length)),
        (place, 1_usize..40, place).prop_map(|(at, length, to)| Change::Repeat(at, length, to)),
        place.prop_map(Change::End),
        (place, b'0'..=b'9').prop_map(|(at, digit)| Change::Digit(at, digit)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    match *change {
        Change::Flip(at, byte) => bytes[at % length] ^= byte,
        Change::Cut(at, count) => {
            let at = at % length;
            bytes.drain(at..(at + count).min(length));
        }
        Change::Repeat(at, count, to) => {
            let at = at % length;
            let piece = bytes[at..(at + count).min(length)].to_vec();
            let to = to % length;
            bytes.splice(to..to, piece);
        }
        Change::End(at) => bytes.truncate(at % length),
        // Numbers that are other numbers get further than what is no number.
        Change::Digit(at, digit) => {
            let digits = bytes.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit());
            let digits: Vec<usize> = digits.map(|(place, _)| place).collect();
            if !digits.is_empty() {
                bytes[digits[at % digits.len()]] = digit;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// A damaged file gives an error, or a model whose predictions end: it never panics.
    #[test]
    fn damaged_files_never_panic(changes in prop::collection::vec(change(), 1..4)) {
        for (_, path) in fixtures() {
            let mut bytes = std::fs::read(&path).unwrap();
            changes.iter().for_each(|change| apply(&mut bytes, change));
            if let Ok(model) = Model::from_bytes(&bytes)
                && model.feature_count() < 1_000_000
            {
                let row = vec![0.5; model.feature_count()];
                prop_assert_eq!(model.predictions(&row).len(), model.output_count());
            }
        }
    }
}
