//! Lists in pages, and the limits of answers.

use std::collections::HashSet;

use proofmark::domain::{BentoService, BentoServiceId, Measures, NewBentoService, NewServingMetric};
use proofmark::repository::{Cursor, LIMIT_MAX, PageRequest, RepositoryError};

use super::subject::{RepositorySubject, check_refused, time};
use crate::case::{CaseError, CaseResult, Expect as _};
use crate::{check, check_eq};

fn ids(services: &[BentoService]) -> Vec<BentoServiceId> {
    services.iter().map(|service| service.id).collect()
}

fn check_oldest_first(method: &str, services: &[BentoService]) -> CaseResult {
    for pair in services.windows(2) {
        check!(
            pair[0].created_at <= pair[1].created_at,
            "{method}: expected oldest first, found a service of {} before one of {}",
            pair[0].created_at,
            pair[1].created_at
        );
    }
    Ok(())
}

/// Services whose times of registration are the same in part, and not in the order in which they were registered.
async fn register_tied(subject: &RepositorySubject) -> Result<Vec<BentoServiceId>, CaseError> {
    let ids = ids(&subject.register_many(23).await?);
    subject.fixtures.set_created_at(&ids[..10], time("2024-02-02T00:00:00Z")?).await?;
    subject.fixtures.set_created_at(&ids[10..20], time("2024-01-01T00:00:00.000001Z")?).await?;
    Ok(ids)
}

pub(super) async fn pages_cover_every_service_once(subject: RepositorySubject) -> CaseResult {
    check_eq!(subject.list(1).await?, [], "list: services of an empty repository");
    let registered = register_tied(&subject).await?;
    let whole = ids(&subject.list(LIMIT_MAX).await?);
    // 23 fills its only page, which is the last one all the same.
    for limit in [1, 2, 7, 10, 23, LIMIT_MAX] {
        let services = subject.list(limit).await?;
        let found = ids(&services);
        let distinct: HashSet<_> = found.iter().copied().collect();
        check_eq!(distinct.len(), found.len(), "list in pages of {limit}: distinct services among those returned");
        let missing = registered.iter().filter(|id| !distinct.contains(id)).count();
        check_eq!(missing, 0, "list in pages of {limit}: services left out");
        check_oldest_first(&format!("list in pages of {limit}"), &services)?;
        check_eq!(found, whole, "list in pages of {limit}: the order of one large page");
    }
    let full = subject.page(PageRequest { limit: 23, after: None }).await?;
    check_eq!(full.next, None, "list: cursor of a full page behind which there is nothing");
    Ok(())
}

pub(super) async fn limits_are_enforced(subject: RepositorySubject) -> CaseResult {
    let service = subject.a_service().await?;
    subject
        .repository
        .record_metric(NewServingMetric::new(service.id, Measures::default()))
        .await
        .expect_ok("record_metric")?;
    for limit in [0, LIMIT_MAX + 1, u32::MAX] {
        check_refused!(
            subject.repository.list(PageRequest { limit, after: None }).await,
            RepositoryError::Invalid { field, .. } if field == "limit",
            "list with a limit of {limit}"
        );
        check_refused!(
            subject.repository.latest_metrics(service.id, limit).await,
            RepositoryError::Invalid { field, .. } if field == "limit",
            "latest_metrics with a limit of {limit}"
        );
    }
    for limit in [1, LIMIT_MAX] {
        check_eq!(subject.list(limit).await?.len(), 1, "list with a limit of {limit}: services");
        check_eq!(
            subject.latest(service.id, limit).await?.len(),
            1,
            "latest_metrics with a limit of {limit}: metrics"
        );
    }
    Ok(())
}

pub(super) async fn pages_are_stable_during_registration(subject: RepositorySubject) -> CaseResult {
    let early = ids(&subject.register_many(12).await?);
    subject.fixtures.set_created_at(&early, time("2024-01-01T00:00:00Z")?).await?;
    let mut found = Vec::new();
    let mut after = None;
    // Each page is followed by a service that belongs before it and one that belongs behind all.
    for round in 0..20 {
        let page = subject.page(PageRequest { limit: 5, after }).await?;
        found.extend(ids(&page.items));
        after = page.next;
        if after.is_none() {
            break;
        }
        let older = subject.register(NewBentoService::new("older:v1", "v1", format!("service-{round}"))).await?;
        subject.fixtures.set_created_at(&[older.id], time("2023-01-01T00:00:00Z")?).await?;
        // Not for ever, or the list would never end.
        if round < 3 {
            subject.register(NewBentoService::new("newer:v1", "v1", format!("service-{round}"))).await?;
        }
    }
    check_eq!(after, None, "list: cursor after 20 pages of 5 over fewer than 50 services");
    let distinct: HashSet<_> = found.iter().copied().collect();
    check_eq!(
        distinct.len(),
        found.len(),
        "list while services are registered: distinct services among those returned"
    );
    let missing = early.iter().filter(|id| !distinct.contains(id)).count();
    check_eq!(missing, 0, "list while services are registered: services left out that were there before");
    Ok(())
}

pub(super) async fn changed_cursor_is_refused(subject: RepositorySubject) -> CaseResult {
    subject.register_many(3).await?;
    let page = subject.page(PageRequest { limit: 1, after: None }).await?;
    let Some(cursor) = page.next else {
        return Err(CaseError::failed("list: expected a cursor behind the first of three services, found none"));
    };
    let characters: Vec<char> = cursor.as_str().chars().collect();
    for position in 0..characters.len() {
        for other in ' '..='~' {
            let mut changed = characters.clone();
            changed[position] = other;
            if changed != characters {
                check_cursor_refused(&subject, changed).await?;
            }
        }
        check_cursor_refused(&subject, characters[..position].to_vec()).await?;
    }
    check_cursor_refused(&subject, [characters.clone(), vec!['0']].concat()).await?;
    check_cursor_refused(&subject, [characters.clone(), characters].concat()).await?;
    check_cursor_refused(&subject, "\u{1f600}\0'; --".chars().collect()).await
}

async fn check_cursor_refused(subject: &RepositorySubject, characters: Vec<char>) -> CaseResult {
    let cursor = Cursor::new(String::from_iter(characters));
    check_refused!(
        subject.repository.list(PageRequest { limit: 1, after: Some(cursor.clone()) }).await,
        RepositoryError::InvalidCursor { .. },
        "list behind the changed cursor {:?}",
        cursor.as_str()
    );
    Ok(())
}

pub(super) async fn services_of_a_bento_are_oldest_first(subject: RepositorySubject) -> CaseResult {
    let registered = register_tied(&subject).await?;
    let other = subject.register(NewBentoService::new("churn:v1", "v1", "ranker")).await?;
    let found = subject.repository.find_by_tag("fraud:v1").await.expect_ok("find_by_tag")?;
    check_eq!(found.len(), registered.len(), "find_by_tag: services of the bento");
    check_oldest_first("find_by_tag", &found)?;
    let mut listed = subject.list(LIMIT_MAX).await?;
    listed.retain(|service| service.id != other.id);
    check_eq!(ids(&found), ids(&listed), "find_by_tag: the order of list");
    Ok(())
}
