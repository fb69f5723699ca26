//! How often a row was written: what an update says it has seen.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The revision of a row: 1 when it is stored first, and one more after each change.
///
/// A caller that hands back the revision that it read is told when somebody else changed the row meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(i64);

impl Revision {
    /// The revision of a row that was never changed.
    pub const FIRST: Self = Self(1);

    /// The revision that a store keeps under this number.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number as it is stored.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The revision after one more change.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
