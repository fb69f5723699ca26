//! `proofmark run`.

use clap::Args;
use proofmark_harness::event::RUN_COMMAND;
use proofmark_harness::exit::Exit;
use proofmark_harness::suites;

use super::error::CliError;
use super::execute::Execution;
use super::screen::Screen;
use super::select::Selection;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    execution: Execution,
}

pub(crate) fn run(arguments: &Arguments, screen: &mut Screen) -> Result<Exit, CliError> {
    let cases = arguments.selection.apply(suites::plan())?;
    arguments.execution.run(RUN_COMMAND.to_owned(), cases, screen)
}
