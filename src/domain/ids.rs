//! Identifiers: one type per table, so that one cannot stand in for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new random identifier (version 4).
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// The bare identifier.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// A row of `ml_experiments`.
    ExperimentId
}
id! {
    /// A row of `ml_model_registry`.
    ModelId
}
id! {
    /// A row of `ml_bentoml_services`.
    BentoServiceId
}
id! {
    /// A row of `ml_bentoml_serving_metrics`.
    ServingMetricId
}
id! {
    /// A row of `ml_feast_feature_views`.
    FeatureViewId
}
id! {
    /// A row of `ml_feast_materialization_jobs`.
    MaterializationJobId
}
id! {
    /// A row of `ml_feast_feature_freshness`.
    FeatureFreshnessId
}
id! {
    /// A row of `ml_data_quality_reports`.
    DataQualityReportId
}
id! {
    /// A row of `ml_shap_analyses`.
    ShapAnalysisId
}
id! {
    /// A row of `ml_hpo_studies`.
    HpoStudyId
}
id! {
    /// A row of `ml_hpo_trials`.
    HpoTrialId
}
id! {
    /// A row of `ml_hpo_patterns`.
    HpoPatternId
}
id! {
    /// A row of `ml_observability_spans`.
    SpanRowId
}
id! {
    /// A row of `prompt_optimization_runs`.
    PromptRunId
}
id! {
    /// A row of `optimized_instructions`.
    InstructionId
}
id! {
    /// A row of `ml_training_runs`.
    TrainingRunId
}
id! {
    /// A row of `ml_deployments`.
    DeploymentId
}
