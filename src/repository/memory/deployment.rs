//! Deployments.

use std::cmp::Reverse;
use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{MemoryStore, Tables, advanced, check_revision, now};
use crate::domain::{
    Activation, Deployment, DeploymentId, DeploymentStatus, ModelId, NewDeployment, Performance, Revision,
    Rollback, instant, validate_place, validate_rollback_reason,
};
use crate::repository::cursor::{List, Moment, before_newest};
use crate::repository::deployment::{
    CHAIN_MAX, DEPLOYMENT, DEPLOYMENT_HISTORY, DEPLOYMENT_SCOPE, DEPLOYMENTS, NO_PREVIOUS,
    deployment_constraint as constraint, not_among,
};
use crate::repository::page::validate_limit;
use crate::repository::{DeploymentRepository, IdempotencyKey, LIMIT_MAX, Page, PageRequest, RepositoryError};

/// Deployments in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryDeploymentRepository {
    store: MemoryStore,
}

/// The rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    deployments: HashMap<DeploymentId, Deployment>,
}

impl From<&MemoryStore> for MemoryDeploymentRepository {
    fn from(store: &MemoryStore) -> Self {
        Self { store: store.clone() }
    }
}

fn key(deployment: &Deployment) -> Moment {
    (deployment.created_at, deployment.id.as_uuid())
}

fn revise(deployment: &mut Deployment) -> Deployment {
    deployment.revision = deployment.revision.next();
    deployment.updated_at = advanced(deployment.updated_at);
    deployment.clone()
}

fn is_waiting(status: DeploymentStatus) -> bool {
    matches!(status, DeploymentStatus::Pending | DeploymentStatus::Deploying)
}

impl Rows {
    /// Whether the model is, or was, deployed.
    pub(super) fn are_of(&self, model: ModelId) -> bool {
        self.deployments.values().any(|deployment| deployment.model_id == model)
    }

    fn find(&self, id: DeploymentId) -> Result<&Deployment, RepositoryError> {
        self.deployments.get(&id).ok_or_else(|| RepositoryError::not_found(DEPLOYMENT, id.as_uuid()))
    }

    /// The deployment, if it has the expected revision and is in one of these states; none of them is any.
    fn find_mut(
        &mut self,
        id: DeploymentId,
        expected: Option<Revision>,
        among: &[DeploymentStatus],
    ) -> Result<&mut Deployment, RepositoryError> {
        let deployment =
            self.deployments.get_mut(&id).ok_or_else(|| RepositoryError::not_found(DEPLOYMENT, id.as_uuid()))?;
        check_revision(DEPLOYMENT, id.as_uuid(), expected, deployment.revision)?;
        if !among.is_empty() && !among.contains(&deployment.status) {
            return Err(RepositoryError::refused(DEPLOYMENT, id.as_uuid(), not_among(among, deployment.status)));
        }
        Ok(deployment)
    }

    fn active(&self, deployment_name: &str, environment: &str) -> Option<&Deployment> {
        self.deployments.values().find(|deployment| {
            deployment.status == DeploymentStatus::Active
                && deployment.deployment_name == deployment_name
                && deployment.environment == environment
        })
    }
}

impl Tables {
    fn create_deployment(&mut self, new: NewDeployment) -> Result<Deployment, RepositoryError> {
        if !self.models.contains(new.model_id) {
            return Err(RepositoryError::missing(constraint::MODEL));
        }
        let now = now();
        let deployment = Deployment {
            id: DeploymentId::random(),
            model_id: new.model_id,
            deployment_name: new.deployment_name,
            environment: new.environment,
            endpoint: new.endpoint,
            status: DeploymentStatus::Pending,
            previous_deployment_id: None,
            rollback_reason: None,
            deployed_at: None,
            deactivated_at: None,
            rolled_back_at: None,
            performance: Performance::default(),
            revision: Revision::FIRST,
            created_at: now,
            updated_at: now,
        };
        self.deployments.deployments.insert(deployment.id, deployment.clone());
        Ok(deployment)
    }
}

impl MemoryDeploymentRepository {
    fn page(
        &self,
        list: &List<'_>,
        request: &PageRequest,
        accept: impl Fn(&Deployment) -> bool,
    ) -> Result<Page<Deployment>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let after = self.store.cursors.after(list, request, before_newest())?;
        let tables = self.store.tables();
        let rows = tables.deployments.deployments.values().filter(|row| accept(row) && key(row) < after);
        let mut rows: Vec<_> = rows.cloned().collect();
        rows.sort_by_key(|row| Reverse(key(row)));
        Page::of(rows, limit, |last| self.store.cursors.cursor(list, &key(last)))
    }
}

#[async_trait]
impl DeploymentRepository for MemoryDeploymentRepository {
    async fn create(&self, new: NewDeployment) -> Result<Deployment, RepositoryError> {
        new.validate()?;
        self.store.tables().create_deployment(new)
    }

    async fn create_once(&self, key: &IdempotencyKey, new: NewDeployment) -> Result<Deployment, RepositoryError> {
        new.validate()?;
        self.store.once(
            DEPLOYMENT_SCOPE,
            key,
            new,
            |tables, new| tables.create_deployment(new).map(|made| (made.id.as_uuid(), made)),
            |tables, id| tables.deployments.find(id.into()).cloned(),
        )
    }

    async fn find(&self, id: DeploymentId) -> Result<Deployment, RepositoryError> {
        self.store.tables().deployments.find(id).cloned()
    }

    async fn active(
        &self,
        deployment_name: &str,
        environment: &str,
    ) -> Result<Option<Deployment>, RepositoryError> {
        validate_place(deployment_name, environment)?;
        Ok(self.store.tables().deployments.active(deployment_name, environment).cloned())
    }

    async fn list(&self, request: PageRequest) -> Result<Page<Deployment>, RepositoryError> {
        self.page(&DEPLOYMENTS, &request, |_| true)
    }

    async fn history(
        &self,
        deployment_name: &str,
        environment: &str,
        request: PageRequest,
    ) -> Result<Page<Deployment>, RepositoryError> {
        validate_place(deployment_name, environment)?;
        let filter = [deployment_name, environment];
        self.page(&List::filtered(DEPLOYMENT_HISTORY, &filter), &request, |row| {
            row.deployment_name == deployment_name && row.environment == environment
        })
    }

    async fn chain(&self, id: DeploymentId) -> Result<Vec<Deployment>, RepositoryError> {
        let tables = self.store.tables();
        let mut chain = vec![tables.deployments.find(id)?.clone()];
        while let Some(previous) = chain.last().and_then(|last| last.previous_deployment_id) {
            if chain.len() == usize::from(CHAIN_MAX) {
                break;
            }
            chain.push(tables.deployments.find(previous)?.clone());
        }
        Ok(chain)
    }

    async fn begin(&self, id: DeploymentId, expected: Option<Revision>) -> Result<Deployment, RepositoryError> {
        let mut tables = self.store.tables();
        let deployment = tables.deployments.find_mut(id, expected, &[DeploymentStatus::Pending])?;
        deployment.status = DeploymentStatus::Deploying;
        Ok(revise(deployment))
    }

    async fn activate(&self, id: DeploymentId, expected: Option<Revision>) -> Result<Activation, RepositoryError> {
        let mut tables = self.store.tables();
        let among = [DeploymentStatus::Pending, DeploymentStatus::Deploying];
        let found = tables.deployments.find_mut(id, expected, &among)?.clone();
        let now = now();
        let active = tables.deployments.active(&found.deployment_name, &found.environment).map(|row| row.id);
        let replaced = match active {
            Some(active) => {
                let deployment = tables.deployments.find_mut(active, None, &[])?;
                deployment.status = DeploymentStatus::Draining;
                deployment.deactivated_at = Some(now);
                Some(revise(deployment))
            }
            None => None,
        };
        let deployment = tables.deployments.find_mut(id, None, &[])?;
        deployment.status = DeploymentStatus::Active;
        deployment.deployed_at = Some(now);
        deployment.previous_deployment_id = active;
        Ok(Activation { activated: revise(deployment), replaced })
    }

    async fn fail(&self, id: DeploymentId, expected: Option<Revision>) -> Result<Deployment, RepositoryError> {
        let mut tables = self.store.tables();
        let among = [DeploymentStatus::Pending, DeploymentStatus::Deploying, DeploymentStatus::Active];
        let deployment = tables.deployments.find_mut(id, expected, &among)?;
        if deployment.status == DeploymentStatus::Active {
            deployment.deactivated_at = Some(now());
        }
        deployment.status = DeploymentStatus::Failed;
        Ok(revise(deployment))
    }

    async fn roll_back(
        &self,
        id: DeploymentId,
        expected: Option<Revision>,
        reason: &str,
    ) -> Result<Rollback, RepositoryError> {
        validate_rollback_reason(reason)?;
        let mut tables = self.store.tables();
        let found = tables.deployments.find_mut(id, expected, &[DeploymentStatus::Active])?;
        let Some(previous) = found.previous_deployment_id else {
            return Err(RepositoryError::refused(DEPLOYMENT, id.as_uuid(), NO_PREVIOUS));
        };
        tables.deployments.find_mut(previous, None, &[DeploymentStatus::Draining])?;
        let now = now();
        let deployment = tables.deployments.find_mut(id, None, &[])?;
        deployment.status = DeploymentStatus::RolledBack;
        deployment.rollback_reason = Some(reason.to_owned());
        deployment.rolled_back_at = Some(now);
        deployment.deactivated_at = Some(now);
        let rolled_back = revise(deployment);
        let deployment = tables.deployments.find_mut(previous, None, &[])?;
        deployment.status = DeploymentStatus::Active;
        deployment.deployed_at = Some(now);
        deployment.deactivated_at = None;
        Ok(Rollback { rolled_back, restored: revise(deployment) })
    }

    async fn record_performance(
        &self,
        id: DeploymentId,
        expected: Option<Revision>,
        performance: Performance,
    ) -> Result<Deployment, RepositoryError> {
        performance.validate()?;
        let mut tables = self.store.tables();
        let deployment = tables.deployments.find_mut(id, expected, &[])?;
        deployment.performance = performance;
        Ok(revise(deployment))
    }

    async fn fail_stale(&self, before: DateTime<Utc>) -> Result<Vec<DeploymentId>, RepositoryError> {
        let before = instant("before", before)?;
        let mut tables = self.store.tables();
        let rows = tables.deployments.deployments.values();
        let mut stale: Vec<_> = rows
            .filter(|row| is_waiting(row.status) && row.updated_at < before)
            .map(|row| (row.updated_at, row.id))
            .collect();
        stale.sort_unstable();
        stale.truncate(usize::try_from(LIMIT_MAX).unwrap_or(usize::MAX));
        for &(_, id) in &stale {
            let deployment = tables.deployments.find_mut(id, None, &[])?;
            deployment.status = DeploymentStatus::Failed;
            revise(deployment);
        }
        Ok(stale.into_iter().map(|(_, id)| id).collect())
    }
}
