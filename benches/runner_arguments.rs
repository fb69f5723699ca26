//! What benches are told by those who run them: `cargo bench`, `cargo test --benches`, and test runners that list.

use clap::Args;

/// Part of a bench's arguments.
#[derive(Debug, Args)]
pub(crate) struct RunnerArguments {
    /// Passed by `cargo bench`; without it, as under `cargo test --benches`, the bench only verifies
    #[arg(long, hide = true)]
    bench: bool,
    /// Asked by test runners: a bench has no tests
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    ignored: bool,
}

impl RunnerArguments {
    /// Whether nothing is to be run.
    pub(crate) fn only_lists(&self) -> bool {
        self.list
    }

    /// Whether nothing is to be measured.
    pub(crate) fn only_verifies(&self) -> bool {
        !self.bench
    }
}
