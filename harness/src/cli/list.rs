//! `proofmark list`.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use proofmark_harness::case::Capability;
use proofmark_harness::exit::Exit;
use proofmark_harness::report::plural;
use proofmark_harness::report::text::Tone;
use proofmark_harness::suite::PlannedCase;
use proofmark_harness::suites;
use serde::Serialize;

use super::error::CliError;
use super::screen::Screen;
use super::select::Selection;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// How to print the list
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(crate) fn list(arguments: &Arguments, screen: &mut Screen) -> Result<Exit, CliError> {
    let cases = arguments.selection.apply(suites::plan())?;
    let text = match arguments.format {
        Format::Text => text(&cases, screen),
        Format::Json => json(&cases).map_err(|error| CliError::Stdout(error.into()))?,
    };
    screen.print(&text)?;
    Ok(Exit::Passed)
}

fn text(cases: &[PlannedCase], screen: &Screen) -> String {
    let look = screen.stdout;
    let mut text = String::new();
    let mut area = String::new();
    let width = cases.iter().map(|case| case.id.case.chars().count()).max().unwrap_or_default();
    for case in cases {
        let this = format!("{}::{}", case.id.suite, case.id.subject);
        if this != area {
            let _ = writeln!(text, "{}", look.paint(Tone::Strong, &this));
            area = this;
        }
        let _ = write!(text, "  {:width$}  ", case.id.case);
        text += &look.paint(Tone::Faint, &format!("{:<10}{}", case.batch.name(), case.checks));
        if !case.requires.is_empty() {
            text += &look.paint(Tone::Faint, &format!(" (requires {})", names(case).join(", ")));
        }
        if let Some(reason) = &case.skip {
            text += &look.paint(Tone::Odd, &format!(" (not run: {reason})"));
        }
        text.push('\n');
    }
    let idle = cases.iter().filter(|case| case.skip.is_some()).count();
    let _ = write!(text, "{}", plural(cases.len(), "case"));
    if idle > 0 {
        let _ = write!(text, ", {idle} of them not run");
    }
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Listed<'a> {
    suite: &'a str,
    subject: &'a str,
    case: &'a str,
    checks: &'a str,
    batch: &'a str,
    requires: Vec<&'static str>,
    not_run: Option<&'a str>,
}

fn json(cases: &[PlannedCase]) -> Result<String, serde_json::Error> {
    let listed: Vec<Listed<'_>> = cases
        .iter()
        .map(|case| Listed {
            suite: &case.id.suite,
            subject: &case.id.subject,
            case: &case.id.case,
            checks: case.checks,
            batch: case.batch.name(),
            requires: names(case),
            not_run: case.skip.as_deref(),
        })
        .collect();
    Ok(serde_json::to_string_pretty(&listed)? + "\n")
}

fn names(case: &PlannedCase) -> Vec<&'static str> {
    case.requires.iter().copied().map(Capability::name).collect()
}
