//! Faulty repositories: each is the one in memory with one fault, and breaks the case that it is listed with.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use proofmark::domain::{
    BentoService, BentoServiceId, Bounds, DeploymentStatus, HealthStatus, MetricSummary, NewBentoService,
    NewServingMetric, ServingMetric, ServingMetricId, TimeWindow,
};
use proofmark::repository::memory::MemoryBentoServiceRepository as Memory;
use proofmark::repository::{
    BentoServiceRepository, Cursor, IdempotencyKey, LIMIT_MAX, Page, PageRequest, RepositoryError,
};
use proofmark_harness::case::CaseError;
use proofmark_harness::context::CaseContext;
use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::repositories::RepositorySubject;

type Stored<T = BentoService> = Result<T, RepositoryError>;

/// What a faulty repository does instead; the methods that it leaves out are right.
#[async_trait]
trait Fault: Default + Send + Sync + 'static {
    async fn register(&self, base: &Memory, new: NewBentoService) -> Stored {
        base.register(new).await
    }
    async fn find(&self, base: &Memory, id: BentoServiceId) -> Stored {
        base.find(id).await
    }
    async fn find_by_tag(&self, base: &Memory, tag: &str) -> Stored<Vec<BentoService>> {
        base.find_by_tag(tag).await
    }
    async fn list(&self, base: &Memory, request: PageRequest) -> Stored<Page<BentoService>> {
        base.list(request).await
    }
    async fn update_status(&self, base: &Memory, id: BentoServiceId, status: DeploymentStatus) -> Stored {
        base.update_status(id, status).await
    }
    async fn update_health(&self, base: &Memory, id: BentoServiceId, health: HealthStatus) -> Stored {
        base.update_health(id, health).await
    }
    async fn record_metric(&self, base: &Memory, new: NewServingMetric) -> Stored<ServingMetric> {
        base.record_metric(new).await
    }
    async fn latest_metrics(&self, base: &Memory, id: BentoServiceId, limit: u32) -> Stored<Vec<ServingMetric>> {
        base.latest_metrics(id, limit).await
    }
    async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
        base.summarize(id, window).await
    }
}

struct Faulty<F> {
    base: Arc<Memory>,
    fault: F,
}

#[async_trait]
impl<F: Fault> BentoServiceRepository for Faulty<F> {
    async fn register(&self, new: NewBentoService) -> Stored {
        self.fault.register(&self.base, new).await
    }
    async fn find(&self, id: BentoServiceId) -> Stored {
        self.fault.find(&self.base, id).await
    }
    async fn find_by_tag(&self, tag: &str) -> Stored<Vec<BentoService>> {
        self.fault.find_by_tag(&self.base, tag).await
    }
    async fn list(&self, request: PageRequest) -> Stored<Page<BentoService>> {
        self.fault.list(&self.base, request).await
    }
    async fn update_status(&self, id: BentoServiceId, status: DeploymentStatus) -> Stored {
        self.fault.update_status(&self.base, id, status).await
    }
    async fn update_health(&self, id: BentoServiceId, health: HealthStatus) -> Stored {
        self.fault.update_health(&self.base, id, health).await
    }
    async fn record_metric(&self, new: NewServingMetric) -> Stored<ServingMetric> {
        self.fault.record_metric(&self.base, new).await
    }
    async fn register_once(&self, key: &IdempotencyKey, new: NewBentoService) -> Stored {
        self.base.register_once(key, new).await
    }
    async fn record_metrics(&self, batch: &[NewServingMetric]) -> Stored<u64> {
        self.base.record_metrics(batch).await
    }
    async fn record_metrics_once(&self, key: &IdempotencyKey, batch: &[NewServingMetric]) -> Stored<u64> {
        self.base.record_metrics_once(key, batch).await
    }
    async fn latest_metrics(&self, id: BentoServiceId, limit: u32) -> Stored<Vec<ServingMetric>> {
        self.fault.latest_metrics(&self.base, id, limit).await
    }
    async fn summarize(&self, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
        self.fault.summarize(&self.base, id, window).await
    }
}

fn subject<F: Fault>(context: CaseContext) -> BoxFuture<'static, Result<RepositorySubject, CaseError>> {
    let base = Arc::new(Memory::new());
    let repository = Arc::new(Faulty { base: Arc::clone(&base), fault: F::default() });
    Box::pin(async move { Ok(RepositorySubject { repository, fixtures: base, seed: context.seed() }) })
}

/// `mutants! { case: "what is wrong", "what the failure says" => Name(state) { methods } ... }`
macro_rules! mutants {
    ($($case:ident: $name:literal, $says:literal => $fault:ident $(($state:ty))? { $($body:tt)* })*) => {
        $(
            #[derive(Default)]
            struct $fault $(($state))?;

            #[async_trait]
            impl Fault for $fault { $($body)* }
        )*

        /// At least one for every case of the suite.
        pub(crate) const MUTANTS: &[Mutant<RepositorySubject>] = &[
            $(Mutant { case: stringify!($case), name: $name, says: $says, subject: subject::<$fault> },)*
        ];
    };
}

/// Claims to have stored what it did not store.
fn unstored(new: NewServingMetric) -> ServingMetric {
    ServingMetric {
        id: ServingMetricId::random(),
        service_id: new.service_id,
        timestamp: new.timestamp.unwrap_or_else(Utc::now),
        window_seconds: new.window_seconds,
        measures: new.measures,
    }
}

/// A limit, to count rows with.
fn rows(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// All services, in the order of a list.
async fn all(base: &Memory) -> Stored<Vec<BentoService>> {
    Ok(base.list(PageRequest { limit: LIMIT_MAX, after: None }).await?.items)
}

/// The metrics that a summary is of.
async fn measured(base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<Vec<ServingMetric>> {
    let mut metrics = base.latest_metrics(id, LIMIT_MAX).await?;
    metrics.retain(|metric| window.contains(metric.timestamp));
    Ok(metrics)
}

mutants! {
    register_returns_defaults: "a new service is active at once", "status of a new service" => RegistersAsActive {
        async fn register(&self, base: &Memory, new: NewBentoService) -> Stored {
            let id = base.register(new).await?.id;
            base.update_status(id, DeploymentStatus::Active).await
        }
    }

    find_returns_what_was_registered: "find forgets the model",
        "find: the service as register" => ForgetsTheModel {
        async fn find(&self, base: &Memory, id: BentoServiceId) -> Stored {
            Ok(BentoService { model_id: None, ..base.find(id).await? })
        }
    }

    find_returns_what_was_registered: "columns are swapped", "register: serving_endpoint" => SwapsColumns {
        async fn register(&self, base: &Memory, mut new: NewBentoService) -> Stored {
            std::mem::swap(&mut new.serving_endpoint, &mut new.container_image);
            base.register(new).await
        }
    }

    text_survives_byte_for_byte: "text is normalised", "register: service_name" => NormalisesText {
        async fn register(&self, base: &Memory, mut new: NewBentoService) -> Stored {
            new.service_name = new.service_name.replace("e\u{301}", "\u{e9}");
            base.register(new).await
        }
    }

    text_survives_byte_for_byte: "text is cut to three octets a character",
        "register: serving_endpoint" => ReplacesEmoji {
        async fn register(&self, base: &Memory, mut new: NewBentoService) -> Stored {
            new.serving_endpoint = new.serving_endpoint.map(|text| text.replace(|c| c > '\u{ffff}', "?"));
            base.register(new).await
        }
    }

    empty_text_is_refused: "empty text becomes NULL", "an empty serving_endpoint" => StoresEmptyAsNull {
        async fn register(&self, base: &Memory, mut new: NewBentoService) -> Stored {
            new.serving_endpoint = new.serving_endpoint.filter(|text| !text.is_empty());
            base.register(new).await
        }
    }

    nul_in_text_is_refused: "text ends at a NUL", "a NUL in service_name" => CutsAtNul {
        async fn register(&self, base: &Memory, mut new: NewBentoService) -> Stored {
            new.service_name = new.service_name.split('\0').next().unwrap_or_default().to_owned();
            base.register(new).await
        }
    }

    text_limits_count_characters: "limits count octets", "register with the longest texts" => CountsOctets {
        async fn register(&self, base: &Memory, new: NewBentoService) -> Stored {
            if new.bento_tag.len() > 255 {
                return Err(RepositoryError::Invalid { field: "bento_tag".into(), reason: "too long".into() });
            }
            base.register(new).await
        }
    }

    text_limits_count_characters: "spaces over the limit are cut off",
        "an over-long bento_version" => CutsOffSpaces {
        async fn register(&self, base: &Memory, mut new: NewBentoService) -> Stored {
            new.bento_version = new.bento_version.trim_end().to_owned();
            base.register(new).await
        }
    }

    missing_service_is_not_found: "a missing service is an internal error",
        "find in an empty" => MissingIsUnexpected {
        async fn find(&self, base: &Memory, id: BentoServiceId) -> Stored {
            base.find(id).await.map_err(|error| RepositoryError::Unexpected { source: error.into() })
        }
    }

    tags_match_exactly: "a tag finds what begins with it", "find_by_tag(\"fraud:v1\")" => MatchesPrefixes {
        async fn find_by_tag(&self, base: &Memory, tag: &str) -> Stored<Vec<BentoService>> {
            Ok(all(base).await?.into_iter().filter(|service| service.bento_tag.starts_with(tag)).collect())
        }
    }

    tags_match_exactly: "% is a wildcard", "find_by_tag(\"fraud:v%\")" => ExpandsWildcards {
        async fn find_by_tag(&self, base: &Memory, tag: &str) -> Stored<Vec<BentoService>> {
            match tag.strip_suffix('%').filter(|start| !start.is_empty()) {
                Some(start) => MatchesPrefixes.find_by_tag(base, start).await,
                None => base.find_by_tag(tag).await,
            }
        }
    }

    second_service_of_a_name_is_a_conflict: "register overwrites", "a name that the bento has" => Overwrites {
        async fn register(&self, base: &Memory, new: NewBentoService) -> Stored {
            let there = base.find_by_tag(&new.bento_tag).await?;
            match there.into_iter().find(|service| service.service_name == new.service_name) {
                Some(service) => Ok(service),
                None => base.register(new).await,
            }
        }
    }

    second_service_of_a_name_is_a_conflict: "a refusal leaves a trace", "that was there first" => RefusesTooLate {
        async fn register(&self, base: &Memory, new: NewBentoService) -> Stored {
            let result = base.register(new.clone()).await;
            if let Err(RepositoryError::Conflict { .. }) = &result {
                let first = base.find_by_tag(&new.bento_tag).await?[0].id;
                base.update_status(first, DeploymentStatus::Failed).await?;
            }
            result
        }
    }

    unknown_model_is_a_missing_reference: "an unknown model is dropped",
        "a model that is not registered" => DropsModel {
        async fn register(&self, base: &Memory, new: NewBentoService) -> Stored {
            match base.register(new.clone()).await {
                Err(RepositoryError::MissingReference { .. }) => {
                    base.register(NewBentoService { model_id: None, ..new }).await
                }
                result => result,
            }
        }
    }

    pages_cover_every_service_once: "pages skip ties",
        "services left out" => SkipsTies(Mutex<Option<DateTime<Utc>>>) {
        async fn list(&self, base: &Memory, request: PageRequest) -> Stored<Page<BentoService>> {
            let is_first = request.after.is_none();
            let mut page = base.list(request).await?;
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !is_first {
                page.items.retain(|service| Some(service.created_at) != *last);
            }
            *last = page.items.last().map(|service| service.created_at).or(*last);
            Ok(page)
        }
    }

    pages_cover_every_service_once: "a full last page has a cursor", "cursor of a full page" => OffersAnEmptyPage {
        async fn list(&self, base: &Memory, request: PageRequest) -> Stored<Page<BentoService>> {
            if request.after.as_ref().is_some_and(|cursor| cursor.as_str() == "end") {
                return Ok(Page { items: Vec::new(), next: None });
            }
            let limit = rows(request.limit);
            let mut page = base.list(request).await?;
            if page.items.len() == limit {
                page.next = page.next.or(Some(Cursor::new("end")));
            }
            Ok(page)
        }
    }

    limits_are_enforced: "list has no limit", "list with a limit of 0" => ClampsTheLimitOfLists {
        async fn list(&self, base: &Memory, request: PageRequest) -> Stored<Page<BentoService>> {
            base.list(PageRequest { limit: request.limit.clamp(1, LIMIT_MAX), ..request }).await
        }
    }

    limits_are_enforced: "latest_metrics has no upper limit",
        "latest_metrics with a limit of 501" => ClampsTheLimitOfMetrics {
        async fn latest_metrics(
            &self,
            base: &Memory,
            id: BentoServiceId,
            limit: u32,
        ) -> Stored<Vec<ServingMetric>> {
            base.latest_metrics(id, limit.min(LIMIT_MAX)).await
        }
    }

    pages_are_stable_during_registration: "pages count rows", "while services are registered" => CountsRows {
        async fn list(&self, base: &Memory, request: PageRequest) -> Stored<Page<BentoService>> {
            let skipped = request.after.map_or(0, |cursor| cursor.as_str().parse().unwrap_or(0));
            let services = all(base).await?;
            let end = (skipped + rows(request.limit)).min(services.len());
            let next = (end < services.len()).then(|| Cursor::new(end.to_string()));
            Ok(Page { items: services[skipped.min(end)..end].to_vec(), next })
        }
    }

    changed_cursor_is_refused: "a bad cursor begins again", "behind the changed cursor" => BeginsAgain {
        async fn list(&self, base: &Memory, request: PageRequest) -> Stored<Page<BentoService>> {
            match base.list(request.clone()).await {
                Err(RepositoryError::InvalidCursor { .. }) => {
                    base.list(PageRequest { after: None, ..request }).await
                }
                result => result,
            }
        }
    }

    changed_cursor_is_refused: "a cursor has two spellings", "behind the changed cursor" => IgnoresCaseOfCursors {
        async fn list(&self, base: &Memory, request: PageRequest) -> Stored<Page<BentoService>> {
            let after = request.after.map(|cursor| Cursor::new(cursor.as_str().to_lowercase()));
            base.list(PageRequest { after, ..request }).await
        }
    }

    services_of_a_bento_are_oldest_first: "newest first", "find_by_tag: expected oldest first" => NewestFirst {
        async fn find_by_tag(&self, base: &Memory, tag: &str) -> Stored<Vec<BentoService>> {
            Ok(base.find_by_tag(tag).await?.into_iter().rev().collect())
        }
    }

    every_status_round_trips: "a status is stored as another",
        "update_status: status returned" => LosesRolledBack {
        async fn update_status(&self, base: &Memory, id: BentoServiceId, status: DeploymentStatus) -> Stored {
            let is_lost = status == DeploymentStatus::RolledBack;
            base.update_status(id, if is_lost { DeploymentStatus::Failed } else { status }).await
        }
    }

    every_health_round_trips: "the store does not know a health", "update_health to degraded" => RefusesDegraded {
        async fn update_health(&self, base: &Memory, id: BentoServiceId, health: HealthStatus) -> Stored {
            if health == HealthStatus::Degraded {
                return Err(RepositoryError::Invalid { field: "health_status".into(), reason: "unknown".into() });
            }
            base.update_health(id, health).await
        }
    }

    updates_leave_the_rest_alone: "health resets the status", "service with its health changed" => ResetsStatus {
        async fn update_health(&self, base: &Memory, id: BentoServiceId, health: HealthStatus) -> Stored {
            base.update_status(id, DeploymentStatus::Pending).await?;
            base.update_health(id, health).await
        }
    }

    updates_leave_the_rest_alone: "update without a condition", "that was not updated" => UpdatesEveryService {
        async fn update_status(&self, base: &Memory, id: BentoServiceId, status: DeploymentStatus) -> Stored {
            for service in all(base).await? {
                base.update_status(service.id, status).await?;
            }
            base.find(id).await
        }
    }

    updates_advance_updated_at: "updated_at stays",
        "update_status: expected an updated_at later" => KeepsUpdatedAt {
        async fn update_status(&self, base: &Memory, id: BentoServiceId, status: DeploymentStatus) -> Stored {
            let updated = base.update_status(id, status).await?;
            Ok(BentoService { updated_at: updated.created_at, ..updated })
        }
    }

    updates_advance_updated_at: "updated_at is too coarse", "expected an updated_at later" => CountsSeconds {
        async fn update_health(&self, base: &Memory, id: BentoServiceId, health: HealthStatus) -> Stored {
            let updated = base.update_health(id, health).await?;
            let seconds = updated.updated_at.duration_trunc(TimeDelta::seconds(1));
            Ok(BentoService { updated_at: seconds.unwrap_or(updated.created_at), ..updated })
        }
    }

    missing_service_cannot_be_updated: "an update creates",
        "update_status of a missing service" => CreatesOnUpdate {
        async fn update_status(&self, base: &Memory, id: BentoServiceId, status: DeploymentStatus) -> Stored {
            match base.update_status(id, status).await {
                Err(RepositoryError::NotFound { .. }) => base.register(NewBentoService::new("b", "1", "s")).await,
                result => result,
            }
        }
    }

    metric_times_keep_microseconds: "times are kept to the millisecond",
        "record_metric: timestamp" => KeepsMilliseconds {
        async fn record_metric(&self, base: &Memory, mut new: NewServingMetric) -> Stored<ServingMetric> {
            let tick = TimeDelta::milliseconds(1);
            new.timestamp = new.timestamp.map(|time| time.duration_trunc(tick).unwrap_or(time));
            base.record_metric(new).await
        }
    }

    metric_times_keep_microseconds: "times before 1970 are cut off upwards",
        "record_metric: timestamp 1969" => CutsTowards1970 {
        async fn record_metric(&self, base: &Memory, mut new: NewServingMetric) -> Stored<ServingMetric> {
            new.timestamp = new.timestamp.map(|time| match time < DateTime::UNIX_EPOCH {
                true => time + TimeDelta::nanoseconds(999),
                false => time,
            });
            base.record_metric(new).await
        }
    }

    metric_numbers_survive_exactly: "numbers are kept to six decimals", "record_metric: bits of" => RoundsNumbers {
        async fn record_metric(&self, base: &Memory, mut new: NewServingMetric) -> Stored<ServingMetric> {
            new.measures.error_rate = new.measures.error_rate.map(|rate| (rate * 1e6).round() / 1e6);
            base.record_metric(new).await
        }
    }

    metric_numbers_survive_exactly: "zero becomes NULL", "bits of" => StoresZeroAsNull {
        async fn record_metric(&self, base: &Memory, mut new: NewServingMetric) -> Stored<ServingMetric> {
            new.measures.cpu_percent = new.measures.cpu_percent.filter(|cpu| *cpu > 0.0);
            base.record_metric(new).await
        }
    }

    impossible_metrics_are_refused: "NaN becomes NULL", "an impossible avg_latency_ms" => StoresNanAsNull {
        async fn record_metric(&self, base: &Memory, mut new: NewServingMetric) -> Stored<ServingMetric> {
            new.measures.avg_latency_ms = new.measures.avg_latency_ms.filter(|latency| !latency.is_nan());
            base.record_metric(new).await
        }
    }

    impossible_metrics_are_refused: "a rate above 1 becomes 1", "an impossible error_rate" => ClampsRates {
        async fn record_metric(&self, base: &Memory, mut new: NewServingMetric) -> Stored<ServingMetric> {
            new.measures.error_rate = new.measures.error_rate.map(|rate| rate.clamp(0.0, 1.0));
            base.record_metric(new).await
        }
    }

    metric_needs_its_service: "a lost metric is a success",
        "record_metric for a missing service" => SwallowsMetrics {
        async fn record_metric(&self, base: &Memory, new: NewServingMetric) -> Stored<ServingMetric> {
            match base.record_metric(new.clone()).await {
                Err(RepositoryError::MissingReference { .. }) => Ok(unstored(new)),
                result => result,
            }
        }
    }

    metrics_of_a_missing_service_are_not_found: "no service, no metrics",
        "latest_metrics of a missing" => NoMetrics {
        async fn latest_metrics(
            &self,
            base: &Memory,
            id: BentoServiceId,
            limit: u32,
        ) -> Stored<Vec<ServingMetric>> {
            match base.latest_metrics(id, limit).await {
                Err(RepositoryError::NotFound { .. }) => Ok(Vec::new()),
                result => result,
            }
        }
    }

    metrics_of_a_missing_service_are_not_found: "no service, no numbers", "summarize of a missing" => NoNumbers {
        async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
            match base.summarize(id, window).await {
                Err(RepositoryError::NotFound { .. }) => Ok(MetricSummary::default()),
                result => result,
            }
        }
    }

    latest_metrics_are_newest_first: "the oldest are the latest",
        "latest_metrics with a limit of 3" => OldestMetrics {
        async fn latest_metrics(
            &self,
            base: &Memory,
            id: BentoServiceId,
            limit: u32,
        ) -> Stored<Vec<ServingMetric>> {
            let metrics = base.latest_metrics(id, LIMIT_MAX).await?;
            Ok(metrics.into_iter().rev().take(rows(limit)).collect())
        }
    }

    tied_metrics_have_one_order: "ties depend on the limit", "of metrics of one moment" => ShufflesTies {
        async fn latest_metrics(
            &self,
            base: &Memory,
            id: BentoServiceId,
            limit: u32,
        ) -> Stored<Vec<ServingMetric>> {
            let metrics = base.latest_metrics(id, limit).await?;
            Ok(if limit.is_multiple_of(2) { metrics.into_iter().rev().collect() } else { metrics })
        }
    }

    metrics_belong_to_their_service: "a summary of all services",
        "summarize: windows of one service" => SummarizesAll {
        async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
            let mut summary = MetricSummary::default();
            for service in all(base).await? {
                summary.windows += base.summarize(service.id, window).await?.windows;
            }
            base.find(id).await.map(|_| summary)
        }
    }

    summary_weights_windows_by_requests: "windows weigh the same",
        "mean latency weighted by requests" => WeighsEqually {
        async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
            let metrics = measured(base, id, window).await?;
            let latencies = metrics.iter().filter_map(|metric| metric.measures.avg_latency_ms);
            let (sum, count) = latencies.fold((0.0, 0.0), |(sum, count), latency| (sum + latency, count + 1.0));
            Ok(MetricSummary { mean_latency_ms: Some(sum / count), ..base.summarize(id, window).await? })
        }
    }

    summary_weights_windows_by_requests: "every window is a minute",
        "the sum of rate times length" => AssumesMinutes {
        async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
            let metrics = measured(base, id, window).await?;
            let rates = metrics.iter().filter_map(|metric| metric.measures.requests_per_second);
            Ok(MetricSummary { requests: Some(rates.sum::<f64>() * 60.0), ..base.summarize(id, window).await? })
        }
    }

    summary_never_averages_percentiles: "percentiles are averaged", "bounds of the 95th" => AveragesPercentiles {
        async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
            let summary = base.summarize(id, window).await?;
            let mean = |bounds: Bounds| {
                let mean = (bounds.at_least + bounds.at_most) / 2.0;
                Bounds { at_least: mean, at_most: mean }
            };
            Ok(MetricSummary { p95_latency_ms: summary.p95_latency_ms.map(mean), ..summary })
        }
    }

    summary_never_averages_percentiles: "idle windows have percentiles",
        "bounds of the 99th" => CountsIdleWindows {
        async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
            let metrics = measured(base, id, window).await?;
            let p99 = metrics.iter().filter_map(|metric| metric.measures.p99_latency_ms);
            let at_most = p99.fold(0.0, f64::max);
            let summary = base.summarize(id, window).await?;
            let p99_latency_ms = summary.p99_latency_ms.map(|p99| Bounds { at_most, ..p99 });
            Ok(MetricSummary { p99_latency_ms, ..summary })
        }
    }

    summary_of_nothing_has_no_numbers: "nothing is zero", "a service without metrics" => NothingIsZero {
        async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
            let summary = base.summarize(id, window).await?;
            Ok(MetricSummary { mean_latency_ms: summary.mean_latency_ms.or(Some(0.0)), ..summary })
        }
    }

    summary_window_is_half_open: "the end is included", "summarize: windows, and requests" => IncludesTheEnd {
        async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
            base.summarize(id, TimeWindow::new(window.from(), window.until() + TimeDelta::microseconds(1))?).await
        }
    }

    summary_tells_what_it_cannot_weigh: "unknown is not told",
        "and those without a weight" => HidesUnknownWeights {
        async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
            Ok(MetricSummary { unweighted_windows: 0, ..base.summarize(id, window).await? })
        }
    }

    summary_tells_what_it_cannot_weigh: "all requests have a latency",
        "the requests that have one" => DividesByAllRequests {
        async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
            let metrics = measured(base, id, window).await?;
            let weighted = |metric: &ServingMetric| Some(metric.requests()? * metric.measures.avg_latency_ms?);
            let weighted = metrics.iter().filter_map(weighted).sum::<f64>();
            let summary = base.summarize(id, window).await?;
            Ok(MetricSummary { mean_latency_ms: summary.requests.map(|requests| weighted / requests), ..summary })
        }
    }

    summary_survives_extreme_measures: "sums overflow", "summarize: expected success" => Overflows {
        async fn summarize(&self, base: &Memory, id: BentoServiceId, window: TimeWindow) -> Stored<MetricSummary> {
            let summary = base.summarize(id, window).await?;
            match summary.requests {
                Some(requests) if requests > 1e18 => {
                    Err(RepositoryError::Unexpected { source: "out of range".into() })
                }
                _ => Ok(summary),
            }
        }
    }

    concurrent_metrics_lose_nothing: "some metrics are lost", "and that are lost" => LosesMetrics(AtomicU32) {
        async fn record_metric(&self, base: &Memory, new: NewServingMetric) -> Stored<ServingMetric> {
            if self.0.fetch_add(1, Ordering::Relaxed) % 50 == 49 {
                return Ok(unstored(new));
            }
            base.record_metric(new).await
        }
    }

    concurrent_registration_has_one_winner: "everybody wins", "winners among" => EverybodyWins {
        async fn register(&self, base: &Memory, new: NewBentoService) -> Stored {
            Overwrites.register(base, new).await
        }
    }

    concurrent_registration_has_one_winner: "losers are not told why",
        "that another caller registers" => BlamesTheStore {
        async fn register(&self, base: &Memory, new: NewBentoService) -> Stored {
            base.register(new).await.map_err(|error| RepositoryError::Contended { source: error.into() })
        }
    }

    concurrent_updates_form_one_history: "an update writes back what it read",
        "beside other callers" => WritesBack {
        async fn update_health(&self, base: &Memory, id: BentoServiceId, health: HealthStatus) -> Stored {
            let read = base.find(id).await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
            base.update_health(id, health).await?;
            base.update_status(id, read.status).await
        }
    }

    random_operations_equal_the_oracle: "what failed cannot be changed",
        "expected what the oracle answers" => FailedIsFinal {
        async fn update_health(&self, base: &Memory, id: BentoServiceId, health: HealthStatus) -> Stored {
            let service = base.find(id).await?;
            match service.status {
                DeploymentStatus::Failed => Ok(service),
                _ => base.update_health(id, health).await,
            }
        }
    }
}
