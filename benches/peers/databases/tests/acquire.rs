//! Tests with a database from the pool of the harness.

mod leased;

use std::process::ExitCode;

use database_peers::TestResult;
use proofmark_harness::TestDatabase;

fn main() -> ExitCode {
    database_peers::main(with_database)
}

async fn with_database(test: &'static str) -> TestResult {
    let database = TestDatabase::acquire(&leased::migrations()?).await?;
    leased::exercise_leased(&database, test).await
}
