//! The contract of a store of deployments.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::cursor::List;
use super::{IdempotencyKey, Page, PageRequest, RepositoryError};
use crate::domain::{
    Activation, Deployment, DeploymentId, DeploymentStatus, NewDeployment, Performance, Revision, Rollback,
};

/// What errors call a row.
pub(super) const DEPLOYMENT: &str = "deployment";
/// The list of all deployments.
pub(super) const DEPLOYMENTS: List<'_> = List::all("deployments");
/// The list of the deployments of a name in an environment.
pub(super) const DEPLOYMENT_HISTORY: &str = "deployments of a place";
/// The idempotent creation of a deployment.
pub(super) const DEPLOYMENT_SCOPE: &str = "deployment";

/// The most deployments of a chain.
pub const CHAIN_MAX: u16 = 100;

/// Why a rollback has nothing to go back to.
pub(super) const NO_PREVIOUS: &str = "expected a deployment before it, found none to go back to";

/// Why a deployment does not go on.
pub(super) fn not_among(expected: &[DeploymentStatus], found: DeploymentStatus) -> String {
    let expected: Vec<_> = expected.iter().map(|status| status.as_str()).collect();
    format!("expected it to be {}, found it {found}", expected.join(" or "))
}

/// The names of the constraints that errors name.
pub mod deployment_constraint {
    /// Foreign key: the model that is deployed.
    pub const MODEL: &str = "ml_deployments_model_id_fkey";
}

/// Deployments: one of a name and an environment is active at a time, and knows the one before it.
///
/// Every method is all or nothing and safe to call concurrently. Values are validated first; then a stale revision is
/// found before a state that does not allow the change.
#[async_trait]
pub trait DeploymentRepository: Send + Sync {
    /// Stores a deployment that is to come and returns it as it is stored.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`MissingReference`](RepositoryError::MissingReference) when there is no
    /// such model.
    async fn create(&self, new: NewDeployment) -> Result<Deployment, RepositoryError>;

    /// As [`create`](Self::create), once for each key: when it is called again with the key and the same values, it
    /// returns the deployment that the first call made, as it is now.
    ///
    /// # Errors
    /// Those of `create`; [`KeyReused`](RepositoryError::KeyReused) for other values.
    async fn create_once(&self, key: &IdempotencyKey, new: NewDeployment) -> Result<Deployment, RepositoryError>;

    /// The deployment with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find(&self, id: DeploymentId) -> Result<Deployment, RepositoryError>;

    /// The active deployment of a name in an environment, if there is one.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no deployment can have them.
    async fn active(
        &self,
        deployment_name: &str,
        environment: &str,
    ) -> Result<Option<Deployment>, RepositoryError>;

    /// One page of all deployments, newest first, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn list(&self, request: PageRequest) -> Result<Page<Deployment>, RepositoryError>;

    /// One page of the deployments of a name in an environment, newest first, in a total order.
    ///
    /// # Errors
    /// Those of [`list`](Self::list), and [`Invalid`](RepositoryError::Invalid) when no deployment can have them.
    async fn history(
        &self,
        deployment_name: &str,
        environment: &str,
        request: PageRequest,
    ) -> Result<Page<Deployment>, RepositoryError>;

    /// This deployment, the one that was active before it, the one before that, and so on: what rollbacks go back to,
    /// one after the other, at most [`CHAIN_MAX`] of them.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn chain(&self, id: DeploymentId) -> Result<Vec<Deployment>, RepositoryError>;

    /// Begins to deploy what is pending.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound); [`Stale`](RepositoryError::Stale);
    /// [`Refused`](RepositoryError::Refused) when it is not pending.
    async fn begin(&self, id: DeploymentId, expected: Option<Revision>) -> Result<Deployment, RepositoryError>;

    /// Makes what is pending or being deployed active. The one of its name and environment that was active drains, and
    /// is what a rollback goes back to.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound); [`Stale`](RepositoryError::Stale);
    /// [`Refused`](RepositoryError::Refused) when it is neither pending nor being deployed.
    async fn activate(&self, id: DeploymentId, expected: Option<Revision>) -> Result<Activation, RepositoryError>;

    /// Notes that a deployment that is pending, being deployed or active has failed. No other becomes active by that.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound); [`Stale`](RepositoryError::Stale);
    /// [`Refused`](RepositoryError::Refused) when it is none of these.
    async fn fail(&self, id: DeploymentId, expected: Option<Revision>) -> Result<Deployment, RepositoryError>;

    /// Takes the active deployment back, for a reason of 1 to 8192 octets, and makes the one before it active again.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`NotFound`](RepositoryError::NotFound);
    /// [`Stale`](RepositoryError::Stale); [`Refused`](RepositoryError::Refused) when it is not active, or there was
    /// none before it.
    async fn roll_back(
        &self,
        id: DeploymentId,
        expected: Option<Revision>,
        reason: &str,
    ) -> Result<Rollback, RepositoryError>;

    /// Notes what was measured last, all of it.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`NotFound`](RepositoryError::NotFound);
    /// [`Stale`](RepositoryError::Stale).
    async fn record_performance(
        &self,
        id: DeploymentId,
        expected: Option<Revision>,
        performance: Performance,
    ) -> Result<Deployment, RepositoryError>;

    /// Fails deployments that are pending or being deployed and were changed last before this time: at most
    /// [`LIMIT_MAX`](super::LIMIT_MAX), those first that wait longest. Returns them in this order; fewer than that, and
    /// there are no more. Those that somebody else is changing at the moment are left out.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a time outside the years 1 to 9999.
    async fn fail_stale(&self, before: DateTime<Utc>) -> Result<Vec<DeploymentId>, RepositoryError>;
}
