//! Hyperparameter studies, trials and patterns.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{MemoryStore, advanced, now};
use crate::domain::{
    ExactSum, HpoPattern, HpoPatternId, HpoStudy, HpoStudyId, HpoTrial, HpoTrialId, NewHpoPattern, NewHpoStudy,
    NewHpoTrial, PatternQuery, TrialEnd, TrialState, validate_hpo_study_name, validate_improvement,
};
use crate::repository::cursor::{List, Moment, before_oldest};
use crate::repository::hpo::{
    STUDIES, TRIALS, hpo_constraint as constraint, no_pattern, no_study, no_trial, not_in,
};
use crate::repository::page::validate_limit;
use crate::repository::{HpoRepository, Page, PageRequest, RepositoryError};

/// Studies in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryHpoRepository {
    store: MemoryStore,
}

/// The rows of the tables.
#[derive(Debug, Default)]
pub(super) struct Rows {
    studies: HashMap<HpoStudyId, HpoStudy>,
    trials: HashMap<HpoTrialId, HpoTrial>,
    patterns: HashMap<HpoPatternId, HpoPattern>,
}

impl From<&MemoryStore> for MemoryHpoRepository {
    fn from(store: &MemoryStore) -> Self {
        Self { store: store.clone() }
    }
}

fn study_key(study: &HpoStudy) -> Moment {
    (study.created_at, study.id.as_uuid())
}

impl Rows {
    fn study(&self, id: HpoStudyId) -> Result<&HpoStudy, RepositoryError> {
        self.studies.get(&id).ok_or_else(|| no_study(id))
    }

    /// The trials of a study, by their numbers.
    fn trials_of(&self, study: HpoStudyId) -> Result<Vec<&HpoTrial>, RepositoryError> {
        self.study(study)?;
        let mut trials: Vec<_> = self.trials.values().filter(|trial| trial.study_id == study).collect();
        trials.sort_by_key(|trial| trial.trial_number);
        Ok(trials)
    }

    /// The trial, which must be in this state.
    fn trial_in(&mut self, id: HpoTrialId, state: TrialState) -> Result<&mut HpoTrial, RepositoryError> {
        let trial = self.trials.get_mut(&id).ok_or_else(|| no_trial(id))?;
        if trial.state == state { Ok(trial) } else { Err(not_in(id, state, trial.state)) }
    }
}

#[async_trait]
impl HpoRepository for MemoryHpoRepository {
    async fn create_study(&self, new: NewHpoStudy) -> Result<HpoStudy, RepositoryError> {
        new.validate()?;
        let rows = &mut self.store.tables().hpo;
        if rows.studies.values().any(|study| study.study_name == new.study_name) {
            return Err(RepositoryError::conflict(constraint::STUDY_NAME));
        }
        let now = now();
        let study = HpoStudy {
            id: HpoStudyId::random(),
            study_name: new.study_name,
            metric: new.metric,
            direction: new.direction,
            algorithm: new.algorithm,
            trial_count: 0,
            created_at: now,
            updated_at: now,
        };
        rows.studies.insert(study.id, study.clone());
        Ok(study)
    }

    async fn find_study(&self, id: HpoStudyId) -> Result<HpoStudy, RepositoryError> {
        self.store.tables().hpo.study(id).cloned()
    }

    async fn find_study_by_name(&self, study_name: &str) -> Result<Option<HpoStudy>, RepositoryError> {
        validate_hpo_study_name(study_name)?;
        Ok(self.store.tables().hpo.studies.values().find(|study| study.study_name == study_name).cloned())
    }

    async fn list_studies(&self, request: PageRequest) -> Result<Page<HpoStudy>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let after = self.store.cursors.after(&STUDIES, &request, before_oldest())?;
        let tables = self.store.tables();
        let mut studies: Vec<_> =
            tables.hpo.studies.values().filter(|study| study_key(study) > after).cloned().collect();
        studies.sort_by_key(study_key);
        Page::of(studies, limit, |last| self.store.cursors.cursor(&STUDIES, &study_key(last)))
    }

    async fn add_trial(&self, study: HpoStudyId, new: NewHpoTrial) -> Result<HpoTrial, RepositoryError> {
        let params = new.stored_params()?;
        let rows = &mut self.store.tables().hpo;
        let of = rows.studies.get_mut(&study).ok_or_else(|| no_study(study))?;
        let now = now();
        let trial = HpoTrial {
            id: HpoTrialId::random(),
            study_id: study,
            trial_number: of.trial_count,
            state: if new.is_waiting { TrialState::Waiting } else { TrialState::Running },
            value: None,
            params,
            error_message: None,
            started_at: (!new.is_waiting).then_some(now),
            completed_at: None,
            created_at: now,
        };
        of.trial_count += 1;
        of.updated_at = advanced(of.updated_at);
        rows.trials.insert(trial.id, trial.clone());
        Ok(trial)
    }

    async fn start_trial(&self, id: HpoTrialId) -> Result<HpoTrial, RepositoryError> {
        let mut tables = self.store.tables();
        let trial = tables.hpo.trial_in(id, TrialState::Waiting)?;
        trial.state = TrialState::Running;
        trial.started_at = Some(now());
        Ok(trial.clone())
    }

    async fn finish_trial(&self, id: HpoTrialId, end: TrialEnd) -> Result<HpoTrial, RepositoryError> {
        end.validate()?;
        let mut tables = self.store.tables();
        let trial = tables.hpo.trial_in(id, TrialState::Running)?;
        trial.state = end.state();
        trial.value = end.value();
        if let TrialEnd::Failed(message) = end {
            trial.error_message = message;
        }
        trial.completed_at = trial.started_at.map(|started_at| now().max(started_at));
        Ok(trial.clone())
    }

    async fn find_trial(&self, id: HpoTrialId) -> Result<HpoTrial, RepositoryError> {
        self.store.tables().hpo.trials.get(&id).cloned().ok_or_else(|| no_trial(id))
    }

    async fn trials(&self, study: HpoStudyId, request: PageRequest) -> Result<Page<HpoTrial>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let filter = [&*study.to_string()];
        let list = List::filtered(TRIALS, &filter);
        let after = self.store.cursors.after(&list, &request, -1_i64)?;
        let tables = self.store.tables();
        let trials = tables.hpo.trials_of(study)?.into_iter();
        let trials = trials.filter(|trial| i64::from(trial.trial_number) > after).cloned().collect();
        Page::of(trials, limit, |last| self.store.cursors.cursor(&list, &i64::from(last.trial_number)))
    }

    async fn best_trial(&self, study: HpoStudyId) -> Result<Option<HpoTrial>, RepositoryError> {
        let tables = self.store.tables();
        let direction = tables.hpo.study(study)?.direction;
        let complete =
            tables.hpo.trials_of(study)?.into_iter().filter(|trial| trial.state == TrialState::Complete);
        let valued = complete.filter_map(|trial| Some((trial.value?, trial)));
        // Of equal ones `min_by` takes the first.
        let best = valued.min_by(|(one, _), (other, _)| direction.compare(*one, *other));
        Ok(best.map(|(_, trial)| trial.clone()))
    }

    async fn record_pattern(&self, new: NewHpoPattern) -> Result<HpoPattern, RepositoryError> {
        let pattern = new.stored()?;
        let rows = &mut self.store.tables().hpo;
        if pattern.study_id.is_some_and(|study| !rows.studies.contains_key(&study)) {
            return Err(RepositoryError::missing(constraint::PATTERN_STUDY));
        }
        let now = now();
        let pattern = HpoPattern {
            id: HpoPatternId::random(),
            pattern,
            times_used: 0,
            improvements: ExactSum::default(),
            created_at: now,
            updated_at: now,
        };
        rows.patterns.insert(pattern.id, pattern.clone());
        Ok(pattern)
    }

    async fn find_pattern(&self, id: HpoPatternId) -> Result<HpoPattern, RepositoryError> {
        self.store.tables().hpo.patterns.get(&id).cloned().ok_or_else(|| no_pattern(id))
    }

    async fn find_similar(&self, query: &PatternQuery, limit: u32) -> Result<Vec<HpoPattern>, RepositoryError> {
        let range = query.range()?;
        let limit = validate_limit(limit)?;
        let tables = self.store.tables();
        let is_similar = |row: &&HpoPattern| {
            let pattern = &row.pattern;
            query.algorithm.as_ref().is_none_or(|algorithm| pattern.algorithm == *algorithm)
                && pattern.problem_type == query.problem_type
                && pattern.metric == query.metric
                && pattern.direction == query.direction
                && range.contains(pattern.shape)
        };
        let mut similar: Vec<_> = tables.hpo.patterns.values().filter(is_similar).cloned().collect();
        similar.sort_by(|one, other| {
            query
                .direction
                .compare(one.pattern.best_value, other.pattern.best_value)
                .then_with(|| (one.created_at, one.id).cmp(&(other.created_at, other.id)))
        });
        similar.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(similar)
    }

    async fn record_use(&self, id: HpoPatternId, improvement: Option<f64>) -> Result<HpoPattern, RepositoryError> {
        if let Some(improvement) = improvement {
            validate_improvement(improvement)?;
        }
        let mut tables = self.store.tables();
        let pattern = tables.hpo.patterns.get_mut(&id).ok_or_else(|| no_pattern(id))?;
        pattern.times_used += 1;
        if let Some(improvement) = improvement {
            pattern.improvements = pattern.improvements.plus(improvement);
        }
        pattern.updated_at = advanced(pattern.updated_at);
        Ok(pattern.clone())
    }
}
