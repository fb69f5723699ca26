//! Every case as a test named `suite::subject::case`, for `cargo nextest run` and `cargo test`.
//!
//! The seed is fixed unless `PROOFMARK_SEED` says otherwise. A case that cannot run is listed as ignored; asked for
//! with `--ignored` it fails with the reason, as it did not run.

use std::io::{Write as _, stderr};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use proofmark_harness::libtest::SharedSession;
use proofmark_harness::suites;

fn main() -> ExitCode {
    run(&Arguments::from_args()).unwrap_or_else(|message| {
        let _ = writeln!(stderr(), "error: {message}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let session = Arc::new(SharedSession::from_env()?);
    let trials = suites::plan()
        .into_iter()
        .map(|case| {
            let session = Arc::clone(&session);
            let ignored = case.skip.is_some();
            Trial::test(case.id.to_string(), move || session.run(&case).map_err(Failed::from))
                .with_ignored_flag(ignored)
        })
        .collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    // The trials are gone and with them their handles. Returning, not exiting, lets the server be stopped.
    Arc::into_inner(session).ok_or("a test has outlived its runner")?.shutdown()?;
    Ok(conclusion.exit_code())
}
