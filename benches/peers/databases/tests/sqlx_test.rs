//! Tests with `#[sqlx::test]`, as its users write them; on the server at `DATABASE_URL`.

use database_peers::{MIGRATOR, TestResult, exercise};
use sqlx::PgPool;

macro_rules! tests {
    ($($name:ident)*) => {$(
        // Embedded once, as `migrations = "migrations"` would be in every test; run alike.
        #[sqlx::test(migrator = "MIGRATOR")]
        async fn $name(pool: PgPool) -> TestResult {
            let mut connection = pool.acquire().await?;
            exercise(&mut connection, stringify!($name)).await
        }
    )*};
}

include!(concat!(env!("OUT_DIR"), "/tests.rs"));
