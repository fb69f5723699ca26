//! Tests that only connect to the server at `DATABASE_URL`: as cheap as a test with a server can be.

use std::process::ExitCode;

use database_peers::TestResult;
use sqlx::{Connection as _, PgConnection};

fn main() -> ExitCode {
    database_peers::main(connect)
}

async fn connect(_: &'static str) -> TestResult {
    let mut connection = PgConnection::connect(&std::env::var("DATABASE_URL")?).await?;
    sqlx::query("SELECT 1").execute(&mut connection).await?;
    Ok(())
}
