//! The proxy before a server, by itself: what it does at a message, and what it makes of what is no message.

#![expect(clippy::unwrap_used, reason = "what a test relies on may fail loudly")]

use std::time::Duration;

use proofmark_harness::faults::{Action, Fault, Message, Point, Proxy, ProxyError};
use proofmark_harness::migration_set::Migration;
use proofmark_harness::{Migrations, TestDatabase};
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn database() -> TestDatabase {
    let table = "CREATE TABLE things (id int PRIMARY KEY)";
    let set = Migrations::new(vec![Migration::new(1, "things", table, None)]).unwrap();
    TestDatabase::acquire(&set).await.unwrap()
}

async fn count(database: &TestDatabase) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM things").fetch_one(database.pool()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_happens_once_and_where_it_was_asked_for() {
    let database = database().await;
    let proxy = Proxy::start(database.url()).await.unwrap();
    let insert = "INSERT INTO things SELECT count(*) FROM things";
    for (point, is_there) in [
        (Point::Before(Message::Committing), 0),
        (Point::Before(Message::Committed), 1),
        (Point::Before(Message::CommandComplete), 1),
    ] {
        let before = count(&database).await;
        let mut connection = PgConnection::connect(proxy.url()).await.unwrap();
        proxy.arm(Fault { point, occurrence: 1, action: Action::Cut });
        sqlx::query(insert).execute(&mut connection).await.unwrap_err();
        assert!(proxy.disarm(), "{point:?}");
        assert_eq!(count(&database).await - before, is_there, "{point:?}");
        let mut connection = PgConnection::connect(proxy.url()).await.unwrap();
        sqlx::query(insert).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_commits_with_its_commit_alone() {
    let database = database().await;
    let proxy = Proxy::start(database.url()).await.unwrap();
    let mut connection = PgConnection::connect(proxy.url()).await.unwrap();
    proxy.arm(Fault { point: Point::Before(Message::Committing), occurrence: 1, action: Action::Cut });
    let mut transaction = connection.begin().await.unwrap();
    for id in 0..3 {
        sqlx::query("INSERT INTO things VALUES ($1)").bind(id).execute(&mut *transaction).await.unwrap();
    }
    assert!(!proxy.has_fired());
    transaction.commit().await.unwrap_err();
    assert!(proxy.disarm());
    assert_eq!(count(&database).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_connection_goes_on_when_it_is_released() {
    let database = database().await;
    let proxy = Proxy::start(database.url()).await.unwrap();
    let mut connection = PgConnection::connect(proxy.url()).await.unwrap();
    proxy.arm(Fault { point: Point::Before(Message::ReadyForQuery), occurrence: 1, action: Action::Stall });
    let query = tokio::spawn(async move { sqlx::query("SELECT 1").execute(&mut connection).await });
    while !proxy.has_fired() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!query.is_finished());
    proxy.release();
    query.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_ends_its_connection_and_no_other() {
    let database = database().await;
    let proxy = Proxy::start(database.url()).await.unwrap();
    let address = proxy.url().split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
    let mut good = PgConnection::connect(proxy.url()).await.unwrap();
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\0\0\x03", b"\xff\xff\xff\xff", b"\0\0\0\x08\x04\xd2\x16\x2f"]
    {
        let mut client = TcpStream::connect(&address).await.unwrap();
        client.write_all(garbage).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // It ends: with nothing, with a refusal of encryption, or by a reset.
        let _ = client.read_to_end(&mut answer).await;
        assert!(answer.len() <= 1, "{garbage:?}: {answer:?}");
    }
    sqlx::query("SELECT 1").execute(&mut good).await.unwrap();
    proxy.cut_all();
    sqlx::query("SELECT 1").execute(&mut good).await.unwrap_err();
}

#[tokio::test]
async fn a_url_without_a_host_is_refused() {
    for url in ["", "postgres:///database", "no url"] {
        assert!(matches!(Proxy::start(url).await, Err(ProxyError::Url { .. })), "{url}");
    }
}
