//! The contract of a store of data-quality reports.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Page, PageRequest, RepositoryError};
use crate::domain::{
    DataQualityReport, DataQualityReportId, DataSplit, GateDecision, GatePolicy, NewDataQualityReport,
};

/// The names of the constraints that errors name.
pub mod data_quality_constraint {
    /// Foreign key: the training run that asked for a report.
    pub const TRAINING_RUN: &str = "ml_data_quality_reports_training_run_id_fkey";
}

/// The lists of reports, by table and suite.
pub(super) const REPORTS: &str = "data-quality reports";

/// There is no such report.
pub(super) fn no_report(id: DataQualityReportId) -> RepositoryError {
    RepositoryError::not_found("data-quality report", id.as_uuid())
}

/// Reports about the quality of data, and the gate that the latest of them opens.
///
/// Every method is all or nothing and safe to call concurrently. Values are validated first
/// ([`RepositoryError::Invalid`]). Times are kept to the microsecond, digits below cut off towards the past.
#[async_trait]
pub trait DataQualityRepository: Send + Sync {
    /// Stores a report and returns it as it is stored.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`MissingReference`](RepositoryError::MissingReference) when there is no
    /// such training run.
    async fn record(&self, new: NewDataQualityReport) -> Result<DataQualityReport, RepositoryError>;

    /// The report with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find(&self, id: DataQualityReportId) -> Result<DataQualityReport, RepositoryError>;

    /// One page of the reports of a suite on a table, the latest first, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for names that no report can have, or a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn list(
        &self,
        table_name: &str,
        expectation_suite_name: &str,
        request: PageRequest,
    ) -> Result<Page<DataQualityReport>, RepositoryError>;

    /// The latest report of a suite on a table, or on one split of it; none is no error.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for names that no report can have.
    async fn latest(
        &self,
        table_name: &str,
        expectation_suite_name: &str,
        data_split: Option<DataSplit>,
    ) -> Result<Option<DataQualityReport>, RepositoryError>;

    /// Whether data may be used at a time: the policy decides by the [`latest`](Self::latest) report. What is not
    /// known is no pass: no report, no status, nothing evaluated.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for names that no report can have.
    async fn gate(
        &self,
        table_name: &str,
        expectation_suite_name: &str,
        data_split: Option<DataSplit>,
        policy: GatePolicy,
        at: DateTime<Utc>,
    ) -> Result<GateDecision, RepositoryError> {
        let latest = self.latest(table_name, expectation_suite_name, data_split).await?;
        Ok(policy.decide(latest.as_ref(), at))
    }
}
