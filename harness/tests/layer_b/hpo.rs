//! Hyperparameter studies, trials and patterns.

use proofmark::domain::{
    DataShape, Direction, Document, HpoPatternId, HpoStudyId, HpoTrialId, NewHpoPattern, NewHpoStudy, NewHpoTrial,
    PatternQuery, TrialEnd, TrialState,
};
use proofmark::repository::{PageRequest, hpo_constraint};
use serde_json::{Value, json};

use crate::both::{Layer, assert_constraint, assert_invalid, assert_not_found, assert_refused, on_both, pages};

fn object(value: &Value) -> Document {
    value.as_object().cloned().unwrap()
}

async fn a_study(layer: &Layer, name: &str, direction: Direction) -> HpoStudyId {
    layer.hpo.create_study(NewHpoStudy::new(name, "rmse", direction)).await.unwrap().id
}

async fn a_trial(layer: &Layer, study: HpoStudyId) -> HpoTrialId {
    layer.hpo.add_trial(study, NewHpoTrial::running(Document::new())).await.unwrap().id
}

fn pattern(direction: Direction, best_value: f64) -> NewHpoPattern {
    NewHpoPattern {
        study_id: None,
        algorithm: "xgboost".to_owned(),
        problem_type: "regression".to_owned(),
        metric: "rmse".to_owned(),
        direction,
        search_space: object(&json!({"eta": {"low": 1e-7, "high": 0.3, "log": true}})),
        best_hyperparameters: object(&json!({"eta": 0.1, "depth": 6})),
        best_value,
        shape: DataShape { samples: 1_000, features: 20 },
    }
}

fn query(direction: Direction) -> PatternQuery {
    PatternQuery {
        algorithm: Some("xgboost".to_owned()),
        problem_type: "regression".to_owned(),
        metric: "rmse".to_owned(),
        direction,
        shape: DataShape { samples: 2_000, features: 20 },
        shape_factor: 10.0,
    }
}

#[tokio::test]
async fn trials_go_through_the_states_that_optuna_has() {
    on_both(async |layer| {
        let study = a_study(&layer, "s", Direction::Minimize).await;
        let params =
            object(&json!({"eta": 0.1, "seed": u64::MAX, "booster": "gb\"tree", "x": null, "big": 1e300}));
        let waiting = layer.hpo.add_trial(study, NewHpoTrial::waiting(params.clone())).await.unwrap();
        assert_eq!((waiting.trial_number, waiting.state, waiting.started_at), (0, TrialState::Waiting, None));
        assert_eq!(waiting.params, params);
        assert_refused(layer.hpo.finish_trial(waiting.id, TrialEnd::Complete(1.0)).await);
        let running = layer.hpo.start_trial(waiting.id).await.unwrap();
        assert_eq!(running.state, TrialState::Running);
        assert!(running.started_at.is_some());
        assert_refused(layer.hpo.start_trial(waiting.id).await);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_invalid(layer.hpo.finish_trial(waiting.id, TrialEnd::Complete(value)).await, "value");
            assert_invalid(layer.hpo.finish_trial(waiting.id, TrialEnd::Pruned(Some(value))).await, "value");
        }
        let done = layer.hpo.finish_trial(waiting.id, TrialEnd::Complete(1e250)).await.unwrap();
        assert_eq!((done.state, done.value), (TrialState::Complete, Some(1e250)));
        assert!(done.completed_at >= done.started_at);
        assert_eq!(layer.hpo.find_trial(waiting.id).await.unwrap(), done);
        assert_refused(layer.hpo.finish_trial(waiting.id, TrialEnd::Failed(None)).await);

        let pruned = a_trial(&layer, study).await;
        let pruned = layer.hpo.finish_trial(pruned, TrialEnd::Pruned(Some(-5.0))).await.unwrap();
        assert_eq!((pruned.trial_number, pruned.state, pruned.value), (1, TrialState::Pruned, Some(-5.0)));
        let failed = a_trial(&layer, study).await;
        let failed = layer.hpo.finish_trial(failed, TrialEnd::Failed(Some("NaN".to_owned()))).await.unwrap();
        assert_eq!(
            (failed.state, failed.value, failed.error_message.as_deref()),
            (TrialState::Fail, None, Some("NaN"))
        );

        assert_eq!(layer.hpo.find_study(study).await.unwrap().trial_count, 3);
        let listed = pages(async |request| layer.hpo.trials(study, request).await).await;
        assert_eq!(listed, [done, pruned, failed]);
        assert_not_found(layer.hpo.start_trial(HpoTrialId::random()).await);
        assert_not_found(layer.hpo.trials(HpoStudyId::random(), PageRequest::first(1)).await);
        assert_not_found(layer.hpo.add_trial(HpoStudyId::random(), NewHpoTrial::running(Document::new())).await);
        let nested = NewHpoTrial::running(object(&json!({"a": []})));
        assert_invalid(layer.hpo.add_trial(study, nested).await, "params");
        let nul = NewHpoTrial::running(object(&json!({"a": "\0"})));
        assert_invalid(layer.hpo.add_trial(study, nul).await, "params");
    })
    .await;
}

#[tokio::test]
async fn studies_have_one_name_and_one_order() {
    on_both(async |layer| {
        let mut ids = Vec::new();
        for name in ["c", "a", "b"] {
            ids.push(a_study(&layer, name, Direction::Maximize).await);
        }
        let listed = pages(async |request| layer.hpo.list_studies(request).await).await;
        assert_eq!(listed.iter().map(|study| study.id).collect::<Vec<_>>(), ids);
        let again = layer.hpo.create_study(NewHpoStudy::new("a", "auc", Direction::Minimize)).await;
        assert_constraint(again, hpo_constraint::STUDY_NAME);
        assert_eq!(layer.hpo.find_study_by_name("a").await.unwrap().unwrap().id, ids[1]);
        assert_eq!(layer.hpo.find_study_by_name("A").await.unwrap(), None);
        assert_invalid(layer.hpo.find_study_by_name("").await, "study_name");
        assert_not_found(layer.hpo.find_study(HpoStudyId::random()).await);
    })
    .await;
}

#[tokio::test]
async fn the_best_trial_is_the_best_by_the_direction() {
    on_both(async |layer| {
        for (direction, best) in [(Direction::Minimize, 1), (Direction::Maximize, 2)] {
            let study = a_study(&layer, direction.as_str(), direction).await;
            assert_eq!(layer.hpo.best_trial(study).await.unwrap(), None);
            for value in [5.0, -3.0, 9.0, -3.0, 9.0] {
                let trial = a_trial(&layer, study).await;
                layer.hpo.finish_trial(trial, TrialEnd::Complete(value)).await.unwrap();
            }
            // What did not complete is never the best.
            for value in [-100.0, 100.0] {
                let trial = a_trial(&layer, study).await;
                layer.hpo.finish_trial(trial, TrialEnd::Pruned(Some(value))).await.unwrap();
            }
            // Of equal ones, the first.
            assert_eq!(layer.hpo.best_trial(study).await.unwrap().unwrap().trial_number, best);
        }
        assert_not_found(layer.hpo.best_trial(HpoStudyId::random()).await);
    })
    .await;
}

#[tokio::test]
async fn trials_that_are_added_at_once_have_numbers_of_their_own() {
    on_both(async |layer| {
        let study = a_study(&layer, "s", Direction::Minimize).await;
        let add = |layer: Layer| async move {
            let mut numbers = Vec::new();
            for _ in 0..10 {
                let new = NewHpoTrial::running(Document::new());
                numbers.push(layer.hpo.add_trial(study, new).await.unwrap().trial_number);
            }
            numbers
        };
        let workers: Vec<_> = (0..6).map(|_| tokio::spawn(add(layer.clone()))).collect();
        let mut numbers = Vec::new();
        for worker in workers {
            numbers.extend(worker.await.unwrap());
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..60).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_waiting_trial_is_started_by_one_worker() {
    on_both(async |layer| {
        let study = a_study(&layer, "s", Direction::Minimize).await;
        let trial = layer.hpo.add_trial(study, NewHpoTrial::waiting(Document::new())).await.unwrap().id;
        let start = |layer: Layer| async move { layer.hpo.start_trial(trial).await.is_ok() };
        let workers: Vec<_> = (0..6).map(|_| tokio::spawn(start(layer.clone()))).collect();
        let mut started = 0;
        for worker in workers {
            started += i32::from(worker.await.unwrap());
        }
        assert_eq!(started, 1);
    })
    .await;
}

#[tokio::test]
async fn similar_patterns_begin_with_the_best() {
    on_both(async |layer| {
        for (direction, order) in
            [(Direction::Minimize, [0.1, 0.2, 0.2, 0.9]), (Direction::Maximize, [0.9, 0.2, 0.2, 0.1])]
        {
            let mut ids = Vec::new();
            for value in [0.9, 0.2, 0.1, 0.2] {
                ids.push(layer.hpo.record_pattern(pattern(direction, value)).await.unwrap().id);
            }
            let best = if direction == Direction::Minimize { f64::MIN } else { f64::MAX };
            for other in [
                NewHpoPattern { metric: "mae".to_owned(), ..pattern(direction, best) },
                NewHpoPattern { problem_type: "ranking".to_owned(), ..pattern(direction, best) },
                NewHpoPattern { shape: DataShape { samples: 199, features: 20 }, ..pattern(direction, best) },
                NewHpoPattern { shape: DataShape { samples: 1_000, features: 201 }, ..pattern(direction, best) },
            ] {
                layer.hpo.record_pattern(other).await.unwrap();
            }
            let found = layer.hpo.find_similar(&query(direction), 100).await.unwrap();
            assert_eq!(found.iter().map(|row| row.pattern.best_value).collect::<Vec<_>>(), order);
            // Of equal ones, the oldest first.
            assert_eq!((found[1].id, found[2].id), (ids[1], ids[3]));
            let first = layer.hpo.find_similar(&query(direction), 1).await.unwrap();
            assert_eq!(first, found[..1]);
        }
        let lightgbm = NewHpoPattern { algorithm: "lightgbm".to_owned(), ..pattern(Direction::Minimize, 0.05) };
        layer.hpo.record_pattern(lightgbm).await.unwrap();
        let any = PatternQuery { algorithm: None, ..query(Direction::Minimize) };
        assert_eq!(layer.hpo.find_similar(&any, 100).await.unwrap().len(), 5);
        assert_eq!(layer.hpo.find_similar(&query(Direction::Minimize), 100).await.unwrap().len(), 4);
        assert_invalid(layer.hpo.find_similar(&any, 0).await, "limit");
        let wrong = PatternQuery { shape_factor: f64::NAN, ..any };
        assert_invalid(layer.hpo.find_similar(&wrong, 1).await, "shape_factor");
    })
    .await;
}

#[tokio::test]
async fn the_mean_improvement_is_that_of_the_known_ones() {
    on_both(async |layer| {
        let made = layer.hpo.record_pattern(pattern(Direction::Minimize, 0.5)).await.unwrap();
        assert_eq!(layer.hpo.find_pattern(made.id).await.unwrap(), made);
        assert_eq!((made.times_used, made.mean_improvement()), (0, None));
        let used = layer.hpo.record_use(made.id, None).await.unwrap();
        assert_eq!((used.times_used, used.mean_improvement()), (1, None));
        // The first improvement is the mean: it is neither averaged with a zero nor divided by the number of uses.
        let used = layer.hpo.record_use(made.id, Some(8.0)).await.unwrap();
        assert_eq!((used.times_used, used.mean_improvement()), (2, Some(8.0)));
        assert!(used.updated_at > made.updated_at);
        // A plain sum, and a running mean, forget the small ones beside the large.
        for improvement in [0.5, 1e15, 0.5, -1e15] {
            layer.hpo.record_use(made.id, Some(improvement)).await.unwrap();
        }
        let used = layer.hpo.find_pattern(made.id).await.unwrap();
        assert_eq!((used.times_used, used.improvements.count, used.mean_improvement()), (6, 5, Some(1.8)));
        for improvement in [f64::NAN, f64::INFINITY, 1e16] {
            assert_invalid(layer.hpo.record_use(made.id, Some(improvement)).await, "improvement");
        }
        assert_not_found(layer.hpo.record_use(HpoPatternId::random(), None).await);
        let orphan = NewHpoPattern { study_id: Some(HpoStudyId::random()), ..pattern(Direction::Minimize, 0.5) };
        assert_constraint(layer.hpo.record_pattern(orphan).await, hpo_constraint::PATTERN_STUDY);
        let infinite = pattern(Direction::Minimize, f64::INFINITY);
        assert_invalid(layer.hpo.record_pattern(infinite).await, "best_value");
    })
    .await;
}

#[tokio::test]
async fn uses_at_once_are_all_counted() {
    on_both(async |layer| {
        let id = layer.hpo.record_pattern(pattern(Direction::Minimize, 0.5)).await.unwrap().id;
        let use_it = |layer: Layer, improvement: f64| async move {
            for _ in 0..10 {
                layer.hpo.record_use(id, Some(improvement)).await.unwrap();
            }
        };
        let workers: Vec<_> =
            [1.0, 2.0, 3.0, 4.0].into_iter().map(|value| tokio::spawn(use_it(layer.clone(), value))).collect();
        for worker in workers {
            worker.await.unwrap();
        }
        let used = layer.hpo.find_pattern(id).await.unwrap();
        assert_eq!((used.times_used, used.mean_improvement()), (40, Some(2.5)));
    })
    .await;
}
