//! Summaries of many measurements.

use chrono::{DateTime, TimeDelta, Utc};
use proofmark::domain::{
    BentoServiceId, Bounds, MEASURE_MAX, MEASURE_MIN, Measures, MetricSummary, NewServingMetric, TimeWindow,
    WINDOW_SECONDS_DEFAULT, WINDOW_SECONDS_MAX, WINDOW_SECONDS_MIN,
};

use super::subject::{RepositorySubject, is_close, time};
use crate::case::{CaseError, CaseResult, Expect as _};
use crate::{check, check_eq};

const NONE: Measures = Measures {
    requests_per_second: None,
    avg_latency_ms: None,
    p95_latency_ms: None,
    p99_latency_ms: None,
    error_rate: None,
    memory_mb: None,
    cpu_percent: None,
};

/// A service, and the day on which it was measured.
struct Measured {
    subject: RepositorySubject,
    id: BentoServiceId,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Measured {
    async fn new(subject: RepositorySubject) -> Result<Self, CaseError> {
        let id = subject.a_service().await?.id;
        let (from, until) = (time("2024-01-01T00:00:00Z")?, time("2024-01-02T00:00:00Z")?);
        Ok(Self { subject, id, from, until })
    }

    async fn record_at(&self, timestamp: DateTime<Utc>, window_seconds: f64, measures: Measures) -> CaseResult {
        let new = NewServingMetric { service_id: self.id, timestamp: Some(timestamp), window_seconds, measures };
        self.subject.repository.record_metric(new).await.expect_ok("record_metric")?;
        Ok(())
    }

    async fn record(&self, window_seconds: f64, measures: Measures) -> CaseResult {
        self.record_at(self.from, window_seconds, measures).await
    }

    async fn summarize(&self) -> Result<MetricSummary, CaseError> {
        let window = TimeWindow::new(self.from, self.until).map_err(CaseError::harness)?;
        self.subject.repository.summarize(self.id, window).await.expect_ok("summarize")
    }
}

fn check_close(found: Option<f64>, expected: Option<f64>, what: &str) -> CaseResult {
    check!(is_close(found, expected), "summarize: {what}: expected {expected:?}, found {found:?}");
    Ok(())
}

pub(super) async fn summary_weights_windows_by_requests(subject: RepositorySubject) -> CaseResult {
    let measured = Measured::new(subject).await?;
    // 6,000 requests, 60 requests, and 60 in a shorter window.
    for (window_seconds, rate, latency, errors, cpu) in
        [(60.0, 100.0, 10.0, 0.0, 80.0), (60.0, 1.0, 110.0, 0.5, 20.0), (6.0, 10.0, 210.0, 1.0, 50.0)]
    {
        let measures = Measures {
            requests_per_second: Some(rate),
            avg_latency_ms: Some(latency),
            error_rate: Some(errors),
            cpu_percent: Some(cpu),
            ..NONE
        };
        measured.record(window_seconds, measures).await?;
    }
    let summary = measured.summarize().await?;
    check_eq!(summary.windows, 3, "summarize: windows");
    check_close(summary.requests, Some(6120.0), "requests, the sum of rate times length")?;
    check_close(summary.mean_latency_ms, Some(79_200.0 / 6120.0), "mean latency weighted by requests")?;
    check_close(summary.mean_error_rate, Some(90.0 / 6120.0), "error rate weighted by requests")?;
    check_close(summary.mean_cpu_percent, Some(6300.0 / 126.0), "processor use weighted by the windows' lengths")
}

pub(super) async fn summary_never_averages_percentiles(subject: RepositorySubject) -> CaseResult {
    let measured = Measured::new(subject).await?;
    for (rate, p95, p99) in [
        (Some(100.0), Some(20.0), Some(30.0)),
        (Some(1.0), Some(2000.0), Some(3000.0)),
        // Nobody knows whether this window had requests, so its percentile may be one of theirs.
        (None, Some(15.0), None),
        // An idle window has no percentile, whatever it reports.
        (Some(0.0), Some(0.0), Some(9000.0)),
        (Some(50.0), None, None),
    ] {
        let measures = Measures { requests_per_second: rate, p95_latency_ms: p95, p99_latency_ms: p99, ..NONE };
        measured.record(60.0, measures).await?;
    }
    let summary = measured.summarize().await?;
    let bounds = |at_least, at_most| Some(Bounds { at_least, at_most });
    check_eq!(summary.p95_latency_ms, bounds(15.0, 2000.0), "summarize: bounds of the 95th percentile");
    check_eq!(summary.p99_latency_ms, bounds(30.0, 3000.0), "summarize: bounds of the 99th percentile");
    Ok(())
}

pub(super) async fn summary_of_nothing_has_no_numbers(subject: RepositorySubject) -> CaseResult {
    let measured = Measured::new(subject).await?;
    check_eq!(
        measured.summarize().await?,
        MetricSummary::default(),
        "summarize: summary of a service without metrics"
    );
    let measures = Measures { requests_per_second: Some(1.0), memory_mb: Some(1.0), ..NONE };
    measured.record_at(measured.from - TimeDelta::days(1), 60.0, measures).await?;
    check_eq!(
        measured.summarize().await?,
        MetricSummary::default(),
        "summarize: summary without metrics in the window"
    );
    measured.record(60.0, NONE).await?;
    let expected = MetricSummary { windows: 1, unweighted_windows: 1, ..MetricSummary::default() };
    check_eq!(measured.summarize().await?, expected, "summarize: summary of a metric without numbers");
    Ok(())
}

pub(super) async fn summary_window_is_half_open(subject: RepositorySubject) -> CaseResult {
    let measured = Measured::new(subject).await?;
    let tick = TimeDelta::microseconds(1);
    // Powers of two: the sum tells which were counted.
    for (timestamp, requests) in
        [(measured.from - tick, 1.0), (measured.from, 2.0), (measured.until - tick, 4.0), (measured.until, 8.0)]
    {
        let measures = Measures { requests_per_second: Some(requests), ..NONE };
        measured.record_at(timestamp, 1.0, measures).await?;
    }
    let summary = measured.summarize().await?;
    check_eq!(
        (summary.windows, summary.requests),
        (2, Some(6.0)),
        "summarize: windows, and requests with 1 just before the beginning, 2 at it, 4 just before the end, 8 at it"
    );
    Ok(())
}

pub(super) async fn summary_tells_what_it_cannot_weigh(subject: RepositorySubject) -> CaseResult {
    let measured = Measured::new(subject).await?;
    for (rate, latency, errors, memory, cpu) in [
        (Some(10.0), Some(20.0), Some(0.25), Some(512.0), Some(10.0)),
        // As many requests as before, and no word about latency.
        (Some(10.0), None, Some(0.75), None, None),
        // Idle: weighs nothing but in the use of the processor.
        (Some(0.0), Some(1e6), Some(1.0), Some(2048.0), Some(0.0)),
        // How many requests is unknown.
        (None, Some(1e6), Some(1.0), Some(1024.0), Some(20.0)),
    ] {
        let measures = Measures {
            requests_per_second: rate,
            avg_latency_ms: latency,
            error_rate: errors,
            memory_mb: memory,
            cpu_percent: cpu,
            ..NONE
        };
        measured.record(WINDOW_SECONDS_DEFAULT, measures).await?;
    }
    let summary = measured.summarize().await?;
    check_eq!(
        (summary.windows, summary.unweighted_windows),
        (4, 1),
        "summarize: windows, and those without a weight"
    );
    check_close(summary.requests, Some(1200.0), "requests of the windows that know them")?;
    check_close(summary.mean_latency_ms, Some(20.0), "mean latency of the requests that have one")?;
    check_close(summary.mean_error_rate, Some(0.5), "error rate of the requests that have one")?;
    check_eq!(summary.max_memory_mb, Some(2048.0), "summarize: most memory of all windows");
    check_close(summary.mean_cpu_percent, Some(10.0), "processor use of all windows that have one")
}

/// An overflow or underflow in a sum is an error in Postgres: one odd row would take every summary with it.
pub(super) async fn summary_survives_extreme_measures(subject: RepositorySubject) -> CaseResult {
    let measured = Measured::new(subject).await?;
    for (window_seconds, number, errors) in
        [(WINDOW_SECONDS_MIN, MEASURE_MIN, MEASURE_MIN), (WINDOW_SECONDS_MAX, MEASURE_MAX, 1.0)]
    {
        let measures = Measures {
            requests_per_second: Some(number),
            avg_latency_ms: Some(number),
            p95_latency_ms: Some(number),
            p99_latency_ms: Some(number),
            error_rate: Some(errors),
            memory_mb: Some(number),
            cpu_percent: Some(number),
        };
        measured.record(window_seconds, measures).await?;
        let summary = measured.summarize().await?;
        check_close(summary.mean_latency_ms, Some(number), "mean latency of the extremes")?;
        check_close(summary.mean_error_rate, Some(errors), "error rate of the extremes")?;
        check_close(summary.mean_cpu_percent, Some(number), "processor use of the extremes")?;
    }
    Ok(())
}
