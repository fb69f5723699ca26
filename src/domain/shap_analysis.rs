//! Explanations that were given, as evidence.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::text_enum::text_enum;
use super::time::instant;
use super::validation::{InvalidField, Limit, number, text};
use super::{ModelId, ShapAnalysisId};

/// The longest explanation, entity or segment name, in characters.
const NAME_CHARACTERS_MAX: usize = 255;
/// The longest name of a method, in characters.
const METHOD_CHARACTERS_MAX: usize = 100;
/// The longest error message, in octets of UTF-8.
const MESSAGE_OCTETS_MAX: usize = 65_536;
/// The most features of one explanation.
pub const SHAP_FEATURES_MAX: usize = 16_384;
/// The most explanations of a batch.
pub const SHAP_BATCH_ROWS_MAX: usize = 10_000;
/// The most values in all rows of a batch.
pub const SHAP_BATCH_VALUES_MAX: usize = 2_000_000;
/// The most octets of the values of one explanation, as Postgres writes them.
const VALUES_OCTETS_MAX: usize = 16 << 20;
/// The longest computation, in seconds.
const DURATION_SECONDS_MAX: f64 = 1e12;
/// The longest response, in milliseconds.
const RESPONSE_TIME_MS_MAX: f64 = 1e15;

text_enum! {
    /// What was explained.
    AnalysisType("analysis type") {
        /// A model as a whole.
        Global = "global",
        /// One prediction.
        Local = "local",
        /// A model on a part of the data.
        Segment = "segment",
        /// One prediction, while a caller waited.
        LocalRealtime = "local_realtime",
    }
}

text_enum! {
    /// Whether there is an explanation: per row of a batch, for one bad row does not lose the others.
    AnalysisStatus("analysis status") {
        /// There is.
        Explained = "explained",
        /// There is a reason instead, and no number.
        Failed = "failed",
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub enum ShapOutcome {
    /// The importance of each feature, of a global or segment analysis.
    Importance(BTreeMap<String, f64>),
    /// The explanation of one prediction.
    Local {
        /// The contribution of each feature.
        shap_values: BTreeMap<String, f64>,
        /// The model's mean output, on the scale of the values: it has no bound but that of a double.
        base_value: f64,
        /// The model's output for the row.
        prediction_value: Option<f64>,
    },
    /// Why there is none; 1 to 65536 octets.
    Failed(String),
}

impl ShapOutcome {
    /// Whether there is an explanation.
    #[must_use]
    pub const fn status(&self) -> AnalysisStatus {
        match self {
            Self::Importance(_) | Self::Local { .. } => AnalysisStatus::Explained,
            Self::Failed(_) => AnalysisStatus::Failed,
        }
    }

    fn values(&self) -> Option<(&'static str, &BTreeMap<String, f64>)> {
        match self {
            Self::Importance(values) => Some(("global_importance", values)),
            Self::Local { shap_values, .. } => Some(("local_shap_values", shap_values)),
            Self::Failed(_) => None,
        }
    }
}

/// A row of `ml_shap_analyses`.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapAnalysis {
    /// The identifier.
    pub id: ShapAnalysisId,
    /// The time, in the years 1 to 9999.
    pub computed_at: DateTime<Utc>,
    /// What was recorded.
    pub analysis: NewShapAnalysis,
}

/// An explanation to record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewShapAnalysis {
    /// The model that was explained.
    pub model_id: ModelId,
    /// What was explained.
    pub analysis_type: AnalysisType,
    /// The part of the data; a segment analysis has one. 1 to 255 characters.
    pub segment: Option<String>,
    /// What came out.
    pub outcome: ShapOutcome,
    /// How it was computed, for example `tree-path-dependent`; 1 to 100 characters.
    pub computation_method: Option<String>,
    /// When; the store's time when absent, and always there in what is read.
    pub computed_at: Option<DateTime<Utc>>,
    /// How long it took to compute, in seconds.
    pub duration_seconds: Option<f64>,
    /// What a caller knows it by; unique. 1 to 255 characters.
    pub explanation_id: Option<String>,
    /// Whose prediction it was; 1 to 255 characters.
    pub entity_id: Option<String>,
    /// How long the caller waited, in milliseconds.
    pub response_time_ms: Option<f64>,
    /// To how many features the values were cut down; as many as there are, or more.
    pub top_k: Option<u32>,
}

impl NewShapAnalysis {
    /// A row with what it must have.
    #[must_use]
    pub const fn new(model_id: ModelId, analysis_type: AnalysisType, outcome: ShapOutcome) -> Self {
        Self {
            model_id,
            analysis_type,
            segment: None,
            outcome,
            computation_method: None,
            computed_at: None,
            duration_seconds: None,
            explanation_id: None,
            entity_id: None,
            response_time_ms: None,
            top_k: None,
        }
    }

    /// How many values it has.
    #[must_use]
    pub fn value_count(&self) -> usize {
        self.outcome.values().map_or(0, |(_, values)| values.len())
    }

    /// The analysis as it is stored, if it can be: numbers are finite, and a negative zero becomes zero.
    ///
    /// # Errors
    /// The first field that cannot be stored, or does not fit the type of analysis.
    pub fn stored(&self) -> Result<Self, InvalidField> {
        self.validate_type()?;
        let characters = Limit::Characters(NAME_CHARACTERS_MAX);
        for (field, value, limit) in [
            ("segment", &self.segment, characters),
            ("explanation_id", &self.explanation_id, characters),
            ("entity_id", &self.entity_id, characters),
            ("computation_method", &self.computation_method, Limit::Characters(METHOD_CHARACTERS_MAX)),
        ] {
            if let Some(value) = value {
                text(field, value, limit)?;
            }
        }
        if let Some(duration) = self.duration_seconds {
            number("duration_seconds", duration, 0.0, DURATION_SECONDS_MAX)?;
        }
        if let Some(time) = self.response_time_ms {
            number("response_time_ms", time, 0.0, RESPONSE_TIME_MS_MAX)?;
        }
        if let Some(top_k) = self.top_k {
            let values = u32::try_from(self.value_count()).unwrap_or(u32::MAX);
            if top_k == 0 || top_k < values || i32::try_from(top_k).is_err() {
                let reason =
                    format!("expected at least 1 and as many as there are values ({values}), found {top_k}");
                return Err(InvalidField::new("top_k", reason));
            }
        }
        Ok(Self {
            outcome: self.stored_outcome()?,
            computed_at: self.computed_at.map(|time| instant("computed_at", time)).transpose()?,
            ..self.clone()
        })
    }

    fn validate_type(&self) -> Result<(), InvalidField> {
        let is_local = matches!(self.analysis_type, AnalysisType::Local | AnalysisType::LocalRealtime);
        let fits = match &self.outcome {
            ShapOutcome::Importance(_) => !is_local,
            ShapOutcome::Local { .. } => is_local,
            ShapOutcome::Failed(_) => true,
        };
        if !fits {
            let wanted = if is_local { "the explanation of one prediction" } else { "the importance of features" };
            let reason = format!("expected {wanted} in an analysis of the type {}", self.analysis_type);
            return Err(InvalidField::new("analysis_type", reason));
        }
        if self.analysis_type == AnalysisType::Segment && self.segment.is_none() {
            return Err(InvalidField::new(
                "segment",
                "expected some text in an analysis of a segment, found none",
            ));
        }
        Ok(())
    }

    fn stored_outcome(&self) -> Result<ShapOutcome, InvalidField> {
        if let Some((field, values)) = self.outcome.values() {
            if values.len() > SHAP_FEATURES_MAX {
                let reason = format!("expected at most {SHAP_FEATURES_MAX} features, found {}", values.len());
                return Err(InvalidField::new(field, reason));
            }
            // Fewer cannot be as long.
            if values.len() > SHAP_FEATURES_MAX / 2 {
                let octets = |(feature, value): (&String, &f64)| feature.len() + value.to_string().len() + 6;
                let octets: usize = values.iter().map(octets).sum();
                if octets > VALUES_OCTETS_MAX {
                    let reason = format!("expected at most {VALUES_OCTETS_MAX} octets, found {octets}");
                    return Err(InvalidField::new(field, reason));
                }
            }
            for (feature, value) in values {
                text(field, feature, Limit::Characters(NAME_CHARACTERS_MAX))?;
                finite(field, feature, *value)?;
            }
        }
        let without_sign = |values: &BTreeMap<String, f64>| {
            values.iter().map(|(feature, value)| (feature.clone(), value + 0.0)).collect()
        };
        Ok(match &self.outcome {
            ShapOutcome::Importance(values) => ShapOutcome::Importance(without_sign(values)),
            &ShapOutcome::Local { ref shap_values, base_value, prediction_value } => {
                finite("base_value", "the base value", base_value)?;
                if let Some(prediction) = prediction_value {
                    finite("prediction_value", "the prediction", prediction)?;
                }
                ShapOutcome::Local { shap_values: without_sign(shap_values), base_value, prediction_value }
            }
            ShapOutcome::Failed(reason) => {
                text("error_message", reason, Limit::Octets(MESSAGE_OCTETS_MAX))?;
                ShapOutcome::Failed(reason.clone())
            }
        })
    }
}

/// Checks an explanation id, also one that is only looked for.
pub(crate) fn validate_explanation_id(explanation_id: &str) -> Result<(), InvalidField> {
    text("explanation_id", explanation_id, Limit::Characters(NAME_CHARACTERS_MAX))
}

fn finite(field: &'static str, what: &str, value: f64) -> Result<(), InvalidField> {
    if value.is_finite() {
        return Ok(());
    }
    let reason = format!(
        "expected a finite number for {what}, found {value}, which is no evidence and which JSON cannot hold; record the row as failed"
    );
    Err(InvalidField::new(field, reason))
}

/// How many explanations there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShapStatusCounts {
    /// Rows that were explained.
    pub explained: u64,
    /// Rows that were not.
    pub failed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(value: f64) -> NewShapAnalysis {
        let shap_values = BTreeMap::from([("age".to_owned(), value)]);
        NewShapAnalysis::new(
            ModelId::random(),
            AnalysisType::Local,
            ShapOutcome::Local { shap_values, base_value: 1e5, prediction_value: Some(1e5) },
        )
    }

    #[test]
    fn what_json_cannot_hold_is_refused_with_its_feature() {
        for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let error = local(value).stored().unwrap_err();
            assert_eq!(error.field, "local_shap_values");
            assert!(error.reason.contains("age"), "{error}");
        }
        let mut analysis = local(1.0);
        analysis.outcome =
            ShapOutcome::Local { shap_values: BTreeMap::new(), base_value: f64::NAN, prediction_value: None };
        assert_eq!(analysis.stored().unwrap_err().field, "base_value");
    }

    #[test]
    fn a_negative_zero_becomes_zero() {
        let ShapOutcome::Local { shap_values, .. } = local(-0.0).stored().unwrap().outcome else { panic!() };
        assert!(shap_values["age"].is_sign_positive());
    }

    #[test]
    fn an_outcome_fits_its_type() {
        let refused = |change: fn(&mut NewShapAnalysis)| {
            let mut analysis = local(1.0);
            change(&mut analysis);
            analysis.stored().unwrap_err().field
        };
        assert_eq!(refused(|analysis| analysis.analysis_type = AnalysisType::Global), "analysis_type");
        assert_eq!(refused(|analysis| analysis.top_k = Some(0)), "top_k");
        assert_eq!(refused(|analysis| analysis.outcome = ShapOutcome::Failed(String::new())), "error_message");
        let segment = |analysis: &mut NewShapAnalysis| {
            analysis.analysis_type = AnalysisType::Segment;
            analysis.outcome = ShapOutcome::Importance(BTreeMap::new());
        };
        assert_eq!(refused(segment), "segment");
    }
}
