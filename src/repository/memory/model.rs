//! Models, as far as others refer to them.

use std::collections::HashSet;

use crate::domain::ModelId;

/// The models that are known.
#[derive(Debug, Default)]
pub(super) struct Rows {
    models: HashSet<ModelId>,
}

impl Rows {
    /// Whether there is such a model.
    pub(super) fn contains(&self, id: ModelId) -> bool {
        self.models.contains(&id)
    }

    /// Makes a model known.
    pub(super) fn add(&mut self, id: ModelId) {
        self.models.insert(id);
    }
}
