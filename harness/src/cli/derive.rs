//! `proofmark report` and `proofmark audit`: what a recorded run shows, without a rerun.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use proofmark_harness::exit::Exit;
use proofmark_harness::report::{json, terminal};

use super::error::CliError;
use super::output::{Outputs, Reports, last_run};
use super::screen::Screen;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("wanted").args(["junit", "html", "sarif"]).required(true).multiple(true))]
pub(crate) struct ReportArguments {
    /// The recorded run, as `proofmark run --json` writes it
    run: PathBuf,
    #[command(flatten)]
    reports: Reports,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    /// The recorded run; the last one unless given
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,
}

pub(crate) fn report(arguments: &ReportArguments, screen: &mut Screen) -> Result<Exit, CliError> {
    let record = json::read(&arguments.run)?;
    let outputs = Outputs::check(None, &arguments.reports)?;
    for path in outputs.write(&record)? {
        screen.note(&format!("wrote {}", path.display()));
    }
    Ok(Exit::Passed)
}

pub(crate) fn audit(arguments: &AuditArguments, screen: &mut Screen) -> Result<Exit, CliError> {
    let path = match &arguments.run {
        Some(path) => path.clone(),
        None => {
            let path = last_run().ok_or(CliError::NoPlace)?;
            if !path.exists() {
                return Err(CliError::NoRun { path });
            }
            path
        }
    };
    let record = json::read(&path)?;
    screen.print(&terminal::render(&record, screen.stdout))?;
    Ok(Exit::of(&record))
}
