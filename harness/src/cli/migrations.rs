//! `proofmark migrations`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, RangedU64ValueParser};
use proofmark_harness::event::RunRecord;
use proofmark_harness::exit::Exit;
use proofmark_harness::migrations::policy::{Baseline, Config, Policy};
use proofmark_harness::migrations::sandbox::Profile;
use proofmark_harness::migrations::source::{Layout, ReadOptions};
use proofmark_harness::migrations::{Evidence, Project, Settings};
use proofmark_harness::report::plural;
use proofmark_harness::suites::migrations::{GROUP_NAMES, MigrationSuite, check_names};

use super::error::CliError;
use super::execute::{Execution, Task};
use super::screen::Screen;
use super::select::Pattern;

/// How long a case may take: the first to ask for evidence waits until a whole directory was executed.
const CASE_TIME_LIMIT: Duration = Duration::from_secs(900);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The directory
    directory: PathBuf,
    /// How the files are laid out; found out from their names and contents unless given
    #[arg(long, value_name = "LAYOUT", value_parser = PossibleValuesParser::new(Layout::ALL.map(Layout::name)))]
    layout: Option<String>,
    /// A file that says in which order: one path a line, relative to the directory; `#` begins a comment
    #[arg(long, value_name = "FILE")]
    order: Option<PathBuf>,
    /// What the server has before the first migration: `plain`, nothing; `supabase`, its roles, schemas and functions
    #[arg(long, value_name = "PROFILE", value_parser = PossibleValuesParser::new(["plain", "supabase"]))]
    profile: Option<String>,
    /// How many rows each table has when a migration meets it; 200 unless given
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    rows: Option<usize>,
    /// How long one statement may take, in seconds; 20 unless given
    #[arg(long, value_name = "SECONDS", value_parser = RangedU64ValueParser::<u64>::new().range(1..=3_600))]
    statement_time_limit: Option<u64>,
    /// The configuration; `proofmark.toml` in the directory or the nearest above it unless given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Findings that were there before and do not count
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write what is found now as a baseline
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
    /// Only the cases of this group; may be repeated. All but `crash` are quick
    #[arg(long = "group", value_name = "GROUP", value_parser = PossibleValuesParser::new(GROUP_NAMES))]
    groups: Vec<String>,
    #[command(flatten)]
    pattern: Pattern,
    #[command(flatten)]
    execution: Execution,
}

pub(crate) fn run(arguments: &Arguments, screen: &mut Screen) -> Result<Exit, CliError> {
    if let Some(path) = &arguments.write_baseline {
        super::output::check(path).map_err(|source| CliError::Output { path: path.clone(), source })?;
    }
    let evidence = Arc::new(arguments.evidence()?);
    let project = &evidence.project;
    screen.note(&format!(
        "{}: {} in the layout {} ({}){}\n",
        arguments.directory.display(),
        plural(project.steps.len(), "migration"),
        project.layout,
        project.reason,
        evidence
            .policy
            .config()
            .path
            .as_ref()
            .map(|path| format!(", as {} says", path.display()))
            .unwrap_or_default(),
    ));
    let plan = MigrationSuite.plan_project(&evidence, &arguments.groups);
    let cases = arguments.pattern.apply(plan)?;
    let after = |record: &RunRecord| arguments.write_baseline(record);
    let task = Task {
        command: arguments.command(),
        directory: Some(&arguments.directory),
        cases,
        time_limit: CASE_TIME_LIMIT,
        after: Some(&after),
    };
    arguments.execution.run_task(task, screen)
}

impl Arguments {
    fn evidence(&self) -> Result<Evidence, CliError> {
        let checks = check_names();
        let config = match &self.config {
            Some(path) => Config::load(path, &checks)?,
            None => Config::find(&self.directory, &checks)?,
        };
        // Both are from a list.
        let layout = self.layout.as_deref().and_then(|name| name.parse().ok()).or(config.layout);
        let profile = self.profile.as_deref().or(config.profile.as_deref());
        let profile = profile.and_then(|name| name.parse::<Profile>().ok()).unwrap_or_default();
        let order = self.order.clone().or_else(|| config.order.clone());
        let project = Project::read(&self.directory, &ReadOptions { layout, order })?;
        let default = Settings::default();
        let settings = Settings {
            rows: self.rows.or(config.rows).unwrap_or(default.rows),
            profile,
            statement_time_max: self.statement_time_limit.map_or(default.statement_time_max, Duration::from_secs),
            ..default
        };
        let mut policy = Policy::new(checks).with_config(config).with_comments_of(&project);
        if let Some(path) = &self.baseline {
            policy = policy.with_baseline(Baseline::read(path)?);
        }
        Ok(Evidence::new(project, policy, settings))
    }

    fn write_baseline(&self, record: &RunRecord) -> Result<Vec<String>, CliError> {
        let Some(path) = &self.write_baseline else { return Ok(Vec::new()) };
        let baseline = Baseline::of(record.cases.iter().flat_map(|case| &case.findings));
        baseline.write(path)?;
        let findings = plural(baseline.entries().map(|(_, count)| count).sum(), "finding");
        Ok(vec![format!("wrote {findings} into the baseline {}", path.display())])
    }

    /// What a repetition begins with: all that decides on what is found.
    fn command(&self) -> String {
        let mut command = format!("proofmark migrations {}", quoted(&self.directory));
        let texts = [("--layout", &self.layout), ("--profile", &self.profile)];
        for (option, text) in texts.into_iter().filter_map(|(option, text)| Some((option, text.as_ref()?))) {
            let _ = write!(command, " {option} {text}");
        }
        let paths = [("--order", &self.order), ("--config", &self.config), ("--baseline", &self.baseline)];
        for (option, path) in paths.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))) {
            let _ = write!(command, " {option} {}", quoted(path));
        }
        if let Some(rows) = self.rows {
            let _ = write!(command, " --rows {rows}");
        }
        if let Some(seconds) = self.statement_time_limit {
            let _ = write!(command, " --statement-time-limit {seconds}");
        }
        command
    }
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
