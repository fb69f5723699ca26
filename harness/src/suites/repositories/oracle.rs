//! Generated sequences of operations, on the repository and on the oracle in memory alike.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proofmark::domain::{
    BentoService, BentoServiceId, DeploymentStatus, HealthStatus, Measures, MetricSummary, ModelId,
    NewBentoService, NewServingMetric, ServingMetric, TimeWindow,
};
use proofmark::repository::memory::MemoryBentoServiceRepository;
use proofmark::repository::{LIMIT_MAX, RepositoryError};
use proptest::prelude::*;
use uuid::Uuid;

use super::subject::{RepositorySubject, time};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::property::check_async;

/// How many sequences there are.
const SEQUENCES: u32 = 48;
/// The longest sequence.
const OPERATIONS_MAX: usize = 60;
/// The number that stands for a service that nobody registered.
const MISSING: usize = 9;

/// One call. Services are numbered in the order of registration within the sequence, and round and round: few
/// services that much happens to show more than many.
#[derive(Debug, Clone)]
enum Operation {
    Register { bento: u8, name: String, model: Model, endpoint: Option<String> },
    Find { service: usize },
    FindByTag { bento: u8 },
    List,
    UpdateStatus { service: usize, status: DeploymentStatus },
    UpdateHealth { service: usize, health: HealthStatus },
    RecordMetric { service: usize, second: i64, window_seconds: f64, measures: Measures },
    LatestMetrics { service: usize, limit: u32 },
    Summarize { service: usize, from: i64, seconds: i64 },
}

#[derive(Debug, Clone, Copy)]
enum Model {
    None,
    Known,
    Unknown,
}

fn operation() -> impl Strategy<Value = Operation> {
    let service = || 0..=MISSING;
    let name = prop_oneof![8 => prop::sample::select(vec!["a", "b", "A"]), 1 => Just(""), 1 => Just("a\0")];
    let model = prop_oneof![4 => Just(Model::None), 4 => Just(Model::Known), 1 => Just(Model::Unknown)];
    let endpoint = prop::option::of(prop_oneof![4 => Just("http://a"), 1 => Just("")]);
    prop_oneof![
        4 => (0..3_u8, name, model, endpoint).prop_map(|(bento, name, model, endpoint)| Operation::Register {
            bento,
            name: name.to_owned(),
            model,
            endpoint: endpoint.map(str::to_owned),
        }),
        1 => service().prop_map(|service| Operation::Find { service }),
        2 => (0..3_u8).prop_map(|bento| Operation::FindByTag { bento }),
        1 => Just(Operation::List),
        3 => (service(), prop::sample::select(DeploymentStatus::ALL))
            .prop_map(|(service, status)| Operation::UpdateStatus { service, status }),
        3 => (service(), prop::sample::select(HealthStatus::ALL))
            .prop_map(|(service, health)| Operation::UpdateHealth { service, health }),
        6 => (service(), 0..8_i64, prop::sample::select(vec![60.0, 60.0, 60.0, 1.5, 0.0]), measures()).prop_map(
            |(service, second, window_seconds, measures)| Operation::RecordMetric {
                service,
                second,
                window_seconds,
                measures
            }
        ),
        2 => (service(), 0..6_u32).prop_map(|(service, limit)| Operation::LatestMetrics { service, limit }),
        3 => (service(), 0..8_i64, 1..8_i64)
            .prop_map(|(service, from, seconds)| Operation::Summarize { service, from, seconds }),
    ]
}

fn measures() -> impl Strategy<Value = Measures> {
    // A handful of values: zeros, equal ones and some that are refused are all likely. Their sums are exact in
    // binary, so that a summary does not depend on the order of summation.
    let measure = |values: &'static [f64]| prop::option::weighted(0.75, prop::sample::select(values));
    (
        measure(&[0.0, 0.25, 1.0, 7.5, 300.0]),
        measure(&[0.0, 0.25, 1.0, 7.5, 300.0]),
        measure(&[0.0, 1.0, 2.0, 3.0]),
        measure(&[2.0, 7.5, 300.0]),
        measure(&[0.0, 0.125, 0.5, 0.75, 1.0, 2.0]),
        measure(&[0.0, 512.0, 2048.0]),
        measure(&[0.0, 50.0, 400.0]),
    )
        .prop_map(
            |(
                requests_per_second,
                avg_latency_ms,
                p95_latency_ms,
                p99_latency_ms,
                error_rate,
                memory_mb,
                cpu_percent,
            )| {
                Measures {
                    requests_per_second,
                    avg_latency_ms,
                    p95_latency_ms,
                    p99_latency_ms,
                    error_rate,
                    memory_mb,
                    cpu_percent,
                }
            },
        )
}

pub(super) async fn random_operations_equal_the_oracle(subject: RepositorySubject) -> CaseResult {
    let model = subject.fixtures.a_model().await?;
    let seed = subject.seed;
    let sequences = prop::collection::vec(operation(), 1..=OPERATIONS_MAX);
    check_async(seed, SEQUENCES, sequences, move |operations| {
        let subject = subject.clone();
        async move { check_sequence(subject, model, &operations).await }
    })
    .await
}

async fn check_sequence(subject: RepositorySubject, model: ModelId, operations: &[Operation]) -> CaseResult {
    let memory = Arc::new(MemoryBentoServiceRepository::new());
    memory.add_model(model);
    let oracle = RepositorySubject { repository: Arc::clone(&memory) as _, fixtures: memory, seed: subject.seed };
    let start = time("2024-01-01T00:00:00Z")?;
    // The repository keeps what earlier sequences left in it: bentos of a sequence's own keep them apart.
    let prefix = BentoServiceId::random().to_string();
    let side = |subject| Side {
        subject,
        model,
        start,
        prefix: prefix.clone(),
        ids: Vec::new(),
        last_created_at: start,
        moments: HashSet::new(),
    };
    let (mut repository, mut oracle) = (side(subject), side(oracle));
    for (index, operation) in operations.iter().enumerate() {
        let found = repository.apply(operation.clone()).await?;
        let expected = oracle.apply(operation.clone()).await?;
        check!(
            found == expected,
            "operation {} of {}, {operation:?}: expected what the oracle answers, {expected:?}, found {found:?}",
            index + 1,
            operations.len()
        );
    }
    Ok(())
}

/// What an operation showed, without what may differ: identifiers become numbers, and times that the store chose
/// become one time.
#[derive(Debug, PartialEq)]
enum Answer {
    Services(Vec<BentoService>),
    Metrics(Vec<ServingMetric>),
    Summary(MetricSummary),
    Refused(String),
}

/// The repository or the oracle, in the course of a sequence.
struct Side {
    subject: RepositorySubject,
    model: ModelId,
    start: DateTime<Utc>,
    prefix: String,
    /// The services that the sequence registered, by number.
    ids: Vec<BentoServiceId>,
    last_created_at: DateTime<Utc>,
    /// The times of metrics.
    moments: HashSet<DateTime<Utc>>,
}

impl Side {
    async fn apply(&mut self, operation: Operation) -> Result<Answer, CaseError> {
        let repository = Arc::clone(&self.subject.repository);
        let answer = match operation {
            Operation::Register { bento, name, model, endpoint } => {
                let new = NewBentoService {
                    model_id: match model {
                        Model::None => None,
                        Model::Known => Some(self.model),
                        Model::Unknown => Some(ModelId::random()),
                    },
                    serving_endpoint: endpoint,
                    ..NewBentoService::new(self.tag(bento), "v1", name)
                };
                let registered = repository.register(new).await;
                if let Ok(service) = &registered {
                    self.ids.push(service.id);
                    // In the order of registration, and never at the same time.
                    self.last_created_at += TimeDelta::seconds(1);
                    let created_at = self.last_created_at;
                    self.subject.fixtures.set_created_at(&[service.id], created_at).await?;
                }
                registered.map(|service| self.services(vec![service]))
            }
            Operation::Find { service } => {
                repository.find(self.id(service)).await.map(|service| self.services(vec![service]))
            }
            Operation::FindByTag { bento } => {
                repository.find_by_tag(&self.tag(bento)).await.map(|services| self.services(services))
            }
            Operation::List => {
                let mut services = self.subject.list(LIMIT_MAX).await?;
                services.retain(|service| self.ids.contains(&service.id));
                Ok(self.services(services))
            }
            Operation::UpdateStatus { service, status } => repository
                .update_status(self.id(service), status)
                .await
                .map(|service| self.services(vec![service])),
            Operation::UpdateHealth { service, health } => repository
                .update_health(self.id(service), health)
                .await
                .map(|service| self.services(vec![service])),
            Operation::RecordMetric { service, second, window_seconds, measures } => {
                let timestamp = self.moment(second);
                let new = NewServingMetric {
                    service_id: self.id(service),
                    timestamp: Some(timestamp),
                    window_seconds,
                    measures,
                };
                repository.record_metric(new).await.map(|metric| self.metrics(vec![metric]))
            }
            Operation::LatestMetrics { service, limit } => {
                repository.latest_metrics(self.id(service), limit).await.map(|metrics| self.metrics(metrics))
            }
            Operation::Summarize { service, from, seconds } => {
                let from = self.start + TimeDelta::seconds(from);
                let window =
                    TimeWindow::new(from, from + TimeDelta::seconds(seconds)).map_err(CaseError::harness)?;
                repository.summarize(self.id(service), window).await.map(Answer::Summary)
            }
        };
        Ok(answer.unwrap_or_else(|error| self.refused(&error)))
    }

    fn tag(&self, bento: u8) -> String {
        format!("{}:{bento}", self.prefix)
    }

    /// A moment of its own in this second: metrics of one moment have an order, but each store another.
    fn moment(&mut self, second: i64) -> DateTime<Utc> {
        let mut moment = self.start + TimeDelta::seconds(second);
        while !self.moments.insert(moment) {
            moment += TimeDelta::microseconds(1);
        }
        moment
    }

    fn id(&self, service: usize) -> BentoServiceId {
        let known = if service == MISSING { None } else { self.ids.iter().cycle().nth(service) };
        known.copied().unwrap_or_else(BentoServiceId::random)
    }

    /// The service's number as an identifier; one that is not of this sequence stays what it is.
    fn numbered(&self, id: BentoServiceId) -> BentoServiceId {
        let number = self.ids.iter().position(|known| *known == id).and_then(|number| u128::try_from(number).ok());
        number.map_or(id, |number| Uuid::from_u128(number).into())
    }

    fn services(&self, services: Vec<BentoService>) -> Answer {
        let neutral = |service: BentoService| BentoService {
            id: self.numbered(service.id),
            created_at: self.start,
            updated_at: self.start,
            ..service
        };
        Answer::Services(services.into_iter().map(neutral).collect())
    }

    fn metrics(&self, metrics: Vec<ServingMetric>) -> Answer {
        let neutral = |metric: ServingMetric| ServingMetric {
            id: Uuid::nil().into(),
            service_id: self.numbered(metric.service_id),
            ..metric
        };
        Answer::Metrics(metrics.into_iter().map(neutral).collect())
    }

    fn refused(&self, error: &RepositoryError) -> Answer {
        Answer::Refused(match error {
            RepositoryError::NotFound { .. } => "not found".to_owned(),
            RepositoryError::Invalid { field, .. } => format!("invalid {field}"),
            // Nothing in their messages differs from store to store.
            RepositoryError::Conflict { .. } | RepositoryError::MissingReference { .. } => error.to_string(),
            _ => crate::error_chain(error),
        })
    }
}
