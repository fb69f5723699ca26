//! Nothing leaks: between databases, tenants and repositories, and from one call into the next.

use std::collections::HashSet;

use super::super::subject::{Store, Subject, refused};
use super::super::value::Value;
use super::super::{Ability, Database, RefusalKind};
use super::crud::another;
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::faults::Admin;

/// Fails if one of the stores shows anything of the other's record.
async fn expect_apart(a: &Store, b: &Store, what: &str) -> CaseResult {
    let record = a.sample();
    let key = a.insert(&record).await?;
    refused(
        b.repository.get(&key).await,
        &[RefusalKind::NotFound],
        &format!("get of a record of another {what}"),
    )?;
    let abilities = a.spec.abilities();
    if abilities.contains(&Ability::List) {
        let keys: HashSet<_> = b.keys(b.spec.list_limit_max).await?.into_iter().collect();
        check!(!keys.contains(&key), "list: expected no record of another {what}, found one");
    }
    if abilities.contains(&Ability::Update)
        && let Some(field) = a.spec.updatable().find(|field| !field.unique)
        && let Some(value) = another(a, field, record.get(field.name))
    {
        let updated = b.repository.update(&key, &super::super::Record::new().with(field.name, value)).await;
        refused(updated, &[RefusalKind::NotFound], &format!("update of a record of another {what}"))?;
    }
    if abilities.contains(&Ability::Delete) {
        let deleted = b.repository.delete(&key).await;
        refused(deleted, &[RefusalKind::NotFound], &format!("delete of a record of another {what}"))?;
    }
    // What is unique is so within each.
    b.round_trip(&record).await?;
    a.expect(&key, &record, &format!("a record beside that of another {what}")).await
}

pub(super) async fn two_databases_share_nothing(subject: Subject) -> CaseResult {
    let a = subject.store().await?;
    let b = subject.store().await?.numbered_as(&a);
    expect_apart(&a, &b, "database").await?;
    expect_apart(&b, &a, "database").await
}

pub(super) async fn two_tenants_share_nothing(subject: Subject) -> CaseResult {
    let lease = subject.database().await?;
    let mut stores = Vec::new();
    for tenant in ["tenant", "tenant 2"] {
        let mut database = Database::new(lease.url());
        database.tenant = Some(tenant.to_owned());
        let store = subject.opened(database, Some(lease.clone())).await?;
        stores.push(stores.first().map_or(store.clone(), |first| store.numbered_as(first)));
    }
    let [a, b] = stores.as_slice() else { return Err(CaseError::harness("expected two repositories")) };
    expect_apart(a, b, "tenant").await?;
    expect_apart(b, a, "tenant").await
}

/// Two repositories on one database, as two processes of an application have: neither has anything for itself.
pub(super) async fn two_repositories_see_one_store(subject: Subject) -> CaseResult {
    let a = subject.store().await?;
    let b = a.opened_again(&subject, Database::new(a.url()?)).await?;
    let mut record = a.sample();
    let key = a.insert(&record).await?;
    b.expect(&key, &record, "a record that another repository inserted").await?;
    let abilities = a.spec.abilities();
    if abilities.contains(&Ability::Update) {
        for store in [&b, &a, &b] {
            let Some(field) = store.spec.updatable().find(|field| !field.unique) else { break };
            let Some(value) = another(&a, field, record.get(field.name)) else { break };
            let changes = super::super::Record::new().with(field.name, value);
            store.update(&key, &changes).await?;
            record.apply(&changes);
            for reader in [&a, &b] {
                reader.expect(&key, &record, "a record that another repository updated").await?;
            }
        }
    }
    if abilities.contains(&Ability::Delete) {
        b.delete(&key).await?;
        refused(a.repository.get(&key).await, &[RefusalKind::NotFound], "get of what another repository deleted")?;
    }
    Ok(())
}

/// All that the repository can do, once, so that its statements are prepared.
async fn everything(store: &Store) -> CaseResult {
    let abilities = store.spec.abilities();
    let record = store.sample();
    let key = store.round_trip(&record).await?;
    if abilities.contains(&Ability::Append) {
        store.append(&key, &[store.spec.point(1)]).await?;
        store.points(&key, 1).await?;
    }
    if abilities.contains(&Ability::List) {
        store.page(1, None).await?;
    }
    if abilities.contains(&Ability::Find) {
        for field in store.spec.fields.iter().filter(|field| field.searchable) {
            let value = record.get(field.name).cloned().unwrap_or(Value::Absent);
            super::super::subject::accepted(store.repository.find(field.name, &value).await, "find")?;
        }
    }
    if abilities.contains(&Ability::Update)
        && let Some(field) = store.spec.updatable().find(|field| !field.unique)
        && let Some(value) = another(store, field, record.get(field.name))
    {
        store.update(&key, &super::super::Record::new().with(field.name, value)).await?;
    }
    if abilities.contains(&Ability::Delete) {
        store.delete(&key).await?;
    }
    Ok(())
}

/// A deployment changes tables under sessions that have prepared their statements: "cached plan must not change result
/// type" is nobody's answer to a caller.
pub(super) async fn statements_survive_a_new_column(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    // More than once: some drivers prepare a statement only when it comes back.
    for _ in 0..7 {
        everything(&store).await?;
    }
    let mut admin = Admin::connect(store.url()?).await?;
    for table in admin.tables().await? {
        admin.execute(&format!("ALTER TABLE {table} ADD COLUMN proofmark_new_column integer")).await?;
    }
    for _ in 0..3 {
        everything(&store).await?;
    }
    Ok(())
}

pub(super) async fn nothing_is_left_open(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let mut admin = Admin::connect(store.url()?).await?;
    everything(&store).await?;
    admin.expect_rest("after one call of each kind").await?;
    // Refusals are where a transaction is forgotten.
    let record = store.sample();
    store.insert(&record).await?;
    let _ = store.repository.insert(&record).await;
    admin.expect_rest("after an insert that was refused").await?;
    let missing = (store.spec.missing_key)();
    let _ = store.repository.get(&missing).await;
    let _ = store.repository.append(&missing, &[store.spec.point(1)]).await;
    let _ = store.repository.delete(&missing).await;
    let _ = store.repository.list(0, Some("no cursor")).await;
    admin.expect_rest("after calls that were refused").await
}

/// A session that was changed and handed back must not change what the next caller gets.
pub(super) async fn calls_do_not_change_their_session(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    for _ in 0..3 {
        everything(&store).await?;
    }
    let before = store.sample();
    let key = store.insert(&before).await?;
    // Whatever the sessions are by now: those of a new repository are as they should be.
    let fresh = store.opened_again(&subject, Database::new(store.url()?)).await?;
    fresh.expect(&key, &before, "a record, by way of new sessions").await?;
    store.expect(&key, &before, "a record, by way of used sessions").await?;
    let mut admin = Admin::connect(store.url()?).await?;
    let temporary = "SELECT 1 / (count(*) = 0)::int FROM pg_catalog.pg_class WHERE relpersistence = 't'";
    let left = admin.execute(temporary).await;
    check!(left.is_ok(), "after some calls: expected no temporary tables, found some");
    Ok(())
}
