//! Many callers at once.

use std::collections::HashSet;

use futures_util::future::{join_all, try_join_all};
use proofmark::domain::{
    BentoService, DeploymentStatus, HealthStatus, Measures, NewBentoService, NewServingMetric, TIME_MAX, TIME_MIN,
    TimeWindow,
};
use proofmark::repository::{LIMIT_MAX, RepositoryError, constraint};

use super::subject::{RepositorySubject, check_refused};
use crate::case::{CaseError, CaseResult, Expect as _};
use crate::check_eq;

/// How many callers there are.
const CALLERS: usize = 8;

pub(super) async fn concurrent_metrics_lose_nothing(subject: RepositorySubject) -> CaseResult {
    const METRICS: usize = 25;
    let id = subject.a_service().await?.id;
    let callers = (0..CALLERS).map(|_| {
        let subject = subject.clone();
        tokio::spawn(async move {
            let mut recorded = Vec::with_capacity(METRICS);
            for _ in 0..METRICS {
                let metric =
                    subject.repository.record_metric(NewServingMetric::new(id, Measures::default())).await;
                recorded.push(metric.expect_ok("record_metric beside other callers")?.id);
            }
            Ok::<_, CaseError>(recorded)
        })
    });
    let mut recorded = HashSet::new();
    for caller in try_join_all(callers).await.map_err(CaseError::harness)? {
        recorded.extend(caller?);
    }
    check_eq!(recorded.len(), CALLERS * METRICS, "record_metric: distinct metrics recorded by {CALLERS} callers");
    let stored: HashSet<_> = subject.latest(id, LIMIT_MAX).await?.iter().map(|metric| metric.id).collect();
    let lost = recorded.difference(&stored).count();
    check_eq!(
        lost,
        0,
        "latest_metrics: metrics that record_metric returned to one of {CALLERS} callers, and that are lost"
    );
    let ever =
        TimeWindow::new(TIME_MIN, TIME_MAX - chrono::TimeDelta::microseconds(1)).map_err(CaseError::harness)?;
    let windows = subject.repository.summarize(id, ever).await.expect_ok("summarize")?.windows;
    check_eq!(usize::try_from(windows), Ok(CALLERS * METRICS), "summarize: windows");
    Ok(())
}

pub(super) async fn concurrent_registration_has_one_winner(subject: RepositorySubject) -> CaseResult {
    for round in 0..5 {
        let tag = format!("fraud:v{round}");
        let callers = (0..CALLERS).map(|caller| {
            let subject = subject.clone();
            let new = NewBentoService::new(&tag, format!("from-{caller}"), "scorer");
            tokio::spawn(async move { subject.repository.register(new).await })
        });
        let mut winners = Vec::new();
        for result in try_join_all(callers).await.map_err(CaseError::harness)? {
            match result {
                Ok(service) => winners.push(service),
                lost => check_refused!(
                    lost,
                    RepositoryError::Conflict { constraint } if constraint == constraint::SERVICE_KEY,
                    "register of a name that another caller registers at the same time"
                ),
            }
        }
        check_eq!(winners.len(), 1, "register: winners among {CALLERS} callers with the same name");
        let stored = subject.repository.find_by_tag(&tag).await.expect_ok("find_by_tag")?;
        check_eq!(stored, winners, "find_by_tag: the winner alone");
    }
    Ok(())
}

/// One update by one caller.
#[derive(Debug, Clone, Copy)]
enum Update {
    Status(DeploymentStatus),
    Health(HealthStatus),
}

/// Ordered by the times that they were told, the updates form one history: each finds what the one before left,
/// and changes its own field alone.
pub(super) async fn concurrent_updates_form_one_history(subject: RepositorySubject) -> CaseResult {
    let registered = subject.a_service().await?;
    let id = registered.id;
    let statuses = DeploymentStatus::ALL.iter().map(|&status| Update::Status(status));
    let healths = HealthStatus::ALL.iter().map(|&health| Update::Health(health));
    let callers = statuses.zip(healths).flat_map(|(status, health)| [status, health]).map(|update| {
        let subject = subject.clone();
        tokio::spawn(async move {
            let mut updated = Vec::new();
            for _ in 0..5 {
                let result = match update {
                    Update::Status(status) => subject.repository.update_status(id, status).await,
                    Update::Health(health) => subject.repository.update_health(id, health).await,
                };
                updated.push((update, result.expect_ok(&format!("{update:?} beside other callers"))?));
            }
            Ok::<_, CaseError>(updated)
        })
    });
    let mut history = Vec::new();
    for caller in join_all(callers).await {
        history.extend(caller.map_err(CaseError::harness)??);
    }
    history.sort_by_key(|(_, service)| service.updated_at);
    let mut before = registered;
    for (update, found) in history {
        let mut expected = BentoService { updated_at: found.updated_at, ..before.clone() };
        match update {
            Update::Status(status) => expected.status = status,
            Update::Health(health) => expected.health_status = health,
        }
        check_eq!(
            found,
            expected,
            "{update:?} beside other callers, after the update of {}: the service",
            before.updated_at
        );
        crate::check!(
            found.updated_at > before.updated_at,
            "{update:?} beside other callers: expected an updated_at of its own, found {} twice",
            found.updated_at
        );
        before = found;
    }
    check_eq!(subject.find(id).await?, before, "find: the service as the last of the updates returned it");
    Ok(())
}
