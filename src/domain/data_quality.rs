//! Reports about the quality of data, and the gate that they open.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::text_enum::text_enum;
use super::time::instant;
use super::validation::{InvalidField, Limit, number, text};
use super::{DataQualityReportId, TrainingRunId};

/// The longest name of a suite or table, in characters.
const NAME_CHARACTERS_MAX: usize = 255;
/// The most expectations of a report.
pub const EXPECTATIONS_MAX: u32 = 1_000_000;
/// The most failed expectations that a report tells of.
pub const FAILED_EXPECTATIONS_MAX: usize = 1_000;
/// The longest message of a failed expectation, in octets of UTF-8.
const MESSAGE_OCTETS_MAX: usize = 4096;
/// The longest evaluation, in seconds.
const DURATION_SECONDS_MAX: f64 = 1e9;
/// The oldest report that a gate can be told to accept: ten thousand days.
const AGE_MAX: TimeDelta = TimeDelta::days(10_000);

text_enum! {
    /// What a report says as a whole: `dq_status_enum`.
    DqStatus("data-quality status") {
        /// Every expectation was met.
        Passed = "passed",
        /// An expectation was not met.
        Failed = "failed",
        /// Not every expectation was met, and somebody decided that this will do.
        Warning = "warning",
        /// Nothing was evaluated.
        Skipped = "skipped",
    }
}

text_enum! {
    /// Which part of the data: `data_split_type`.
    DataSplit("data split") {
        /// What a model is fitted to.
        Train = "train",
        /// What its hyperparameters are chosen by.
        Validation = "validation",
        /// What it is judged by.
        Test = "test",
        /// What nobody looks at before the end.
        Holdout = "holdout",
        /// None of these.
        Unassigned = "unassigned",
    }
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedExpectation {
    /// Which, for example `expect_column_values_to_not_be_null`; 1 to 255 characters.
    pub expectation: String,
    /// The column that it is about.
    pub column: Option<String>,
    /// Values that were looked at, those that are missing left out.
    pub evaluated_values: Option<u64>,
    /// Values among them that were not as expected.
    pub unexpected_values: Option<u64>,
    /// What was found, or why it could not be evaluated.
    pub message: Option<String>,
}

impl FailedExpectation {
    fn validate(&self) -> Result<(), InvalidField> {
        const FIELD: &str = "failed_expectations";
        text(FIELD, &self.expectation, Limit::Characters(NAME_CHARACTERS_MAX))?;
        if let Some(column) = &self.column {
            text(FIELD, column, Limit::Characters(NAME_CHARACTERS_MAX))?;
        }
        if let Some(message) = &self.message {
            text(FIELD, message, Limit::Octets(MESSAGE_OCTETS_MAX))?;
        }
        match (self.evaluated_values, self.unexpected_values) {
            (Some(evaluated), Some(unexpected)) if unexpected > evaluated => Err(InvalidField::new(
                FIELD,
                format!("expected at most {evaluated} unexpected values, found {unexpected}"),
            )),
            _ => Ok(()),
        }
    }
}

/// A row of `ml_data_quality_reports`.
#[derive(Debug, Clone, PartialEq)]
pub struct DataQualityReport {
    /// The identifier.
    pub id: DataQualityReportId,
    /// The suite that was evaluated.
    pub expectation_suite_name: String,
    /// The table that it was evaluated on.
    pub table_name: String,
    /// What the report says as a whole; a platform that never decided stored nothing, and that is no pass.
    pub overall_status: Option<DqStatus>,
    /// Expectations that were met.
    pub expectations_passed: u32,
    /// Expectations that were not met, or could not be evaluated.
    pub expectations_failed: u32,
    /// Some of those that were not met.
    pub failed_expectations: Vec<FailedExpectation>,
    /// When it was evaluated.
    pub run_at: DateTime<Utc>,
    /// How long that took, in seconds.
    pub duration_seconds: Option<f64>,
    /// The part of the data.
    pub data_split: DataSplit,
    /// The training run that asked for it.
    pub training_run_id: Option<TrainingRunId>,
}

impl DataQualityReport {
    /// Expectations that were evaluated.
    #[must_use]
    pub const fn expectations_evaluated(&self) -> u32 {
        self.expectations_passed.saturating_add(self.expectations_failed)
    }

    /// The share of expectations that were met, from 0 to 1; none when none was evaluated.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let evaluated = self.expectations_evaluated();
        (evaluated > 0).then(|| f64::from(self.expectations_passed) / f64::from(evaluated))
    }
}

/// A report to record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDataQualityReport {
    /// See [`DataQualityReport::expectation_suite_name`]; 1 to 255 characters.
    pub expectation_suite_name: String,
    /// See [`DataQualityReport::table_name`]; 1 to 255 characters.
    pub table_name: String,
    /// See [`DataQualityReport::overall_status`]. What passed has met all of at least one expectation; what failed or
    /// got a warning has one that it did not meet; what was skipped has none.
    pub overall_status: Option<DqStatus>,
    /// See [`DataQualityReport::expectations_passed`]; with those that failed at most [`EXPECTATIONS_MAX`].
    pub expectations_passed: u32,
    /// See [`DataQualityReport::expectations_failed`].
    pub expectations_failed: u32,
    /// See [`DataQualityReport::failed_expectations`]; up to [`FAILED_EXPECTATIONS_MAX`], and not more than failed.
    pub failed_expectations: Vec<FailedExpectation>,
    /// See [`DataQualityReport::run_at`]; the store's time when absent.
    pub run_at: Option<DateTime<Utc>>,
    /// See [`DataQualityReport::duration_seconds`]; from 0 to 1e9.
    pub duration_seconds: Option<f64>,
    /// See [`DataQualityReport::data_split`].
    pub data_split: DataSplit,
    /// See [`DataQualityReport::training_run_id`].
    pub training_run_id: Option<TrainingRunId>,
}

impl NewDataQualityReport {
    /// A report about a table that says as much as the numbers do.
    pub fn new(
        expectation_suite_name: impl Into<String>,
        table_name: impl Into<String>,
        expectations_passed: u32,
        expectations_failed: u32,
    ) -> Self {
        let overall_status = match (expectations_passed, expectations_failed) {
            (0, 0) => DqStatus::Skipped,
            (_, 0) => DqStatus::Passed,
            _ => DqStatus::Failed,
        };
        Self {
            expectation_suite_name: expectation_suite_name.into(),
            table_name: table_name.into(),
            overall_status: Some(overall_status),
            expectations_passed,
            expectations_failed,
            failed_expectations: Vec::new(),
            run_at: None,
            duration_seconds: None,
            data_split: DataSplit::Unassigned,
            training_run_id: None,
        }
    }

    /// Checks every text and number, and that they say the same.
    ///
    /// # Errors
    /// The first field that cannot be stored or contradicts another one.
    pub fn validate(&self) -> Result<(), InvalidField> {
        validate_suite_name(&self.expectation_suite_name)?;
        validate_table_name(&self.table_name)?;
        let (passed, failed) = (self.expectations_passed, self.expectations_failed);
        if u64::from(passed) + u64::from(failed) > u64::from(EXPECTATIONS_MAX) {
            let reason = format!("expected at most {EXPECTATIONS_MAX}, found {passed} and {failed}");
            return Err(InvalidField::new("expectations_passed", reason));
        }
        let is_consistent = match self.overall_status {
            Some(DqStatus::Passed) => passed > 0 && failed == 0,
            Some(DqStatus::Failed | DqStatus::Warning) => failed > 0,
            Some(DqStatus::Skipped) => passed == 0 && failed == 0,
            None => true,
        };
        if let Some(status) = self.overall_status.filter(|_| !is_consistent) {
            let reason = format!(
                "expected what the numbers say, found {status} with {passed} expectations met and {failed} not"
            );
            return Err(InvalidField::new("overall_status", reason));
        }
        self.validate_failed_expectations()?;
        self.stored_run_at()?;
        match self.duration_seconds {
            Some(duration) => number("duration_seconds", duration, 0.0, DURATION_SECONDS_MAX),
            None => Ok(()),
        }
    }

    fn validate_failed_expectations(&self) -> Result<(), InvalidField> {
        let failed = usize::try_from(self.expectations_failed).unwrap_or(usize::MAX);
        let (found, most) = (self.failed_expectations.len(), failed.min(FAILED_EXPECTATIONS_MAX));
        if found > most {
            return Err(InvalidField::new(
                "failed_expectations",
                format!("expected at most {most}, found {found}"),
            ));
        }
        self.failed_expectations.iter().try_for_each(FailedExpectation::validate)
    }

    /// The time as it is stored.
    ///
    /// # Errors
    /// When it lies outside the years 1 to 9999.
    pub fn stored_run_at(&self) -> Result<Option<DateTime<Utc>>, InvalidField> {
        self.run_at.map(|time| instant("run_at", time)).transpose()
    }
}

/// Checks the name of a suite, also of one that is only looked for.
pub(crate) fn validate_suite_name(name: &str) -> Result<(), InvalidField> {
    text("expectation_suite_name", name, Limit::Characters(NAME_CHARACTERS_MAX))
}

/// Checks the name of a table, also of one that is only looked for.
pub(crate) fn validate_table_name(name: &str) -> Result<(), InvalidField> {
    text("table_name", name, Limit::Characters(NAME_CHARACTERS_MAX))
}

/// What a gate asks of the latest report about a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GatePolicy {
    accept_warnings: bool,
    success_rate_min: f64,
    age_max: Option<TimeDelta>,
}

impl Default for GatePolicy {
    /// Every expectation is met, however old the report is.
    fn default() -> Self {
        Self { accept_warnings: false, success_rate_min: 1.0, age_max: None }
    }
}

impl GatePolicy {
    /// Opens for a warning as well, if at least this share of expectations was met.
    ///
    /// # Errors
    /// When the share is not from 0 to 1.
    pub fn accepting_warnings(self, success_rate_min: f64) -> Result<Self, InvalidField> {
        number("success_rate_min", success_rate_min, 0.0, 1.0)?;
        Ok(Self { accept_warnings: true, success_rate_min, ..self })
    }

    /// Stays shut for reports that are older than this.
    ///
    /// # Errors
    /// When the age is negative, or more than ten thousand days.
    pub fn with_age_max(self, age_max: TimeDelta) -> Result<Self, InvalidField> {
        if age_max < TimeDelta::zero() || age_max > AGE_MAX {
            let reason = format!("expected 0 to {AGE_MAX}, found {age_max}");
            return Err(InvalidField::new("age_max", reason));
        }
        Ok(Self { age_max: Some(age_max), ..self })
    }

    /// Decides by the latest report, which may be none.
    #[must_use]
    pub fn decide(&self, latest: Option<&DataQualityReport>, at: DateTime<Utc>) -> GateDecision {
        let Some(report) = latest else { return GateDecision::Shut(GateReason::NoReport) };
        let is_too_old = |age_max| at.signed_duration_since(report.run_at) > age_max;
        let reason = match (report.overall_status, report.success_rate()) {
            _ if self.age_max.is_some_and(is_too_old) => GateReason::TooOld { run_at: report.run_at },
            (None, _) => GateReason::NoStatus,
            (_, None) => GateReason::NothingEvaluated,
            (Some(DqStatus::Passed), Some(_)) => return GateDecision::Open(report.id),
            (Some(DqStatus::Warning), Some(rate)) if self.accept_warnings => {
                if rate >= self.success_rate_min {
                    return GateDecision::Open(report.id);
                }
                GateReason::TooLow { success_rate: rate, success_rate_min: self.success_rate_min }
            }
            (Some(status), Some(_)) => GateReason::Status(status),
        };
        GateDecision::Shut(reason)
    }
}

/// Whether data may be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GateDecision {
    /// It may, as this report shows.
    Open(DataQualityReportId),
    /// It may not.
    Shut(GateReason),
}

impl GateDecision {
    /// Whether data may be used.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }
}

/// Why a gate is shut: whatever is not known is a reason.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum GateReason {
    /// Nobody has looked.
    #[error("expected a report, found none")]
    NoReport,
    /// Somebody has looked and not decided.
    #[error("expected a report with a status, found one without")]
    NoStatus,
    /// Nothing was expected.
    #[error("expected a report on at least one expectation, found one on none")]
    NothingEvaluated,
    /// The latest report is too old.
    #[error("expected a newer report, found one of {run_at}")]
    TooOld {
        /// When it was evaluated.
        run_at: DateTime<Utc>,
    },
    /// The report says no.
    #[error("expected a report that passed, found one with the status {0}")]
    Status(DqStatus),
    /// Too few expectations were met for a warning.
    #[error("expected a success rate of at least {success_rate_min}, found {success_rate}")]
    TooLow {
        /// The share of expectations that were met.
        success_rate: f64,
        /// The share that was asked for.
        success_rate_min: f64,
    },
}
