//! `ml_hpo_studies`, `ml_hpo_trials` and `ml_hpo_patterns`.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use super::read::{Reader, bigint};
use super::statement::{advanced, statements};
use super::{Statement, Store};
use crate::domain::{
    DataShape, Direction, ExactSum, HpoPattern, HpoPatternId, HpoStudy, HpoStudyId, HpoTrial, HpoTrialId,
    NewHpoPattern, NewHpoStudy, NewHpoTrial, PatternQuery, TrialEnd, TrialState, validate_hpo_study_name,
    validate_improvement,
};
use crate::repository::cursor::{List, before_oldest};
use crate::repository::hpo::{STUDIES, TRIALS, no_pattern, no_study, no_trial, not_in};
use crate::repository::page::validate_limit;
use crate::repository::{HpoRepository, Page, PageRequest, RepositoryError};

/// The studies of one database. Clones share its pool.
#[derive(Debug, Clone)]
pub struct PostgresHpoRepository {
    store: Store,
}

impl PostgresHpoRepository {
    /// Every statement that it can send.
    pub const STATEMENTS: &'static [Statement] = STATEMENTS;

    /// A repository on a database to which [`MIGRATOR`](super::MIGRATOR) was applied.
    #[must_use]
    pub fn new(store: impl Into<Store>) -> Self {
        Self { store: store.into() }
    }

    /// Why a trial did not leave a state.
    async fn why_not(&self, id: HpoTrialId, expected: TrialState) -> RepositoryError {
        match self.find_trial(id).await {
            Ok(trial) => not_in(id, expected, trial.state),
            Err(error) => error,
        }
    }
}

/// The columns that [`study`] reads.
macro_rules! study_columns {
    () => {
        "id, study_name, metric, direction, algorithm, trial_count, created_at, updated_at"
    };
}

/// The columns that [`trial`] reads.
macro_rules! trial_columns {
    () => {
        "id, study_id, trial_number, state, value, params::text AS params, error_message, started_at, \
         completed_at, created_at"
    };
}

/// The columns that [`pattern`] reads.
macro_rules! pattern_columns {
    () => {
        "id, study_id, algorithm, problem_type, metric, direction, search_space::text AS search_space, \
         best_hyperparameters::text AS best_hyperparameters, best_value, n_samples, n_features, times_used, \
         improvement_count, improvement_sum, improvement_carry, created_at, updated_at"
    };
}

/// Patterns of similar problems.
macro_rules! similar {
    () => {
        " FROM ml_hpo_patterns \
         WHERE problem_type = $1 AND metric = $2 AND direction = $3 AND ($4::text IS NULL OR algorithm = $4) \
           AND n_samples BETWEEN $5 AND $6 AND n_features BETWEEN $7 AND $8 "
    };
}

statements! {
    CREATE_STUDY(17) = concat!(
        "INSERT INTO ml_hpo_studies (study_name, metric, direction, algorithm) VALUES ($1, $2, $3, $4) RETURNING ",
        study_columns!()
    );

    FIND_STUDY(17) = concat!("SELECT ", study_columns!(), " FROM ml_hpo_studies WHERE id = $1");

    FIND_STUDY_BY_NAME(17) = concat!("SELECT ", study_columns!(), " FROM ml_hpo_studies WHERE study_name = $1");

    LIST_STUDIES(17) = concat!(
        "SELECT ",
        study_columns!(),
        " FROM ml_hpo_studies WHERE (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3"
    );

    /// The study's row is locked until the trial is there, so that no number is given twice or left out.
    ADD_TRIAL(17) = concat!(
        "WITH study AS (UPDATE ml_hpo_studies SET trial_count = trial_count + 1, ",
        advanced!(),
        " WHERE id = $1 RETURNING id, trial_count) \
         INSERT INTO ml_hpo_trials (study_id, trial_number, state, params, started_at) \
         SELECT id, trial_count - 1, $2, $3, CASE WHEN $2 = 'RUNNING' THEN now() END FROM study RETURNING ",
        trial_columns!()
    );

    START_TRIAL(17) = concat!(
        "UPDATE ml_hpo_trials SET state = 'RUNNING', started_at = now() \
         WHERE id = $1 AND state = 'WAITING' RETURNING ",
        trial_columns!()
    );

    FINISH_TRIAL(17) = concat!(
        "UPDATE ml_hpo_trials \
         SET state = $2, value = $3, error_message = $4, completed_at = greatest(now(), started_at) \
         WHERE id = $1 AND state = 'RUNNING' RETURNING ",
        trial_columns!()
    );

    FIND_TRIAL(17) = concat!("SELECT ", trial_columns!(), " FROM ml_hpo_trials WHERE id = $1");

    LIST_TRIALS(17) = concat!(
        "SELECT ",
        trial_columns!(),
        " FROM ml_hpo_trials WHERE study_id = $1 AND trial_number > $2::bigint ORDER BY trial_number LIMIT $3"
    );

    LOWEST_TRIAL(17) = concat!(
        "SELECT ",
        trial_columns!(),
        " FROM ml_hpo_trials WHERE study_id = $1 AND state = 'COMPLETE' ORDER BY value, trial_number LIMIT 1"
    );

    HIGHEST_TRIAL(17) = concat!(
        "SELECT ",
        trial_columns!(),
        " FROM ml_hpo_trials WHERE study_id = $1 AND state = 'COMPLETE' ORDER BY value DESC, trial_number LIMIT 1"
    );

    RECORD_PATTERN(17) = concat!(
        "INSERT INTO ml_hpo_patterns \
             (study_id, algorithm, problem_type, metric, direction, search_space, best_hyperparameters, best_value, \
              n_samples, n_features) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING ",
        pattern_columns!()
    );

    FIND_PATTERN(17) = concat!("SELECT ", pattern_columns!(), " FROM ml_hpo_patterns WHERE id = $1");

    SIMILAR_LOWEST_FIRST(17) = concat!(
        "SELECT ",
        pattern_columns!(),
        similar!(),
        "ORDER BY best_value, created_at, id LIMIT $9"
    );

    SIMILAR_HIGHEST_FIRST(17) = concat!(
        "SELECT ",
        pattern_columns!(),
        similar!(),
        "ORDER BY best_value DESC, created_at, id LIMIT $9"
    );

    /// See [`ExactSum`]: the same operations in the same order.
    RECORD_USE(17) = concat!(
        "UPDATE ml_hpo_patterns \
         SET times_used = times_used + 1, \
             improvement_count = improvement_count + CASE WHEN $2::float8 IS NULL THEN 0 ELSE 1 END, \
             improvement_sum = improvement_sum + coalesce($2::float8, 0), \
             improvement_carry = improvement_carry + CASE \
                 WHEN $2::float8 IS NULL THEN 0 \
                 WHEN abs(improvement_sum) >= abs($2::float8) \
                     THEN (improvement_sum - (improvement_sum + $2::float8)) + $2::float8 \
                 ELSE ($2::float8 - (improvement_sum + $2::float8)) + improvement_sum END, ",
        advanced!(),
        " WHERE id = $1 RETURNING ",
        pattern_columns!()
    );
}

#[async_trait]
impl HpoRepository for PostgresHpoRepository {
    async fn create_study(&self, new: NewHpoStudy) -> Result<HpoStudy, RepositoryError> {
        new.validate()?;
        let row = sqlx::query(CREATE_STUDY.sql)
            .bind(new.study_name)
            .bind(new.metric)
            .bind(new.direction.as_str())
            .bind(new.algorithm)
            .fetch_one(self.store.pool())
            .await?;
        study(&row)
    }

    async fn find_study(&self, id: HpoStudyId) -> Result<HpoStudy, RepositoryError> {
        let row = sqlx::query(FIND_STUDY.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        study(&row.ok_or_else(|| no_study(id))?)
    }

    async fn find_study_by_name(&self, study_name: &str) -> Result<Option<HpoStudy>, RepositoryError> {
        validate_hpo_study_name(study_name)?;
        let row = sqlx::query(FIND_STUDY_BY_NAME.sql).bind(study_name).fetch_optional(self.store.pool()).await?;
        row.as_ref().map(study).transpose()
    }

    async fn list_studies(&self, request: PageRequest) -> Result<Page<HpoStudy>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let (created_at, after) = self.store.cursors().after(&STUDIES, &request, before_oldest())?;
        let rows = sqlx::query(LIST_STUDIES.sql)
            .bind(created_at)
            .bind(after)
            .bind(i64::from(limit) + 1)
            .fetch_all(self.store.pool())
            .await?;
        let studies = rows.iter().map(study).collect::<Result<Vec<_>, _>>()?;
        Page::of(studies, limit, |last| {
            self.store.cursors().cursor(&STUDIES, &(last.created_at, last.id.as_uuid()))
        })
    }

    async fn add_trial(&self, study: HpoStudyId, new: NewHpoTrial) -> Result<HpoTrial, RepositoryError> {
        let params = new.stored_params()?;
        let state = if new.is_waiting { TrialState::Waiting } else { TrialState::Running };
        let row = sqlx::query(ADD_TRIAL.sql)
            .bind(study.as_uuid())
            .bind(state.as_str())
            .bind(Json(params))
            .fetch_optional(self.store.pool())
            .await?;
        trial(&row.ok_or_else(|| no_study(study))?)
    }

    async fn start_trial(&self, id: HpoTrialId) -> Result<HpoTrial, RepositoryError> {
        let row = sqlx::query(START_TRIAL.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        match row {
            Some(row) => trial(&row),
            None => Err(self.why_not(id, TrialState::Waiting).await),
        }
    }

    async fn finish_trial(&self, id: HpoTrialId, end: TrialEnd) -> Result<HpoTrial, RepositoryError> {
        end.validate()?;
        let message = match &end {
            TrialEnd::Failed(message) => message.as_deref(),
            TrialEnd::Complete(_) | TrialEnd::Pruned(_) => None,
        };
        let row = sqlx::query(FINISH_TRIAL.sql)
            .bind(id.as_uuid())
            .bind(end.state().as_str())
            .bind(end.value())
            .bind(message)
            .fetch_optional(self.store.pool())
            .await?;
        match row {
            Some(row) => trial(&row),
            None => Err(self.why_not(id, TrialState::Running).await),
        }
    }

    async fn find_trial(&self, id: HpoTrialId) -> Result<HpoTrial, RepositoryError> {
        let row = sqlx::query(FIND_TRIAL.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        trial(&row.ok_or_else(|| no_trial(id))?)
    }

    async fn trials(&self, study: HpoStudyId, request: PageRequest) -> Result<Page<HpoTrial>, RepositoryError> {
        let limit = validate_limit(request.limit)?;
        let filter = [&*study.to_string()];
        let list = List::filtered(TRIALS, &filter);
        let after = self.store.cursors().after(&list, &request, -1_i64)?;
        let rows = sqlx::query(LIST_TRIALS.sql)
            .bind(study.as_uuid())
            .bind(after)
            .bind(i64::from(limit) + 1)
            .fetch_all(self.store.pool())
            .await?;
        if rows.is_empty() {
            self.find_study(study).await?;
        }
        let trials = rows.iter().map(trial).collect::<Result<Vec<_>, _>>()?;
        Page::of(trials, limit, |last| self.store.cursors().cursor(&list, &i64::from(last.trial_number)))
    }

    async fn best_trial(&self, study: HpoStudyId) -> Result<Option<HpoTrial>, RepositoryError> {
        let best = match self.find_study(study).await?.direction {
            Direction::Minimize => LOWEST_TRIAL,
            Direction::Maximize => HIGHEST_TRIAL,
        };
        let row = sqlx::query(best.sql).bind(study.as_uuid()).fetch_optional(self.store.pool()).await?;
        row.as_ref().map(trial).transpose()
    }

    async fn record_pattern(&self, new: NewHpoPattern) -> Result<HpoPattern, RepositoryError> {
        let new = new.stored()?;
        let row = sqlx::query(RECORD_PATTERN.sql)
            .bind(new.study_id.map(HpoStudyId::as_uuid))
            .bind(new.algorithm)
            .bind(new.problem_type)
            .bind(new.metric)
            .bind(new.direction.as_str())
            .bind(Json(new.search_space))
            .bind(Json(new.best_hyperparameters))
            .bind(new.best_value)
            .bind(bigint(new.shape.samples))
            .bind(bigint(new.shape.features))
            .fetch_one(self.store.pool())
            .await?;
        pattern(&row)
    }

    async fn find_pattern(&self, id: HpoPatternId) -> Result<HpoPattern, RepositoryError> {
        let row = sqlx::query(FIND_PATTERN.sql).bind(id.as_uuid()).fetch_optional(self.store.pool()).await?;
        pattern(&row.ok_or_else(|| no_pattern(id))?)
    }

    async fn find_similar(&self, query: &PatternQuery, limit: u32) -> Result<Vec<HpoPattern>, RepositoryError> {
        let range = query.range()?;
        let limit = validate_limit(limit)?;
        let statement = match query.direction {
            Direction::Minimize => SIMILAR_LOWEST_FIRST,
            Direction::Maximize => SIMILAR_HIGHEST_FIRST,
        };
        let rows = sqlx::query(statement.sql)
            .bind(&query.problem_type)
            .bind(&query.metric)
            .bind(query.direction.as_str())
            .bind(&query.algorithm)
            .bind(bigint(range.samples.0))
            .bind(bigint(range.samples.1))
            .bind(bigint(range.features.0))
            .bind(bigint(range.features.1))
            .bind(i64::from(limit))
            .fetch_all(self.store.pool())
            .await?;
        rows.iter().map(pattern).collect()
    }

    async fn record_use(&self, id: HpoPatternId, improvement: Option<f64>) -> Result<HpoPattern, RepositoryError> {
        if let Some(improvement) = improvement {
            validate_improvement(improvement)?;
        }
        let row = sqlx::query(RECORD_USE.sql)
            .bind(id.as_uuid())
            .bind(improvement)
            .fetch_optional(self.store.pool())
            .await?;
        pattern(&row.ok_or_else(|| no_pattern(id))?)
    }
}

fn study(row: &PgRow) -> Result<HpoStudy, RepositoryError> {
    let row = Reader::new("study", row)?;
    Ok(HpoStudy {
        id: row.id(),
        study_name: row.get("study_name")?,
        metric: row.get("metric")?,
        direction: row.parse("direction")?,
        algorithm: row.get("algorithm")?,
        trial_count: row.count("trial_count")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn trial(row: &PgRow) -> Result<HpoTrial, RepositoryError> {
    let row = Reader::new("trial", row)?;
    Ok(HpoTrial {
        id: row.id(),
        study_id: row.reference("study_id")?,
        trial_number: row.count("trial_number")?,
        state: row.parse("state")?,
        value: row.get("value")?,
        params: row.object("params")?,
        error_message: row.get("error_message")?,
        started_at: row.get("started_at")?,
        completed_at: row.get("completed_at")?,
        created_at: row.get("created_at")?,
    })
}

fn pattern(row: &PgRow) -> Result<HpoPattern, RepositoryError> {
    let row = Reader::new("pattern", row)?;
    Ok(HpoPattern {
        id: row.id(),
        pattern: NewHpoPattern {
            study_id: row.optional_reference("study_id")?,
            algorithm: row.get("algorithm")?,
            problem_type: row.get("problem_type")?,
            metric: row.get("metric")?,
            direction: row.parse("direction")?,
            search_space: row.object("search_space")?,
            best_hyperparameters: row.object("best_hyperparameters")?,
            best_value: row.get("best_value")?,
            shape: DataShape { samples: row.large_count("n_samples")?, features: row.large_count("n_features")? },
        },
        times_used: row.large_count("times_used")?,
        improvements: ExactSum {
            sum: row.get("improvement_sum")?,
            carry: row.get("improvement_carry")?,
            count: row.large_count("improvement_count")?,
        },
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}
