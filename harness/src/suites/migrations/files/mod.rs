//! Files: what is wrong before anything is executed.

use super::MigrationSubject;
use crate::case::Case;

/// The cases of this group.
pub const CASES: &[Case<MigrationSubject>] = &[];
