//! Generated sequences of operations answer on Postgres as in memory: every row, every error, every order.

use std::collections::HashMap;
use std::fmt::Debug;

use proofmark::domain::{
    Change, DeploymentId, ExperimentChanges, ExperimentId, Measures, Metrics, ModelChanges, ModelId, ModelScores,
    ModelStage, NewBentoService, NewDeployment, NewExperiment, NewModel, NewServingMetric, NewTrainingRun,
    OptunaTrial, Performance, Revision, SplitMetrics, TrainingRunId,
};
use proofmark::repository::{IdempotencyKey, Page, PageRequest, RepositoryError};
use proofmark_harness::case::CaseError;
use proofmark_harness::property::check_async;
use proptest::prelude::*;
use uuid::Uuid;

use crate::both::{Layer, database};

/// The number of an operation, and what it is done with: rows by number, names, states.
type Operation = (u8, u8, u8, u8);

/// A row that is nowhere.
const MISSING: Uuid = Uuid::from_u128(0xdead);

/// One store in the course of a sequence.
struct Side {
    layer: Layer,
    prefix: String,
    experiments: Vec<ExperimentId>,
    models: Vec<ModelId>,
    runs: Vec<TrainingRunId>,
    deployments: Vec<DeploymentId>,
    /// Identifiers by the order in which they were seen first.
    seen: HashMap<String, usize>,
}

/// The row with the number, round and round; one in eight is missing.
fn nth<T: Copy + From<Uuid>>(rows: &[T], number: u8) -> T {
    if number % 8 == 7 || rows.is_empty() { MISSING.into() } else { rows[usize::from(number) % rows.len()] }
}

fn maybe<T: Copy + From<Uuid>>(rows: &[T], number: u8) -> Option<T> {
    (!number.is_multiple_of(3)).then(|| nth(rows, number))
}

/// No revision, the right one, or a wrong one.
fn expected<R>(
    found: Result<R, RepositoryError>,
    revision: impl Fn(&R) -> Revision,
    choice: u8,
) -> Option<Revision> {
    let found = found.as_ref().map_or(Revision::FIRST, revision);
    match choice % 4 {
        0 | 1 => None,
        2 => Some(found),
        _ => Some(found.next()),
    }
}

impl Side {
    fn new(layer: Layer, prefix: &str) -> Self {
        Self {
            layer,
            prefix: prefix.to_owned(),
            experiments: Vec::new(),
            models: Vec::new(),
            runs: Vec::new(),
            deployments: Vec::new(),
            seen: HashMap::new(),
        }
    }

    /// A name of this sequence: the store keeps what earlier ones left in it.
    fn name(&self, number: u8) -> String {
        format!("{}-{}", self.prefix, number % 2)
    }

    async fn apply(&mut self, (operation, a, b, c): Operation) -> String {
        let layer = self.layer.clone();
        let experiment = nth(&self.experiments, a);
        let (model, run, deployment) = (nth(&self.models, a), nth(&self.runs, a), nth(&self.deployments, a));
        match operation % 34 {
            0 => {
                let new = NewExperiment {
                    mlflow_experiment_id: (a % 2 == 0).then(|| self.name(b)),
                    created_by: (c % 9 == 0).then(String::new),
                    ..NewExperiment::new("e")
                };
                let made = layer.experiments.register(new).await;
                self.experiments.extend(made.as_ref().ok().map(|row| row.id));
                self.show("experiments.register", made)
            }
            1 => {
                let found = layer.experiments.find(experiment).await;
                let changes = ExperimentChanges {
                    description: if b % 3 == 0 {
                        Change::Keep
                    } else {
                        Change::Set((b % 3 == 1).then(|| "d".to_owned()))
                    },
                    experiment_name: if c % 7 == 0 { Change::Set(String::new()) } else { Change::Keep },
                    ..ExperimentChanges::default()
                };
                let revision = expected(found, |row| row.revision, c);
                self.show("experiments.update", layer.experiments.update(experiment, revision, changes).await)
            }
            2 if b % 4 == 0 => self.show("experiments.delete", layer.experiments.delete(experiment).await),
            2 | 3 => self.show("experiments.find", layer.experiments.find(experiment).await),
            4..=6 => {
                let new = NewModel {
                    experiment_id: maybe(&self.experiments, c),
                    scores: ModelScores {
                        auc: (a % 5 == 0).then_some(f64::from(b) / 64.0),
                        ..ModelScores::default()
                    },
                    ..NewModel::new(self.name(a), (b % 8).to_string())
                };
                let made = layer.models.register(new).await;
                self.models.extend(made.as_ref().ok().map(|row| row.id));
                self.show("models.register", made)
            }
            7 => {
                let key = IdempotencyKey::new(format!("{}/{}", self.prefix, a % 3)).unwrap();
                let made =
                    layer.models.register_once(&key, NewModel::new(self.name(0), (b % 3).to_string())).await;
                let new = made.as_ref().ok().map(|row| row.id).filter(|id| !self.models.contains(id));
                self.models.extend(new);
                self.show("models.register_once", made)
            }
            8 | 9 => {
                let revision = expected(layer.models.find(model).await, |row| row.revision, c);
                self.show("models.crown", layer.models.crown(model, revision).await)
            }
            10..=12 => {
                let revision = expected(layer.models.find(model).await, |row| row.revision, c);
                // Most ways lead to production, and few to the end.
                let stage = *ModelStage::ALL.get(usize::from(b % 8)).unwrap_or(&ModelStage::Production);
                self.show("models.transition", layer.models.transition(model, revision, stage).await)
            }
            13 => {
                let revision = expected(layer.models.find(model).await, |row| row.revision, c);
                let changes = ModelChanges {
                    brier_score: Change::Set((b % 3 != 0).then_some(f64::from(b) / 128.0)),
                    ..ModelChanges::default()
                };
                self.show("models.update", layer.models.update(model, revision, changes).await)
            }
            14 if b % 4 == 0 => self.show("models.delete", layer.models.delete(model).await),
            14 | 15 => self.show("models.champion", layer.models.champion(&self.name(a)).await),
            16 => {
                let page = layer.models.versions(&self.name(a), PageRequest::first(u32::from(b % 5))).await;
                self.show("models.versions", page.map(counted))
            }
            17 => {
                let found = layer.models.find_version(&self.name(a), &(b % 8).to_string()).await;
                self.show("models.find_version", found)
            }
            18 | 19 => {
                let trial = OptunaTrial { study_name: self.name(b), number: i32::from(c) - 1 };
                let new = NewTrainingRun {
                    mlflow_run_id: (c % 4 == 0).then(|| format!("{}-{}", self.prefix, b % 4)),
                    trial: (b % 4 != 0).then_some(trial),
                    ..NewTrainingRun::new(experiment, "xgboost")
                };
                let made = layer.runs.start(new).await;
                self.runs.extend(made.as_ref().ok().map(|row| row.id));
                self.show("runs.start", made)
            }
            20 | 21 => {
                let revision = expected(layer.runs.find(run).await, |row| row.revision, c);
                let test = Some(Metrics::from([("loss".to_owned(), 1.0 / f64::from(c))]));
                let metrics = SplitMetrics { test, ..SplitMetrics::default() };
                let model = maybe(&self.models, b);
                self.show("runs.complete", layer.runs.complete(run, revision, model, metrics).await)
            }
            22 => {
                let revision = expected(layer.runs.find(run).await, |row| row.revision, c);
                let ended = match b % 3 {
                    0 => layer.runs.cancel(run, revision).await,
                    1 => layer.runs.fail(run, revision, "out of memory").await,
                    _ => layer.runs.fail(run, revision, "").await,
                };
                self.show("runs.fail", ended)
            }
            23 => {
                let revision = expected(layer.runs.find(run).await, |row| row.revision, c);
                self.show("runs.mark_best", layer.runs.mark_best(run, revision).await)
            }
            24 => self.show("runs.best_of", layer.runs.best_of(&self.name(a)).await),
            25 => {
                let page = layer.runs.of_experiment(experiment, PageRequest::first(u32::from(b % 5))).await;
                self.show("runs.of_experiment", page.map(counted))
            }
            26 | 27 => {
                let new = NewDeployment::new(model, self.name(b), if c % 9 == 0 { "" } else { "production" });
                let made = layer.deployments.create(new).await;
                self.deployments.extend(made.as_ref().ok().map(|row| row.id));
                self.show("deployments.create", made)
            }
            28 => {
                let revision = expected(layer.deployments.find(deployment).await, |row| row.revision, c);
                let changed = match b % 4 {
                    0 | 1 => layer.deployments.begin(deployment, revision).await,
                    2 => layer.deployments.fail(deployment, revision).await,
                    _ => {
                        let error_rate = Some(f64::from(c) / 128.0);
                        let performance = Performance { error_rate, ..Performance::default() };
                        layer.deployments.record_performance(deployment, revision, performance).await
                    }
                };
                self.show("deployments.begin", changed)
            }
            29 | 30 => {
                let revision = expected(layer.deployments.find(deployment).await, |row| row.revision, c);
                self.show("deployments.activate", layer.deployments.activate(deployment, revision).await)
            }
            31 => {
                // The active one has more to go back to than others.
                let active = layer.deployments.active(&self.name(a), "production").await.ok().flatten();
                let id = active.map_or(deployment, |row| row.id);
                self.show("deployments.roll_back", layer.deployments.roll_back(id, None, "slow").await)
            }
            32 => self.show("deployments.chain", layer.deployments.chain(deployment).await),
            _ => {
                let new = NewBentoService {
                    model_id: maybe(&self.models, a),
                    ..NewBentoService::new(self.name(b), "1", (c % 4).to_string())
                };
                let made = layer.services.register(new).await;
                if let Ok(service) = &made {
                    let measures = Measures { error_rate: Some(f64::from(a) / 250.0), ..Measures::default() };
                    let batch = vec![NewServingMetric::new(service.id, measures); usize::from(b % 4)];
                    let appended = layer.services.record_metrics(&batch).await;
                    return self.show("services.record_metrics", appended);
                }
                self.show("services.register", made)
            }
        }
    }

    /// What an operation showed, without what may differ from store to store.
    fn show<T: Debug>(&mut self, operation: &str, outcome: Result<T, RepositoryError>) -> String {
        let text = match outcome {
            Ok(answer) => format!("{operation}: {answer:?}"),
            Err(error) => format!("{operation}: error: {error}"),
        };
        self.neutral(&text)
    }

    /// The text with numbers in place of identifiers, and without times and durations.
    fn neutral(&mut self, text: &str) -> String {
        let mut neutral = String::new();
        let word = |character: char| character.is_ascii_alphanumeric() || "-:.+".contains(character);
        let mut rest = text;
        while let Some(start) = rest.find(word) {
            neutral.push_str(&rest[..start]);
            rest = &rest[start..];
            let end = rest.find(|character| !word(character)).unwrap_or(rest.len());
            let found = &rest[..end];
            if Uuid::try_parse(found).is_ok() {
                let next = self.seen.len();
                let number = *self.seen.entry(found.to_owned()).or_insert(next);
                neutral.push_str(&format!("#{number}"));
            } else if found.parse::<chrono::DateTime<chrono::Utc>>().is_ok() {
                neutral.push_str("time");
            } else if neutral.ends_with("duration_seconds: Some(") {
                neutral.push_str("some");
            } else {
                neutral.push_str(found);
            }
            rest = &rest[end..];
        }
        neutral + rest
    }
}

/// The rows of a page, and whether it is the last one.
fn counted<T>(page: Page<T>) -> (Vec<T>, bool) {
    (page.items, page.next.is_none())
}

/// Sequences; each of up to so many operations.
const SEQUENCES: u32 = 40;
const OPERATIONS_MAX: usize = 80;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_operations_answer_on_postgres_as_in_memory() {
    let database = database().await;
    let layer = Layer::postgres(database.pool().clone());
    let sequences = prop::collection::vec(any::<Operation>(), 1..=OPERATIONS_MAX);
    let checked = check_async(20, SEQUENCES, sequences, move |operations| {
        let layer = layer.clone();
        async move {
            let prefix = Uuid::new_v4().simple().to_string();
            let mut memory = Side::new(Layer::memory(), &prefix);
            let mut postgres = Side::new(layer, &prefix);
            for operation in operations {
                let expected = memory.apply(operation).await;
                let found = postgres.apply(operation).await;
                if found != expected {
                    return Err(CaseError::failed(format!("expected as in memory: {expected}\nfound: {found}")));
                }
            }
            Ok(())
        }
    });
    checked.await.unwrap();
    database.release().await;
}
