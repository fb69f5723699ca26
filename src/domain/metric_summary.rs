//! What many windows of measurements say together, and no more than they say.

use super::ServingMetric;

/// The serving metrics of one service over a span of time.
///
/// A window weighs as much as it had requests: a minute with ten thousand requests says more about the mean
/// latency than one with ten. Numbers that no window supports are absent, not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MetricSummary {
    /// Windows counted.
    pub windows: u64,
    /// Windows among them that do not know their number of requests: they cannot be weighted, and are left out
    /// of `requests` and of the means.
    pub unweighted_windows: u64,
    /// Requests: the sum of `requests_per_second * window_seconds`.
    pub requests: Option<f64>,
    /// Mean latency of a request, in milliseconds: weighted by requests, over the windows that report one.
    pub mean_latency_ms: Option<f64>,
    /// Share of requests that failed, from 0 to 1: weighted by requests, over the windows that report one.
    pub mean_error_rate: Option<f64>,
    /// Bounds of the 95th percentile of latency, in milliseconds.
    ///
    /// Percentiles cannot be averaged: the mean of two windows' percentiles is in general no percentile of
    /// anything. What the rows do tell is that the percentile of all requests together lies between the smallest
    /// and the largest of the windows that had any: below the smallest, every window has too small a share of its
    /// requests; at the largest, every window has enough. Windows that report the percentile and did not certainly
    /// stand idle are counted.
    pub p95_latency_ms: Option<Bounds>,
    /// Bounds of the 99th percentile of latency, in milliseconds; as for the 95th.
    pub p99_latency_ms: Option<Bounds>,
    /// Most memory in use in any window, in megabytes.
    pub max_memory_mb: Option<f64>,
    /// Mean processor use, in percent of one processor: weighted by the windows' lengths, for an idle processor
    /// counts as well.
    pub mean_cpu_percent: Option<f64>,
}

/// A range that a number is known to lie in, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The least that it can be.
    pub at_least: f64,
    /// The most that it can be.
    pub at_most: f64,
}

impl MetricSummary {
    /// The summary of these windows; their order does not matter, but for the last digits of sums.
    #[must_use]
    pub fn of(windows: &[&ServingMetric]) -> Self {
        let busy = |window: &&&ServingMetric| window.requests().is_none_or(|requests| requests > 0.0);
        Self {
            windows: count(windows.iter()),
            unweighted_windows: count(windows.iter().filter(|window| window.requests().is_none())),
            requests: windows.iter().filter_map(|window| window.requests()).reduce(|sum, requests| sum + requests),
            mean_latency_ms: weighted_mean(
                windows.iter().filter_map(|window| Some((window.requests()?, window.measures.avg_latency_ms?))),
            ),
            mean_error_rate: weighted_mean(
                windows.iter().filter_map(|window| Some((window.requests()?, window.measures.error_rate?))),
            ),
            p95_latency_ms: bounds(
                windows.iter().filter(busy).filter_map(|window| window.measures.p95_latency_ms),
            ),
            p99_latency_ms: bounds(
                windows.iter().filter(busy).filter_map(|window| window.measures.p99_latency_ms),
            ),
            max_memory_mb: bounds(windows.iter().filter_map(|window| window.measures.memory_mb))
                .map(|memory| memory.at_most),
            mean_cpu_percent: weighted_mean(
                windows.iter().filter_map(|window| Some((window.window_seconds, window.measures.cpu_percent?))),
            ),
        }
    }
}

fn count<T>(windows: impl Iterator<Item = T>) -> u64 {
    windows.fold(0, |count, _| count + 1)
}

/// The mean of `(weight, value)`; none when nothing has any weight.
fn weighted_mean(values: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (weights, sum) =
        values.fold((0.0, 0.0), |(weights, sum), (weight, value)| (weights + weight, sum + weight * value));
    (weights > 0.0).then(|| sum / weights)
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<Bounds> {
    values.fold(None, |bounds: Option<Bounds>, value| {
        let Bounds { at_least, at_most } = bounds.unwrap_or(Bounds { at_least: value, at_most: value });
        Some(Bounds { at_least: at_least.min(value), at_most: at_most.max(value) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BentoServiceId, Measures, ServingMetricId};
    use chrono::DateTime;

    fn window(window_seconds: f64, measures: Measures) -> ServingMetric {
        ServingMetric {
            id: ServingMetricId::random(),
            service_id: BentoServiceId::random(),
            timestamp: DateTime::UNIX_EPOCH,
            window_seconds,
            measures,
        }
    }

    #[test]
    fn windows_weigh_as_much_as_they_had_requests() {
        let busy = window(
            60.0,
            Measures {
                requests_per_second: Some(100.0),
                avg_latency_ms: Some(10.0),
                p95_latency_ms: Some(20.0),
                error_rate: Some(0.0),
                cpu_percent: Some(90.0),
                ..Measures::default()
            },
        );
        let quiet = window(
            120.0,
            Measures {
                requests_per_second: Some(0.5),
                avg_latency_ms: Some(1010.0),
                p95_latency_ms: Some(2000.0),
                error_rate: Some(1.0),
                cpu_percent: Some(0.0),
                ..Measures::default()
            },
        );
        let idle = window(
            60.0,
            Measures { requests_per_second: Some(0.0), p95_latency_ms: Some(0.0), ..Measures::default() },
        );
        let unknown =
            window(60.0, Measures { avg_latency_ms: Some(1e9), memory_mb: Some(7.0), ..Measures::default() });
        let summary = MetricSummary::of(&[&busy, &quiet, &idle, &unknown]);
        assert_eq!(
            summary,
            MetricSummary {
                windows: 4,
                unweighted_windows: 1,
                requests: Some(6060.0),
                mean_latency_ms: Some(120_600.0 / 6060.0),
                mean_error_rate: Some(60.0 / 6060.0),
                p95_latency_ms: Some(Bounds { at_least: 20.0, at_most: 2000.0 }),
                p99_latency_ms: None,
                max_memory_mb: Some(7.0),
                mean_cpu_percent: Some(30.0),
            }
        );
    }

    #[test]
    fn nothing_has_no_numbers() {
        assert_eq!(MetricSummary::of(&[]), MetricSummary::default());
    }
}
