//! `proofmark migrations`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use proofmark_harness::case::Capability;
use proofmark_harness::exit::Exit;
use proofmark_harness::migration_set::MigrationSet;
use proofmark_harness::suites::migrations::{MigrationSuite, Snapshots};

use super::error::CliError;
use super::execute::Execution;
use super::screen::Screen;
use super::select::Pattern;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The directory: NNNN_name.up.sql with NNNN_name.down.sql, or NNNN_name.sql
    directory: PathBuf,
    #[command(flatten)]
    pattern: Pattern,
    #[command(flatten)]
    execution: Execution,
}

pub(crate) fn run(arguments: &Arguments, screen: &mut Screen) -> Result<Exit, CliError> {
    let set = MigrationSet::from_directory(&arguments.directory)?;
    let has_downs = set.migrations().iter().any(|migration| migration.down.is_some());
    let has: &[Capability] = if has_downs { &[Capability::DownScripts] } else { &[] };
    let name = subject_name(&arguments.directory);
    let plan = MigrationSuite.plan_subject(&name, &Arc::new(set), &Arc::new(Snapshots::default()), has);
    let command = format!("proofmark migrations {}", quoted(&arguments.directory));
    arguments.execution.run_in(command, Some(&arguments.directory), arguments.pattern.apply(plan)?, screen)
}

/// The last two parts of the path: `billing/migrations` says more than `migrations`.
fn subject_name(directory: &Path) -> String {
    let path = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let mut parts: Vec<_> = path.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    parts.retain(|part| part != "/");
    parts.reverse();
    parts.join("/")
}

/// The path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
