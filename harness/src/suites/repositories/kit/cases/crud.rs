//! Insert, get, update and delete, one caller at a time.

use std::collections::HashSet;

use super::super::field::Field;
use super::super::subject::{Store, Subject, refused};
use super::super::value::{Record, Value};
use super::super::{Ability, RefusalKind};
use crate::case::{CaseError, CaseResult};
use crate::check;

pub(super) async fn inserted_records_are_found(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let mut stored = Vec::new();
    for _ in 0..7 {
        let record = store.sample();
        stored.push((store.insert(&record).await?, record));
    }
    let keys: HashSet<_> = stored.iter().map(|(key, _)| key).collect();
    check!(keys.len() == stored.len(), "insert: expected {} keys, found {} of them", stored.len(), keys.len());
    for (key, record) in &stored {
        store.expect(key, record, "one record of several").await?;
    }
    Ok(())
}

pub(super) async fn new_records_start_as_declared(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let record = store.sample();
    let key = store.insert(&record).await?;
    let found = store.get(&key).await?;
    for field in store.spec.fields.iter().filter(|field| field.initial.is_some()) {
        let (expected, found) = (record.get(field.name), found.get(field.name));
        check!(expected == found, "a new record: {}: expected {expected:?}, found {found:?}", field.name);
    }
    for (name, _) in record.iter() {
        check!(found.has(name), "get: expected the field {name}, found none");
    }
    Ok(())
}

pub(super) async fn missing_record_is_not_found(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let missing = (store.spec.missing_key)();
    let not_found = &[RefusalKind::NotFound];
    refused(store.repository.get(&missing).await, not_found, "get of a missing record in an empty store")?;
    store.insert(&store.sample()).await?;
    refused(store.repository.get(&missing).await, not_found, "get of a missing record")
}

fn other(store: &Store, record: &Record) -> Record {
    let other = store.sample();
    store.spec.unique().fold(other, |other, field| {
        let value = record.get(field.name).cloned().unwrap_or(Value::Absent);
        other.with(field.name, value)
    })
}

pub(super) async fn a_taken_key_is_a_conflict(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let first = store.sample();
    let key = store.insert(&first).await?;
    let again = other(&store, &first);
    refused(
        store.repository.insert(&again).await,
        &[RefusalKind::Conflict],
        "insert of a record with a key that is taken",
    )?;
    store.expect(&key, &first, "the record that was there first").await?;
    // All of the fields make the key, not each of them.
    let fields: Vec<_> = store.spec.unique().cloned().collect();
    if fields.len() > 1 {
        for field in &fields {
            let near = store.sample();
            let value = first.get(field.name).cloned().unwrap_or(Value::Absent);
            store.round_trip(&near.with(field.name, value)).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_refused_insert_leaves_nothing(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let record = store.sample();
    store.insert(&record).await?;
    let before = footprint(&store).await?;
    let _ = store.repository.insert(&other(&store, &record)).await;
    let after = footprint(&store).await?;
    check!(before == after, "after a refused insert: expected {before:?}, found {after:?}");
    Ok(())
}

/// What can be seen of all that is stored: rows by table, or else the records of the list.
async fn footprint(store: &Store) -> Result<String, CaseError> {
    if store.lease.is_some() {
        let mut admin = crate::faults::Admin::connect(store.url()?).await?;
        return Ok(format!("{:?}", admin.rows().await?));
    }
    if store.spec.abilities().contains(&Ability::List) {
        return Ok(format!("{} records", store.list(store.spec.list_limit_max).await?.len()));
    }
    Ok(String::new())
}

/// A record to update, one beside it, and the fields that can be updated.
async fn two(store: &Store) -> Result<([(String, Record); 2], Vec<Field>), CaseError> {
    let (a, b) = (store.sample(), store.sample());
    let pair = [(store.insert(&a).await?, a), (store.insert(&b).await?, b)];
    let fields = store.spec.updatable().filter(|field| !field.unique).cloned().collect();
    Ok((pair, fields))
}

/// Another value of the field than that of the record.
pub(super) fn another(store: &Store, field: &Field, than: Option<&Value>) -> Option<Value> {
    // New records all start as the same, and an update is what changes that.
    let field = Field { initial: None, ..field.clone() };
    (0..64).map(|_| field.sample(store.number())).find(|value| Some(value) != than)
}

pub(super) async fn an_update_changes_what_it_names(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let ([(key, mut record), (beside, untouched)], fields) = two(&store).await?;
    for field in fields {
        let Some(value) = another(&store, &field, record.get(field.name)) else { continue };
        let changes = Record::new().with(field.name, value);
        store.update(&key, &changes).await?;
        record.apply(&changes);
        store.expect(&key, &record, &format!("a record after an update of {}", field.name)).await?;
    }
    store.expect(&beside, &untouched, "a record beside one that was updated").await
}

pub(super) async fn an_update_makes_absent_what_it_says(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let ([(key, mut record), _], fields) = two(&store).await?;
    for field in fields.into_iter().filter(|field| field.optional) {
        let Some(value) = another(&store, &field, Some(&Value::Absent)) else { continue };
        for value in [value.clone(), Value::Absent, value] {
            let changes = Record::new().with(field.name, value.clone());
            store.update(&key, &changes).await?;
            record.apply(&changes);
            store.expect(&key, &record, &format!("a record whose {} became {value:?}", field.name)).await?;
        }
    }
    Ok(())
}

pub(super) async fn an_update_of_nothing_changes_nothing(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let ([(key, record), _], _) = two(&store).await?;
    store.update(&key, &Record::new()).await?;
    store.expect(&key, &record, "a record after an update that names no field").await
}

pub(super) async fn a_missing_record_cannot_be_updated(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let ([(key, record), _], fields) = two(&store).await?;
    let missing = (store.spec.missing_key)();
    let mut changes = vec![];
    for field in fields.iter().take(1) {
        if let Some(value) = another(&store, field, record.get(field.name)) {
            changes.push(Record::new().with(field.name, value));
        }
    }
    for changes in &changes {
        let updated = store.repository.update(&missing, changes).await;
        refused(updated, &[RefusalKind::NotFound], "update of a missing record")?;
    }
    refused(store.repository.get(&missing).await, &[RefusalKind::NotFound], "get of it afterwards")?;
    store.expect(&key, &record, "a record after an update of a missing one").await
}

pub(super) async fn an_invalid_update_changes_nothing(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let ([(key, record), _], fields) = two(&store).await?;
    let bad = [
        Value::from("a\0b"),
        Value::from("no such choice"),
        Value::Integer(i64::MIN),
        Value::Float(f64::NAN),
        Value::Json(serde_json::json!("\0")),
    ];
    for field in &fields {
        for value in bad.iter().filter(|value| !field.accepts(value) && field.is_like(value)) {
            // With a change beside it that would be all right.
            let mut changes = Record::new().with(field.name, value.clone());
            let others = fields.iter().filter(|other| other.name != field.name);
            for other in others.take(usize::from(store.spec.abilities().contains(&Ability::UpdateMany))) {
                if let Some(value) = another(&store, other, record.get(other.name)) {
                    changes.set(other.name, value);
                }
            }
            let what = format!("update with {}={value:?}", field.name);
            let updated = store.repository.update(&key, &changes).await;
            refused(updated, &[RefusalKind::Invalid], &what)?;
            store.expect(&key, &record, "a record after a refused update").await?;
        }
    }
    Ok(())
}

pub(super) async fn an_update_to_a_taken_key_is_a_conflict(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let ([(_, first), (key, second)], _) = two(&store).await?;
    let changes = store.spec.unique().fold(Record::new(), |changes, field| {
        changes.with(field.name, first.get(field.name).cloned().unwrap_or(Value::Absent))
    });
    let updated = store.repository.update(&key, &changes).await;
    refused(updated, &[RefusalKind::Conflict], "update to a key that is taken")?;
    store.expect(&key, &second, "a record after a refused update").await
}

pub(super) async fn a_deleted_record_is_gone(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let ([(key, record), (beside, other)], fields) = two(&store).await?;
    store.delete(&key).await?;
    let not_found = &[RefusalKind::NotFound];
    refused(store.repository.get(&key).await, not_found, "get of a deleted record")?;
    if store.spec.abilities().contains(&Ability::Update)
        && let Some(field) = fields.first()
        && let Some(value) = another(&store, field, record.get(field.name))
    {
        let updated = store.repository.update(&key, &Record::new().with(field.name, value)).await;
        refused(updated, not_found, "update of a deleted record")?;
    }
    store.expect(&beside, &other, "a record beside a deleted one").await
}

pub(super) async fn a_second_delete_is_told(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let ([(key, _), (beside, other)], _) = two(&store).await?;
    store.delete(&key).await?;
    let not_found = &[RefusalKind::NotFound];
    refused(store.repository.delete(&key).await, not_found, "delete of a deleted record")?;
    let missing = (store.spec.missing_key)();
    refused(store.repository.delete(&missing).await, not_found, "delete of a record that never was")?;
    store.expect(&beside, &other, "a record beside a deleted one").await
}

pub(super) async fn a_deleted_key_can_be_taken_again(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let record = store.sample();
    for _ in 0..3 {
        let key = store.round_trip(&record).await?;
        store.delete(&key).await?;
    }
    Ok(())
}
