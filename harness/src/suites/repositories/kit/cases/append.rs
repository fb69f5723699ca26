//! Measurements: appended, never changed, and read from the latest to the earliest.

use super::super::RefusalKind;
use super::super::field::Kind;
use super::super::subject::{Store, Subject, accepted, refused};
use super::super::value::{Record, Value};
use super::numbers::expect_points;
use crate::case::CaseResult;
use crate::check;
use crate::faults::Admin;

/// The most parameters of one statement.
const BINDS_MAX: usize = 65_535;

fn points(store: &Store, numbers: impl IntoIterator<Item = u64>) -> Vec<Record> {
    numbers.into_iter().map(|number| store.spec.point(number)).collect()
}

/// The limit of an answer that holds all of so many.
fn limit(store: &Store, count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).min(store.spec.points_limit_max)
}

pub(super) async fn points_come_back_latest_first(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let key = store.insert(&store.sample()).await?;
    expect_points(&store.points(&key, 1).await?, &[])?;
    // In no order.
    for number in [5, 1, 9, 3, 7, 2, 8] {
        store.append(&key, &points(&store, [number])).await?;
    }
    let expected = points(&store, [9, 8, 7, 5, 3, 2, 1]);
    for count in [1, 3, 7, 10] {
        let found = store.points(&key, limit(&store, count)).await?;
        let end =
            count.min(expected.len()).min(usize::try_from(store.spec.points_limit_max).unwrap_or(usize::MAX));
        expect_points(&found, expected.get(..end).unwrap_or_default())?;
    }
    Ok(())
}

pub(super) async fn points_belong_to_their_record(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let keys = store.insert_many(3).await?;
    for (key, number) in keys.iter().zip([10, 20, 30]) {
        store.append(key, &points(&store, [number, number + 1])).await?;
    }
    for (key, number) in keys.iter().zip([10, 20, 30]) {
        let expected = points(&store, [number + 1, number]);
        expect_points(&store.points(key, limit(&store, 10)).await?, &expected)?;
    }
    Ok(())
}

pub(super) async fn points_of_one_moment_have_one_order(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let key = store.insert(&store.sample()).await?;
    let moment = store.spec.point(1).get(store.spec.point_time).cloned().unwrap_or(Value::Absent);
    for number in 1..=9 {
        let point = store.spec.point(number).with(store.spec.point_time, moment.clone());
        store.append(&key, &[point]).await?;
    }
    let whole = store.points(&key, limit(&store, 9)).await?;
    for round in 0..3 {
        for count in [1, 4, 9] {
            let found = store.points(&key, limit(&store, count)).await?;
            check!(
                whole.starts_with(&found),
                "points of one moment, with a limit of {count}: expected the order of all of them, found another in \
                 round {round}"
            );
        }
    }
    Ok(())
}

pub(super) async fn an_append_needs_its_record(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    store.insert(&store.sample()).await?;
    let missing = (store.spec.missing_key)();
    let appended = store.repository.append(&missing, &points(&store, [1])).await;
    refused(
        appended,
        &[RefusalKind::NotFound, RefusalKind::MissingReference],
        "append to a record that there is not",
    )
}

pub(super) async fn an_empty_append_changes_nothing(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let key = store.insert(&store.sample()).await?;
    accepted(store.repository.append(&key, &[]).await, "append of nothing")?;
    expect_points(&store.points(&key, 1).await?, &[])
}

pub(super) async fn point_limits_are_enforced(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let key = store.insert(&store.sample()).await?;
    store.append(&key, &points(&store, [1])).await?;
    for limit in [0, store.spec.points_limit_max.saturating_add(1), u32::MAX] {
        let found = store.repository.points(&key, limit).await;
        refused(found, &[RefusalKind::Invalid], &format!("points with a limit of {limit}"))?;
    }
    for limit in [1, store.spec.points_limit_max] {
        expect_points(&store.points(&key, limit).await?, &points(&store, [1]))?;
    }
    Ok(())
}

/// More values than one statement has parameters for.
pub(super) async fn an_append_may_exceed_the_bind_limit(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let key = store.insert(&store.sample()).await?;
    let count = BINDS_MAX / (store.spec.points.len() + 1) + BINDS_MAX / 7;
    let last = u64::try_from(count).unwrap_or(0);
    let before = rows(&store).await?;
    store.append(&key, &points(&store, 1..=last)).await?;
    let stored = rows(&store).await? - before;
    if store.lease.is_some() {
        check!(
            usize::try_from(stored) == Ok(count),
            "append of {count} measurements: expected as many rows more, found {stored}"
        );
    }
    let newest = u64::from(store.spec.points_limit_max.min(50));
    let expected = points(&store, (last - newest + 1..=last).rev());
    expect_points(&store.points(&key, store.spec.points_limit_max.min(50)).await?, &expected)
}

/// The rows of all tables; 0 in memory, where nobody can count them.
async fn rows(store: &Store) -> Result<i64, crate::case::CaseError> {
    if store.lease.is_none() {
        return Ok(0);
    }
    Ok(Admin::connect(store.url()?).await?.rows().await?.values().sum())
}

/// A measurement that must be refused, with its number.
fn bad_point(store: &Store, number: u64) -> Option<Record> {
    let point = store.spec.point(number);
    store.spec.points.iter().find_map(|field| match field.kind {
        Kind::Float { finite: true, .. } if field.is_free() => Some(point.clone().with(field.name, f64::NAN)),
        Kind::Text { .. } if field.is_free() => Some(point.clone().with(field.name, "a\0b")),
        _ => None,
    })
}

pub(super) async fn an_append_is_all_or_nothing(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let key = store.insert(&store.sample()).await?;
    store.append(&key, &points(&store, [1])).await?;
    for place in [0, 1, 999] {
        let mut batch = points(&store, 2..1_002);
        let Some(bad) = bad_point(&store, 2_000) else { return Ok(()) };
        if let Some(point) = batch.get_mut(place) {
            *point = bad;
        }
        let appended = store.repository.append(&key, &batch).await;
        refused(
            appended,
            &[RefusalKind::Invalid],
            &format!("append of 1000 measurements, number {place} is bad"),
        )?;
        expect_points(&store.points(&key, limit(&store, 10)).await?, &points(&store, [1]))?;
    }
    Ok(())
}

pub(super) async fn a_repeated_append_adds_nothing(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let key = store.insert(&store.sample()).await?;
    let batch = points(&store, [1, 2, 3]);
    for _ in 0..3 {
        store.append(&key, &batch).await?;
    }
    store.append(&key, &points(&store, [3, 4])).await?;
    let expected = points(&store, [4, 3, 2, 1]);
    expect_points(&store.points(&key, limit(&store, 20)).await?, &expected)
}
