//! Tests with a database that is cloned for each of them.

mod leased;

use std::process::ExitCode;

use database_peers::TestResult;
use proofmark_harness::TestDatabase;

fn main() -> ExitCode {
    database_peers::main(with_database)
}

async fn with_database(test: &'static str) -> TestResult {
    let database = TestDatabase::acquire_fresh(&leased::migrations()?).await?;
    leased::exercise_leased(&database, test).await
}
