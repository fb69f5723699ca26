//! Files: what is wrong before anything is executed.

mod names;
mod statements;
mod transactions;

use super::MigrationSubject;
use crate::case;
use crate::case::Case;
use names::{
    down_scripts_have_an_up, files_are_recognized, files_are_text, line_ends_do_not_change_checksums,
    markers_are_in_their_places, order_is_not_ambiguous, suppressions_are_well_formed, versions_are_unique,
    versions_have_no_gaps,
};
use statements::{files_are_not_empty, names_fit_into_63_bytes, psql_commands_are_not_used, statements_end};
use transactions::{
    begin_and_commit_are_balanced, concurrently_is_outside_a_transaction, no_transaction_files_have_one_statement,
};

/// The cases of this group.
pub const CASES: &[Case<MigrationSubject>] = &[
    case!(versions_are_unique, "no two migrations have one version"),
    case!(versions_have_no_gaps, "no version is missing where versions are counted"),
    case!(order_is_not_ambiguous, "migrations have one order, whoever sorts them"),
    case!(files_are_text, "every script is text in UTF-8 of a size that can be read"),
    case!(files_are_recognized, "every script has a name that its tool knows"),
    case!(markers_are_in_their_places, "lines for the tool are where it wants them"),
    case!(down_scripts_have_an_up, "every down script reverts something"),
    case!(files_are_not_empty, "every script does something"),
    case!(line_ends_do_not_change_checksums, "line ends are the same in every checkout"),
    case!(statements_end, "strings, comments and rows have an end"),
    case!(psql_commands_are_not_used, "scripts need no psql"),
    case!(names_fit_into_63_bytes, "no name is so long that Postgres cuts it"),
    case!(begin_and_commit_are_balanced, "scripts leave their runner's transaction alone"),
    case!(concurrently_is_outside_a_transaction, "what cannot be in a transaction is in none"),
    case!(no_transaction_files_have_one_statement, "a script without a transaction has one statement"),
    case!(suppressions_are_well_formed, "comments that allow something say what, and why"),
];
