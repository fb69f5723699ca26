//! What a service measured about itself over a window of time.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::time::instant;
use super::validation::{InvalidField, number};
use super::{BentoServiceId, ServingMetricId};

/// The smallest measure that is not zero.
///
/// With [`MEASURE_MAX`] it keeps every product of a summary far from the ends of a double: in Postgres an
/// overflow or underflow is an error, and one odd row would fail every later summary.
pub const MEASURE_MIN: f64 = 1e-12;
/// The largest measure.
pub const MEASURE_MAX: f64 = 1e15;
/// The length of a window unless it is given, in seconds.
pub const WINDOW_SECONDS_DEFAULT: f64 = 60.0;
/// The shortest window, in seconds.
pub const WINDOW_SECONDS_MIN: f64 = 0.001;
/// The longest window, in seconds: 366 days.
pub const WINDOW_SECONDS_MAX: f64 = 31_622_400.0;

/// The numbers of one window; what was not measured is absent.
///
/// Each is zero or from [`MEASURE_MIN`] to [`MEASURE_MAX`], and `error_rate` at most 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Measures {
    /// Requests per second, on average over the window.
    pub requests_per_second: Option<f64>,
    /// Mean latency of the window's requests, in milliseconds.
    pub avg_latency_ms: Option<f64>,
    /// 95th percentile of the latency of the window's requests, in milliseconds; at most `p99_latency_ms`.
    pub p95_latency_ms: Option<f64>,
    /// 99th percentile of the latency of the window's requests, in milliseconds.
    pub p99_latency_ms: Option<f64>,
    /// Share of the window's requests that failed, from 0 to 1.
    pub error_rate: Option<f64>,
    /// Memory in use, in megabytes.
    pub memory_mb: Option<f64>,
    /// Processor use, in percent of one processor; several can exceed 100.
    pub cpu_percent: Option<f64>,
}

/// A row of `ml_bentoml_serving_metrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct ServingMetric {
    /// The identifier.
    pub id: ServingMetricId,
    /// The service that was measured.
    pub service_id: BentoServiceId,
    /// When it was measured.
    pub timestamp: DateTime<Utc>,
    /// The length of the window that the numbers summarise, in seconds.
    pub window_seconds: f64,
    /// The numbers.
    pub measures: Measures,
}

impl ServingMetric {
    /// How many requests the window had, if that is known.
    #[must_use]
    pub fn requests(&self) -> Option<f64> {
        self.measures.requests_per_second.map(|rate| rate * self.window_seconds)
    }
}

/// A measurement to record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewServingMetric {
    /// The service that was measured.
    pub service_id: BentoServiceId,
    /// When it was measured, in the years 1 to 9999; the store's time when absent. Kept to the microsecond.
    pub timestamp: Option<DateTime<Utc>>,
    /// See [`ServingMetric::window_seconds`]; from [`WINDOW_SECONDS_MIN`] to [`WINDOW_SECONDS_MAX`].
    pub window_seconds: f64,
    /// The numbers.
    pub measures: Measures,
}

impl NewServingMetric {
    /// Numbers of a window of the default length that ends now.
    #[must_use]
    pub fn new(service_id: BentoServiceId, measures: Measures) -> Self {
        Self { service_id, timestamp: None, window_seconds: WINDOW_SECONDS_DEFAULT, measures }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), InvalidField> {
        self.stored_timestamp()?;
        number("window_seconds", self.window_seconds, WINDOW_SECONDS_MIN, WINDOW_SECONDS_MAX)?;
        let measures = &self.measures;
        for (field, value, max) in [
            ("requests_per_second", measures.requests_per_second, MEASURE_MAX),
            ("avg_latency_ms", measures.avg_latency_ms, MEASURE_MAX),
            ("p95_latency_ms", measures.p95_latency_ms, MEASURE_MAX),
            ("p99_latency_ms", measures.p99_latency_ms, MEASURE_MAX),
            ("error_rate", measures.error_rate, 1.0),
            ("memory_mb", measures.memory_mb, MEASURE_MAX),
            ("cpu_percent", measures.cpu_percent, MEASURE_MAX),
        ] {
            if let Some(value) = value
                && value != 0.0
            {
                number(field, value, MEASURE_MIN, max)?;
            }
        }
        if let (Some(p95), Some(p99)) = (measures.p95_latency_ms, measures.p99_latency_ms)
            && p95 > p99
        {
            let reason = format!("expected at most p99_latency_ms ({p99:e}), found {p95:e}");
            return Err(InvalidField::new("p95_latency_ms", reason));
        }
        Ok(())
    }

    /// The timestamp as it is stored.
    ///
    /// # Errors
    /// When it lies outside the years 1 to 9999.
    pub fn stored_timestamp(&self) -> Result<Option<DateTime<Utc>>, InvalidField> {
        self.timestamp.map(|time| instant("timestamp", time)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut NewServingMetric)) -> &'static str {
        let mut new = NewServingMetric::new(BentoServiceId::random(), Measures::default());
        assert_eq!(new.validate(), Ok(()));
        change(&mut new);
        new.validate().unwrap_err().field
    }

    #[test]
    fn a_number_that_cannot_be_measured_is_refused() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 5e-324, f64::MAX] {
            assert_eq!(refused(|new| new.measures.cpu_percent = Some(number)), "cpu_percent", "{number}");
            assert_eq!(refused(|new| new.window_seconds = number), "window_seconds", "{number}");
        }
        assert_eq!(refused(|new| new.measures.error_rate = Some(1.1)), "error_rate");
        assert_eq!(refused(|new| new.window_seconds = 0.0), "window_seconds");
        assert_eq!(refused(|new| new.timestamp = Some(DateTime::<Utc>::MAX_UTC)), "timestamp");
    }

    #[test]
    fn percentiles_out_of_order_are_refused() {
        let field = refused(|new| {
            new.measures.p95_latency_ms = Some(2.0);
            new.measures.p99_latency_ms = Some(1.0);
        });
        assert_eq!(field, "p95_latency_ms");
    }

    #[test]
    fn both_zeros_are_measures() {
        let measures = Measures { error_rate: Some(-0.0), memory_mb: Some(0.0), ..Measures::default() };
        assert_eq!(NewServingMetric::new(BentoServiceId::random(), measures).validate(), Ok(()));
    }
}
