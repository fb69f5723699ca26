//! `proofmark db`.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use proofmark_harness::event::ServerRecord;
use proofmark_harness::exit::Exit;
use proofmark_harness::report::plural;
use proofmark_harness::server;
use proofmark_harness::supervisor::{Found, Kept};

use super::error::CliError;
use super::execute::ServerArguments;
use super::screen::Screen;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a server that stays: the runs after it use it, and need not start one
    Up(UpArguments),
    /// End the server that stays, and those of earlier runs that stay for kept databases
    Down,
    /// Show the servers that run now, with what is on them
    Status,
    /// Print the URL of the server that stays, for psql and other clients
    Url,
    /// Install Postgres into the cache, through npm or pip, where the machine has none
    Install(InstallArguments),
}

#[derive(Debug, Args)]
struct UpArguments {
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Args)]
struct InstallArguments {
    /// The major version; unless given, what is there, else the newest
    #[arg(long, value_name = "N")]
    version: Option<u32>,
}

pub(crate) fn run(arguments: &Arguments, screen: &mut Screen) -> Result<Exit, CliError> {
    match &arguments.command {
        Command::Up(arguments) => up(arguments, screen),
        Command::Down => down(screen),
        Command::Status => status(screen),
        Command::Url => url(screen),
        Command::Install(arguments) => install(arguments, screen),
    }
}

fn up(arguments: &UpArguments, screen: &mut Screen) -> Result<Exit, CliError> {
    let (found, started) = Found::start_lasting(&arguments.server.choice()?).map_err(CliError::Supervisor)?;
    let how = if started { "started" } else { "was there already" };
    let ServerRecord { kind, version, origin, ready_ms } = &found.status.server;
    screen.print(&format!(
        "{how}: {kind} server PostgreSQL {version} · {origin} · ready in {ready_ms} ms\n\
         `proofmark db url` prints how to reach it, `proofmark db down` ends it\n"
    ))?;
    Ok(Exit::Passed)
}

fn down(screen: &mut Screen) -> Result<Exit, CliError> {
    let mut ended = 0;
    for found in Found::all() {
        if found.status.lasting || found.status.lingering {
            found.end().map_err(CliError::Environment)?;
            screen.print(&format!("ended: {} ({})\n", found.status.purpose, found.status.server.origin))?;
            ended += 1;
        }
    }
    if ended == 0 {
        screen.print("no server was there to be ended\n")?;
    }
    Ok(Exit::Passed)
}

fn status(screen: &mut Screen) -> Result<Exit, CliError> {
    let all = Found::all();
    if all.is_empty() {
        screen.print("no server runs\n")?;
    }
    for Found { status, .. } in &all {
        let mut text = format!(
            "{}{} · process {}\n  {} server PostgreSQL {} · {}\n  {}, {} in use, {} ready · {} recycled, {} cloned\n",
            status.purpose,
            if status.lingering { ", is over and stays for kept databases" } else { "" },
            status.supervisor,
            status.server.kind,
            status.server.version,
            status.server.origin,
            plural(status.templates, "template"),
            status.leased,
            status.idle,
            status.recycled,
            status.cloned,
        );
        for Kept { case, open, .. } in &status.kept {
            let _ = writeln!(text, "  kept: {case}: {open}");
        }
        screen.print(&text)?;
    }
    Ok(Exit::Passed)
}

fn url(screen: &mut Screen) -> Result<Exit, CliError> {
    let found = Found::lasting().ok_or(CliError::NoServer)?;
    screen.print(&format!("{}\n", found.status.url))?;
    Ok(Exit::Passed)
}

fn install(arguments: &InstallArguments, screen: &mut Screen) -> Result<Exit, CliError> {
    let installed = server::install(arguments.version)?;
    let (directory, version) = (installed.binaries.directory.display(), &installed.binaries.version);
    let how = match installed.client {
        Some(client) => format!("installed with {client}"),
        None => "already there".to_owned(),
    };
    screen.print(&format!("{version}, {how}: {directory}\n"))?;
    Ok(Exit::Passed)
}
