//! What each repository promises, in memory and on Postgres alike.

use chrono::{DateTime, TimeDelta, Utc};
use proofmark::domain::{
    Change, DeploymentStatus, ExperimentChanges, Measures, Metrics, ModelChanges, ModelId, ModelScores,
    ModelStage, NewBentoService, NewDeployment, NewExperiment, NewModel, NewServingMetric, NewTrainingRun,
    OptunaTrial, Performance, Revision, SplitMetrics, TrainingStatus,
};
use proofmark::repository::{
    IdempotencyKey, PageRequest, RepositoryError as E, deployment_constraint, experiment_constraint,
    model_constraint, training_run_constraint,
};
use serde_json::json;

use crate::both::on_both;

#[tokio::test]
async fn experiments_change_in_part_and_by_revision() {
    on_both(async |layer| {
        let new = NewExperiment {
            mlflow_experiment_id: Some("7".to_owned()),
            description: Some("naïve ☂".to_owned()),
            ..NewExperiment::new("churn")
        };
        let made = layer.experiments.register(new.clone()).await.unwrap();
        assert_eq!(layer.experiments.find(made.id).await.unwrap(), made);
        assert_eq!(layer.experiments.find_by_mlflow_id("7").await.unwrap(), Some(made.clone()));
        assert_eq!(layer.experiments.find_by_mlflow_id("8").await.unwrap(), None);
        let again = layer.experiments.register(new).await;
        assert!(matches!(again, Err(E::Conflict { constraint }) if constraint == experiment_constraint::MLFLOW_KEY));

        let target = Change::Set(Some("churned".to_owned()));
        let changes = ExperimentChanges { prediction_target: target, ..ExperimentChanges::default() };
        let changed = layer.experiments.update(made.id, Some(Revision::FIRST), changes.clone()).await.unwrap();
        assert_eq!(changed.description, made.description);
        assert_eq!(changed.prediction_target.as_deref(), Some("churned"));
        assert_eq!(changed.revision, Revision::FIRST.next());
        assert!(changed.updated_at > made.updated_at);
        let stale = layer.experiments.update(made.id, Some(Revision::FIRST), changes).await;
        assert!(
            matches!(stale, Err(E::Stale { expected: Revision::FIRST, found, .. }) if found == changed.revision)
        );
        let removal = ExperimentChanges { description: Change::Set(None), ..ExperimentChanges::default() };
        assert_eq!(layer.experiments.update(made.id, None, removal).await.unwrap().description, None);

        layer.a_model("fraud", "1", Some(made.id)).await;
        let kept = layer.experiments.delete(made.id).await;
        assert!(
            matches!(kept, Err(E::StillReferenced { constraint }) if constraint == experiment_constraint::MODEL_EXPERIMENT)
        );
        let other = layer.an_experiment().await;
        layer.experiments.delete(other.id).await.unwrap();
        assert!(matches!(layer.experiments.delete(other.id).await, Err(E::NotFound { .. })));
        let missing = layer.experiments.update(other.id, Some(Revision::FIRST), ExperimentChanges::default()).await;
        assert!(matches!(missing, Err(E::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_sent_again_makes_no_other_row() {
    on_both(async |layer| {
        let key = IdempotencyKey::new("request-1").unwrap();
        let new =
            || NewModel { hyperparameters: json!({ "eta": 0.1 }).as_object().cloned(), ..NewModel::new("m", "1") };
        let made = layer.models.register_once(&key, new()).await.unwrap();
        assert_eq!(layer.models.register_once(&key, new()).await.unwrap(), made);
        let reused = layer.models.register_once(&key, NewModel::new("m", "2")).await;
        assert!(matches!(reused, Err(E::KeyReused { key }) if key == "request-1"));
        // The key belongs to one kind of request.
        let service = NewBentoService::new("m:1", "1", "s");
        let made = layer.services.register_once(&key, service.clone()).await.unwrap();
        assert_eq!(layer.services.register_once(&key, service).await.unwrap().id, made.id);
        // A request that failed has not used its key.
        let key = IdempotencyKey::new("request-2").unwrap();
        assert!(matches!(layer.models.register_once(&key, new()).await, Err(E::Conflict { .. })));
        layer.models.register_once(&key, NewModel::new("m", "3")).await.unwrap();
        assert_eq!(layer.models.list(PageRequest::first(10)).await.unwrap().items.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_name_has_one_champion_also_without_an_experiment() {
    on_both(async |layer| {
        let first = layer.a_model("fraud", "1", None).await;
        let second = layer.a_model("fraud", "2", None).await;
        let experiment = layer.an_experiment().await;
        let third = layer.a_model("fraud", "3", Some(experiment.id)).await;
        let other = layer.a_model("churn", "1", Some(experiment.id)).await;
        assert_eq!(layer.models.champion("fraud").await.unwrap(), None);
        layer.models.crown(other.id, None).await.unwrap();
        for (model, before) in [(&first, None), (&second, Some(&first)), (&third, Some(&second))] {
            let change = layer.models.crown(model.id, Some(model.revision)).await.unwrap();
            assert_eq!(change.dethroned.map(|model| (model.id, model.is_champion)), before.map(|m| (m.id, false)));
            assert_eq!(layer.models.champion("fraud").await.unwrap(), Some(change.champion));
        }
        let again = layer.models.crown(third.id, None).await.unwrap();
        assert_eq!((again.dethroned, again.champion.revision), (None, third.revision.next()));
        let stale = layer.models.crown(third.id, Some(third.revision)).await;
        assert!(matches!(stale, Err(E::Stale { .. })));
        assert_eq!(layer.models.champion("churn").await.unwrap().unwrap().id, other.id);
        let archived = layer.models.transition(third.id, None, ModelStage::Archived).await.unwrap();
        assert!(!archived.model.is_champion);
        assert!(matches!(layer.models.crown(third.id, None).await, Err(E::Refused { .. })));
        assert_eq!(layer.models.champion("fraud").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn promotion_archives_only_the_same_models_previous_version() {
    on_both(async |layer| {
        let experiment = layer.an_experiment().await;
        let first = layer.a_model("fraud", "1", Some(experiment.id)).await;
        let second = layer.a_model("fraud", "2", None).await;
        let staging = layer.a_model("fraud", "3", Some(experiment.id)).await;
        let other = layer.a_model("churn", "1", Some(experiment.id)).await;
        layer.models.transition(staging.id, None, ModelStage::Staging).await.unwrap();
        for model in [&other, &first] {
            let moved = layer.models.transition(model.id, None, ModelStage::Production).await.unwrap();
            assert_eq!(moved.archived, None);
            assert!(moved.model.promoted_at.is_some());
        }
        layer.models.crown(first.id, None).await.unwrap();
        let moved = layer.models.transition(second.id, None, ModelStage::Production).await.unwrap();
        let archived = moved.archived.unwrap();
        assert_eq!((archived.id, archived.stage, archived.is_champion), (first.id, ModelStage::Archived, false));
        let production = layer.models.in_stage(ModelStage::Production, PageRequest::first(10)).await.unwrap();
        assert_eq!(production.items.iter().map(|model| model.id).collect::<Vec<_>>(), [other.id, second.id]);
        assert_eq!(layer.models.find(staging.id).await.unwrap().stage, ModelStage::Staging);
        // Nothing changes if nothing has to, and there is no way back from the end.
        let same = layer.models.transition(second.id, None, ModelStage::Production).await.unwrap();
        assert_eq!(same.model, moved.model);
        layer.models.transition(second.id, None, ModelStage::Deprecated).await.unwrap();
        let refused = layer.models.transition(second.id, None, ModelStage::Production).await;
        assert!(matches!(refused, Err(E::Refused { .. })));
    })
    .await;
}

#[tokio::test]
async fn models_keep_what_they_are_given() {
    on_both(async |layer| {
        let experiment = layer.an_experiment().await;
        let hyperparameters =
            json!({ "eta": 0.1, "big": 1e16, "small": 5e-324, "max": f64::MAX, "n": u64::MAX, "z": -0.0,
                    "odd": 0.123_456_789_012_345_67, "nested": { "b": [null, true, "\u{1}é"], "a": i64::MIN } });
        let new = NewModel {
            experiment_id: Some(experiment.id),
            mlflow_run_id: Some("r".to_owned()),
            algorithm: Some("xgboost".to_owned()),
            hyperparameters: hyperparameters.as_object().cloned(),
            feature_count: Some(i32::MAX),
            training_samples: Some(i64::MAX),
            scores: ModelScores { auc: Some(0.1 + 0.2), pr_auc: Some(5e-324), brier_score: Some(1.0) },
            trained_at: Some("1969-12-31T23:59:59.999999999Z".parse().unwrap()),
            ..NewModel::new("fraud", "v1")
        };
        let stored = new.clone().stored().unwrap();
        let made = layer.models.register(new).await.unwrap();
        assert_eq!(made.hyperparameters, stored.hyperparameters, "{}", layer.name);
        assert_eq!((made.scores, made.trained_at), (stored.scores, stored.trained_at));
        assert_eq!((made.training_samples, made.feature_count), (Some(i64::MAX), Some(i32::MAX)));
        assert_eq!(layer.models.find_version("fraud", "v1").await.unwrap(), Some(made.clone()));
        assert_eq!(layer.models.find_version("fraud", "v10").await.unwrap(), None);

        let changes = ModelChanges { auc: Change::Set(None), ..ModelChanges::default() };
        let changed = layer.models.update(made.id, Some(made.revision), changes).await.unwrap();
        assert_eq!((changed.scores.auc, changed.scores.pr_auc), (None, made.scores.pr_auc));
        let nowhere = NewModel { experiment_id: Some(uuid::Uuid::nil().into()), ..NewModel::new("fraud", "v2") };
        let refused = layer.models.register(nowhere).await;
        assert!(matches!(refused, Err(E::MissingReference { constraint }) if constraint == model_constraint::EXPERIMENT));
        let nul = NewModel { hyperparameters: json!({ "a": "\0" }).as_object().cloned(), ..NewModel::new("m", "1") };
        let refused = layer.models.register(nul).await;
        assert!(matches!(refused, Err(E::Invalid { field, .. }) if field == "hyperparameters"));
        layer.models.delete(made.id).await.unwrap();
        assert!(matches!(layer.models.delete(made.id).await, Err(E::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn pages_of_a_filter_have_cursors_of_their_own() {
    on_both(async |layer| {
        let mut versions = Vec::new();
        for version in 0..7 {
            versions.push(layer.a_model("fraud", &version.to_string(), None).await.id);
            layer.a_model("churn", &version.to_string(), None).await;
        }
        versions.reverse();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page =
                layer.models.versions("fraud", PageRequest { limit: 3, after: after.clone() }).await.unwrap();
            found.extend(page.items.iter().map(|model| model.id));
            // Pages are stable while versions are registered: what is new comes before what was read.
            layer.a_model("fraud", &format!("late-{}", found.len()), None).await;
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, versions);
        let cursor = after.unwrap();
        for (name, list) in [
            ("churn", layer.models.versions("churn", PageRequest { limit: 3, after: Some(cursor.clone()) }).await),
            ("all", layer.models.list(PageRequest { limit: 3, after: Some(cursor.clone()) }).await),
        ] {
            assert!(matches!(list, Err(E::InvalidCursor { .. })), "{name}");
        }
        for limit in [0, 501] {
            let refused = layer.models.list(PageRequest::first(limit)).await;
            assert!(matches!(refused, Err(E::Invalid { field, .. }) if field == "limit"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_run_ends_once() {
    on_both(async |layer| {
        let experiment = layer.an_experiment().await;
        let trial = |number| Some(OptunaTrial { study_name: "s".to_owned(), number });
        let new = |number| NewTrainingRun {
            feature_names: vec!["age".to_owned(), "naïve, \"quoted\"".to_owned()],
            trial: trial(number),
            ..NewTrainingRun::new(experiment.id, "xgboost")
        };
        let run = layer.runs.start(new(0)).await.unwrap();
        assert_eq!((run.status, run.duration_seconds), (TrainingStatus::Running, None));
        assert_eq!(run.feature_names, new(0).feature_names);
        let model = layer.a_model("fraud", "1", None).await;
        let metrics = |loss: f64| SplitMetrics {
            test: Some(Metrics::from([("loss".to_owned(), loss), ("auc".to_owned(), 0.1 + 0.2)])),
            ..SplitMetrics::default()
        };
        let infinite = layer.runs.complete(run.id, None, None, metrics(f64::INFINITY)).await;
        assert!(matches!(infinite, Err(E::Invalid { field, .. }) if field == "test_metrics"));
        let missing = layer.runs.complete(run.id, None, Some(ModelId::random()), metrics(1.0)).await;
        assert!(matches!(missing, Err(E::MissingReference { constraint }) if constraint == training_run_constraint::MODEL));
        let refused = layer.runs.mark_best(run.id, None).await;
        assert!(matches!(refused, Err(E::Refused { .. })));
        let done = layer.runs.complete(run.id, Some(run.revision), Some(model.id), metrics(1e300)).await.unwrap();
        assert_eq!(done.metrics, metrics(1e300));
        let duration = done.completed_at.unwrap() - done.started_at;
        #[expect(clippy::cast_precision_loss, reason = "a test ends within the integers of a double")]
        let seconds = duration.num_microseconds().unwrap() as f64 / 1e6;
        assert_eq!(done.duration_seconds, Some(seconds));
        for again in [
            layer.runs.complete(run.id, None, None, metrics(0.0)).await,
            layer.runs.fail(run.id, None, "late").await,
            layer.runs.cancel(run.id, None).await,
        ] {
            assert!(matches!(again, Err(E::Refused { .. })), "{}", layer.name);
        }
        let stale = layer.runs.cancel(run.id, Some(run.revision)).await;
        assert!(matches!(stale, Err(E::Stale { .. })));
        let kept = layer.models.delete(model.id).await;
        assert!(matches!(kept, Err(E::StillReferenced { constraint }) if constraint == model_constraint::RUN_MODEL));

        let second = layer.runs.start(new(1)).await.unwrap();
        layer.runs.complete(second.id, None, None, SplitMetrics::default()).await.unwrap();
        for best in [run.id, second.id, second.id] {
            assert!(layer.runs.mark_best(best, None).await.unwrap().is_best_trial);
            assert_eq!(layer.runs.best_of("s").await.unwrap().unwrap().id, best);
        }
        assert!(!layer.runs.find(run.id).await.unwrap().is_best_trial);
        let failed = layer.runs.start(NewTrainingRun::new(experiment.id, "lightgbm")).await.unwrap();
        let failed = layer.runs.fail(failed.id, None, "out of memory").await.unwrap();
        assert_eq!(failed.error_message.as_deref(), Some("out of memory"));
        let page = layer.runs.of_experiment(experiment.id, PageRequest::first(2)).await.unwrap();
        assert_eq!(page.items.iter().map(|run| run.id).collect::<Vec<_>>(), [failed.id, second.id]);
        assert!(page.next.is_some());
    })
    .await;
}

#[tokio::test]
async fn a_rollback_goes_back_along_the_chain() {
    on_both(async |layer| {
        let model = layer.a_model("fraud", "1", None).await;
        let new = || NewDeployment::new(model.id, "fraud", "production");
        let nowhere = layer.deployments.create(NewDeployment::new(ModelId::random(), "fraud", "production")).await;
        assert!(matches!(nowhere, Err(E::MissingReference { constraint }) if constraint == deployment_constraint::MODEL));
        let mut ids = Vec::new();
        for _ in 0..3 {
            let made = layer.deployments.create(new()).await.unwrap();
            layer.deployments.begin(made.id, Some(made.revision)).await.unwrap();
            let change = layer.deployments.activate(made.id, None).await.unwrap();
            assert_eq!(change.replaced.map(|row| (row.id, row.status)), ids.last().map(|id| (*id, DeploymentStatus::Draining)));
            assert_eq!(change.activated.previous_deployment_id, ids.last().copied());
            ids.push(made.id);
        }
        let elsewhere = layer.deployments.create(NewDeployment::new(model.id, "fraud", "staging")).await.unwrap();
        let change = layer.deployments.activate(elsewhere.id, None).await.unwrap();
        assert_eq!(change.replaced, None);
        let chain = layer.deployments.chain(ids[2]).await.unwrap();
        assert_eq!(chain.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[2], ids[1], ids[0]]);
        for (from, to) in [(ids[2], ids[1]), (ids[1], ids[0])] {
            let back = layer.deployments.roll_back(from, None, "too slow").await.unwrap();
            assert_eq!((back.rolled_back.id, back.restored.id), (from, to));
            assert_eq!(back.rolled_back.rollback_reason.as_deref(), Some("too slow"));
            assert_eq!((back.restored.status, back.restored.deactivated_at), (DeploymentStatus::Active, None));
            let active = layer.deployments.active("fraud", "production").await.unwrap();
            assert_eq!(active, Some(back.restored));
        }
        for id in [ids[0], ids[1]] {
            // There is none before it; it is not active.
            assert!(matches!(layer.deployments.roll_back(id, None, "again").await, Err(E::Refused { .. })));
        }
        let performance = Performance { latency_p50_ms: Some(1.0), latency_p99_ms: Some(5.5), ..Performance::default() };
        let measured = layer.deployments.record_performance(ids[0], None, performance).await.unwrap();
        assert_eq!(measured.performance, performance);
        assert!(matches!(layer.deployments.activate(ids[0], None).await, Err(E::Refused { .. })));
        let failed = layer.deployments.fail(ids[0], None).await.unwrap();
        assert!(failed.deactivated_at.is_some());
        assert_eq!(layer.deployments.active("fraud", "production").await.unwrap(), None);
        let kept = layer.models.delete(model.id).await;
        assert!(matches!(kept, Err(E::StillReferenced { constraint }) if constraint == model_constraint::DEPLOYMENT_MODEL));
        let history = layer.deployments.history("fraud", "production", PageRequest::first(10)).await.unwrap();
        assert_eq!(history.items.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[2], ids[1], ids[0]]);
    })
    .await;
}

#[tokio::test]
async fn only_what_waits_too_long_is_cleaned_up() {
    on_both(async |layer| {
        let model = layer.a_model("fraud", "1", None).await;
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(
                layer.deployments.create(NewDeployment::new(model.id, "fraud", "production")).await.unwrap().id,
            );
        }
        layer.deployments.activate(ids[0], None).await.unwrap();
        layer.deployments.begin(ids[1], None).await.unwrap();
        let waiting = layer.deployments.find(ids[3]).await.unwrap();
        // Nothing waits since before it was made; then the one that was changed last is left.
        assert_eq!(layer.deployments.fail_stale(waiting.created_at - TimeDelta::days(1)).await.unwrap(), []);
        let begun = layer.deployments.find(ids[1]).await.unwrap();
        assert_eq!(layer.deployments.fail_stale(begun.updated_at).await.unwrap(), [ids[2], ids[3]]);
        assert_eq!(layer.deployments.fail_stale(begun.updated_at).await.unwrap(), []);
        let later = begun.updated_at + TimeDelta::microseconds(1);
        assert_eq!(layer.deployments.fail_stale(later).await.unwrap(), [ids[1]]);
        for (id, status) in ids.iter().zip([DeploymentStatus::Active, DeploymentStatus::Failed]) {
            assert_eq!(layer.deployments.find(*id).await.unwrap().status, status);
        }
        let refused = layer.deployments.fail_stale(DateTime::<Utc>::MAX_UTC).await;
        assert!(matches!(refused, Err(E::Invalid { field, .. }) if field == "before"));
    })
    .await;
}

#[tokio::test]
async fn a_batch_of_metrics_is_all_or_nothing() {
    on_both(async |layer| {
        let service = layer.a_service("scorer").await;
        let start: DateTime<Utc> = "1969-12-31T23:59:59.5Z".parse().unwrap();
        let metric = |n: i32| NewServingMetric {
            timestamp: Some(start + TimeDelta::microseconds(n.into())),
            window_seconds: 0.1 + 0.2,
            ..NewServingMetric::new(
                service.id,
                Measures { avg_latency_ms: Some(f64::from(n)), error_rate: Some(-0.0), ..Measures::default() },
            )
        };
        let batch: Vec<_> = (0..7_000).map(metric).collect();
        assert_eq!(layer.services.record_metrics(&batch).await.unwrap(), 7_000);
        assert_eq!(layer.services.record_metrics(&[]).await.unwrap(), 0);
        let latest = layer.services.latest_metrics(service.id, 500).await.unwrap();
        for (n, found) in (0..7_000).rev().zip(&latest) {
            let expected = metric(n);
            assert_eq!(Some(found.timestamp), expected.timestamp, "{}", layer.name);
            assert_eq!(found.window_seconds.to_bits(), expected.window_seconds.to_bits());
            assert_eq!(found.measures.avg_latency_ms, Some(f64::from(n)));
            assert!(found.measures.error_rate.unwrap().is_sign_negative());
            assert_eq!(found.measures.cpu_percent, None);
        }
        let newest = latest[0].timestamp;
        // One that cannot be, and one of a service that is not there: nothing of either batch is kept.
        let mut bad = batch.clone();
        bad[6_999].measures.error_rate = Some(2.0);
        let refused = layer.services.record_metrics(&bad).await;
        assert!(matches!(refused, Err(E::Invalid { field, .. }) if field == "metrics[6999].error_rate"));
        let mut bad: Vec<_> = (0..7_000).map(|n| metric(n + 10_000)).collect();
        bad[6_999].service_id = uuid::Uuid::nil().into();
        assert!(matches!(layer.services.record_metrics(&bad).await, Err(E::MissingReference { .. })));
        assert_eq!(layer.services.latest_metrics(service.id, 1).await.unwrap()[0].timestamp, newest);

        let key = IdempotencyKey::new("batch-1").unwrap();
        let batch: Vec<_> = (0..3).map(|n| NewServingMetric { timestamp: None, ..metric(n) }).collect();
        for _ in 0..2 {
            assert_eq!(layer.services.record_metrics_once(&key, &batch).await.unwrap(), 3);
        }
        let latest = layer.services.latest_metrics(service.id, 4).await.unwrap();
        assert_eq!(latest[3].timestamp, newest, "the batch was appended once");
        assert!(latest[0].timestamp > newest);
        let reused = layer.services.record_metrics_once(&key, &batch[..2]).await;
        assert!(matches!(reused, Err(E::KeyReused { .. })));
    })
    .await;
}
