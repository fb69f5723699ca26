//! Concurrency and crashes: what is left when a migration does not get to its end.

use super::MigrationSubject;
use crate::case::Case;

/// The cases of this group.
pub const CASES: &[Case<MigrationSubject>] = &[];
