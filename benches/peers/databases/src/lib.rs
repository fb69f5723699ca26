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
#[error("expected to see {expected:?} alone, found {found:?}")]
pub struct NotAlone {
    expected: Row,
    found: Vec<Row>,
}

/// An organization's id and name, and a user of it.
type Row = (i64, String, i64, String);

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

/// The body of every test that has a database: inserts a row into two tables, and checks that there are no others,
/// and that nobody has ever had any: identities count from one.
///
/// # Errors
/// When the server refuses, or the database is not as new.
pub async fn exercise(connection: &mut PgConnection, test: &str) -> TestResult {
    let organization = "INSERT INTO organizations (slug, name) VALUES ($1, $1) RETURNING id";
    let organization: i64 = sqlx::query_scalar(organization).bind(test).fetch_one(&mut *connection).await?;
    let user = "INSERT INTO users (organization_id, email) VALUES ($1, $2)";
    sqlx::query(user).bind(organization).bind(format!("{test}@example.org")).execute(&mut *connection).await?;
    let all = "SELECT organizations.id, slug, users.id, email
        FROM organizations FULL JOIN users ON users.organization_id = organizations.id";
    let found: Vec<Row> = sqlx::query_as(all).fetch_all(connection).await?;
    let expected = (1, test.to_owned(), 1, format!("{test}@example.org"));
    if found == [expected.clone()] { Ok(()) } else { Err(NotAlone { expected, found }.into()) }
}
