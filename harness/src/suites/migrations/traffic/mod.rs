//! Live traffic: what a migration does to those who use the database meanwhile.

use super::MigrationSubject;
use crate::case::Case;

/// The cases of this group.
pub const CASES: &[Case<MigrationSubject>] = &[];
