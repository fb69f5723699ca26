//! Schema quality: the schema that all migrations lead to, as the server has it.
//!
//! What the catalogs tell is one query for each case: `keys`, `types`, `rights`, `state`. What only shows when it is done
//! is tried on a second database that has generated rows, as the role that owns it, and rolled back: `rows`, `code`,
//! `values`, `guards`.

mod catalog;
mod code;
mod guards;
mod keys;
mod probe;
mod rights;
mod rows;
mod state;
mod types;
mod values;

use super::MigrationSubject;
use crate::case;
use crate::case::Case;
use code::{every_function_runs, every_trigger_fires, every_view_selects};
use guards::{functions_stand_a_hostile_search_path, policies_are_not_always_true};
use keys::{
    every_table_has_a_primary_key, foreign_keys_are_indexed, foreign_keys_have_the_type_that_they_refer_to,
    indexes_are_not_duplicates, keys_are_not_int4,
};
use rights::{
    nothing_is_granted_to_public, security_definer_pins_search_path, tables_have_row_security,
    views_keep_row_security,
};
use rows::{checks_reject_a_counterexample, every_table_accepts_a_row};
use state::{
    constraints_are_validated, indexes_are_valid, nothing_is_named_like_the_systems, triggers_are_enabled,
};
use types::{char_n_is_not_used, money_is_not_a_float, timestamps_have_a_zone};
use values::{
    defaults_are_accepted, numbers_have_room, sequences_are_ahead_of_their_columns, unique_holds_for_nulls,
};

/// The cases of this group.
pub const CASES: &[Case<MigrationSubject>] = &[
    case!(foreign_keys_are_indexed, "foreign keys are indexed"),
    case!(every_table_has_a_primary_key, "every table has a primary key"),
    case!(foreign_keys_have_the_type_that_they_refer_to, "foreign keys have the type of what they refer to"),
    case!(indexes_are_not_duplicates, "no index does what another does"),
    case!(keys_are_not_int4, "keys that are numbered do not run out"),
    case!(timestamps_have_a_zone, "points in time have a zone"),
    case!(char_n_is_not_used, "no text is padded with blanks"),
    case!(money_is_not_a_float, "amounts of money are exact"),
    case!(tables_have_row_security, "no table is left without row security beside others that have it"),
    case!(views_keep_row_security, "views do not pass over row security"),
    case!(security_definer_pins_search_path, "functions with their owner's rights pin their search path"),
    case!(nothing_is_granted_to_public, "nothing is granted to everybody"),
    case!(indexes_are_valid, "no index is left invalid"),
    case!(constraints_are_validated, "no constraint is left unvalidated"),
    case!(triggers_are_enabled, "no trigger is left disabled"),
    case!(nothing_is_named_like_the_systems, "no name is hidden by one of the system"),
    case!(every_table_accepts_a_row, "every table takes a generated row"),
    case!(checks_reject_a_counterexample, "every check refuses something"),
    case!(every_view_selects, "every view can be read where there are rows"),
    case!(every_function_runs, "every function and procedure runs with generated arguments"),
    case!(every_trigger_fires, "every trigger bears inserts, updates and deletes"),
    case!(unique_holds_for_nulls, "unique constraints hold where a column is NULL"),
    case!(defaults_are_accepted, "defaults are accepted by their columns"),
    case!(numbers_have_room, "numbers have room for what is measured"),
    case!(sequences_are_ahead_of_their_columns, "sequences are ahead of the rows that migrations write"),
    case!(policies_are_not_always_true, "policies keep something back"),
    case!(functions_stand_a_hostile_search_path, "functions with their owner's rights ignore the caller's path"),
];
