//! What all peers have in common: the names of the tests, their body, and the schema. A peer is a test binary, and
//! differs from the others in where a test gets its database from.

use std::error::Error;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use sqlx::postgres::PgConnection;

mod lease;

pub use lease::{HOLD_VARIABLE, LEASES_VARIABLE, Lease};

/// How many tests every peer has: `test_0000` to `test_0999`.
pub const TESTS: u32 = 1000;

/// The schema of an imagined platform: forty tables in ten migrations.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// What a test ends with.
pub type TestResult = Result<(), Box<dyn Error>>;

/// A test saw what no test must see.
#[derive(Debug, thiserror::Error)]
#[error("expected the first row to have id 1 and no others beside it, found id {id} and {others} others")]
pub struct NotAlone {
    id: i64,
    others: i64,
}

/// The `main` of a test binary: a thousand tests with one body, which gets the test's name. A loop of tests compiles
/// in no time, where a thousand functions do not.
#[must_use]
pub fn main<F>(body: fn(&'static str) -> F) -> ExitCode
where
    F: Future<Output = TestResult> + 'static,
{
    let trial = |number| {
        let name = format!("test_{number:04}");
        Trial::test(name.clone(), move || {
            block_on(body(name.leak())).map_err(|error| Failed::from(error.to_string()))
        })
    };
    libtest_mimic::run(&Arguments::from_args(), (0..TESTS).map(trial).collect()).exit_code()
}

/// As `#[tokio::test]` does it.
fn block_on(body: impl Future<Output = TestResult>) -> TestResult {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(body)
}

/// The body of every test that has a database: inserts a row, and checks that there was none before, and that nobody
/// has ever had any: identities count from one. One statement, so that it is the database that is measured.
///
/// # Errors
/// When the server refuses, or the database is not as new.
pub async fn exercise(connection: &mut PgConnection, test: &str) -> TestResult {
    let insert = "INSERT INTO organizations (slug, name) VALUES ($1, $1)
        RETURNING id, (SELECT count(*) FROM organizations)";
    let (id, others): (i64, i64) = sqlx::query_as(insert).bind(test).fetch_one(connection).await?;
    if (id, others) == (1, 0) { Ok(()) } else { Err(NotAlone { id, others }.into()) }
}
