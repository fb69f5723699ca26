//! Faulty repositories for the kit: at least one for each case.

mod matrix;
mod memory;
mod postgres;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use libtest_mimic::Trial;
use proofmark_harness::case::{Capability, Case, CaseError};
use proofmark_harness::context::CaseContext;
use proofmark_harness::mutant::{Mutant, assert_every_case_has_a_mutant_in};
use proofmark_harness::suite::{Batch, PlannedCase};
use proofmark_harness::suites::repositories::RepositorySuite;
use proofmark_harness::suites::repositories::kit::{Ability, Adapter, CASES, Opener, Subject, reference_spec};

use memory::{Fault, Faulty};
use postgres::{Fault as PgFault, Samples};

type Made = BoxFuture<'static, Result<Subject, CaseError>>;

fn in_memory(context: CaseContext, fault: Fault) -> Made {
    let open: Opener =
        Arc::new(move |_| Box::pin(async move { Ok(Arc::new(Faulty::new(fault)) as Arc<dyn Adapter>) }));
    Box::pin(async move { Ok(Subject::new(reference_spec(), open, context)) })
}

fn in_postgres(context: CaseContext, fault: PgFault) -> Made {
    let open: Opener = Arc::new(move |database| {
        Box::pin(async move { Ok(Arc::new(Samples::open_with(&database, fault).await?) as Arc<dyn Adapter>) })
    });
    Box::pin(async move { Ok(Subject::new(postgres::spec(), open, context)) })
}

/// `mutants! { memory: case, "what is wrong", "what the failure says", Fault; ... }`
macro_rules! mutants {
    ($name:ident, $make:ident, $faults:ident: $($case:ident, $what:literal, $says:literal, $fault:ident;)+) => {
        pub(crate) const $name: &[Mutant<Subject>] = &[
            $(Mutant {
                case: stringify!($case),
                name: $what,
                says: $says,
                subject: |context| $make(context, $faults::$fault),
            },)+
        ];
    };
}

mutants! { IN_MEMORY, in_memory, Fault:
    texts_survive_byte_for_byte, "text is trimmed", "expected \" leading and trailing", TrimsText;
    generated_records_round_trip, "emoji become question marks", "get of what was inserted", ReplacesEmoji;
    empty_text_is_not_absent, "an empty text becomes NULL", "field body: expected \"\", found absent", StoresEmptyAsAbsent;
    nul_in_text_is_refused, "text ends at a NUL", "a NUL in", CutsAtNul;
    a_megabyte_of_text_survives, "text ends at 65535 characters", "field body", CutsAt64Kilobytes;
    text_limits_count_what_they_say, "a long name is cut off", "over-long name", CutsLongNames;
    no_text_is_a_statement, "semicolons are removed", "DELETE FROM", StripsSemicolons;
    texts_match_exactly, "a search is a pattern", "find of name=", FindsByPattern;
    choices_are_kept_and_others_refused, "any text is a state", "which is no choice", AcceptsAnyChoice;
    doubles_survive_bit_by_bit, "numbers have single precision", "expected 0.1", StoresSinglePrecision;
    negative_zero_keeps_its_sign, "-0.0 becomes 0.0", "expected -0.0, found 0.0", DropsTheSignOfZero;
    nan_and_infinities_are_kept_or_refused, "NaN becomes NULL", "expected NaN, found absent", StoresNanAsAbsent;
    integers_survive_to_their_limits, "integers become doubles", "9007199254740993", StoresIntegersAsDoubles;
    numbers_out_of_range_are_refused, "numbers are clamped", "level=", ClampsNumbers;
    times_keep_microseconds, "times have milliseconds", "field seen_at", KeepsMilliseconds;
    times_below_a_microsecond_become_stable, "odd times become seconds", "within a microsecond", RoundsToSeconds;
    json_survives, "nulls in JSON are dropped", "field labels", DropsNullsInJson;
    json_numbers_keep_their_digits, "numbers in JSON become doubles", "9007199254740993", ReadsJsonNumbersAsDoubles;
    nul_in_json_is_refused, "NULs in JSON are removed", "a NUL in labels", StripsNulInJson;
    absent_is_not_a_default, "an absent text becomes empty", "expected absent, found \"\"", DefaultsWhatIsAbsent;
    inserted_records_are_found, "get returns the last record", "one record of several", GetsTheLast;
    new_records_start_as_declared, "a new record is old", "phase: expected Some(\"new\")", StartsAsOld;
    missing_record_is_not_found, "a missing record is made up", "get of a missing record", MakesUpMissingRecords;
    a_taken_key_is_a_conflict, "an insert overwrites", "with a key that is taken", Overwrites;
    a_refused_insert_leaves_nothing, "an insert is checked when it is done", "after a refused insert", StoresBeforeItChecks;
    an_update_changes_what_it_names, "an update resets other fields", "after an update of", ResetsOtherFields;
    an_update_makes_absent_what_it_says, "an update ignores NULL", "became absent", IgnoresAbsentChanges;
    an_update_of_nothing_changes_nothing, "an update of nothing empties a text", "names no field", TouchesOnEmptyUpdates;
    a_missing_record_cannot_be_updated, "an update of nobody succeeds", "update of a missing record", UpdatesTheMissing;
    an_invalid_update_changes_nothing, "an update is validated field by field", "after a refused update", AppliesBeforeItValidates;
    an_update_to_a_taken_key_is_a_conflict, "an update may take any key", "update to a key that is taken", UpdatesTakenKeys;
    a_deleted_record_is_gone, "deleted records can be read", "get of a deleted record", KeepsDeletedRecords;
    a_second_delete_is_told, "a second delete succeeds", "delete of a deleted record", DeletesTheMissing;
    a_deleted_key_can_be_taken_again, "deleted names stay reserved", "found: conflict", ReservesDeletedNames;
    points_come_back_latest_first, "measurements come as they arrived", "points, number", ReturnsPointsAsTheyCame;
    points_belong_to_their_record, "measurements of all records are mixed", "points", MixesPoints;
    points_of_one_moment_have_one_order, "ties come in any order", "expected the order of all", ShufflesTies;
    an_append_needs_its_record, "an append to nobody succeeds", "record that there is not", AppendsToTheMissing;
    an_empty_append_changes_nothing, "an append of nothing is refused", "append of nothing", RefusesEmptyAppends;
    point_limits_are_enforced, "limits of measurements are clamped", "points with a limit of 0", ClampsPointLimits;
    an_append_may_exceed_the_bind_limit, "an append has 65535 parameters", "too many parameters", HasABindLimit;
    an_append_is_all_or_nothing, "an append goes on until it fails", "points", AppendsUpToTheBadPoint;
    a_repeated_append_adds_nothing, "a repeated append is stored again", "expected 4 measurements", AppendsTwice;
    measured_doubles_survive_bit_by_bit, "measures have single precision", "field value", MeasuresInSinglePrecision;
    measures_out_of_range_are_refused, "measures are clamped", "append with share=", ClampsMeasures;
    an_empty_list_has_an_end, "an empty list goes on", "expected no cursor", HasACursorBehindNothing;
    pages_cover_every_record_once, "a record is lost between two pages", "are left out", SkipsBetweenPages;
    listed_records_are_those_that_are_got, "a list shows no bodies", "as it is listed", ListsWithoutBody;
    a_full_last_page_has_no_cursor, "a full page has a cursor", "behind the last page", HasACursorBehindAFullPage;
    tied_records_have_one_order, "ties behind a page are skipped", "are left out", SkipsTies;
    pages_are_stable_under_inserts, "pages are counted from the newest", "again", PagesByOffsetFromTheNewest;
    pages_are_stable_under_deletes, "pages are counted", "are left out", PagesByOffset;
    list_limits_are_enforced, "limits of lists are clamped", "list with a limit of 0", ClampsLimits;
    a_changed_cursor_is_refused, "any cursor begins again", "list behind the changed cursor", BelievesAnyCursor;
    concurrent_inserts_are_all_kept, "keys are counted", "keys, found", CountsForKeys;
    concurrent_inserts_of_one_key_have_one_winner, "a key is checked before it is taken", "expected one winner", ChecksThenInserts;
    concurrent_updates_lose_nothing, "an update writes what it read", "by several callers", ReadsThenUpdates;
    concurrent_appends_lose_nothing, "an append that meets another is lost", "measurements, found", ReadsThenAppends;
    concurrent_deletes_have_one_winner, "a delete is checked before it is done", "expected one winner", ChecksThenDeletes;
    an_update_is_seen_whole, "an update is done field by field", "found another", UpdatesInSteps;
    random_operations_equal_the_oracle, "the third update of a record is forgotten", "differs from the oracle", ForgetsTheThirdUpdate;
    parallel_operations_have_one_order, "an update writes what it read", "one after another", ReadsThenUpdates;
}

mutants! { IN_POSTGRES, in_postgres, PgFault:
    times_do_not_depend_on_the_zone, "times are read in the session's zone", "field seen_at", ReadsLocalTimes;
    json_is_not_encoded_twice, "JSON is stored as a text of it", "texts that hold JSON", EncodesJsonTwice;
    a_page_takes_the_same_statements, "a list asks for each row", "as many statements", AsksForEachRow;
    serializable_updates_are_done_or_told, "a serialisation failure is swallowed", "serializable updates", SwallowsContention;
    open_transactions_of_others_are_not_seen, "a read waits for locks", "could not obtain lock", LocksWhatItReads;
    two_databases_share_nothing, "a cache is shared by all databases", "of another database", SharesACache;
    two_tenants_share_nothing, "records of all tenants are read", "of another tenant", IgnoresTenants;
    two_repositories_see_one_store, "reads are cached for ever", "another repository", CachesReads;
    statements_survive_a_new_column, "SELECT * is prepared", "cached plan", SelectsStar;
    nothing_is_left_open, "a refused insert leaves its transaction", "idle in transaction", ForgetsItsTransaction;
    calls_do_not_change_their_session, "a temporary table stays", "temporary tables", LeavesATemporaryTable;
    a_cut_before_any_message_loses_nothing, "errors are swallowed", "acknowledged to be there", SwallowsErrors;
    a_cut_after_any_message_loses_nothing, "an insert is retried blindly", "found: conflict", RetriesBlindly;
    a_truncated_answer_is_no_answer, "a broken connection is blamed on the caller", "found: invalid", BlamesTheCaller;
    an_unacknowledged_commit_is_not_doubled, "a retry writes the event again", "expected no rows more", RetriesAndDoubles;
    an_uncommitted_insert_is_no_success, "errors are swallowed", "acknowledged to be there", SwallowsErrors;
    an_acknowledged_commit_is_kept, "a broken connection is kept", "and then an insert", NeverConnectsAgain;
    a_delayed_answer_is_waited_for, "an insert gives up after 20 ms", "expected success", GivesUpAtOnce;
    a_stalled_call_can_be_given_up, "all share one connection", "found them waiting", HasOneConnection;
    a_session_ended_before_the_commit_is_told, "errors are swallowed", "acknowledged to be there", SwallowsErrors;
    a_session_ended_after_the_commit_loses_nothing, "a broken connection is kept", "and then an insert", NeverConnectsAgain;
    an_interrupted_append_is_whole_or_absent, "measurements are appended one by one", "rows", AppendsOneByOne;
    an_interrupted_update_is_whole_or_absent, "fields are updated one by one", "before or after the update", UpdatesFieldByField;
    terminated_sessions_are_replaced, "a broken connection is kept", "and then an insert", NeverConnectsAgain;
    a_cancelled_statement_is_told, "a cancellation is the caller's fault", "blames the store", MistakesCancellation;
    an_exhausted_pool_refuses_in_time, "a connection is waited for without end", "expected a refusal", WaitsForEver;
    a_read_only_server_is_told, "a read-only server is the caller's fault", "blames the store", MistakesReadOnly;
    a_dropped_insert_leaves_nothing_open, "a transaction is begun by hand", "idle in transaction", BeginsByHand;
    a_dropped_connection_attempt_leaves_nothing_open, "a transaction is begun by hand", "idle in transaction", BeginsByHand;
    a_dropped_update_is_whole_or_absent, "fields are updated one by one", "before or after the update", UpdatesFieldByField;
    a_dropped_append_is_whole_or_absent, "measurements are appended one by one", "rows", AppendsOneByOne;
    a_restarted_server_loses_nothing, "a broken connection is kept", "insert after", NeverConnectsAgain;
    a_full_disk_is_told_and_survived, "a full disk is the caller's fault", "expected the refusal unavailable", MistakesAFullDisk;
}

/// All of them.
const ALL: &[&[Mutant<Subject>]] = &[IN_MEMORY, IN_POSTGRES];

const _: () = assert_every_case_has_a_mutant_in(CASES, ALL);

/// All abilities, those of the machine as far as there are.
fn abilities() -> &'static [Capability] {
    let can = |ability: &Ability| match ability {
        Ability::Mount => proofmark_harness::faults::can_mount(),
        Ability::Crash => proofmark_harness::server::may_be_local(),
        _ => true,
    };
    let abilities = Ability::ALL.iter().copied().filter(can).map(Capability::Repository).collect::<Vec<_>>();
    abilities.leak()
}

fn planned(case: &'static Case<Subject>, subject: fn(CaseContext) -> Made) -> PlannedCase {
    PlannedCase::new(&RepositorySuite, "kit", case, Batch::Database, abilities(), subject)
}

/// What passes where nothing is wrong.
fn needs_a_database(case: &Case<Subject>) -> bool {
    case.requires.contains(&Capability::Repository(Ability::Database))
}

/// `repositories::case::rejects::mutant`, and `repositories::case::accepts::a_sound_repository` in memory and in Postgres.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for mutant in ALL.iter().copied().flatten() {
        let case = CASES.iter().find(|case| case.name == mutant.case).expect("a mutant names a case");
        let planned = planned(case, mutant.subject);
        let ignored = planned.skip.is_some();
        let name = format!("repositories::{}::rejects::{}", case.name, mutant.name);
        trials
            .push(Trial::test(name, move || crate::is_rejected(&planned, mutant.says)).with_ignored_flag(ignored));
    }
    for case in CASES {
        let sound = planned(case, |context| in_postgres(context, PgFault::None));
        let ignored = sound.skip.is_some();
        let name = format!("repositories::{}::accepts::a_sound_repository", case.name);
        trials.push(Trial::test(name, move || crate::is_accepted(&sound)).with_ignored_flag(ignored));
        if !needs_a_database(case) {
            let sound = planned(case, |context| in_memory(context, Fault::None));
            let name = format!("repositories::{}::accepts::a_sound_repository_in_memory", case.name);
            trials.push(Trial::test(name, move || crate::is_accepted(&sound)));
        }
    }
    trials.push(Trial::test("repositories::kit::kill_matrix", matrix::is_as_recorded));
    trials
}
