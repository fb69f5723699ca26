//! Writes and checks the schema snapshots that the suite `migrations` compares with:
//! `INSTA_UPDATE=always cargo nextest run -p proofmark-harness --test schema_snapshots` accepts a change.

use std::sync::Arc;

use proofmark_harness::context::CaseContext;
use proofmark_harness::environment::Environment;
use proofmark_harness::migration_set::MigrationSet;
use proofmark_harness::server::ServerChoice;
use proofmark_harness::suite::CaseId;
use proofmark_harness::suites::migrations::{MigrationSubject, Snapshots};

#[tokio::test]
async fn schema_of_every_version() {
    let environment = Arc::new(Environment::shared(ServerChoice::Auto));
    let id = CaseId { suite: "migrations".into(), subject: "reference".into(), case: "snapshots".into() };
    let context = CaseContext::new(id, 0, Arc::clone(&environment));
    let migrations = MigrationSet::reference();
    let subject = MigrationSubject::new(context.clone(), "reference", migrations, Snapshots::default());
    let snapshots = Snapshots::take(&subject).await.unwrap();
    context.release().await;
    environment.shutdown().await.unwrap();
    insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false }, {
        for (version, schema) in snapshots.by_version() {
            insta::assert_snapshot!(format!("schema__{version:04}"), schema);
        }
    });
}
