//! Schema quality: the schema that all migrations lead to.

mod keys;

use super::MigrationSubject;
use crate::case;
use crate::case::Case;
use keys::{every_table_has_a_primary_key, foreign_keys_are_indexed};

/// The cases of this group.
pub const CASES: &[Case<MigrationSubject>] = &[
    case!(foreign_keys_are_indexed, "foreign keys are indexed"),
    case!(every_table_has_a_primary_key, "every table has a primary key"),
];
