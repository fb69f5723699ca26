//! Every case as a test named `suite::subject::case`, for `cargo nextest run` and `cargo test`.
//!
//! The seed is fixed unless `PROOFMARK_SEED` says otherwise. A case that cannot run is listed as ignored; asked for
//! with `--ignored` it fails with the reason, as it did not run.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use proofmark_harness::libtest::SharedSession;
use proofmark_harness::suites;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let session = match SharedSession::from_env() {
        Ok(session) => Arc::new(session),
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    let trials = suites::plan()
        .into_iter()
        .map(|case| {
            let session = Arc::clone(&session);
            let ignored = case.skip.is_some();
            Trial::test(case.id.to_string(), move || session.run(&case).map_err(Failed::from))
                .with_ignored_flag(ignored)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The trials are gone and with them their handles. Returning, not exiting, lets the server be stopped.
    let session = Arc::into_inner(session).ok_or_else(|| "a test has outlived its runner".to_owned());
    match session.and_then(SharedSession::shutdown) {
        Ok(()) => conclusion.exit_code(),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
