//! Suite `repositories`: a repository does what its trait says, whatever it is made of.
//!
//! What every repository must do are the cases of the [`kit`], for all of the reference layer's by way of their
//! [`adapters`], and for anybody else's. The cases in [`CASES`] are about services and metrics alone.
//!
//! To add a case about them, write an `async fn(RepositorySubject) -> CaseResult` in the file of its topic, list it in
//! [`CASES`], and add a faulty repository that it rejects to `tests/self_test/repositories/services.rs`.

pub mod adapters;
mod concurrency;
pub mod kit;
mod lists;
mod metrics;
mod oracle;
mod registration;
mod subject;
mod summaries;
mod updates;

pub use subject::{Fixtures, RepositorySubject};

use concurrency::*;
use lists::*;
use metrics::*;
use oracle::*;
use registration::*;
use summaries::*;
use updates::*;

use crate::case;
use crate::case::{Capability, Case};
use crate::suite::{Batch, PlannedCase, Suite};

/// Every case, by topic.
pub const CASES: &[Case<RepositorySubject>] = &[
    case!(register_returns_defaults, "a new service is pending and of unknown health"),
    case!(find_returns_what_was_registered, "what is registered is found, field by field"),
    case!(text_survives_byte_for_byte, "generated Unicode text comes back byte for byte"),
    case!(empty_text_is_refused, "empty text is refused, and is not NULL"),
    case!(nul_in_text_is_refused, "a NUL in text is refused by name of its field"),
    case!(text_limits_count_characters, "text limits count characters, and nothing is cut off"),
    case!(missing_service_is_not_found, "a missing service is not found"),
    case!(tags_match_exactly, "a bento tag finds itself alone, without wildcards or injection"),
    case!(second_service_of_a_name_is_a_conflict, "a taken name is a conflict that changes nothing"),
    case!(unknown_model_is_a_missing_reference, "a service of an unknown model is refused"),
    case!(pages_cover_every_service_once, "pages of any size cover every service once, tied times included"),
    case!(limits_are_enforced, "limits of 0 and above the maximum are refused"),
    case!(pages_are_stable_during_registration, "pages are stable while services are registered"),
    case!(changed_cursor_is_refused, "a cursor with any character changed is refused"),
    case!(services_of_a_bento_are_oldest_first, "services of a bento come oldest first"),
    case!(every_status_round_trips, "every deployment status is kept"),
    case!(every_health_round_trips, "every health status is kept"),
    case!(updates_leave_the_rest_alone, "an update changes one field of one service"),
    case!(updates_advance_updated_at, "every update advances updated_at"),
    case!(missing_service_cannot_be_updated, "an update of a missing service is refused and creates none"),
    case!(metric_times_keep_microseconds, "times of metrics are kept to the microsecond, before 1970 as well"),
    case!(metric_numbers_survive_exactly, "generated numbers come back bit by bit"),
    case!(
        impossible_metrics_are_refused,
        "NaN, infinities and numbers out of range are refused by name of the field"
    ),
    case!(metric_needs_its_service, "a metric of a missing service is refused"),
    case!(metrics_of_a_missing_service_are_not_found, "a missing service is not a service without metrics"),
    case!(latest_metrics_are_newest_first, "latest metrics come newest first, in whatever order they arrived"),
    case!(tied_metrics_have_one_order, "metrics of one moment have one order"),
    case!(metrics_belong_to_their_service, "metrics of other services are left out"),
    case!(summary_weights_windows_by_requests, "a summary weighs windows by their requests"),
    case!(summary_never_averages_percentiles, "a summary bounds percentiles and never averages them"),
    case!(summary_of_nothing_has_no_numbers, "a summary of nothing has no numbers, not zeros"),
    case!(summary_window_is_half_open, "a summary includes its beginning and excludes its end"),
    case!(summary_tells_what_it_cannot_weigh, "a summary counts windows without a weight and leaves them out"),
    case!(summary_survives_extreme_measures, "a summary of the smallest and largest numbers is no error"),
    case!(concurrent_metrics_lose_nothing, "concurrent metrics are all kept"),
    case!(concurrent_registration_has_one_winner, "of concurrent registrations of one name one wins"),
    case!(concurrent_updates_form_one_history, "concurrent updates form one history"),
    case!(
        random_operations_equal_the_oracle,
        "generated sequences of operations equal the oracle in memory",
        requires: [Capability::IndependentOracle]
    ),
];

/// The suite, with the reference implementations as its subjects.
#[derive(Debug, Clone, Copy)]
pub struct RepositorySuite;

impl Suite for RepositorySuite {
    fn name(&self) -> &'static str {
        "repositories"
    }

    fn plan(&self) -> Vec<PlannedCase> {
        let postgres = CASES.iter().map(|case| {
            PlannedCase::new(
                self,
                "postgres",
                case,
                Batch::Database,
                &[Capability::IndependentOracle],
                |context| Box::pin(RepositorySubject::postgres(context)),
            )
        });
        let memory = CASES.iter().map(|case| {
            PlannedCase::new(self, "memory", case, Batch::Compute, &[], |context| {
                Box::pin(RepositorySubject::memory(context))
            })
        });
        postgres.chain(memory).chain(adapters::plan()).collect()
    }
}
