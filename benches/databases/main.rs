//! Test databases against their peers: `cargo bench --bench databases`; `docs/benchmarks.md` has the method.
//!
//! A number counts only if the answers are right: every test verifies what it reads, every run is checked to have
//! passed exactly the tests that were asked for, and what is left behind or shared by two tests fails the bench.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that shows its findings")]

mod collisions;
mod leftovers;
mod machine;
mod peers;
mod random;
mod report;
#[path = "../runner_arguments.rs"]
mod runner_arguments;
mod server;
mod startup;
mod throughput;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use peers::Peers;
use random::Random;
use report::Report;
use runner_arguments::RunnerArguments;

/// Errors of a program that can only stop and say why.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures test databases against their peers, and verifies that they are isolated and leave nothing behind
#[derive(Debug, Parser)]
struct Arguments {
    /// Only the parts whose names contain one of these: startup, throughput, collisions, leftovers
    filters: Vec<String>,
    /// Only verify: few tests, one round, one moment, and no judgement of times
    #[arg(long)]
    test: bool,
    /// Tests of each run whose time is measured; a multiple of ten, at most 1000
    #[arg(long, default_value_t = 1000)]
    tests: u32,
    /// How often each measurement is repeated
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// At how many moments each victim is killed
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    moments: u32,
    /// What the moments are drawn from
    #[arg(long)]
    seed: Option<u64>,
    /// Write the numbers to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    runner: RunnerArguments,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Tests of a run whose time is measured.
    tests: u32,
    rounds: u32,
    /// Tests of each of the runs beside each other.
    concurrent_tests: u32,
    moments: u32,
}

type Part = fn(&Peers, Plan, &mut Random, &mut Report) -> Result<()>;

const PARTS: [(&str, Part); 4] = [
    ("startup", startup::measure),
    ("throughput", throughput::measure),
    ("collisions", collisions::verify),
    ("leftovers", leftovers::verify),
];

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", proofmark_harness::error_chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all that was verified holds.
fn run(arguments: &Arguments) -> Result<bool> {
    let wanted = |name: &str| {
        arguments.filters.is_empty() || arguments.filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    let parts: Vec<_> = PARTS.into_iter().filter(|(name, _)| wanted(&format!("databases/{name}"))).collect();
    if arguments.runner.only_lists() || parts.is_empty() {
        return Ok(true);
    }
    let verify_only = arguments.test || arguments.runner.only_verifies();
    let plan = if verify_only {
        Plan { tests: 20, rounds: 1, concurrent_tests: 20, moments: 1 }
    } else {
        let Arguments { tests, rounds, moments, .. } = *arguments;
        Plan { tests, rounds, concurrent_tests: tests.min(200), moments }
    };
    let mut random = Random::new(arguments.seed);
    let peers = Peers::build(plan.tests)?;
    let mut report = Report::new(random.seed(), plan, !verify_only);
    println!(
        "databases: seed {}, {} tests, {} rounds, {} moments",
        report.seed(),
        plan.tests,
        plan.rounds,
        plan.moments
    );
    for (name, part) in parts {
        part(&peers, plan, &mut random, &mut report).map_err(|error| format!("in {name}: {error}"))?;
    }
    println!("\n{report}");
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    Ok(report.is_sound())
}
