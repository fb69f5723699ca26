//! Jobs that bring the values of a feature view into the online store.

use chrono::{DateTime, Utc};

use super::text_enum::text_enum;
use super::time::instant;
use super::validation::{InvalidField, Limit, text};
use super::{FeatureViewId, MaterializationJobId};

/// The longest error message, in octets of UTF-8.
const MESSAGE_OCTETS_MAX: usize = 8192;
/// The most rows of a job: what an `integer` holds.
pub const ROWS_MATERIALIZED_MAX: u32 = i32::MAX.unsigned_abs();

text_enum! {
    /// How far a materialization job is.
    MaterializationStatus("materialization status") {
        /// Has begun and not ended.
        Running = "running",
        /// Has brought its values into the online store; it has a time of completion.
        Success = "success",
        /// Has ended without.
        Failed = "failed",
    }
}

/// A row of `ml_feast_materialization_jobs`.
#[derive(Debug, Clone, PartialEq)]
pub struct MaterializationJob {
    /// The identifier.
    pub id: MaterializationJobId,
    /// The view whose values it brings.
    pub feature_view_id: FeatureViewId,
    /// When it began.
    pub start_time: DateTime<Utc>,
    /// When it ended; a job that runs has none.
    pub end_time: Option<DateTime<Utc>>,
    /// How far it is.
    pub status: MaterializationStatus,
    /// Rows that came into the online store, if they were counted.
    pub rows_materialized: Option<u32>,
    /// From its beginning to its end, in seconds.
    pub duration_seconds: Option<f64>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it was changed last; later after every change.
    pub updated_at: DateTime<Utc>,
}

/// A job that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMaterializationJob {
    /// The view whose values it brings.
    pub feature_view_id: FeatureViewId,
    /// When it begins, in the years 1 to 9999; the store's time when absent.
    pub start_time: Option<DateTime<Utc>>,
}

impl NewMaterializationJob {
    /// The beginning as it is stored.
    ///
    /// # Errors
    /// When it lies outside the years 1 to 9999.
    pub fn stored_start_time(&self) -> Result<Option<DateTime<Utc>>, InvalidField> {
        self.start_time.map(|time| instant("start_time", time)).transpose()
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaterializationOutcome {
    /// The values are in the online store.
    Success {
        /// Rows, if they were counted; up to [`ROWS_MATERIALIZED_MAX`].
        rows_materialized: Option<u32>,
    },
    /// They are not.
    Failed {
        /// Why; 1 to 8192 octets.
        error_message: String,
    },
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaterializationEnd {
    /// When it ended, not before it began; the store's time when absent.
    pub end_time: Option<DateTime<Utc>>,
    /// How.
    pub outcome: MaterializationOutcome,
}

impl MaterializationEnd {
    /// A job that succeeded now.
    #[must_use]
    pub const fn success(rows_materialized: Option<u32>) -> Self {
        Self { end_time: None, outcome: MaterializationOutcome::Success { rows_materialized } }
    }

    /// A job that failed now.
    pub fn failed(error_message: impl Into<String>) -> Self {
        Self { end_time: None, outcome: MaterializationOutcome::Failed { error_message: error_message.into() } }
    }

    /// The same, at another time.
    #[must_use]
    pub fn at(self, end_time: DateTime<Utc>) -> Self {
        Self { end_time: Some(end_time), ..self }
    }

    /// Checks the numbers and texts.
    ///
    /// # Errors
    /// The first that cannot be stored.
    pub fn validate(&self) -> Result<(), InvalidField> {
        self.stored_end_time()?;
        match &self.outcome {
            MaterializationOutcome::Success { rows_materialized: Some(rows) } if *rows > ROWS_MATERIALIZED_MAX => {
                let reason = format!("expected at most {ROWS_MATERIALIZED_MAX}, found {rows}");
                Err(InvalidField::new("rows_materialized", reason))
            }
            MaterializationOutcome::Success { .. } => Ok(()),
            MaterializationOutcome::Failed { error_message } => {
                text("error_message", error_message, Limit::Octets(MESSAGE_OCTETS_MAX))
            }
        }
    }

    /// The end as it is stored.
    ///
    /// # Errors
    /// When it lies outside the years 1 to 9999.
    pub fn stored_end_time(&self) -> Result<Option<DateTime<Utc>>, InvalidField> {
        self.end_time.map(|time| instant("end_time", time)).transpose()
    }
}
