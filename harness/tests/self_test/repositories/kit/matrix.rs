//! Which case rejects which faulty repository, as a snapshot: a case that rejects nothing but its own mutant has a reason
//! to be, and one that stops to reject something is seen.

use std::fmt::Write as _;

use libtest_mimic::Failed;
use proofmark_harness::suites::repositories::kit::CASES;

use super::{IN_MEMORY, IN_POSTGRES, needs_a_database, planned};

/// Cases that are tried with their own mutants alone: those that make a failure small first, which takes its time, and
/// those with much data.
const OWN_MUTANTS_ONLY: [&str; 5] = [
    "generated_records_round_trip",
    "random_operations_equal_the_oracle",
    "parallel_operations_have_one_order",
    "a_megabyte_of_text_survives",
    "an_append_may_exceed_the_bind_limit",
];

/// Runs every case that needs no database against every mutant in memory. Those in Postgres are run by their own cases
/// alone (`rejects` above): most of the others would take seconds to find nothing.
pub(super) fn is_as_recorded() -> Result<(), Failed> {
    let mut text = String::new();
    for mutant in IN_MEMORY {
        let _ = writeln!(text, "{} ({})", mutant.name, mutant.case);
        for case in CASES.iter().filter(|case| !needs_a_database(case)) {
            let is_tried = case.name == mutant.case || !OWN_MUTANTS_ONLY.contains(&case.name);
            if is_tried && crate::fails(&planned(case, mutant.subject)) {
                let _ = writeln!(text, "    {}", case.name);
            }
        }
    }
    for mutant in IN_POSTGRES {
        let _ = writeln!(text, "{} ({})\n    its own case; others are not tried", mutant.name, mutant.case);
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("kill_matrix__repositories", text));
    Ok(())
}
