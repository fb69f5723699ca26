//! Lists in pages: every record once, in one order, whatever happens between two pages.

use std::collections::HashSet;

use super::super::subject::{Store, Subject, refused};
use super::super::{Ability, RefusalKind};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::faults::{Message, Proxy};

/// Fails unless each of the expected records is there once.
fn expect_each_once(found: &[String], expected: &[String], what: &str) -> CaseResult {
    let distinct: HashSet<_> = found.iter().collect();
    check!(
        distinct.len() == found.len(),
        "{what}: expected every record once, found {} of {} again",
        found.len() - distinct.len(),
        found.len()
    );
    let missing = expected.iter().filter(|key| !distinct.contains(key)).count();
    check!(missing == 0, "{what}: expected all {} records, found that {missing} are left out", expected.len());
    Ok(())
}

/// The sizes of pages to try, for so many records.
fn sizes(store: &Store, records: u32) -> Vec<u32> {
    let max = store.spec.list_limit_max;
    let mut sizes = vec![1, 2, 7, records, max];
    sizes.retain(|size| (1..=max).contains(size));
    sizes
}

pub(super) async fn an_empty_list_has_an_end(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let page = store.page(1, None).await?;
    check!(page.records.is_empty(), "list of an empty store: expected no records, found {}", page.records.len());
    check!(page.next.is_none(), "list of an empty store: expected no cursor, found {:?}", page.next);
    Ok(())
}

pub(super) async fn pages_cover_every_record_once(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let stored = store.insert_many(23).await?;
    let whole = store.keys(store.spec.list_limit_max).await?;
    for size in sizes(&store, 23) {
        let found = store.keys(size).await?;
        expect_each_once(&found, &stored, &format!("list in pages of {size}"))?;
        check!(found == whole, "list in pages of {size}: expected the order of one large page, found another");
    }
    Ok(())
}

pub(super) async fn listed_records_are_those_that_are_got(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    store.insert_many(5).await?;
    let listed = store.list(2.min(store.spec.list_limit_max)).await?;
    check!(listed.len() == 5, "list: expected 5 records, found {}", listed.len());
    for (key, record) in listed {
        store.expect(&key, &record, "a record as it is listed").await?;
    }
    Ok(())
}

pub(super) async fn a_full_last_page_has_no_cursor(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    store.insert_many(6).await?;
    for size in sizes(&store, 6).into_iter().filter(|size| 6 % size == 0) {
        let mut cursor: Option<String> = None;
        for page in 0..6 / size {
            let listed = store.page(size, cursor.as_deref()).await?;
            check!(
                u32::try_from(listed.records.len()) == Ok(size),
                "list: expected {size} records in page {page}, found {}",
                listed.records.len()
            );
            cursor = listed.next;
        }
        check!(cursor.is_none(), "list: expected no cursor behind the last page of {size}, found {cursor:?}");
    }
    Ok(())
}

pub(super) async fn tied_records_have_one_order(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let stored = store.insert_many(23).await?;
    let tied = store.repository.tie(stored.get(3..20).unwrap_or_default()).await;
    tied.map_err(|refusal| CaseError::harness(format!("the adapter cannot tie records: {refusal}")))?;
    let whole = store.keys(store.spec.list_limit_max).await?;
    for size in sizes(&store, 23) {
        let found = store.keys(size).await?;
        expect_each_once(&found, &stored, &format!("list of tied records in pages of {size}"))?;
        check!(found == whole, "list of tied records in pages of {size}: expected one order, found another");
    }
    Ok(())
}

/// What happens between two pages.
#[derive(Clone, Copy)]
enum Between {
    Inserts,
    Deletes,
}

/// Reads all pages, while something happens between any two.
async fn read_while(store: &Store, size: u32, between: Between) -> Result<Vec<String>, CaseError> {
    let size = size.min(store.spec.list_limit_max);
    let (mut found, mut deleted) = (Vec::new(), HashSet::new());
    let mut cursor: Option<String> = None;
    for round in 0..40 {
        let page = store.page(size, cursor.as_deref()).await?;
        found.extend(page.records.into_iter().map(|(key, _)| key));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
        match between {
            // Not for ever, or the list would have no end.
            Between::Inserts if round < 3 => drop(store.insert_many(2).await?),
            Between::Inserts => {}
            Between::Deletes => {
                // The one that the cursor may point at, and the first one.
                let last = found.last().cloned();
                let first =
                    found.iter().find(|key| !deleted.contains(*key) && Some(*key) != last.as_ref()).cloned();
                for key in [last, first].into_iter().flatten() {
                    if deleted.insert(key.clone()) {
                        store.delete(&key).await?;
                    }
                }
            }
        }
    }
    Err(CaseError::failed(format!("list: expected an end within 40 pages of {size}, found none")))
}

pub(super) async fn pages_are_stable_under_inserts(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let early = store.insert_many(12).await?;
    let found = read_while(&store, 5, Between::Inserts).await?;
    expect_each_once(&found, &early, "list while records are inserted")
}

pub(super) async fn pages_are_stable_under_deletes(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    let stored = store.insert_many(14).await?;
    let found = read_while(&store, 3, Between::Deletes).await?;
    expect_each_once(&found, &stored, "list while records that were seen are deleted")
}

pub(super) async fn list_limits_are_enforced(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    store.insert_many(2).await?;
    for limit in [0, store.spec.list_limit_max.saturating_add(1), u32::MAX] {
        let listed = store.repository.list(limit, None).await;
        refused(listed, &[RefusalKind::Invalid], &format!("list with a limit of {limit}"))?;
    }
    check!(store.page(1, None).await?.records.len() == 1, "list with a limit of 1: expected one record");
    let all = store.page(store.spec.list_limit_max, None).await?;
    check!(all.records.len() == 2, "list with the largest limit: expected 2 records, found {}", all.records.len());
    Ok(())
}

pub(super) async fn a_changed_cursor_is_refused(subject: Subject) -> CaseResult {
    let store = subject.store().await?;
    store.insert_many(3).await?;
    let Some(cursor) = store.page(1, None).await?.next else {
        return Err(CaseError::failed("list: expected a cursor behind the first of three records, found none"));
    };
    let characters: Vec<char> = cursor.chars().collect();
    let mut changed =
        vec![String::new(), format!("{cursor}0"), format!("{cursor}{cursor}"), "\u{1f600}\0'".to_owned()];
    for position in 0..characters.len() {
        changed.push(characters.iter().take(position).collect());
        for other in ['0', '1', 'a', 'Z', '-', ' '] {
            let mut text = characters.clone();
            if let Some(character) = text.get_mut(position) {
                *character = other;
            }
            changed.push(text.into_iter().collect());
        }
    }
    for changed in changed.into_iter().filter(|changed| *changed != cursor) {
        let listed = store.repository.list(1, Some(&changed)).await;
        refused(
            listed,
            &[RefusalKind::Cursor, RefusalKind::Invalid],
            &format!("list behind the changed cursor {changed:?} (it was {cursor:?})"),
        )?;
    }
    Ok(())
}

/// A page of many records takes as many statements as one of few: nothing is asked for each row.
pub(super) async fn a_page_takes_the_same_statements(subject: Subject) -> CaseResult {
    let lease = subject.database().await?;
    let proxy = Proxy::start(lease.url()).await.map_err(CaseError::harness)?;
    let store = subject.opened(super::super::Database::new(proxy.url()), Some(lease)).await?;
    let statements = |proxy: &Proxy| proxy.take_count(Message::Execute) + proxy.take_count(Message::Query);
    let limit = store.spec.list_limit_max;
    let mut counts = Vec::new();
    for records in [1, 12, 24] {
        store.insert_many(records).await?;
        // Once before, so that nothing is prepared when it is counted.
        store.page(limit, None).await?;
        let _ = statements(&proxy);
        store.page(limit, None).await?;
        counts.push(statements(&proxy));
    }
    check!(
        counts.iter().all(|count| counts.first() == Some(count)),
        "list: expected as many statements for 37 records as for one, found {counts:?}"
    );
    let lists_all = store.spec.abilities().contains(&Ability::List);
    check!(lists_all && counts.first() > Some(&0), "list: expected statements, found none");
    Ok(())
}
