//! Services that serve a model with BentoML.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::text_enum::text_enum;
use super::validation::{InvalidField, Limit, text};
use super::{BentoServiceId, ModelId};

/// The longest bento tag or service name, in characters.
pub const NAME_CHARACTERS_MAX: usize = 255;
/// The longest version, in characters.
pub const VERSION_CHARACTERS_MAX: usize = 100;
/// The longest endpoint or image reference, in octets of UTF-8.
pub const TEXT_OCTETS_MAX: usize = 8192;

text_enum! {
    /// Where a service stands in its deployment: `deployment_status_enum`.
    DeploymentStatus("deployment status") {
        /// Registered, and nothing has begun.
        Pending = "pending",
        /// Being brought up.
        Deploying = "deploying",
        /// Takes requests.
        Active = "active",
        /// Finishes the requests that it has and takes no others.
        Draining = "draining",
        /// Replaced by an earlier one.
        RolledBack = "rolled_back",
        /// Could not be brought up, or broke.
        Failed = "failed",
    }
}

text_enum! {
    /// What a service's health check said last.
    HealthStatus("health status") {
        /// All is well.
        Healthy = "healthy",
        /// Does not work.
        Unhealthy = "unhealthy",
        /// Works, with restrictions.
        Degraded = "degraded",
        /// Nobody asked yet, or there was no answer.
        Unknown = "unknown",
        /// Not ready yet.
        Starting = "starting",
        /// Shut down on purpose.
        Stopped = "stopped",
    }
}

/// A row of `ml_bentoml_services`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BentoService {
    /// The identifier.
    pub id: BentoServiceId,
    /// The bento, for example `fraud:v10`.
    pub bento_tag: String,
    /// The bento's version.
    pub bento_version: String,
    /// The model that is served, if it is registered.
    pub model_id: Option<ModelId>,
    /// The service; unique within its bento.
    pub service_name: String,
    /// Where it takes requests.
    pub serving_endpoint: Option<String>,
    /// The image that it runs from.
    pub container_image: Option<String>,
    /// Where it stands in its deployment.
    pub status: DeploymentStatus,
    /// What its health check said last.
    pub health_status: HealthStatus,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was changed last; later after every change.
    pub updated_at: DateTime<Utc>,
}

/// A service to register. It begins [`DeploymentStatus::Pending`] and [`HealthStatus::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewBentoService {
    /// See [`BentoService::bento_tag`]; 1 to 255 characters.
    pub bento_tag: String,
    /// See [`BentoService::bento_version`]; 1 to 100 characters.
    pub bento_version: String,
    /// See [`BentoService::model_id`].
    pub model_id: Option<ModelId>,
    /// See [`BentoService::service_name`]; 1 to 255 characters.
    pub service_name: String,
    /// See [`BentoService::serving_endpoint`]; 1 to 8192 octets.
    pub serving_endpoint: Option<String>,
    /// See [`BentoService::container_image`]; 1 to 8192 octets.
    pub container_image: Option<String>,
}

impl NewBentoService {
    /// A service with what it must have.
    pub fn new(
        bento_tag: impl Into<String>,
        bento_version: impl Into<String>,
        service_name: impl Into<String>,
    ) -> Self {
        Self {
            bento_tag: bento_tag.into(),
            bento_version: bento_version.into(),
            model_id: None,
            service_name: service_name.into(),
            serving_endpoint: None,
            container_image: None,
        }
    }

    /// Checks every text.
    ///
    /// # Errors
    /// The first field that is empty, too long, or holds a NUL, which Postgres cannot store.
    pub fn validate(&self) -> Result<(), InvalidField> {
        validate_bento_tag(&self.bento_tag)?;
        text("bento_version", &self.bento_version, Limit::Characters(VERSION_CHARACTERS_MAX))?;
        text("service_name", &self.service_name, Limit::Characters(NAME_CHARACTERS_MAX))?;
        if let Some(endpoint) = &self.serving_endpoint {
            text("serving_endpoint", endpoint, Limit::Octets(TEXT_OCTETS_MAX))?;
        }
        if let Some(image) = &self.container_image {
            text("container_image", image, Limit::Octets(TEXT_OCTETS_MAX))?;
        }
        Ok(())
    }
}

/// Checks a bento tag, also one that is only looked for.
///
/// # Errors
/// When no service can have it.
pub fn validate_bento_tag(bento_tag: &str) -> Result<(), InvalidField> {
    text("bento_tag", bento_tag, Limit::Characters(NAME_CHARACTERS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_back_from_its_text() {
        for &status in DeploymentStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        for &health in HealthStatus::ALL {
            assert_eq!(health.to_string().parse(), Ok(health));
        }
    }

    #[test]
    fn an_unknown_text_is_an_error_that_lists_the_known_ones() {
        let error = "Active".parse::<DeploymentStatus>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected a deployment status (pending, deploying, active, draining, rolled_back, failed), found \"Active\""
        );
    }

    #[test]
    fn lengths_count_characters_as_varchar_does() {
        let mut new = NewBentoService::new("😀".repeat(NAME_CHARACTERS_MAX), "1", "s");
        assert_eq!(new.validate(), Ok(()));
        new.bento_tag.push('😀');
        assert_eq!(
            new.validate().unwrap_err().to_string(),
            "invalid bento_tag: expected at most 255 characters, found 256"
        );
    }
}
