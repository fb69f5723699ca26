//! Deployments: which model answers under a name in an environment, and which one did before.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::validation::{InvalidField, Limit, number, optional_text, text};
use super::{
    DeploymentId, DeploymentStatus, MEASURE_MAX, ModelId, NAME_CHARACTERS_MAX, Revision, TEXT_OCTETS_MAX,
};

/// The longest name of an environment, in characters.
pub const ENVIRONMENT_CHARACTERS_MAX: usize = 100;

/// A row of `ml_deployments`.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The identifier.
    pub id: DeploymentId,
    /// The model that is deployed.
    pub model_id: ModelId,
    /// The name that it answers under.
    pub deployment_name: String,
    /// Where, for example `production`.
    pub environment: String,
    /// The address.
    pub endpoint: Option<String>,
    /// Where it stands; one of a name and an environment is active at a time.
    pub status: DeploymentStatus,
    /// The one that was active before it, which a rollback goes back to.
    pub previous_deployment_id: Option<DeploymentId>,
    /// Why it was rolled back.
    pub rollback_reason: Option<String>,
    /// When it became active last.
    pub deployed_at: Option<DateTime<Utc>>,
    /// When it stopped being active, if it was and is not.
    pub deactivated_at: Option<DateTime<Utc>>,
    /// When it was rolled back.
    pub rolled_back_at: Option<DateTime<Utc>>,
    /// What was measured last.
    pub performance: Performance,
    /// How often it was written.
    pub revision: Revision,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it was changed last; later after every change.
    pub updated_at: DateTime<Utc>,
}

/// How a deployment answers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Performance {
    /// Median latency, in milliseconds; at most the others.
    pub latency_p50_ms: Option<f64>,
    /// 95th percentile of the latency, in milliseconds; at most the 99th.
    pub latency_p95_ms: Option<f64>,
    /// 99th percentile of the latency, in milliseconds.
    pub latency_p99_ms: Option<f64>,
    /// Share of the requests that failed, from 0 to 1.
    pub error_rate: Option<f64>,
}

impl Performance {
    /// Checks every number.
    ///
    /// # Errors
    /// The first field that is out of its range, or out of order.
    pub fn validate(&self) -> Result<(), InvalidField> {
        for (field, value, max) in [
            ("latency_p50_ms", self.latency_p50_ms, MEASURE_MAX),
            ("latency_p95_ms", self.latency_p95_ms, MEASURE_MAX),
            ("latency_p99_ms", self.latency_p99_ms, MEASURE_MAX),
            ("error_rate", self.error_rate, 1.0),
        ] {
            if let Some(value) = value {
                number(field, value, 0.0, max)?;
            }
        }
        for (field, lower, higher) in [
            ("latency_p50_ms", self.latency_p50_ms, self.latency_p95_ms),
            ("latency_p95_ms", self.latency_p95_ms, self.latency_p99_ms),
            ("latency_p50_ms", self.latency_p50_ms, self.latency_p99_ms),
        ] {
            if let (Some(lower), Some(higher)) = (lower, higher)
                && lower > higher
            {
                let reason = format!("expected at most the higher percentile ({higher:e}), found {lower:e}");
                return Err(InvalidField::new(field, reason));
            }
        }
        Ok(())
    }
}

/// A deployment to begin. It is [`DeploymentStatus::Pending`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewDeployment {
    /// See [`Deployment::model_id`].
    pub model_id: ModelId,
    /// See [`Deployment::deployment_name`]; 1 to 255 characters.
    pub deployment_name: String,
    /// See [`Deployment::environment`]; 1 to 100 characters.
    pub environment: String,
    /// See [`Deployment::endpoint`]; 1 to 8192 octets.
    pub endpoint: Option<String>,
}

impl NewDeployment {
    /// A deployment with what it must have.
    pub fn new(model_id: ModelId, deployment_name: impl Into<String>, environment: impl Into<String>) -> Self {
        Self { model_id, deployment_name: deployment_name.into(), environment: environment.into(), endpoint: None }
    }

    /// Checks every text.
    ///
    /// # Errors
    /// The first field that is empty, too long, or holds a NUL.
    pub fn validate(&self) -> Result<(), InvalidField> {
        validate_place(&self.deployment_name, &self.environment)?;
        optional_text("endpoint", self.endpoint.as_deref(), Limit::Octets(TEXT_OCTETS_MAX))
    }
}

/// Checks a name and an environment, also those that are only looked for.
///
/// # Errors
/// When no deployment can have them.
pub fn validate_place(deployment_name: &str, environment: &str) -> Result<(), InvalidField> {
    text("deployment_name", deployment_name, Limit::Characters(NAME_CHARACTERS_MAX))?;
    text("environment", environment, Limit::Characters(ENVIRONMENT_CHARACTERS_MAX))
}

/// Checks why a deployment was rolled back.
pub(crate) fn validate_rollback_reason(reason: &str) -> Result<(), InvalidField> {
    text("rollback_reason", reason, Limit::Octets(TEXT_OCTETS_MAX))
}

/// What an activation did.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// The deployment that is active.
    pub activated: Deployment,
    /// The one that was active before it, now draining.
    pub replaced: Option<Deployment>,
}

/// What a rollback did.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollback {
    /// The deployment that was active.
    pub rolled_back: Deployment,
    /// The one before it, active again.
    pub restored: Deployment,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_order() {
        let refused = |performance: Performance| performance.validate().unwrap_err().field;
        let of = Performance::default;
        let (low, high) = (Some(1.0), Some(2.0));
        assert_eq!(refused(Performance { latency_p50_ms: high, latency_p99_ms: low, ..of() }), "latency_p50_ms");
        assert_eq!(refused(Performance { latency_p95_ms: high, latency_p99_ms: low, ..of() }), "latency_p95_ms");
        assert_eq!(refused(Performance { error_rate: Some(f64::NAN), ..of() }), "error_rate");
        let good = Performance { latency_p50_ms: low, latency_p95_ms: low, latency_p99_ms: high, ..of() };
        assert_eq!(good.validate(), Ok(()));
    }
}
