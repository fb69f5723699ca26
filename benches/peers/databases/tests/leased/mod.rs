//! The tests of databases that are acquired from the harness.

use database_peers::{Lease, MIGRATOR, TestResult, exercise};
use proofmark_harness::{Migrations, TestDatabase};

/// Leaves only so many migrations: what the schema costs shows in the difference.
const MIGRATIONS_VARIABLE: &str = "DATABASE_PEERS_MIGRATIONS";

/// The migrations of the tests' databases.
pub(crate) fn migrations() -> Result<Migrations, Box<dyn std::error::Error>> {
    let all = Migrations::from_migrator(&MIGRATOR);
    match std::env::var(MIGRATIONS_VARIABLE) {
        Ok(count) => Ok(Migrations::new(all.migrations().iter().take(count.parse()?).cloned().collect())?),
        Err(_) => Ok(all),
    }
}

/// The same body as with any other database, and a record of the lease.
pub(crate) async fn exercise_leased(database: &TestDatabase, test: &str) -> TestResult {
    let mut connection = database.pool().acquire().await?;
    let lease = Lease::begin(&mut connection).await?;
    exercise(&mut connection, test).await?;
    lease.hold(&mut connection, test).await?;
    Ok(lease.end()?)
}
