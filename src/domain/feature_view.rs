//! Feature views: what Feast serves for an entity.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::FeatureViewId;
use super::validation::{InvalidField, Limit, text};

/// The longest name of a view, entity or feature, in characters.
const NAME_CHARACTERS_MAX: usize = 255;
/// The most entities of a view.
pub const VIEW_ENTITIES_MAX: usize = 64;
/// The most features of a view.
pub const VIEW_FEATURES_MAX: usize = 1_000;
/// The longest time to live, in seconds: what an `integer` holds.
pub const TTL_SECONDS_MAX: u32 = i32::MAX.unsigned_abs();

/// A feature of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// The name; unique in its view.
    pub name: String,
    /// The type of its values, as Feast calls it, for example `Float64`.
    pub dtype: String,
}

/// A row of `ml_feast_feature_views`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureView {
    /// The identifier.
    pub id: FeatureViewId,
    /// The name; unique.
    pub name: String,
    /// The entities that its values belong to.
    pub entities: Vec<String>,
    /// What it serves.
    pub features: Vec<Feature>,
    /// After how many seconds a value expires; 0 and none mean never, as in Feast.
    pub ttl_seconds: Option<u32>,
    /// Whether values are brought into the online store.
    pub online_enabled: bool,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was changed last; later after every change.
    pub updated_at: DateTime<Utc>,
}

/// A feature view to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFeatureView {
    /// See [`FeatureView::name`]; 1 to 255 characters.
    pub name: String,
    /// See [`FeatureView::entities`]; up to [`VIEW_ENTITIES_MAX`], each once.
    pub entities: Vec<String>,
    /// See [`FeatureView::features`]; up to [`VIEW_FEATURES_MAX`], each name once.
    pub features: Vec<Feature>,
    /// See [`FeatureView::ttl_seconds`]; up to [`TTL_SECONDS_MAX`].
    pub ttl_seconds: Option<u32>,
    /// See [`FeatureView::online_enabled`].
    pub online_enabled: bool,
}

impl NewFeatureView {
    /// A view with a name, and online.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            entities: Vec::new(),
            features: Vec::new(),
            ttl_seconds: None,
            online_enabled: true,
        }
    }

    /// Checks every text and number.
    ///
    /// # Errors
    /// The first field that is empty, too long, out of range, or names something twice.
    pub fn validate(&self) -> Result<(), InvalidField> {
        validate_feature_view_name(&self.name)?;
        names("entities", VIEW_ENTITIES_MAX, self.entities.iter().map(String::as_str))?;
        names("features", VIEW_FEATURES_MAX, self.features.iter().map(|feature| feature.name.as_str()))?;
        for feature in &self.features {
            text("features", &feature.dtype, Limit::Characters(NAME_CHARACTERS_MAX))?;
        }
        if let Some(ttl) = self.ttl_seconds.filter(|&ttl| ttl > TTL_SECONDS_MAX) {
            let reason = format!("expected at most {TTL_SECONDS_MAX} seconds, found {ttl}");
            return Err(InvalidField::new("ttl_seconds", reason));
        }
        Ok(())
    }
}

/// Checks the name of a view, also of one that is only looked for.
///
/// # Errors
/// When no view can have it.
pub fn validate_feature_view_name(name: &str) -> Result<(), InvalidField> {
    text("name", name, Limit::Characters(NAME_CHARACTERS_MAX))
}

fn names<'a>(
    field: &'static str,
    count_max: usize,
    names: impl ExactSizeIterator<Item = &'a str>,
) -> Result<(), InvalidField> {
    if names.len() > count_max {
        return Err(InvalidField::new(field, format!("expected at most {count_max}, found {}", names.len())));
    }
    let mut seen = HashSet::new();
    for name in names {
        text(field, name, Limit::Characters(NAME_CHARACTERS_MAX))?;
        if !seen.insert(name) {
            return Err(InvalidField::new(field, format!("expected every name once, found {name:?} again")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_names_everything_once() {
        let mut new = NewFeatureView::new("driver_stats");
        let feature = Feature { name: "trips".to_owned(), dtype: "Int64".to_owned() };
        new.features = vec![feature.clone()];
        new.entities = vec!["driver".to_owned()];
        assert_eq!(new.validate(), Ok(()));
        new.features.push(feature);
        assert_eq!(new.validate().unwrap_err().field, "features");
        new.features.clear();
        new.entities.push("driver".to_owned());
        assert_eq!(new.validate().unwrap_err().field, "entities");
        new.entities = (0..=VIEW_ENTITIES_MAX).map(|number| number.to_string()).collect();
        assert_eq!(new.validate().unwrap_err().field, "entities");
    }

    #[test]
    fn a_time_to_live_fits_into_its_column() {
        let new = NewFeatureView { ttl_seconds: Some(TTL_SECONDS_MAX + 1), ..NewFeatureView::new("v") };
        assert_eq!(new.validate().unwrap_err().field, "ttl_seconds");
    }
}
