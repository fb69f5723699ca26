//! The cases for one repository, as a plan and as tests.

use super::ability::Ability;
use super::adapter::Adapter;
use super::cases::CASES;
use super::subject::Subject;
use crate::case::Capability;
use crate::faults::can_mount;
use crate::server::may_be_local;
use crate::suite::{Batch, PlannedCase, Suite};
use crate::suites::repositories::RepositorySuite;

/// All cases for the repository behind this adapter; those that do not apply say why.
#[must_use]
pub fn plan<A: Adapter>() -> Vec<PlannedCase> {
    let spec = A::spec();
    let mut abilities = spec.abilities();
    if may_be_local() {
        abilities.insert(Ability::Crash);
    }
    if can_mount() {
        abilities.insert(Ability::Mount);
    }
    let has: Vec<_> = abilities.iter().copied().map(Capability::Repository).collect();
    let batch = if abilities.contains(&Ability::Database) { Batch::Database } else { Batch::Compute };
    let suite: &dyn Suite = &RepositorySuite;
    CASES
        .iter()
        .map(|case| {
            PlannedCase::new(suite, spec.name(), case, batch, &has, |context| {
                Box::pin(async move { Ok(Subject::of::<A>(context)) })
            })
        })
        .collect()
}

/// The cases as tests named `repositories::subject::case`, for runners that have tests of their own beside them.
#[cfg(feature = "libtest")]
#[must_use]
pub fn trials<A: Adapter>(session: &std::sync::Arc<crate::libtest::SharedSession>) -> Vec<libtest_mimic::Trial> {
    plan::<A>()
        .into_iter()
        .map(|case| {
            let session = std::sync::Arc::clone(session);
            let (name, ignored) = (case.id.to_string(), case.skip.is_some());
            let run = move || session.run(&case).map_err(libtest_mimic::Failed::from);
            libtest_mimic::Trial::test(name, run).with_ignored_flag(ignored)
        })
        .collect()
}

/// The `main` of a test binary with `harness = false`: all cases for the repository behind this adapter.
#[cfg(feature = "libtest")]
#[must_use]
pub fn main<A: Adapter>() -> std::process::ExitCode {
    use std::io::Write as _;
    let arguments = libtest_mimic::Arguments::from_args();
    let run = || {
        let session = std::sync::Arc::new(crate::libtest::SharedSession::from_env()?.of_tests_alone());
        let conclusion = libtest_mimic::run(&arguments, trials::<A>(&session));
        // The trials are gone and with them their handles. Returning, not exiting, lets the server be stopped.
        let session = std::sync::Arc::into_inner(session).ok_or("a test has outlived its runner")?;
        session.shutdown()?;
        Ok::<_, String>(conclusion.exit_code())
    };
    run().unwrap_or_else(|message| {
        let _ = writeln!(std::io::stderr(), "error: {message}");
        std::process::ExitCode::FAILURE
    })
}
