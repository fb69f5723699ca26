//! What the schema refuses, whoever writes, and what became of rows that are older than its rules.

use proofmark::domain::{
    FeatureViewId, FreshnessStatus, FreshnessThresholds, MaterializationStatus, NewFeatureView,
};
use proofmark::repository::{PageRequest, RepositoryError};
use proofmark_harness::{Migrations, TestDatabase};
use sqlx::{AssertSqlSafe, PgPool};

use crate::both::{Layer, on_postgres};

/// A view, a model, a study, a run and an instruction for others to refer to.
const ROWS: &str = "
    INSERT INTO ml_feast_feature_views (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'v');
    INSERT INTO ml_model_registry (id, model_name, model_version)
    VALUES ('00000000-0000-0000-0000-000000000001', 'm', '1');
    INSERT INTO ml_hpo_studies (id, study_name, metric, direction)
    VALUES ('00000000-0000-0000-0000-000000000001', 's', 'rmse', 'minimize');
    INSERT INTO prompt_optimization_runs (id, agent_name, optimizer_type, budget)
    VALUES ('00000000-0000-0000-0000-000000000001', 'planner', 'gepa', 10);
    INSERT INTO optimized_instructions (agent_name, version, instruction, is_active, activated_at)
    VALUES ('planner', 1, 'i', true, now())";

/// What must be refused: a mistake, the constraint that refuses it, and the statement.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "a success without a time of completion",
        "ml_feast_materialization_jobs_outcome_check",
        "INSERT INTO ml_feast_materialization_jobs (feature_view_id, status) VALUES ($ID, 'success')",
    ),
    (
        "a success that completes at infinity",
        "ml_feast_materialization_jobs_outcome_check",
        "INSERT INTO ml_feast_materialization_jobs (feature_view_id, status, end_time) \
         VALUES ($ID, 'success', 'infinity')",
    ),
    (
        "a job status that no code knows",
        "ml_feast_materialization_jobs_outcome_check",
        "INSERT INTO ml_feast_materialization_jobs (feature_view_id, status, end_time) VALUES ($ID, 'SUCCESS', now())",
    ),
    (
        "a job without a status",
        "ml_feast_materialization_jobs_outcome_check",
        "INSERT INTO ml_feast_materialization_jobs (feature_view_id, status) VALUES ($ID, NULL)",
    ),
    (
        "fresh without a success",
        "ml_feast_feature_freshness_status_check",
        "INSERT INTO ml_feast_feature_freshness (feature_view_id, status, stale_after_seconds, critical_after_seconds) \
         VALUES ($ID, 'fresh', 1, 2)",
    ),
    (
        "unknown after a success",
        "ml_feast_feature_freshness_status_check",
        "INSERT INTO ml_feast_feature_freshness \
             (feature_view_id, status, last_materialization_time, stale_after_seconds, critical_after_seconds) \
         VALUES ($ID, 'unknown', now(), 1, 2)",
    ),
    (
        "fresh beyond the threshold",
        "ml_feast_feature_freshness_status_check",
        "INSERT INTO ml_feast_feature_freshness \
             (feature_view_id, status, last_materialization_time, staleness_seconds, stale_after_seconds, \
              critical_after_seconds) VALUES ($ID, 'fresh', now(), 1.5, 1, 2)",
    ),
    (
        "a pass on nothing",
        "ml_data_quality_reports_overall_status_check",
        "INSERT INTO ml_data_quality_reports \
             (expectation_suite_name, table_name, overall_status, expectations_passed, expectations_failed) \
         VALUES ('s', 't', 'passed', 0, 0)",
    ),
    (
        "a pass with a failure",
        "ml_data_quality_reports_overall_status_check",
        "INSERT INTO ml_data_quality_reports \
             (expectation_suite_name, table_name, overall_status, expectations_passed, expectations_failed) \
         VALUES ('s', 't', 'passed', 9, 1)",
    ),
    (
        "failed expectations that were encoded twice",
        "ml_data_quality_reports_failed_expectations_check",
        "INSERT INTO ml_data_quality_reports \
             (expectation_suite_name, table_name, expectations_passed, expectations_failed, failed_expectations) \
         VALUES ('s', 't', 0, 1, '\"[{}]\"')",
    ),
    (
        "a base value that is no number",
        "ml_shap_analyses_base_value_check",
        "INSERT INTO ml_shap_analyses (model_id, analysis_type, local_shap_values, base_value) \
         VALUES ($ID, 'local', '{}', 'NaN')",
    ),
    (
        "an explanation without values",
        "ml_shap_analyses_status_check",
        "INSERT INTO ml_shap_analyses (model_id, analysis_type) VALUES ($ID, 'local')",
    ),
    (
        "a failed row with a number",
        "ml_shap_analyses_status_check",
        "INSERT INTO ml_shap_analyses (model_id, analysis_type, status, error_message, base_value) \
         VALUES ($ID, 'local', 'failed', 'x', 0)",
    ),
    (
        "an infinite objective",
        "ml_hpo_trials_value_check",
        "INSERT INTO ml_hpo_trials (study_id, trial_number, state, value, started_at, completed_at) \
         VALUES ($ID, 0, 'COMPLETE', 'Infinity', now(), now())",
    ),
    (
        "an objective that is no number",
        "ml_hpo_trials_value_check",
        "INSERT INTO ml_hpo_trials (study_id, trial_number, state, value, started_at, completed_at) \
         VALUES ($ID, 0, 'COMPLETE', 'NaN', now(), now())",
    ),
    (
        "complete without an objective",
        "ml_hpo_trials_state_check",
        "INSERT INTO ml_hpo_trials (study_id, trial_number, state, started_at, completed_at) \
         VALUES ($ID, 0, 'COMPLETE', now(), now())",
    ),
    (
        "a state that Optuna does not have",
        "ml_hpo_trials_state_check",
        "INSERT INTO ml_hpo_trials (study_id, trial_number, state) VALUES ($ID, 0, 'complete')",
    ),
    (
        "parameters that were encoded twice",
        "ml_hpo_trials_params_check",
        "INSERT INTO ml_hpo_trials (study_id, trial_number, state, params) VALUES ($ID, 0, 'WAITING', '\"{}\"')",
    ),
    (
        "a study of no direction",
        "ml_hpo_studies_direction_check",
        "INSERT INTO ml_hpo_studies (study_name, metric, direction) VALUES ('x', 'auc', 'max')",
    ),
    (
        "more improvements than uses",
        "ml_hpo_patterns_uses_check",
        "INSERT INTO ml_hpo_patterns (algorithm, problem_type, metric, direction, best_value, n_samples, n_features, \
                                      times_used, improvement_count) \
         VALUES ('a', 'p', 'm', 'minimize', 0, 1, 1, 1, 2)",
    ),
    (
        "a span that is its own parent",
        "ml_observability_spans_parent_span_id_check",
        "INSERT INTO ml_observability_spans (trace_id, span_id, parent_span_id, agent_name, operation, started_at) \
         VALUES ('t', 'a', 'a', 'planner', 'o', now())",
    ),
    (
        "an error that has not ended",
        "ml_observability_spans_status_check",
        "INSERT INTO ml_observability_spans (trace_id, span_id, agent_name, operation, started_at, status) \
         VALUES ('t', 'a', 'planner', 'o', now(), 'error')",
    ),
    (
        "completed without a score",
        "prompt_optimization_runs_status_check",
        "INSERT INTO prompt_optimization_runs (agent_name, optimizer_type, budget, status, completed_at) \
         VALUES ('planner', 'gepa', 1, 'completed', now())",
    ),
    (
        "a second active instruction",
        "idx_optimized_instructions_active",
        "INSERT INTO optimized_instructions (agent_name, version, instruction, is_active, activated_at) \
         VALUES ('planner', 2, 'i', true, now())",
    ),
    (
        "an instruction from another agent's run",
        "optimized_instructions_run_id_fkey",
        "INSERT INTO optimized_instructions (agent_name, version, instruction, run_id) VALUES ('writer', 1, 'i', $ID)",
    ),
];

/// What must be accepted, though platforms of this kind have refused it.
const NO_MISTAKES: &[(&str, &str)] = &[
    (
        "a base value of any size",
        "INSERT INTO ml_shap_analyses (model_id, analysis_type, local_shap_values, base_value) \
         VALUES ($ID, 'local', '{}', -123456.789)",
    ),
    (
        "an objective of any size",
        "INSERT INTO ml_hpo_trials (study_id, trial_number, state, value, started_at, completed_at) \
         VALUES ($ID, 0, 'COMPLETE', 1e12, now(), now())",
    ),
    (
        "a second and a third inactive instruction",
        "INSERT INTO optimized_instructions (agent_name, version, instruction) \
         VALUES ('planner', 2, 'i'), ('planner', 3, 'i'), ('planner', 4, 'i')",
    ),
    (
        "an active instruction of another agent",
        "INSERT INTO optimized_instructions (agent_name, version, instruction, is_active, activated_at) \
         VALUES ('writer', 1, 'i', true, now())",
    ),
    (
        "a report without a status",
        "INSERT INTO ml_data_quality_reports \
             (expectation_suite_name, table_name, expectations_passed, expectations_failed) VALUES ('s', 't', 1, 0)",
    ),
];

async fn execute(pool: &PgPool, sql: &str) -> Result<(), sqlx::Error> {
    let sql = sql.replace("$ID", "'00000000-0000-0000-0000-000000000001'");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(|_| ())
}

#[tokio::test]
async fn every_mistake_is_refused_by_name() {
    on_postgres(async |database, _| {
        execute(database.pool(), ROWS).await.unwrap();
        for (mistake, constraint, sql) in MISTAKES {
            let error = execute(database.pool(), sql).await.expect_err(mistake);
            let found = error.as_database_error().and_then(|error| error.constraint());
            assert_eq!(found, Some(*constraint), "{mistake}: {error}");
        }
        for (what, sql) in NO_MISTAKES {
            execute(database.pool(), sql).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    })
    .await;
}

#[tokio::test]
async fn what_this_version_does_not_know_is_an_error_that_names_it() {
    on_postgres(async |database, layer| {
        execute(database.pool(), ROWS).await.unwrap();
        let view: FeatureViewId = "00000000-0000-0000-0000-000000000001".parse().unwrap();
        // A later version may know more statuses, and other shapes.
        for (field, sql) in [
            ("features", "UPDATE ml_feast_feature_views SET features = '[\"plain\"]'"),
            ("entities", "UPDATE ml_feast_feature_views SET features = NULL, entities = '[1]'"),
        ] {
            execute(database.pool(), sql).await.unwrap();
            let found = layer.features.find(view).await;
            assert!(matches!(&found, Err(RepositoryError::Corrupt { field: named, .. }) if *named == field), "{found:?}");
        }
        execute(
            database.pool(),
            "ALTER TABLE ml_feast_materialization_jobs DROP CONSTRAINT ml_feast_materialization_jobs_outcome_check; \
             INSERT INTO ml_feast_materialization_jobs (feature_view_id, status) VALUES ($ID, 'paused')",
        )
        .await
        .unwrap();
        let found = layer.features.jobs(view, PageRequest::first(1)).await;
        assert!(
            matches!(&found, Err(RepositoryError::Corrupt { field: "status", found, .. }) if found == "paused"),
            "{found:?}"
        );
    })
    .await;
}

/// The last version before jobs had rules.
const BEFORE_RULES: i64 = 11;

#[tokio::test]
async fn an_old_success_without_a_time_is_no_success() {
    let reference = Migrations::reference();
    let (before, after): (Vec<_>, Vec<_>) =
        reference.migrations().iter().cloned().partition(|migration| migration.version <= BEFORE_RULES);
    let database = TestDatabase::acquire(&Migrations::new(before).unwrap()).await.unwrap();
    let pool = database.pool();
    execute(pool, "INSERT INTO ml_feast_feature_views (id, name) VALUES ($ID, 'v')").await.unwrap();
    execute(
        pool,
        "INSERT INTO ml_feast_materialization_jobs (feature_view_id, start_time, end_time, status, created_at) VALUES
             ($ID, '2024-01-05', NULL, 'success', '2024-01-05'),
             ($ID, '2024-01-04', '2024-01-04 01:00+00', 'success', '2024-01-04'),
             ($ID, '2024-01-03', 'infinity', 'success', '2024-01-03'),
             ($ID, NULL, '2024-01-02', 'success', '2024-01-09'),
             ($ID, '2024-01-01', NULL, 'RUNNING', '2024-01-01'),
             ($ID, NULL, NULL, NULL, '2023-12-31')",
    )
    .await
    .unwrap();
    // More than are cleaned at once.
    execute(
        pool,
        "INSERT INTO ml_feast_materialization_jobs (feature_view_id, start_time, status)
         SELECT $ID, '2020-01-01', 'odd' FROM generate_series(1, 12000)",
    )
    .await
    .unwrap();
    for migration in after {
        execute(pool, &migration.up).await.unwrap_or_else(|error| panic!("{}: {error}", migration.version));
    }

    let layer = Layer::postgres(pool.clone());
    let view: FeatureViewId = "00000000-0000-0000-0000-000000000001".parse().unwrap();
    let jobs = layer.features.jobs(view, PageRequest::first(6)).await.unwrap().items;
    let found: Vec<_> = jobs.iter().map(|job| (job.start_time.date_naive().to_string(), job.status)).collect();
    let failed = MaterializationStatus::Failed;
    assert_eq!(
        found,
        [
            ("2024-01-05".to_owned(), failed),
            ("2024-01-04".to_owned(), MaterializationStatus::Success),
            ("2024-01-03".to_owned(), failed),
            ("2024-01-02".to_owned(), failed),
            ("2024-01-01".to_owned(), failed),
            ("2023-12-31".to_owned(), failed),
        ]
    );
    let message = jobs[0].error_message.as_deref().unwrap();
    assert!(message.contains("with the status success and no time of completion"), "{message}");
    assert!(jobs[4].error_message.as_deref().unwrap().contains("RUNNING"));
    let at = "2024-01-04T02:00:00Z".parse().unwrap();
    let thresholds = FreshnessThresholds::new(3600.0, 7200.0).unwrap();
    let freshness = layer.features.freshness(view, thresholds, Some(at)).await.unwrap();
    assert_eq!((freshness.status, freshness.staleness_seconds), (FreshnessStatus::Fresh, Some(3600.0)));
    layer.features.register(NewFeatureView::new("w")).await.unwrap();
    database.release().await;
}
