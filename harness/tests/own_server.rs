//! A server of a test's own, which it may crash.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::path::Path;

use proofmark_harness::migration_set::Migration;
use proofmark_harness::server::{Crash, TestServer};
use proofmark_harness::{Migrations, TestDatabase};

async fn count(database: &TestDatabase) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM things").fetch_one(database.pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_survives_a_crash() {
    let set = Migrations::new(vec![Migration::new(1, "things", "CREATE TABLE things (id int)", None)]).unwrap();
    let mut server = TestServer::start().await.unwrap();
    let database = server.database(&set).await.unwrap();
    let mut rows = 0;
    for crash in [Crash::Kill, Crash::Immediate, Crash::Kill] {
        sqlx::query("INSERT INTO things VALUES (1)").execute(database.pool()).await.unwrap();
        rows += 1;
        let mut open = database.pool().begin().await.unwrap();
        sqlx::query("INSERT INTO things VALUES (2)").execute(&mut *open).await.unwrap();
        server.crash(crash).await;
        sqlx::query("SELECT 1").execute(&mut *open).await.unwrap_err();
        drop(open);
        server.restart().await.unwrap();
        // The pool heals itself.
        assert_eq!(count(&database).await, rows, "{crash:?}");
    }
    let other = server.database(&set).await.unwrap();
    assert_eq!(count(&other).await, 0);
    let directory =
        server.record().origin.split("files in ").nth(1).unwrap().split(';').next().unwrap().to_owned();
    assert!(Path::new(&directory).exists());
    drop(server);
    assert!(!Path::new(&directory).exists());
}
