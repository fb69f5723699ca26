//! Studies of hyperparameters and their trials, as Optuna has them.

use chrono::{DateTime, Utc};

use super::document::{Document, flat};
use super::text_enum::text_enum;
use super::validation::{InvalidField, Limit, text};
use super::{HpoStudyId, HpoTrialId};

/// The longest name of a study, metric or algorithm, in characters.
pub(super) const NAME_CHARACTERS_MAX: usize = 255;
/// The longest error message, in octets of UTF-8.
const MESSAGE_OCTETS_MAX: usize = 8192;

text_enum! {
    /// Which values of a metric are good.
    Direction("direction") {
        /// Low ones.
        Minimize = "minimize",
        /// High ones.
        Maximize = "maximize",
    }
}

impl Direction {
    /// Sorts the better of two finite values first.
    #[must_use]
    pub fn compare(self, one: f64, other: f64) -> std::cmp::Ordering {
        // Both are finite, so that they can be compared.
        let order = one.partial_cmp(&other).unwrap_or(std::cmp::Ordering::Equal);
        match self {
            Self::Minimize => order,
            Self::Maximize => order.reverse(),
        }
    }
}

text_enum! {
    /// How far a trial is, in Optuna's words.
    TrialState("trial state") {
        /// Is planned.
        Waiting = "WAITING",
        /// Has begun and not ended.
        Running = "RUNNING",
        /// Has a value.
        Complete = "COMPLETE",
        /// Was given up because it did not look promising.
        Pruned = "PRUNED",
        /// Broke, or ended with a value that is no number.
        Fail = "FAIL",
    }
}

/// A row of `ml_hpo_studies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HpoStudy {
    /// The identifier.
    pub id: HpoStudyId,
    /// The name; unique.
    pub study_name: String,
    /// What is measured.
    pub metric: String,
    /// Which values are good.
    pub direction: Direction,
    /// What is tuned.
    pub algorithm: Option<String>,
    /// Trials so far.
    pub trial_count: u32,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last, by a new trial as well.
    pub updated_at: DateTime<Utc>,
}

/// A study to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHpoStudy {
    /// See [`HpoStudy::study_name`]; 1 to 255 characters.
    pub study_name: String,
    /// See [`HpoStudy::metric`]; 1 to 255 characters.
    pub metric: String,
    /// See [`HpoStudy::direction`].
    pub direction: Direction,
    /// See [`HpoStudy::algorithm`]; 1 to 255 characters.
    pub algorithm: Option<String>,
}

impl NewHpoStudy {
    /// A study with what it must have.
    pub fn new(study_name: impl Into<String>, metric: impl Into<String>, direction: Direction) -> Self {
        Self { study_name: study_name.into(), metric: metric.into(), direction, algorithm: None }
    }

    /// Checks every text.
    ///
    /// # Errors
    /// The first that cannot be stored.
    pub fn validate(&self) -> Result<(), InvalidField> {
        validate_hpo_study_name(&self.study_name)?;
        text("metric", &self.metric, Limit::Characters(NAME_CHARACTERS_MAX))?;
        match &self.algorithm {
            Some(algorithm) => text("algorithm", algorithm, Limit::Characters(NAME_CHARACTERS_MAX)),
            None => Ok(()),
        }
    }
}

/// Checks the name of a study, also of one that is only looked for.
pub(crate) fn validate_hpo_study_name(name: &str) -> Result<(), InvalidField> {
    text("study_name", name, Limit::Characters(NAME_CHARACTERS_MAX))
}

/// A row of `ml_hpo_trials`.
#[derive(Debug, Clone, PartialEq)]
pub struct HpoTrial {
    /// The identifier.
    pub id: HpoTrialId,
    /// The study.
    pub study_id: HpoStudyId,
    /// Counts the study's trials, from 0 as in Optuna.
    pub trial_number: u32,
    /// How far it is.
    pub state: TrialState,
    /// What came out, or what was known when it was pruned.
    pub value: Option<f64>,
    /// What was tried.
    pub params: Document,
    /// Why it failed, if anybody said so.
    pub error_message: Option<String>,
    /// When it began; a planned one has not.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// A trial to add.
#[derive(Debug, Clone, PartialEq)]
pub struct NewHpoTrial {
    /// What is tried: a number, text, boolean or null for each name; up to 1 MiB.
    pub params: Document,
    /// Whether it waits to be started; otherwise it begins at once.
    pub is_waiting: bool,
}

impl NewHpoTrial {
    /// A trial that begins at once.
    #[must_use]
    pub const fn running(params: Document) -> Self {
        Self { params, is_waiting: false }
    }

    /// A trial that waits.
    #[must_use]
    pub const fn waiting(params: Document) -> Self {
        Self { params, is_waiting: true }
    }

    /// The parameters as they are stored.
    ///
    /// # Errors
    /// When they cannot be.
    pub fn stored_params(&self) -> Result<Document, InvalidField> {
        flat("params", &self.params)
    }
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialEnd {
    /// With a value, which is finite: an infinite one would be the best for ever.
    Complete(f64),
    /// Given up, at the last value that was known.
    Pruned(Option<f64>),
    /// Broken; a value that is no number ends here.
    Failed(Option<String>),
}

impl TrialEnd {
    /// The state that it leads to.
    #[must_use]
    pub const fn state(&self) -> TrialState {
        match self {
            Self::Complete(_) => TrialState::Complete,
            Self::Pruned(_) => TrialState::Pruned,
            Self::Failed(_) => TrialState::Fail,
        }
    }

    /// The value, if there is one.
    #[must_use]
    pub const fn value(&self) -> Option<f64> {
        match self {
            Self::Complete(value) => Some(*value),
            Self::Pruned(value) => *value,
            Self::Failed(_) => None,
        }
    }

    /// Checks the value or the message.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn validate(&self) -> Result<(), InvalidField> {
        match self {
            Self::Failed(Some(message)) => text("error_message", message, Limit::Octets(MESSAGE_OCTETS_MAX)),
            _ => self.value().map_or(Ok(()), |value| finite("value", value)),
        }
    }
}

/// A number that is no NaN and not infinite.
pub(super) fn finite(field: &'static str, value: f64) -> Result<(), InvalidField> {
    if value.is_finite() {
        return Ok(());
    }
    let reason = format!("expected a finite number, found {value}; end the trial as failed instead");
    Err(InvalidField::new(field, reason))
}
