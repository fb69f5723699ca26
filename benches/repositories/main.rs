//! What repositories cost: `cargo bench --bench repositories`; `docs/benchmarks.md` has the method.
//!
//! A time counts only if the answer is right: what was appended is read back, every summary is compared with one that
//! is computed from the rows' formula, and every page of the list is walked through first.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that shows its findings")]

mod appends;
mod indexes;
mod lists;
mod report;
mod rows;
mod summaries;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use proofmark_harness::server::TestServer;
use report::Report;

/// Errors of a program that can only stop and say why.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures the repositories on Postgres, after it has verified their answers
#[derive(Debug, Parser)]
struct Arguments {
    /// Only the parts whose names contain one of these: appends, summaries, indexes, lists
    filters: Vec<String>,
    /// Only verify: few rows, one round, and no judgement of times
    #[arg(long)]
    test: bool,
    /// Rows of the largest tables
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(200_000..=100_000_000))]
    rows: u32,
    /// Rows of an append
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    append: u32,
    /// How often each append is repeated
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Write the numbers to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rows: u32,
    append: u32,
    rounds: u32,
    /// Queries whose times make a percentile.
    queries: u32,
}

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

/// Returns whether all targets are met.
fn run(arguments: &Arguments) -> Result<bool> {
    let wanted = |part: &str| {
        let name = format!("repositories/{part}");
        arguments.filters.is_empty() || arguments.filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    if arguments.list || !["appends", "summaries", "indexes", "lists"].into_iter().any(wanted) {
        return Ok(true);
    }
    let verify_only = arguments.test || !arguments.bench;
    let plan = if verify_only {
        Plan { rows: 200_000, append: 2_000, rounds: 1, queries: 20 }
    } else {
        Plan { rows: arguments.rows, append: arguments.append, rounds: arguments.rounds, queries: 500 }
    };
    let mut report = Report::new(!verify_only);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        // Each part has a server of its own, whose files are gone before the next one needs the room.
        if wanted("appends") {
            let server = TestServer::start().await?;
            println!("PostgreSQL {}, {}", server.record().version, server.record().origin);
            appends::measure(&server, plan, &mut report).await?;
        }
        if wanted("summaries") || wanted("indexes") {
            let server = TestServer::start().await?;
            let table = summaries::measure(&server, plan, &mut report).await?;
            if wanted("indexes") {
                indexes::measure(&table, plan, &mut report).await?;
            }
        }
        if wanted("lists") {
            lists::measure(&TestServer::start().await?, plan, &mut report).await?;
        }
        Result::Ok(())
    })?;
    println!("\n{report}");
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    Ok(report.is_met())
}
