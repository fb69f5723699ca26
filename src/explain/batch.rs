//! The rows to be explained.

/// Rows of values, one after another in memory. Rows may differ in width: whether a width is right is known to
/// the model only, and a wrong row must not cost the others. NaN is a missing value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    values: Vec<f64>,
    ends: Vec<usize>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A batch of rows.
    pub fn from_rows<R: AsRef<[f64]>>(rows: impl IntoIterator<Item = R>) -> Self {
        let mut batch = Self::new();
        for row in rows {
            batch.push(row.as_ref());
        }
        batch
    }

    /// Adds a row.
    pub fn push(&mut self, row: &[f64]) {
        self.values.extend_from_slice(row);
        self.ends.push(self.values.len());
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A row by its place.
    ///
    /// # Panics
    /// When there are not as many rows.
    #[must_use]
    pub fn row(&self, index: usize) -> &[f64] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.values[start..self.ends[index]]
    }

    /// The rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        (0..self.len()).map(|index| self.row(index))
    }
}
