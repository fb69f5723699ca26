//! The contract of a store of hyperparameter studies, their trials, and the patterns that they leave.

use async_trait::async_trait;

use super::cursor::List;
use super::{Page, PageRequest, RepositoryError};
use crate::domain::{
    HpoPattern, HpoPatternId, HpoStudy, HpoStudyId, HpoTrial, HpoTrialId, NewHpoPattern, NewHpoStudy, NewHpoTrial,
    PatternQuery, TrialEnd, TrialState,
};

/// The names of the constraints that errors name.
pub mod hpo_constraint {
    /// Unique: the name of a study.
    pub const STUDY_NAME: &str = "ml_hpo_studies_study_name_key";
    /// Foreign key: the study that a pattern comes from.
    pub const PATTERN_STUDY: &str = "ml_hpo_patterns_study_id_fkey";
}

/// The list of all studies.
pub(super) const STUDIES: List<'_> = List::all("hpo studies");
/// The lists of trials, by study.
pub(super) const TRIALS: &str = "hpo trials";

/// There is no such study.
pub(super) fn no_study(id: HpoStudyId) -> RepositoryError {
    RepositoryError::not_found("study", id.as_uuid())
}

/// There is no such trial.
pub(super) fn no_trial(id: HpoTrialId) -> RepositoryError {
    RepositoryError::not_found("trial", id.as_uuid())
}

/// There is no such pattern.
pub(super) fn no_pattern(id: HpoPatternId) -> RepositoryError {
    RepositoryError::not_found("pattern", id.as_uuid())
}

/// The trial is in another state than the one that it must be in.
pub(super) fn not_in(trial: HpoTrialId, expected: TrialState, found: TrialState) -> RepositoryError {
    let reason = format!("expected the state {expected}, found {found}");
    RepositoryError::refused("trial", trial.as_uuid(), reason)
}

/// Studies of hyperparameters, their trials, and the patterns that they leave for later ones.
///
/// Every method is all or nothing and safe to call concurrently. Values are validated first
/// ([`RepositoryError::Invalid`]).
#[async_trait]
pub trait HpoRepository: Send + Sync {
    /// Creates a study and returns it as it is stored.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`Conflict`](RepositoryError::Conflict) when a study has this name.
    async fn create_study(&self, new: NewHpoStudy) -> Result<HpoStudy, RepositoryError>;

    /// The study with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find_study(&self, id: HpoStudyId) -> Result<HpoStudy, RepositoryError>;

    /// The study with exactly this name; none is no error.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) when no study can have this name.
    async fn find_study_by_name(&self, study_name: &str) -> Result<Option<HpoStudy>, RepositoryError>;

    /// One page of all studies, oldest first, in a total order.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor).
    async fn list_studies(&self, request: PageRequest) -> Result<Page<HpoStudy>, RepositoryError>;

    /// Adds a trial, which gets the study's next number: numbers have no gaps and none is given twice, however many
    /// workers add trials at once.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`NotFound`](RepositoryError::NotFound) when there is no such study.
    async fn add_trial(&self, study: HpoStudyId, new: NewHpoTrial) -> Result<HpoTrial, RepositoryError>;

    /// Starts a trial that waits.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound); [`Refused`](RepositoryError::Refused) when it does not wait: of two
    /// workers that want it, one gets it.
    async fn start_trial(&self, id: HpoTrialId) -> Result<HpoTrial, RepositoryError>;

    /// Ends a trial that runs.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid), for a value that is not finite as well;
    /// [`NotFound`](RepositoryError::NotFound); [`Refused`](RepositoryError::Refused) when it does not run.
    async fn finish_trial(&self, id: HpoTrialId, end: TrialEnd) -> Result<HpoTrial, RepositoryError>;

    /// The trial with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find_trial(&self, id: HpoTrialId) -> Result<HpoTrial, RepositoryError>;

    /// One page of the trials of a study, by their numbers.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for a limit that is out of range;
    /// [`InvalidCursor`](RepositoryError::InvalidCursor); [`NotFound`](RepositoryError::NotFound) when there is no
    /// such study.
    async fn trials(&self, study: HpoStudyId, request: PageRequest) -> Result<Page<HpoTrial>, RepositoryError>;

    /// The complete trial with the best value by the study's direction, of equal ones the first; none is no error.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound) when there is no such study.
    async fn best_trial(&self, study: HpoStudyId) -> Result<Option<HpoTrial>, RepositoryError>;

    /// Stores a pattern and returns it as it is stored.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`MissingReference`](RepositoryError::MissingReference) when there is no
    /// such study.
    async fn record_pattern(&self, new: NewHpoPattern) -> Result<HpoPattern, RepositoryError>;

    /// The pattern with this identifier.
    ///
    /// # Errors
    /// [`NotFound`](RepositoryError::NotFound).
    async fn find_pattern(&self, id: HpoPatternId) -> Result<HpoPattern, RepositoryError>;

    /// The patterns of similar problems, those with the best value by the direction first, and of equal ones the
    /// oldest.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid) for what no pattern can have, or a limit that is out of range.
    async fn find_similar(&self, query: &PatternQuery, limit: u32) -> Result<Vec<HpoPattern>, RepositoryError>;

    /// Records that a study began with a pattern, and how much better it was for it, if that is known: a use of which
    /// it is not changes the number of uses and not the mean.
    ///
    /// # Errors
    /// [`Invalid`](RepositoryError::Invalid); [`NotFound`](RepositoryError::NotFound).
    async fn record_use(&self, id: HpoPatternId, improvement: Option<f64>) -> Result<HpoPattern, RepositoryError>;
}
