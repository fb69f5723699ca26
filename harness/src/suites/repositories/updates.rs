//! Changing the status and the health of a service.

use proofmark::domain::{BentoService, BentoServiceId, DeploymentStatus, HealthStatus, NewBentoService};
use proofmark::repository::RepositoryError;

use super::subject::{RepositorySubject, check_refused};
use crate::case::{CaseResult, Expect as _};
use crate::{check, check_eq};

pub(super) async fn every_status_round_trips(subject: RepositorySubject) -> CaseResult {
    let id = subject.a_service().await?.id;
    // Once more from the beginning: the way back to the first value as well.
    for &status in DeploymentStatus::ALL.iter().chain(DeploymentStatus::ALL) {
        let updated =
            subject.repository.update_status(id, status).await.expect_ok(&format!("update_status to {status}"))?;
        check_eq!(updated.status, status, "update_status: status returned");
        check_eq!(subject.find(id).await?.status, status, "find: status after update_status");
    }
    Ok(())
}

pub(super) async fn every_health_round_trips(subject: RepositorySubject) -> CaseResult {
    let id = subject.a_service().await?.id;
    for &health in HealthStatus::ALL.iter().chain(HealthStatus::ALL) {
        let updated =
            subject.repository.update_health(id, health).await.expect_ok(&format!("update_health to {health}"))?;
        check_eq!(updated.health_status, health, "update_health: health returned");
        check_eq!(subject.find(id).await?.health_status, health, "find: health after update_health");
    }
    Ok(())
}

pub(super) async fn updates_leave_the_rest_alone(subject: RepositorySubject) -> CaseResult {
    let service = subject
        .register(NewBentoService {
            model_id: Some(subject.fixtures.a_model().await?),
            serving_endpoint: Some("http://scorer.internal:3000".to_owned()),
            container_image: Some("registry.internal/fraud:v1".to_owned()),
            ..NewBentoService::new("fraud:v1", "v1", "scorer")
        })
        .await?;
    let other = subject.register(NewBentoService::new("fraud:v1", "v1", "ranker")).await?;

    let active =
        subject.repository.update_status(service.id, DeploymentStatus::Active).await.expect_ok("update_status")?;
    let expected =
        BentoService { status: DeploymentStatus::Active, updated_at: active.updated_at, ..service.clone() };
    check_eq!(active, expected, "update_status: the service with its status changed");

    let degraded =
        subject.repository.update_health(service.id, HealthStatus::Degraded).await.expect_ok("update_health")?;
    let expected =
        BentoService { health_status: HealthStatus::Degraded, updated_at: degraded.updated_at, ..active };
    check_eq!(degraded, expected, "update_health: the service with its health changed");

    check_eq!(subject.find(service.id).await?, degraded, "find: the service as the last update returned it");
    check_eq!(subject.find(other.id).await?, other, "find: a service that was not updated");
    Ok(())
}

/// Also when nothing changes, and however fast the updates follow each other.
pub(super) async fn updates_advance_updated_at(subject: RepositorySubject) -> CaseResult {
    let service = subject.a_service().await?;
    let mut last = service.updated_at;
    for round in 0..20 {
        let (method, updated) = if round % 2 == 0 {
            ("update_status", subject.repository.update_status(service.id, DeploymentStatus::Active).await)
        } else {
            ("update_health", subject.repository.update_health(service.id, HealthStatus::Healthy).await)
        };
        let updated = updated.expect_ok(method)?;
        check!(
            updated.updated_at > last,
            "{method}: expected an updated_at later than {last}, found {}",
            updated.updated_at
        );
        last = updated.updated_at;
    }
    check_eq!(subject.find(service.id).await?.updated_at, last, "find: updated_at as the last update returned it");
    Ok(())
}

pub(super) async fn missing_service_cannot_be_updated(subject: RepositorySubject) -> CaseResult {
    let service = subject.a_service().await?;
    let missing = BentoServiceId::random();
    check_refused!(
        subject.repository.update_status(missing, DeploymentStatus::Active).await,
        RepositoryError::NotFound { id, .. } if id == missing.as_uuid(),
        "update_status of a missing service"
    );
    check_refused!(
        subject.repository.update_health(missing, HealthStatus::Healthy).await,
        RepositoryError::NotFound { id, .. } if id == missing.as_uuid(),
        "update_health of a missing service"
    );
    check_eq!(subject.list(10).await?, [service], "list: services after updates of a missing one");
    Ok(())
}
