//! Every statement that a repository can send is prepared on every schema that it claims to run on.

use proofmark::repository::postgres::{STATEMENTS, Statement, StatementKind};
use proofmark_harness::{Migrations, TestDatabase};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, SqlSafeStr as _};

async fn prepare(connection: &mut PgConnection, statement: Statement) -> Result<(), sqlx::Error> {
    match statement.kind {
        StatementKind::Prepared => {
            connection.prepare(AssertSqlSafe(statement.sql).into_sql_str()).await?;
        }
        // A COPY is not prepared, but one of no rows does nothing else.
        StatementKind::CopyIn => {
            let mut copy = connection.copy_in_raw(statement.sql).await?;
            copy.send(&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xff"[..]).await?;
            assert_eq!(copy.finish().await?, 0);
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_statement_is_prepared_on_every_schema_that_it_claims_to_support() {
    let reference = Migrations::reference();
    let mut prepared = 0;
    for version in 1..=reference.head() {
        let part = reference.migrations().iter().filter(|migration| migration.version <= version).cloned();
        let database = TestDatabase::acquire(&Migrations::new(part.collect()).unwrap()).await.unwrap();
        let mut connection = database.connect().await.unwrap();
        for (repository, statements) in STATEMENTS {
            for &statement in statements.iter().filter(|statement| statement.since <= version) {
                let name = statement.name;
                if let Err(error) = prepare(&mut connection, statement).await {
                    panic!("{repository}: {name}: expected to run on schema {version}, found: {error}");
                }
                prepared += 1;
            }
            // The claim is no wider than it has to be, and the check above can fail.
            for &statement in statements.iter().filter(|statement| statement.since == version + 1) {
                let name = statement.name;
                assert!(
                    prepare(&mut connection, statement).await.is_err(),
                    "{repository}: {name} runs on {version}"
                );
            }
        }
        database.release().await;
    }
    // None was left out, whatever the list holds.
    let claims = STATEMENTS.iter().flat_map(|(_, statements)| statements.iter()).map(|statement| statement.since);
    assert_eq!(prepared, claims.map(|since| reference.head() - since + 1).sum::<i64>());
}
