//! Numbers: every bit is kept, or the number is refused.

use super::super::RefusalKind;
use super::super::corpus::{FLOATS, INTEGERS};
use super::super::field::{Field, Kind};
use super::super::subject::{Store, Subject, refused};
use super::super::value::{Record, Value};
use crate::case::CaseResult;

fn fields(store: &Store, is: fn(&Kind) -> bool) -> Vec<Field> {
    store.spec.free(is).cloned().collect()
}

fn is_float(kind: &Kind) -> bool {
    matches!(kind, Kind::Float { .. })
}

fn is_integer(kind: &Kind) -> bool {
    matches!(kind, Kind::Integer { .. })
}

/// Those of the values that the field holds come back.
async fn those_that_fit_survive(store: &Store, field: &Field, values: &[f64]) -> CaseResult {
    for value in values.iter().filter(|value| field.accepts(&Value::Float(**value))) {
        store.round_trip(&store.sample().with(field.name, *value)).await?;
    }
    Ok(())
}

pub(super) async fn doubles_survive_bit_by_bit(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in fields(&store, is_float) {
        those_that_fit_survive(&store, &field, FLOATS).await?;
    }
    Ok(())
}

pub(super) async fn negative_zero_keeps_its_sign(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in fields(&store, is_float) {
        those_that_fit_survive(&store, &field, &[-0.0, 0.0]).await?;
    }
    Ok(())
}

pub(super) async fn nan_and_infinities_are_kept_or_refused(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in fields(&store, is_float) {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let record = store.sample().with(field.name, value);
            if field.accepts(&Value::Float(value)) {
                store.round_trip(&record).await?;
            } else {
                let what = format!("insert with {}={value}", field.name);
                refused(store.repository.insert(&record).await, &[RefusalKind::Invalid], &what)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn integers_survive_to_their_limits(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for field in fields(&store, is_integer) {
        let Kind::Integer { min, max } = field.kind else { continue };
        for value in INTEGERS.iter().copied().chain([min, max]).filter(|value| (min..=max).contains(value)) {
            store.round_trip(&store.sample().with(field.name, value)).await?;
        }
    }
    Ok(())
}

/// The numbers just outside of the ranges of these fields.
fn outside(fields: &[Field]) -> Vec<(&'static str, Value)> {
    let mut outside = Vec::new();
    for field in fields.iter().filter(|field| field.is_free()) {
        match field.kind {
            Kind::Integer { min, max } => {
                let around = [min.checked_sub(1), max.checked_add(1), Some(i64::MIN), Some(i64::MAX)];
                outside.extend(around.into_iter().flatten().map(|value| (field.name, Value::Integer(value))));
            }
            Kind::Float { min, max, finite: true } => {
                for value in [min.next_down(), max.next_up(), f64::MIN, f64::MAX] {
                    outside.push((field.name, Value::Float(value)));
                }
            }
            _ => {}
        }
    }
    let accepts =
        |name: &str, value: &Value| fields.iter().any(|field| field.name == name && field.accepts(value));
    outside.retain(|(name, value)| !accepts(name, value));
    outside
}

pub(super) async fn numbers_out_of_range_are_refused(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for (name, value) in outside(&store.spec.fields) {
        let what = format!("insert with {name}={value:?}");
        let record = store.sample().with(name, value);
        refused(store.repository.insert(&record).await, &[RefusalKind::Invalid], &what)?;
    }
    Ok(())
}

pub(super) async fn measured_doubles_survive_bit_by_bit(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let floats: Vec<_> =
        store.spec.points.iter().filter(|field| field.is_free() && is_float(&field.kind)).cloned().collect();
    let mut numbers = 0;
    let mut key = store.insert(&store.sample()).await?;
    for field in floats {
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        for value in FLOATS.iter().copied().chain(special) {
            if !field.accepts(&Value::Float(value)) {
                continue;
            }
            numbers += 1;
            let point = store.spec.point(numbers).with(field.name, value);
            store.append(&key, std::slice::from_ref(&point)).await?;
            let found = store.points(&key, 1).await?;
            expect_points(&found, &[point])?;
        }
        // Each field on its own, so that the latest is the last.
        key = store.insert(&store.sample()).await?;
    }
    Ok(())
}

pub(super) async fn measures_out_of_range_are_refused(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let key = store.insert(&store.sample()).await?;
    let mut values = outside(&store.spec.points);
    for field in store.spec.points.iter().filter(|field| field.is_free()) {
        if let Kind::Float { finite: true, .. } = field.kind {
            values.extend([f64::NAN, f64::INFINITY].map(|value| (field.name, Value::Float(value))));
        }
    }
    for (number, (name, value)) in (1..).zip(values) {
        let what = format!("append with {name}={value:?}");
        let point = store.spec.point(number).with(name, value);
        refused(store.repository.append(&key, &[point]).await, &[RefusalKind::Invalid], &what)?;
    }
    expect_points(&store.points(&key, 10).await?, &[])
}

/// Fails unless the measurements are the expected ones, in their order.
pub(super) fn expect_points(found: &[Record], expected: &[Record]) -> CaseResult {
    crate::check!(
        found.len() == expected.len(),
        "points: expected {} measurements, found {}",
        expected.len(),
        found.len()
    );
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        if let Some(difference) = expected.difference(found) {
            return Err(crate::case::CaseError::failed(format!("points, number {}: {difference}", index + 1)));
        }
    }
    Ok(())
}
