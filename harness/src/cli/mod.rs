//! The command line: one module per command, and what they share.

mod db;
mod derive;
mod error;
mod execute;
mod explain;
mod list;
mod migrations;
mod output;
mod progress;
mod run;
mod screen;
mod select;

use clap::{Parser, Subcommand};
use proofmark_harness::exit::Exit;
use tracing_subscriber::EnvFilter;

use screen::Screen;

/// Evidence in place of a claim: conformance suites, property tests and latency benchmarks for an MLOps layer on
/// Postgres.
#[derive(Debug, Parser)]
#[command(name = "proofmark", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0         all passed
  1         a subject failed
  2         usage or configuration
  3         environment or harness error
  4         nothing ran
  130, 143  interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the suites and print the audit table
    Run(run::Arguments),
    /// Run the migration suite against a directory of your own
    Migrations(migrations::Arguments),
    /// Compute the SHAP values of a model file for a data file
    Explain(explain::Arguments),
    /// List every case, what it checks and what it requires
    List(list::Arguments),
    /// Derive reports from a recorded run
    Report(derive::ReportArguments),
    /// Print the audit table of a recorded run
    Audit(derive::AuditArguments),
    /// Provide Postgres
    Db(db::Arguments),
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way as well. A closed pipe is nothing to report.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Passed };
        }
    };
    log_to_stderr();
    let mut screen = Screen::new();
    let result = match &arguments.command {
        Command::Run(arguments) => run::run(arguments, &mut screen),
        Command::Migrations(arguments) => migrations::run(arguments, &mut screen),
        Command::Explain(arguments) => explain::run(arguments, &mut screen),
        Command::List(arguments) => list::list(arguments, &mut screen),
        Command::Report(arguments) => derive::report(arguments, &mut screen),
        Command::Audit(arguments) => derive::audit(arguments, &mut screen),
        Command::Db(arguments) => db::run(arguments, &mut screen),
    };
    result.unwrap_or_else(|error| {
        screen.error(&error);
        error.exit()
    })
}

/// Logs what `PROOFMARK_LOG` asks for, for example `debug` or `sqlx=info`; nothing unless it is set.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("PROOFMARK_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
