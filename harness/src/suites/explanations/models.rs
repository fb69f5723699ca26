//! Model files: what must be refused, and what must be read.

use proptest::prelude::*;

use super::EXACT;
use super::subject::{ExplanationSubject, Finding, ample, attribution, close, explain};
use crate::case::{CaseError, CaseResult};
use crate::fixture::{BAD_MODELS, FIXTURES, Fixture};
use crate::property;
use crate::strategy::ensemble::{Ensemble, Tree};

pub(super) fn bad_models_are_refused(subject: &ExplanationSubject) -> CaseResult {
    for bad in BAD_MODELS {
        match subject.loader.load(bad.bytes) {
            Ok(_) => {
                return Err(CaseError::failed(format!(
                    "{}: expected an error that names {:?}, found the model accepted",
                    bad.name, bad.names
                )));
            }
            Err(error) => {
                let text = crate::error_chain(&*error);
                if !text.contains(bad.names) {
                    return Err(CaseError::failed(format!(
                        "{}: expected an error that names {:?}, found: {text}",
                        bad.name, bad.names
                    )));
                }
            }
        }
    }
    Ok(())
}

/// A damage to a file: bytes cut off, replaced, or repeated.
#[derive(Debug, Clone)]
enum Damage {
    Truncate(prop::sample::Index),
    Replace(prop::sample::Index, u8),
    Repeat(prop::sample::Index, prop::sample::Index),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Truncate(at) => bytes.truncate(at.index(bytes.len())),
            Self::Replace(at, with) => {
                let at = at.index(bytes.len());
                bytes[at] = *with;
            }
            Self::Repeat(from, to) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let piece = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from..from, piece);
            }
        }
    }
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let index = any::<prop::sample::Index>;
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"0123456789-.eE\"[]{},:".to_vec())];
    let damage = prop_oneof![
        1 => index().prop_map(Damage::Truncate),
        6 => (index(), byte).prop_map(|(at, with)| Damage::Replace(at, with)),
        1 => (index(), index()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ];
    prop::collection::vec(damage, 1..4)
}

/// Whatever a file holds, loading it ends in a model or in an error; and what is accepted can be explained. That a panic
/// is a failure is seen to by the property runner.
pub(super) fn damaged_files_never_panic(subject: &ExplanationSubject) -> CaseResult {
    let small = Fixture::named("diabetes-stumps").ok_or_else(|| CaseError::harness("no such fixture"))?;
    property::check(subject.seed, 500, &damages(), |damages| {
        let mut bytes = small.model.to_vec();
        for damage in &damages {
            if !bytes.is_empty() {
                damage.apply(&mut bytes);
            }
        }
        let Ok(explainer) = subject.loader.load(&bytes) else { return Ok(()) };
        // A damaged number of features may ask for more than there is reason to give.
        if explainer.feature_count() > 1000 {
            return Ok(());
        }
        explain(&*explainer, &[vec![0.5; explainer.feature_count()]], &ample()).map(|_| ())
    })
}

fn stump(base_score: f32) -> Ensemble {
    let tree = Tree::Split {
        feature: 0,
        threshold: 0.0,
        missing_left: true,
        left: Box::new(Tree::Leaf { value: -1.0, cover: 1.0 }),
        right: Box::new(Tree::Leaf { value: 1.0, cover: 1.0 }),
    };
    Ensemble { features: 1, base_score, trees: vec![tree] }
}

/// The base score is a prediction, written as a number or as a list of one; explanations are about margins.
pub(super) fn base_scores_are_read_in_all_forms(subject: &ExplanationSubject) -> CaseResult {
    let logit = |probability: f64| (probability / (1.0 - probability)).ln();
    for (objective, text, margin) in [
        ("reg:squarederror", "5E-1", 0.5),
        ("reg:squarederror", "[5E-1]", 0.5),
        ("reg:squarederror", "-3.25", -3.25),
        ("reg:squarederror", "[1.5213348E2]", 152.133_48),
        ("binary:logistic", "5E-1", 0.0),
        ("binary:logistic", "[5E-1]", 0.0),
        ("binary:logistic", "3E-1", logit(0.3)),
        ("binary:logistic", "[3E-1]", logit(0.3)),
        ("reg:logistic", "[9.9E-1]", logit(0.99)),
        ("binary:logitraw", "3E-1", 0.3),
    ] {
        let check = || -> Finding {
            let explainer = subject.load(&stump(0.0).to_xgboost_json_with(objective, text))?;
            let explanation = explain(&*explainer, &[vec![1.0]], &ample())?;
            // The text is rounded to 32 bits on its way.
            close(explanation.base_value(), margin, 1.0 + margin.abs(), 1e-5)
                .map_err(|difference| format!("base value: {difference}"))
        };
        check().map_err(|finding| CaseError::failed(format!("{objective}, base score {text:?}: {finding}")))?;
    }
    for (objective, text) in [
        ("reg:squarederror", ""),
        ("reg:squarederror", "[]"),
        ("reg:squarederror", "[[5E-1]]"),
        ("reg:squarederror", "[5E-1"),
        ("reg:squarederror", "half"),
        ("reg:squarederror", "NaN"),
        ("reg:squarederror", "[1E0,2E0]"),
        ("binary:logistic", "0E0"),
        ("binary:logistic", "[1E0]"),
        ("binary:logistic", "1.5"),
    ] {
        if subject.loader.load(&stump(0.0).to_xgboost_json_with(objective, text)).is_ok() {
            return Err(CaseError::failed(format!(
                "{objective}, base score {text:?}: expected an error, found the model accepted"
            )));
        }
    }
    Ok(())
}

/// A model that consists of leaves alone: the base value is the output and every value zero.
pub(super) fn models_without_splits_explain_nothing(subject: &ExplanationSubject) -> CaseResult {
    let leaf = |value| Tree::Leaf { value, cover: 10.0 };
    let generated =
        Ensemble { features: 3, base_score: 1.0, trees: vec![leaf(0.25), leaf(-2.0)] }.to_xgboost_json();
    let empty = Ensemble { features: 3, base_score: 1.0, trees: vec![] }.to_xgboost_json();
    let trained = FIXTURES.iter().find(|fixture| fixture.name == "single-leaf").map(|fixture| fixture.model);
    let trained = trained.ok_or_else(|| CaseError::harness("no fixture without splits"))?;
    let check = |model: &[u8], expected: Option<f64>| -> Finding {
        let explainer = subject.load(model)?;
        let explanation = explain(&*explainer, &[vec![f64::NAN; explainer.feature_count()]], &ample())?;
        let attribution = attribution(&*explainer, &explanation, 0)?;
        if let Some(feature) = attribution.values().iter().position(|value| *value != 0.0) {
            let value = attribution.values()[feature];
            return Err(format!("feature {feature}: expected 0 without any split, found {value}"));
        }
        let expected = expected.unwrap_or(attribution.output());
        let scale = 1.0 + expected.abs();
        close(explanation.base_value(), expected, scale, EXACT).map_err(|text| format!("base value: {text}"))?;
        close(attribution.output(), expected, scale, EXACT).map_err(|text| format!("output: {text}"))
    };
    for (name, model, output) in [
        ("two leaves", &generated[..], Some(-0.75)),
        ("no trees", &empty[..], Some(1.0)),
        ("trained", trained, None),
    ] {
        check(model, output).map_err(|finding| CaseError::failed(format!("{name}: {finding}")))?;
    }
    Ok(())
}
