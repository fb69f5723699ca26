//! What `proofmark migrations` costs on directories of 50, 200 and 1,000 files: `cargo bench --bench migrations`;
//! `docs/benchmarks.md` has the method.
//!
//! A time counts only if the answer is right: every file must apply, and no case may fail, as the directories have no
//! fault. How the cost grows is told by the time per file.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that shows its findings")]

#[path = "runner_arguments.rs"]
mod runner_arguments;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use clap::Parser;
use proofmark_harness::event::{CaseRecord, Outcome, RunRecord};
use proofmark_harness::report::json;
use runner_arguments::RunnerArguments;

/// Errors of a program that can only stop and say why.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The program under test, as its users have it.
const PROOFMARK: &str = env!("CARGO_BIN_EXE_proofmark");

/// The group whose cases crash and run beside each other, which has a limit of its own.
const CRASH_GROUP: &str = "crash";

/// How much longer a file may take in the largest directory than in the smallest, were the cost linear but for noise.
const GROWTH_MAX: f64 = 1.5;

/// For 200 files with 100 tables, on two processors, in seconds.
const QUICK_MAX_S: f64 = 30.0;
const CRASH_MAX_S: f64 = 120.0;

/// Measures `proofmark migrations` on directories of several sizes, after it has verified the answers
#[derive(Debug, Parser)]
struct Arguments {
    /// Unused: there is one part
    filters: Vec<String>,
    /// Only verify: one small directory, once, and no judgement of times
    #[arg(long)]
    test: bool,
    /// The sizes, in files
    #[arg(long, value_delimiter = ',', default_values_t = [50, 200, 1000])]
    files: Vec<usize>,
    /// How often each measurement is repeated
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Leave out the cases that crash and run beside each other
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    runner: RunnerArguments,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let is_wanted = arguments.filters.is_empty()
        || arguments.filters.iter().any(|filter| "migrations".contains(filter.as_str()));
    if arguments.runner.only_lists() || !is_wanted {
        return Ok(());
    }
    let verify_only = arguments.test || arguments.runner.only_verifies();
    let (sizes, rounds) = if verify_only { (vec![10], 1) } else { (arguments.files.clone(), arguments.rounds) };
    let place = tempfile::tempdir()?;
    let mut groups = vec![("all but crash", vec!["files", "replay", "traffic", "quality"])];
    if !arguments.quick {
        groups.push((CRASH_GROUP, vec![CRASH_GROUP]));
    }
    println!("| cases | files | tables | median | min–max | per file | target |");
    println!("|---|---|---|---|---|---|---|");
    for (name, groups) in &groups {
        let mut per_file = Vec::new();
        for files in &sizes {
            let directory = place.path().join(files.to_string());
            if !directory.exists() {
                write_directory(&directory, *files)?;
            }
            let mut seconds = Vec::new();
            for _ in 0..rounds {
                seconds.push(measure(&directory, groups, &place.path().join("run.json"))?);
            }
            seconds.sort_by(f64::total_cmp);
            let (median, min, max) = (seconds[seconds.len() / 2], seconds[0], seconds[seconds.len() - 1]);
            let file_ms = median * 1000.0 / f64::from(u32::try_from(*files)?);
            per_file.push(file_ms);
            let limit = if *name == CRASH_GROUP { CRASH_MAX_S } else { QUICK_MAX_S };
            let target = match (verify_only, *files) {
                (false, 200) => format!("≤ {limit} s: {}", if median <= limit { "met" } else { "MISSED" }),
                _ => String::new(),
            };
            println!(
                "| {name} | {files} | {} | {median:.2} s | {min:.2}–{max:.2} | {file_ms:.1} ms | {target} |",
                files.div_ceil(2)
            );
        }
        if let (false, Some(first), Some(last)) = (verify_only, per_file.first(), per_file.last()) {
            let growth = last / first;
            let verdict = if growth <= GROWTH_MAX { "met" } else { "MISSED" };
            println!(
                "| {name} | largest / smallest | | {growth:.2} × per file | | | ≤ {GROWTH_MAX} ×: {verdict} |"
            );
        }
    }
    Ok(())
}

/// Runs the program once and returns how many seconds it took, if the answers are right.
fn measure(directory: &Path, groups: &[&str], json: &Path) -> Result<f64> {
    let mut command = Command::new(PROOFMARK);
    command.arg("migrations").arg(directory).args(["--seed", "1", "--json"]).arg(json);
    for group in groups {
        command.args(["--group", group]);
    }
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let seconds = started.elapsed().as_secs_f64();
    let record = json::read(json).map_err(|error| {
        format!("{error}: proofmark ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr))
    })?;
    verify(&record)?;
    Ok(seconds)
}

fn verify(record: &RunRecord) -> Result<()> {
    let bad = |case: &&CaseRecord| !matches!(case.outcome, Outcome::Passed | Outcome::Skipped { .. });
    if let Some(case) = record.cases.iter().find(bad) {
        return Err(format!("{}: expected it to pass, found: {}", case.id, case.outcome.explanation()).into());
    }
    if record.count(|outcome| *outcome == Outcome::Passed) == 0 {
        return Err("expected cases that pass, found none that ran".into());
    }
    Ok(())
}

/// A directory without a fault: every other file makes a table, the one after it does what is done to tables later.
fn write_directory(directory: &Path, files: usize) -> Result<()> {
    fs::create_dir_all(directory)?;
    for number in 1..=files {
        let (name, up, down) = if number % 2 == 1 { table(number.div_ceil(2)) } else { change(number / 2) };
        fs::write(directory.join(format!("{number:04}_{name}.up.sql")), up)?;
        fs::write(directory.join(format!("{number:04}_{name}.down.sql")), down)?;
    }
    Ok(())
}

/// A table that refers to the one before it.
fn table(number: usize) -> (String, String, String) {
    let name = format!("entities_{number}");
    let mut up = format!(
        "SET LOCAL lock_timeout = '2s';
CREATE TABLE {name} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'active', 'done')),
    attributes jsonb NOT NULL DEFAULT '{{}}',
    created_at timestamptz NOT NULL DEFAULT now()"
    );
    if number > 1 {
        let before = number - 1;
        let _ = write!(
            up,
            ",
    parent_id bigint REFERENCES entities_{before} (id)
);
CREATE INDEX {name}_parent ON {name} (parent_id);
"
        );
    } else {
        up.push_str("\n);\n");
    }
    let _ = writeln!(up, "CREATE INDEX {name}_created ON {name} (created_at);");
    (format!("create_{name}"), up, format!("DROP TABLE {name};\n"))
}

/// A column, a view and a function for a table that is there.
fn change(number: usize) -> (String, String, String) {
    let name = format!("entities_{number}");
    let up = format!(
        "SET LOCAL lock_timeout = '2s';
ALTER TABLE {name} ADD COLUMN note text;
CREATE VIEW active_{name} AS SELECT id, name, note FROM {name} WHERE state = 'active';
CREATE FUNCTION count_{name}() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM {name};
$$;
"
    );
    let down = format!(
        "DROP FUNCTION count_{name}();
DROP VIEW active_{name};
ALTER TABLE {name} DROP COLUMN note;
"
    );
    (format!("change_{name}"), up, down)
}
