//! The cases, by topic.

mod append;
mod concurrency;
mod crud;
mod documents;
mod faults;
mod isolation;
mod lists;
mod machine;
mod numbers;
mod outages;
mod stage;
mod texts;
mod times;

use super::ability::Ability;
use super::subject::Subject;
use crate::case::{Capability, Case};

/// Makes a case: `kit_case!(module::function, "what it checks", [Ability, ...])`.
macro_rules! kit_case {
    ($module:ident::$function:ident, $checks:literal, [$($ability:ident),*]) => {
        Case {
            name: stringify!($function),
            checks: $checks,
            requires: &[$(Capability::Repository(Ability::$ability)),*],
            run: |subject| Box::pin($module::$function(subject)),
        }
    };
}

/// Every case, by topic.
pub const CASES: &[Case<Subject>] = &[
    // Values.
    kit_case!(texts::texts_survive_byte_for_byte, "texts of all kinds come back byte for byte", [Text]),
    kit_case!(texts::generated_records_round_trip, "generated records come back field by field", []),
    kit_case!(texts::empty_text_is_not_absent, "an empty text is kept or refused, and is not NULL", [Text]),
    kit_case!(texts::nul_in_text_is_refused, "a NUL in a text is refused as invalid", [Text]),
    kit_case!(texts::a_megabyte_of_text_survives, "a megabyte of text comes back", [LongText]),
    kit_case!(
        texts::text_limits_count_what_they_say,
        "text limits are exact, and nothing is cut off",
        [LimitedText]
    ),
    kit_case!(texts::no_text_is_a_statement, "no text, key or cursor is executed", [Text]),
    kit_case!(texts::texts_match_exactly, "a search finds its text alone, without wildcards", [Find]),
    kit_case!(
        texts::choices_are_kept_and_others_refused,
        "every choice is kept, and others are refused",
        [Choice]
    ),
    kit_case!(numbers::doubles_survive_bit_by_bit, "doubles come back bit by bit, subnormals as well", [Float]),
    kit_case!(numbers::negative_zero_keeps_its_sign, "-0.0 is not 0.0", [Float]),
    kit_case!(numbers::nan_and_infinities_are_kept_or_refused, "NaN and infinities are kept or refused", [Float]),
    kit_case!(
        numbers::integers_survive_to_their_limits,
        "integers come back up to the limits of 64 bits",
        [Integer]
    ),
    kit_case!(numbers::numbers_out_of_range_are_refused, "numbers out of a field's range are refused", [Range]),
    kit_case!(times::times_keep_microseconds, "times are kept to the microsecond, before 1970 as well", [Time]),
    kit_case!(
        times::times_below_a_microsecond_become_stable,
        "digits below a microsecond change nothing else",
        [Time]
    ),
    kit_case!(
        times::times_do_not_depend_on_the_zone,
        "times are the same in every session's zone",
        [Time, Database]
    ),
    kit_case!(documents::json_survives, "JSON comes back, with its keys, its nesting and its texts", [Json]),
    kit_case!(documents::json_numbers_keep_their_digits, "numbers in JSON keep their digits", [Json]),
    kit_case!(
        documents::json_is_not_encoded_twice,
        "JSON is stored as JSON, not as a text of it",
        [Json, Database]
    ),
    kit_case!(documents::nul_in_json_is_refused, "a NUL in JSON is refused as invalid", [Json]),
    kit_case!(documents::absent_is_not_a_default, "what is absent stays absent", [Optional]),
    // Insert, get, update, delete.
    kit_case!(crud::inserted_records_are_found, "every inserted record is found under a key of its own", []),
    kit_case!(crud::new_records_start_as_declared, "a new record has all fields, as they start", []),
    kit_case!(crud::missing_record_is_not_found, "a missing record is not found", []),
    kit_case!(crud::a_taken_key_is_a_conflict, "a taken key is a conflict that changes nothing", [Unique]),
    kit_case!(crud::a_refused_insert_leaves_nothing, "a refused insert leaves no rows anywhere", [Unique]),
    kit_case!(crud::an_update_changes_what_it_names, "an update changes what it names, in one record", [Update]),
    kit_case!(crud::an_update_makes_absent_what_it_says, "an update can make a field absent", [UpdateOptional]),
    kit_case!(
        crud::an_update_of_nothing_changes_nothing,
        "an update that names nothing changes nothing",
        [Update]
    ),
    kit_case!(crud::a_missing_record_cannot_be_updated, "an update of a missing record is refused", [Update]),
    kit_case!(crud::an_invalid_update_changes_nothing, "a refused update changes no field", [Update]),
    kit_case!(
        crud::an_update_to_a_taken_key_is_a_conflict,
        "an update to a taken key is a conflict",
        [UpdateUnique]
    ),
    kit_case!(crud::a_deleted_record_is_gone, "a deleted record is gone, and no other one", [Delete]),
    kit_case!(crud::a_second_delete_is_told, "a second delete finds nothing and says so", [Delete]),
    kit_case!(crud::a_deleted_key_can_be_taken_again, "a key can be taken again after a delete", [Delete, Unique]),
    // Measurements.
    kit_case!(
        append::points_come_back_latest_first,
        "measurements come latest first, however they arrived",
        [Append]
    ),
    kit_case!(append::points_belong_to_their_record, "measurements of other records are left out", [Append]),
    kit_case!(append::points_of_one_moment_have_one_order, "measurements of one moment have one order", [Append]),
    kit_case!(append::an_append_needs_its_record, "a measurement of a missing record is refused", [Append]),
    kit_case!(append::an_empty_append_changes_nothing, "an append of nothing is no error", [AppendMany]),
    kit_case!(append::point_limits_are_enforced, "limits of 0 and above the maximum are refused", [Append]),
    kit_case!(
        append::an_append_may_exceed_the_bind_limit,
        "an append may hold more than 65535 values",
        [AppendMany]
    ),
    kit_case!(
        append::an_append_is_all_or_nothing,
        "an append with a bad measurement adds none",
        [AppendMany, PointRange]
    ),
    kit_case!(append::a_repeated_append_adds_nothing, "a repeated append adds nothing", [AppendOnce]),
    kit_case!(numbers::measured_doubles_survive_bit_by_bit, "measured doubles come back bit by bit", [PointFloat]),
    kit_case!(numbers::measures_out_of_range_are_refused, "measures out of range are refused", [PointRange]),
    // Lists.
    kit_case!(lists::an_empty_list_has_an_end, "a list of nothing is empty and has an end", [List]),
    kit_case!(lists::pages_cover_every_record_once, "pages of any size cover every record once", [List]),
    kit_case!(lists::listed_records_are_those_that_are_got, "a list shows records as they are", [List]),
    kit_case!(lists::a_full_last_page_has_no_cursor, "a full last page is the last one", [List]),
    kit_case!(lists::tied_records_have_one_order, "records that tie have one order", [List, Tie]),
    kit_case!(lists::pages_are_stable_under_inserts, "inserts between two pages cost no record", [List]),
    kit_case!(
        lists::pages_are_stable_under_deletes,
        "deletes between two pages cost no other record",
        [List, Delete]
    ),
    kit_case!(lists::list_limits_are_enforced, "limits of 0 and above the maximum are refused", [List]),
    kit_case!(lists::a_changed_cursor_is_refused, "a cursor with any character changed is refused", [List]),
    kit_case!(
        lists::a_page_takes_the_same_statements,
        "a page takes as many statements as any other",
        [List, Database]
    ),
    // Concurrency.
    kit_case!(concurrency::concurrent_inserts_are_all_kept, "concurrent inserts are all kept", []),
    kit_case!(
        concurrency::concurrent_inserts_of_one_key_have_one_winner,
        "of concurrent inserts of one key one wins",
        [Unique]
    ),
    kit_case!(
        concurrency::concurrent_updates_lose_nothing,
        "updates of two fields do not undo each other",
        [UpdateTwo]
    ),
    kit_case!(
        concurrency::serializable_updates_are_done_or_told,
        "a serialisation failure is retried or told",
        [UpdateTwo, Database, Reconnect]
    ),
    kit_case!(concurrency::concurrent_appends_lose_nothing, "concurrent appends are all kept", [Append]),
    kit_case!(concurrency::concurrent_deletes_have_one_winner, "of concurrent deletes one wins", [Delete]),
    kit_case!(
        concurrency::an_update_is_seen_whole,
        "an update is seen whole or not at all",
        [UpdateTwo, UpdateMany]
    ),
    kit_case!(
        concurrency::open_transactions_of_others_are_not_seen,
        "what others did not commit is not seen",
        [Database]
    ),
    kit_case!(machine::random_operations_equal_the_oracle, "random operations equal the oracle in memory", []),
    kit_case!(
        machine::parallel_operations_have_one_order,
        "parallel operations have one order (linearizable)",
        []
    ),
    // Isolation.
    kit_case!(isolation::two_databases_share_nothing, "two databases share nothing", [Database]),
    kit_case!(isolation::two_tenants_share_nothing, "two tenants share nothing", [Database, Tenants]),
    kit_case!(
        isolation::two_repositories_see_one_store,
        "two repositories on a database see the same",
        [Database]
    ),
    kit_case!(isolation::statements_survive_a_new_column, "prepared statements survive a new column", [Database]),
    kit_case!(isolation::nothing_is_left_open, "no call leaves a transaction or a lock behind", [Database]),
    kit_case!(isolation::calls_do_not_change_their_session, "no call leaves anything in its session", [Database]),
    // Faults on the way to the server.
    kit_case!(
        faults::a_cut_before_any_message_loses_nothing,
        "a connection cut before any message of an insert loses and doubles nothing",
        [Database, Reconnect]
    ),
    kit_case!(
        faults::a_cut_after_any_message_loses_nothing,
        "a connection cut after any message of an insert loses and doubles nothing",
        [Database, Reconnect]
    ),
    kit_case!(
        faults::a_truncated_answer_is_no_answer,
        "an answer of which half arrives is no success",
        [Database, Reconnect]
    ),
    kit_case!(
        faults::an_unacknowledged_commit_is_not_doubled,
        "a commit whose answer is lost is not done again",
        [Database, Reconnect]
    ),
    kit_case!(
        faults::an_uncommitted_insert_is_no_success,
        "an insert whose commit never arrived is no success",
        [Database, Reconnect]
    ),
    kit_case!(faults::an_acknowledged_commit_is_kept, "what was acknowledged is there", [Database, Reconnect]),
    kit_case!(faults::a_delayed_answer_is_waited_for, "an answer that comes late is the answer", [Database]),
    kit_case!(
        faults::a_stalled_call_can_be_given_up,
        "a call that gets no answer can be given up, and costs no other",
        [Database, Reconnect, Pool]
    ),
    kit_case!(
        faults::a_session_ended_before_the_commit_is_told,
        "a session terminated before the commit is an error",
        [Database, Reconnect]
    ),
    kit_case!(
        faults::a_session_ended_after_the_commit_loses_nothing,
        "a session terminated after the commit loses and doubles nothing",
        [Database, Reconnect]
    ),
    kit_case!(
        faults::an_interrupted_append_is_whole_or_absent,
        "an append is there as a whole or not at all, wherever it is cut",
        [Database, Reconnect, AppendMany]
    ),
    kit_case!(
        faults::an_interrupted_update_is_whole_or_absent,
        "an update is there as a whole or not at all, wherever it is cut",
        [Database, Reconnect, Update]
    ),
    // Faults of the server and of callers.
    kit_case!(
        outages::terminated_sessions_are_replaced,
        "sessions that the server ended are replaced",
        [Database, Reconnect]
    ),
    kit_case!(
        outages::a_cancelled_statement_is_told,
        "a cancelled statement is told, and its session is usable",
        [Database, Reconnect]
    ),
    kit_case!(
        outages::an_exhausted_pool_refuses_in_time,
        "an exhausted pool refuses in time and heals",
        [Database, Reconnect, Pool]
    ),
    kit_case!(
        outages::a_read_only_server_is_told,
        "a read-only server is an outage, not a fault of the caller",
        [Database, Reconnect]
    ),
    kit_case!(
        outages::a_dropped_insert_leaves_nothing_open,
        "an insert that is dropped wherever it waits leaves nothing open",
        [Database, Reconnect]
    ),
    kit_case!(
        outages::a_dropped_connection_attempt_leaves_nothing_open,
        "an insert that is dropped while it connects leaves nothing open",
        [Database, Reconnect]
    ),
    kit_case!(
        outages::a_dropped_update_is_whole_or_absent,
        "an update that is dropped wherever it waits is whole or absent",
        [Database, Reconnect, Update]
    ),
    kit_case!(
        outages::a_dropped_append_is_whole_or_absent,
        "an append that is dropped wherever it waits is whole or absent",
        [Database, Reconnect, AppendMany]
    ),
    kit_case!(
        outages::a_restarted_server_loses_nothing,
        "a server that crashes and starts again loses nothing",
        [Database, Reconnect, Crash]
    ),
    kit_case!(
        outages::a_full_disk_is_told_and_survived,
        "a full disk is told, and nothing acknowledged is lost",
        [Database, Reconnect, Crash, Mount]
    ),
];
