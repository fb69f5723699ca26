//! How old the values of a feature view are in the online store.

use chrono::{DateTime, Utc};

use super::text_enum::text_enum;
use super::time::instant;
use super::validation::{InvalidField, number};
use super::{FeatureFreshnessId, FeatureViewId};

/// The largest threshold, in seconds: about 31 years.
pub const THRESHOLD_SECONDS_MAX: f64 = 1e9;

text_enum! {
    /// What the age of values means.
    FreshnessStatus("freshness status") {
        /// Not older than the first threshold.
        Fresh = "fresh",
        /// Older than the first threshold, not than the second.
        Stale = "stale",
        /// Older than the second threshold.
        Critical = "critical",
        /// There never was a successful materialization; for nothing else.
        Unknown = "unknown",
    }
}

/// From which age on values are stale, and from which on that is critical.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FreshnessThresholds {
    stale_after_seconds: f64,
    critical_after_seconds: f64,
}

impl FreshnessThresholds {
    /// Two ages in seconds.
    ///
    /// # Errors
    /// When one is not from 0 to [`THRESHOLD_SECONDS_MAX`], or the second is below the first.
    pub fn new(stale_after_seconds: f64, critical_after_seconds: f64) -> Result<Self, InvalidField> {
        number("stale_after_seconds", stale_after_seconds, 0.0, THRESHOLD_SECONDS_MAX)?;
        number("critical_after_seconds", critical_after_seconds, 0.0, THRESHOLD_SECONDS_MAX)?;
        if critical_after_seconds < stale_after_seconds {
            let reason = format!(
                "expected at least stale_after_seconds ({stale_after_seconds:e}), found {critical_after_seconds:e}"
            );
            return Err(InvalidField::new("critical_after_seconds", reason));
        }
        Ok(Self { stale_after_seconds, critical_after_seconds })
    }

    /// The age above which values are stale.
    #[must_use]
    pub const fn stale_after_seconds(&self) -> f64 {
        self.stale_after_seconds
    }

    /// The age above which that is critical.
    #[must_use]
    pub const fn critical_after_seconds(&self) -> f64 {
        self.critical_after_seconds
    }

    fn status_of(&self, staleness_seconds: f64) -> FreshnessStatus {
        if staleness_seconds > self.critical_after_seconds {
            FreshnessStatus::Critical
        } else if staleness_seconds > self.stale_after_seconds {
            FreshnessStatus::Stale
        } else {
            FreshnessStatus::Fresh
        }
    }
}

/// How old the values of a view were at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Freshness {
    /// When that was asked.
    pub recorded_at: DateTime<Utc>,
    /// When the successful job ended that began last; none if there never was one.
    pub last_materialization_time: Option<DateTime<Utc>>,
    /// The seconds from there, 0 for a job whose clock is ahead.
    pub staleness_seconds: Option<f64>,
    /// What that means.
    pub status: FreshnessStatus,
    /// By which thresholds.
    pub thresholds: FreshnessThresholds,
}

impl Freshness {
    /// The freshness at a time, given when the last successful materialization ended.
    #[must_use]
    pub fn at(
        recorded_at: DateTime<Utc>,
        last_materialization_time: Option<DateTime<Utc>>,
        thresholds: FreshnessThresholds,
    ) -> Self {
        let staleness_seconds = last_materialization_time.map(|last| seconds_between(last, recorded_at));
        let status = staleness_seconds
            .map_or(FreshnessStatus::Unknown, |staleness_seconds| thresholds.status_of(staleness_seconds));
        Self { recorded_at, last_materialization_time, staleness_seconds, status, thresholds }
    }
}

/// Seconds from one time to a later one; 0 if it is not later. The double that is nearest to the decimal number, as
/// Postgres has it as well.
pub(crate) fn seconds_between(from: DateTime<Utc>, until: DateTime<Utc>) -> f64 {
    let micros = until.timestamp_micros().saturating_sub(from.timestamp_micros()).max(0);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000).parse().unwrap_or(0.0)
}

/// The time of a look, as it is stored.
pub(crate) fn stored_recorded_at(at: Option<DateTime<Utc>>) -> Result<Option<DateTime<Utc>>, InvalidField> {
    at.map(|time| instant("recorded_at", time)).transpose()
}

/// A row of `ml_feast_feature_freshness`.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureFreshness {
    /// The identifier.
    pub id: FeatureFreshnessId,
    /// The view.
    pub feature_view_id: FeatureViewId,
    /// What was found.
    pub freshness: Freshness,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn an_age_has_one_meaning_at_its_limits() {
        let thresholds = FreshnessThresholds::new(60.0, 120.0).unwrap();
        let last = time("2024-01-01T00:00:00Z");
        let status = |at: &str| Freshness::at(time(at), Some(last), thresholds).status;
        assert_eq!(status("2024-01-01T00:01:00Z"), FreshnessStatus::Fresh);
        assert_eq!(status("2024-01-01T00:01:00.000001Z"), FreshnessStatus::Stale);
        assert_eq!(status("2024-01-01T00:02:00Z"), FreshnessStatus::Stale);
        assert_eq!(status("2024-01-01T00:02:00.000001Z"), FreshnessStatus::Critical);
        assert_eq!(status("2023-01-01T00:00:00Z"), FreshnessStatus::Fresh);
        assert_eq!(Freshness::at(last, None, thresholds).status, FreshnessStatus::Unknown);
    }

    #[test]
    fn thresholds_are_ordered_numbers() {
        for (stale, critical) in [(2.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY), (1.0, f64::NAN)]
        {
            assert!(FreshnessThresholds::new(stale, critical).is_err(), "{stale} {critical}");
        }
    }
}
