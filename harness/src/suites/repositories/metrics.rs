//! Recording measurements and reading the latest.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use proofmark::domain::{
    BentoServiceId, Measures, NewBentoService, NewServingMetric, ServingMetric, TIME_MAX, TIME_MIN, TimeWindow,
    WINDOW_SECONDS_DEFAULT, WINDOW_SECONDS_MAX, WINDOW_SECONDS_MIN,
};
use proofmark::repository::{LIMIT_MAX, RepositoryError, constraint};
use proptest::prelude::*;

use super::subject::{RepositorySubject, bits, check_refused, time};
use crate::case::{CaseError, CaseResult, Expect as _};
use crate::property::check_async;
use crate::{check, check_eq};

fn at(service_id: BentoServiceId, timestamp: DateTime<Utc>) -> NewServingMetric {
    NewServingMetric { timestamp: Some(timestamp), ..NewServingMetric::new(service_id, Measures::default()) }
}

async fn record(subject: &RepositorySubject, new: NewServingMetric) -> Result<ServingMetric, CaseError> {
    subject.repository.record_metric(new).await.expect_ok("record_metric")
}

pub(super) async fn metric_times_keep_microseconds(subject: RepositorySubject) -> CaseResult {
    for (given, kept) in [
        ("2024-02-29T23:59:59.123456Z", "2024-02-29T23:59:59.123456Z"),
        ("2024-02-29T23:59:59.123456999Z", "2024-02-29T23:59:59.123456Z"),
        ("2024-10-27T02:30:00+02:00", "2024-10-27T00:30:00Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999Z"),
        ("1815-06-18T11:30:00.000000001Z", "1815-06-18T11:30:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"),
    ] {
        let service = subject.register(NewBentoService::new("fraud:v1", "v1", given)).await?;
        let recorded = record(&subject, at(service.id, time(given)?)).await?;
        check_eq!(recorded.timestamp, time(kept)?, "record_metric: timestamp {given}");
        check_eq!(subject.latest(service.id, 1).await?, [recorded], "latest_metrics: the metric as recorded");
    }
    let service = subject.a_service().await?;
    let recorded = record(&subject, NewServingMetric::new(service.id, Measures::default())).await?;
    check_eq!(
        recorded.timestamp.timestamp_subsec_nanos() % 1_000,
        0,
        "record_metric: digits below a microsecond in the store's time {}",
        recorded.timestamp
    );
    check_eq!(subject.latest(service.id, 1).await?, [recorded], "latest_metrics: the metric as recorded");
    Ok(())
}

/// A measure that can occur: zero of either sign, or of any size.
fn measure(max: f64) -> impl Strategy<Value = Option<f64>> + Clone {
    let number = prop_oneof![
        1 => Just(0.0),
        1 => Just(-0.0),
        8 => (-11.9..14.9_f64).prop_map(move |exponent| 10_f64.powf(exponent).min(max)),
    ];
    prop::option::weighted(0.8, number)
}

pub(super) async fn metric_numbers_survive_exactly(subject: RepositorySubject) -> CaseResult {
    let large = measure(f64::MAX);
    let measures =
        (large.clone(), large.clone(), large.clone(), large.clone(), measure(1.0), large.clone(), large).prop_map(
            |(requests_per_second, avg_latency_ms, one, other, error_rate, memory_mb, cpu_percent)| {
                let is_ordered = one.zip(other).is_none_or(|(one, other)| one <= other);
                let (p95_latency_ms, p99_latency_ms) = if is_ordered { (one, other) } else { (other, one) };
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
        );
    let service_id = subject.a_service().await?.id;
    let seed = subject.seed;
    check_async(
        seed,
        64,
        (measures, WINDOW_SECONDS_MIN..=WINDOW_SECONDS_MAX),
        move |(measures, window_seconds)| {
            let subject = subject.clone();
            async move {
                let new = NewServingMetric { window_seconds, ..NewServingMetric::new(service_id, measures) };
                let recorded = record(&subject, new).await?;
                let stored = subject.latest(service_id, LIMIT_MAX).await?;
                let Some(stored) = stored.iter().find(|metric| metric.id == recorded.id) else {
                    return Err(CaseError::failed(
                        "latest_metrics: expected the metric just recorded, found it missing",
                    ));
                };
                for (method, metric) in [("record_metric", &recorded), ("latest_metrics", stored)] {
                    check_eq!(
                        metric.window_seconds.to_bits(),
                        window_seconds.to_bits(),
                        "{method}: bits of window_seconds"
                    );
                    check_eq!(bits(&metric.measures), bits(&measures), "{method}: bits of {measures:?}");
                }
                Ok(())
            }
        },
    )
    .await
}

pub(super) async fn impossible_metrics_are_refused(subject: RepositorySubject) -> CaseResult {
    let id = subject.a_service().await?.id;
    let mut refused = vec![
        ("timestamp", at(id, TIME_MIN - TimeDelta::nanoseconds(1))),
        ("timestamp", at(id, TIME_MAX)),
        ("timestamp", at(id, DateTime::<Utc>::MAX_UTC)),
        ("timestamp", at(id, DateTime::<Utc>::MIN_UTC)),
    ];
    let with = |measures| NewServingMetric::new(id, measures);
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -5e-324, 5e-324, f64::MAX] {
        let measure = Some(number);
        let none = Measures::default();
        refused.extend([
            ("requests_per_second", with(Measures { requests_per_second: measure, ..none })),
            ("avg_latency_ms", with(Measures { avg_latency_ms: measure, ..none })),
            ("p95_latency_ms", with(Measures { p95_latency_ms: measure, ..none })),
            ("p99_latency_ms", with(Measures { p99_latency_ms: measure, ..none })),
            ("error_rate", with(Measures { error_rate: measure, ..none })),
            ("memory_mb", with(Measures { memory_mb: measure, ..none })),
            ("cpu_percent", with(Measures { cpu_percent: measure, ..none })),
            ("window_seconds", NewServingMetric { window_seconds: number, ..with(none) }),
        ]);
    }
    refused.extend([
        ("error_rate", with(Measures { error_rate: Some(1.01), ..Measures::default() })),
        ("window_seconds", NewServingMetric { window_seconds: 0.0, ..with(Measures::default()) }),
        (
            "p95_latency_ms",
            with(Measures { p95_latency_ms: Some(2.0), p99_latency_ms: Some(1.0), ..Measures::default() }),
        ),
    ]);
    for (name, new) in refused {
        let given = format!("{:?} {} {:?}", new.timestamp, new.window_seconds, new.measures);
        check_refused!(
            subject.repository.record_metric(new).await,
            RepositoryError::Invalid { field, .. } if field == name,
            "record_metric with an impossible {name} ({given})"
        );
    }
    check_eq!(subject.latest(id, 10).await?, [], "latest_metrics: metrics after all were refused");
    Ok(())
}

pub(super) async fn metric_needs_its_service(subject: RepositorySubject) -> CaseResult {
    let service = subject.a_service().await?;
    let missing = BentoServiceId::random();
    check_refused!(
        subject.repository.record_metric(NewServingMetric::new(missing, Measures::default())).await,
        RepositoryError::MissingReference { constraint } if constraint == constraint::METRIC_SERVICE,
        "record_metric for a missing service"
    );
    check_eq!(subject.latest(service.id, 10).await?, [], "latest_metrics: metrics of a service that has none");
    Ok(())
}

/// No metrics and no service are different things.
pub(super) async fn metrics_of_a_missing_service_are_not_found(subject: RepositorySubject) -> CaseResult {
    let missing = BentoServiceId::random();
    check_refused!(
        subject.repository.latest_metrics(missing, 10).await,
        RepositoryError::NotFound { id, .. } if id == missing.as_uuid(),
        "latest_metrics of a missing service"
    );
    let window = TimeWindow::new(time("2024-01-01T00:00:00Z")?, time("2024-01-02T00:00:00Z")?)
        .map_err(CaseError::harness)?;
    check_refused!(
        subject.repository.summarize(missing, window).await,
        RepositoryError::NotFound { id, .. } if id == missing.as_uuid(),
        "summarize of a missing service"
    );
    Ok(())
}

pub(super) async fn latest_metrics_are_newest_first(subject: RepositorySubject) -> CaseResult {
    let id = subject.a_service().await?.id;
    let start = time("2024-01-01T00:00:00Z")?;
    // As they arrive: out of order.
    for minute in [3, 1, 7, 0, 5, 2, 6, 4] {
        record(&subject, at(id, start + TimeDelta::minutes(minute))).await?;
    }
    for (limit, expected) in
        [(3, vec![7, 6, 5]), (8, vec![7, 6, 5, 4, 3, 2, 1, 0]), (LIMIT_MAX, vec![7, 6, 5, 4, 3, 2, 1, 0])]
    {
        let found: Vec<_> = subject
            .latest(id, limit)
            .await?
            .iter()
            .map(|metric| (metric.timestamp - start).num_minutes())
            .collect();
        check_eq!(found, expected, "latest_metrics with a limit of {limit}: minutes, newest first");
    }
    Ok(())
}

pub(super) async fn tied_metrics_have_one_order(subject: RepositorySubject) -> CaseResult {
    let id = subject.a_service().await?.id;
    let timestamp = time("2024-01-01T00:00:00Z")?;
    for _ in 0..16 {
        record(&subject, at(id, timestamp)).await?;
    }
    let whole = subject.latest(id, LIMIT_MAX).await?;
    let distinct: HashSet<_> = whole.iter().map(|metric| metric.id).collect();
    check_eq!(distinct.len(), 16, "latest_metrics: distinct metrics of one moment");
    for limit in 1..16_u32 {
        let found = subject.latest(id, limit).await?;
        check!(
            u32::try_from(found.len()) == Ok(limit) && whole.starts_with(&found),
            "latest_metrics with a limit of {limit}: expected the first {limit} of the whole list of metrics of one \
             moment, found others"
        );
    }
    Ok(())
}

pub(super) async fn metrics_belong_to_their_service(subject: RepositorySubject) -> CaseResult {
    let services = subject.register_many(3).await?;
    let timestamp = time("2024-01-01T00:00:00Z")?;
    let window = TimeWindow::new(timestamp, timestamp + TimeDelta::seconds(1)).map_err(CaseError::harness)?;
    for (count, service) in services.iter().enumerate() {
        for _ in 0..count {
            let metric = record(&subject, at(service.id, timestamp)).await?;
            check_eq!(metric.service_id, service.id, "record_metric: service_id");
            check_eq!(
                metric.window_seconds.to_bits(),
                WINDOW_SECONDS_DEFAULT.to_bits(),
                "record_metric: bits of window_seconds"
            );
        }
    }
    for (count, service) in services.iter().enumerate() {
        let metrics = subject.latest(service.id, LIMIT_MAX).await?;
        check_eq!(metrics.len(), count, "latest_metrics: metrics of one service among three");
        check!(
            metrics.iter().all(|metric| metric.service_id == service.id),
            "latest_metrics: expected metrics of service {} alone, found {metrics:?}",
            service.id
        );
        let summary = subject.repository.summarize(service.id, window).await.expect_ok("summarize")?;
        check_eq!(usize::try_from(summary.windows), Ok(count), "summarize: windows of one service among three");
    }
    Ok(())
}
