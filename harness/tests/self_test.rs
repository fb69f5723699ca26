//! The harness tests itself: every case rejects a deliberately faulty subject, by name and for the right reason. A case
//! without one does not compile.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may fail loudly"
)]

#[path = "self_test/explanations.rs"]
mod explanations;
#[path = "self_test/latency.rs"]
mod latency;
#[path = "self_test/migrations/mod.rs"]
mod migrations;
#[path = "self_test/migrators.rs"]
mod migrators;
#[path = "self_test/repositories/mod.rs"]
mod repositories;

use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use proofmark_harness::case::{Capability, Case};
use proofmark_harness::environment::Environment;
use proofmark_harness::event::Outcome;
use proofmark_harness::mutant::{Mutant, assert_every_case_has_a_mutant};
use proofmark_harness::runner::{self, Options};
use proofmark_harness::server::ServerChoice;
use proofmark_harness::suite::{Batch, PlannedCase, Suite};
use proofmark_harness::suites;
use tokio::runtime::Runtime;

const _: () = assert_every_case_has_a_mutant(suites::explanations::CASES, explanations::MUTANTS);
const _: () = assert_every_case_has_a_mutant(suites::latency::CASES, latency::MUTANTS);
const _: () = assert_every_case_has_a_mutant(suites::migrations::files::CASES, migrations::files::MUTANTS);
const _: () = assert_every_case_has_a_mutant(suites::migrations::replay::CASES, migrations::replay::MUTANTS);
const _: () = assert_every_case_has_a_mutant(suites::migrations::traffic::CASES, migrations::traffic::MUTANTS);
const _: () = assert_every_case_has_a_mutant(suites::migrations::quality::CASES, migrations::quality::MUTANTS);
const _: () = assert_every_case_has_a_mutant(suites::migrations::crash::CASES, migrations::crash::MUTANTS);
const _: () = assert_every_case_has_a_mutant(suites::migrations::policy::CASES, migrations::files::POLICY_MUTANTS);
const _: () = assert_every_case_has_a_mutant(suites::migrators::CASES, migrators::MUTANTS);
const _: () = assert_every_case_has_a_mutant(suites::migrators::LIST_CASES, migrators::LIST_MUTANTS);
const _: () = assert_every_case_has_a_mutant(suites::repositories::CASES, repositories::MUTANTS);

/// Generated data is the same in every run: whether a fault is found must not be a matter of luck.
const OPTIONS: Options = Options { seed: 1, concurrency: 1, time_limit: Duration::from_secs(120), keep: false };

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static ENVIRONMENT: LazyLock<Arc<Environment>> =
    LazyLock::new(|| Arc::new(Environment::shared(ServerChoice::Auto)));

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let (suite, sound) = (&suites::migrations::MigrationSuite, migrations::sound_subject);
    for (cases, mutants) in suites::migrations::GROUPS.into_iter().zip(migrations::MUTANTS) {
        add(&mut trials, suite, cases, mutants);
    }
    add(&mut trials, suite, suites::migrations::policy::CASES, migrations::files::POLICY_MUTANTS);
    for case in suites::migrations::GROUPS.into_iter().flatten().chain(suites::migrations::policy::CASES) {
        let planned = PlannedCase::new(suite, "sound", case, Batch::Database, &Capability::ALL, sound);
        let name = format!("{}::{}::accepts::a_sound_set", suite.name(), case.name);
        trials.push(Trial::test(name, move || is_accepted(&planned)));
    }
    let suite = &suites::migrators::MigratorsSuite;
    add(&mut trials, suite, suites::migrators::CASES, migrators::MUTANTS);
    add(&mut trials, suite, suites::migrators::LIST_CASES, migrators::LIST_MUTANTS);
    add(&mut trials, &suites::repositories::RepositorySuite, suites::repositories::CASES, repositories::MUTANTS);
    trials.extend(repositories::kit::trials());
    add(&mut trials, &suites::explanations::ExplanationSuite, suites::explanations::CASES, explanations::MUTANTS);
    add(&mut trials, &suites::latency::LatencySuite, suites::latency::CASES, latency::MUTANTS);
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(environment) = LazyLock::get(&ENVIRONMENT)
        && let Err(error) = RUNTIME.block_on(environment.shutdown())
    {
        eprintln!("shutdown: {error}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// One trial for each mutant: `suite::case::rejects::mutant`.
fn add<S: Send + 'static>(
    trials: &mut Vec<Trial>,
    suite: &dyn Suite,
    cases: &'static [Case<S>],
    mutants: &'static [Mutant<S>],
) {
    for mutant in mutants {
        let case = cases.iter().find(|case| case.name == mutant.case).expect("checked by the compiler");
        let planned = PlannedCase::new(suite, mutant.name, case, Batch::Compute, &Capability::ALL, mutant.subject);
        let name = format!("{}::{}::rejects::{}", suite.name(), mutant.case, mutant.name);
        trials.push(Trial::test(name, move || is_rejected(&planned, mutant.says)));
    }
}

/// A fault is only found where a subject without it passes.
fn is_accepted(case: &PlannedCase) -> Result<(), Failed> {
    let (record, _) = RUNTIME.block_on(runner::run_case(case, &ENVIRONMENT, &OPTIONS));
    match record.outcome {
        Outcome::Passed => Ok(()),
        outcome => Err(outcome.explanation().into()),
    }
}

/// Whether the case fails, for whatever reason that is the subject's.
fn fails(case: &PlannedCase) -> bool {
    let (record, _) = RUNTIME.block_on(runner::run_case(case, &ENVIRONMENT, &OPTIONS));
    record.outcome.is_failure()
}

fn is_rejected(case: &PlannedCase, says: &str) -> Result<(), Failed> {
    let (record, _) = RUNTIME.block_on(runner::run_case(case, &ENVIRONMENT, &OPTIONS));
    let explanation = record.outcome.explanation();
    if !record.outcome.is_failure() {
        return Err(
            format!("expected the case to fail, found that it {}: {explanation}", record.outcome.word()).into()
        );
    }
    if !explanation.contains(says) {
        return Err(format!("expected the failure to say {says:?}, found: {explanation}").into());
    }
    println!("{explanation}");
    Ok(())
}
