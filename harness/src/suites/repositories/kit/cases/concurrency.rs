//! Many callers at once.

use std::collections::HashSet;

use futures_util::future::join_all;

use super::super::field::Field;
use super::super::subject::{Store, Subject, refused};
use super::super::value::{Record, Value};
use super::super::{Ability, Database, RefusalKind};
use super::crud::another;
use super::numbers::expect_points;
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::faults::Admin;

/// How many callers there are.
const CALLERS: usize = 8;

pub(super) async fn concurrent_inserts_are_all_kept(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let callers = (0..CALLERS).map(|_| async {
        let mut stored = Vec::new();
        for _ in 0..5 {
            let record = store.sample();
            stored.push((store.insert(&record).await?, record));
        }
        Ok::<_, CaseError>(stored)
    });
    let mut stored = Vec::new();
    for caller in join_all(callers).await {
        stored.extend(caller?);
    }
    let keys: HashSet<_> = stored.iter().map(|(key, _)| key).collect();
    check!(
        keys.len() == stored.len(),
        "insert by {CALLERS} callers: expected {} keys, found {}",
        stored.len(),
        keys.len()
    );
    for (key, record) in &stored {
        store.expect(key, record, "a record that was inserted beside others").await?;
    }
    Ok(())
}

pub(super) async fn concurrent_inserts_of_one_key_have_one_winner(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for _ in 0..4 {
        let first = store.sample();
        let rivals: Vec<_> = (0..CALLERS)
            .map(|_| {
                store.spec.unique().fold(store.sample(), |rival, field| {
                    rival.with(field.name, first.get(field.name).cloned().unwrap_or(Value::Absent))
                })
            })
            .collect();
        let results = join_all(rivals.iter().map(|rival| store.repository.insert(rival))).await;
        let mut winners = Vec::new();
        for (rival, result) in rivals.iter().zip(results) {
            match result {
                Ok(key) => winners.push((key, rival)),
                lost => refused(lost, &[RefusalKind::Conflict], "insert of a key that others insert as well")?,
            }
        }
        check!(
            winners.len() == 1,
            "insert of one key by {CALLERS} callers: expected one winner, found {}",
            winners.len()
        );
        for (key, rival) in winners {
            store.expect(&key, rival, "the winner").await?;
        }
    }
    Ok(())
}

/// The changes of each caller to its own field.
fn changes(store: &Store, fields: &[Field], record: &Record) -> Vec<Record> {
    let changed = fields.iter().filter_map(|field| {
        another(store, field, record.get(field.name)).map(|value| Record::new().with(field.name, value))
    });
    changed.take(CALLERS).collect()
}

pub(super) async fn concurrent_updates_lose_nothing(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let fields: Vec<_> = store.spec.updatable().filter(|field| !field.unique).cloned().collect();
    for _ in 0..6 {
        let mut record = store.sample();
        let key = store.insert(&record).await?;
        let changes = changes(&store, &fields, &record);
        for result in join_all(changes.iter().map(|changes| store.update(&key, changes))).await {
            result?;
        }
        for changes in &changes {
            record.apply(changes);
        }
        store.expect(&key, &record, "a record after updates of its fields by several callers").await?;
    }
    Ok(())
}

/// As before, in transactions that refuse each other: what was accepted is there, what was refused is not.
pub(super) async fn serializable_updates_are_done_or_told(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let mut admin = Admin::connect(store.url()?).await?;
    admin.set("default_transaction_isolation", "serializable").await?;
    let strict = store.opened_again(&subject, Database::new(store.url()?)).await?;
    let fields: Vec<_> = store.spec.updatable().filter(|field| !field.unique).cloned().collect();
    for _ in 0..6 {
        let mut record = store.sample();
        let key = strict.insert(&record).await?;
        let changes = changes(&store, &fields, &record);
        let results = join_all(changes.iter().map(|changes| strict.repository.update(&key, changes))).await;
        for (changes, result) in changes.iter().zip(results) {
            match result {
                Ok(()) => record.apply(changes),
                lost => refused(lost, &[RefusalKind::Contended], "update beside others, serializable")?,
            }
        }
        strict.expect(&key, &record, "a record after serializable updates").await?;
    }
    admin.expect_rest("after serializable updates").await
}

pub(super) async fn concurrent_appends_lose_nothing(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let key = store.insert(&store.sample()).await?;
    let each = (usize::try_from(store.spec.points_limit_max).unwrap_or(1) / CALLERS).clamp(1, 10);
    let callers = (0..CALLERS).map(|caller| {
        let (store, key) = (&store, &key);
        async move {
            for step in 0..each {
                let number = u64::try_from(step * CALLERS + caller + 1).unwrap_or(0);
                store.append(key, &[store.spec.point(number)]).await?;
            }
            Ok::<_, CaseError>(())
        }
    });
    for caller in join_all(callers).await {
        caller?;
    }
    let last = u64::try_from(each * CALLERS).unwrap_or(0);
    let expected: Vec<_> = (1..=last).rev().map(|number| store.spec.point(number)).collect();
    let limit = u32::try_from(each * CALLERS).unwrap_or(1).min(store.spec.points_limit_max);
    let found = store.points(&key, limit).await?;
    expect_points(&found, expected.get(..usize::try_from(limit).unwrap_or(0)).unwrap_or_default())
}

pub(super) async fn concurrent_deletes_have_one_winner(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for _ in 0..4 {
        let key = store.insert(&store.sample()).await?;
        let results = join_all((0..CALLERS).map(|_| store.repository.delete(&key))).await;
        let mut winners = 0;
        for result in results {
            match result {
                Ok(()) => winners += 1,
                lost => refused(lost, &[RefusalKind::NotFound], "delete of a record that others delete as well")?,
            }
        }
        check!(winners == 1, "delete by {CALLERS} callers: expected one winner, found {winners}");
    }
    Ok(())
}

/// Readers and a writer: a record is seen as it was or as it is, never with one field of each.
pub(super) async fn an_update_is_seen_whole(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let fields: Vec<_> = store.spec.updatable().filter(|field| !field.unique).cloned().collect();
    let mut versions = vec![store.sample()];
    for _ in 0..6 {
        let mut next = versions.last().cloned().unwrap_or_default();
        for changes in changes(&store, &fields, &next) {
            next.apply(&changes);
        }
        versions.push(next);
    }
    let key = store.insert(versions.first().unwrap_or(&Record::new())).await?;
    let writes = async {
        for version in versions.iter().skip(1) {
            let changes = fields.iter().fold(Record::new(), |changes, field| {
                changes.with(field.name, version.get(field.name).cloned().unwrap_or(Value::Absent))
            });
            store.update(&key, &changes).await?;
        }
        Ok::<_, CaseError>(())
    };
    let reads = (0..3).map(|_| async {
        let mut seen = Vec::new();
        for _ in 0..12 {
            seen.push(store.get(&key).await?);
        }
        Ok::<_, CaseError>(seen)
    });
    let (written, read) = tokio::join!(writes, join_all(reads));
    written?;
    for reader in read {
        let mut from = 0;
        for record in reader? {
            // Nor does it become older again.
            let version = versions.iter().skip(from).position(|version| *version == record);
            let Some(version) = version else {
                return Err(CaseError::failed_with(
                    "get beside an update of several fields: expected the record before or after it, found another",
                    format!("found: {record:#?}"),
                ));
            };
            from += version;
        }
    }
    Ok(())
}

/// What others have not committed is neither seen nor waited for.
pub(super) async fn open_transactions_of_others_are_not_seen(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let record = store.sample();
    let key = store.insert(&record).await?;
    let mut admin = Admin::connect(store.url()?).await?;
    let tables = admin.tables().await?;
    admin.execute("BEGIN").await?;
    let mut deleted = false;
    // Rows that others refer to, and that may not be deleted before these, are deleted the second time.
    for table in tables.iter().chain(&tables) {
        admin.execute("SAVEPOINT before").await?;
        match admin.execute(&format!("DELETE FROM {table}")).await {
            Ok(()) => deleted = true,
            Err(_) => admin.execute("ROLLBACK TO before").await?,
        }
    }
    check!(deleted, "expected a table whose rows can be deleted, found none");
    store.expect(&key, &record, "a record that somebody else is about to delete").await?;
    if store.spec.abilities().contains(&Ability::List) {
        let listed = store.keys(store.spec.list_limit_max).await?;
        check!(listed == [key.as_str()], "list beside an open transaction: expected one record, found {listed:?}");
    }
    admin.unlock().await?;
    store.expect(&key, &record, "a record that nobody deleted after all").await
}
