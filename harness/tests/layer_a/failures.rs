//! Many at once, and what goes wrong between a client and Postgres: nothing is doubled, lost or left behind.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proofmark::domain::{
    Measures, ModelChanges, ModelStage, NewBentoService, NewDeployment, NewModel, NewServingMetric,
};
use proofmark::repository::postgres::{RetryPolicy, Store, StoreSettings};
use proofmark::repository::{IdempotencyKey, PageRequest, RepositoryError as E};
use proofmark_harness::TestDatabase;
use sqlx::{Connection as _, PgConnection};

use crate::both::{Layer, database};

/// Long enough for any machine; what is not there after this never comes.
const HANG: Duration = Duration::from_secs(30);

fn store(database: &TestDatabase, settings: StoreSettings) -> Store {
    Store::connect_lazy(database.connect_options(), &settings).unwrap()
}

/// A future that is given up after so many steps.
struct Steps<F> {
    future: Pin<Box<F>>,
    left: u32,
}

impl<F: Future> Future for Steps<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.future.as_mut().poll(context).map(Some)
    }
}

fn steps<F: Future>(future: F, left: u32) -> Steps<F> {
    Steps { future: Box::pin(future), left }
}

/// Waits until no session of the application is in a transaction or holds a lock.
async fn settled(connection: &mut PgConnection, application: &str) {
    let begun = Instant::now();
    let busy = "SELECT count(*) FROM pg_stat_activity AS session WHERE application_name = $1 AND datname = current_database() \
                AND (xact_start IS NOT NULL OR EXISTS (SELECT FROM pg_locks WHERE pid = session.pid))";
    loop {
        let count: i64 = sqlx::query_scalar(busy).bind(application).fetch_one(&mut *connection).await.unwrap();
        if count == 0 {
            return;
        }
        assert!(begun.elapsed() < HANG, "{count} sessions are still in a transaction");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_future_dropped_at_any_point_leaves_no_transaction_and_no_half() {
    let database = database().await;
    let settings =
        StoreSettings { connections_max: 1, application_name: "dropped".to_owned(), ..StoreSettings::default() };
    let layer = Layer::postgres(store(&database, settings));
    let mut watch = database.connect().await.unwrap();
    let first = layer.a_model("fraud", "1", None).await;
    let second = layer.a_model("fraud", "2", None).await;
    layer.models.transition(first.id, None, ModelStage::Production).await.unwrap();
    let service = layer.a_service("scorer").await;
    let metrics = vec![NewServingMetric::new(service.id, Measures::default()); 3_000];
    let (mut crowned, mut moved, mut appended) = (false, false, false);
    for left in 0..200 {
        let key = IdempotencyKey::new(format!("batch-{left}")).unwrap();
        let target = if left % 2 == 0 { first.id } else { second.id };
        crowned = steps(layer.models.crown(target, None), left).await.is_some();
        settled(&mut watch, "dropped").await;
        moved = steps(layer.models.transition(target, None, ModelStage::Production), left).await.is_some();
        settled(&mut watch, "dropped").await;
        let before: i64 = count(&mut watch, "ml_bentoml_serving_metrics").await;
        appended = steps(layer.services.record_metrics_once(&key, &metrics), left).await.is_some();
        settled(&mut watch, "dropped").await;
        let after: i64 = count(&mut watch, "ml_bentoml_serving_metrics").await;
        assert!(after == before + 3_000 || (after == before && !appended), "{left}: {before} rows became {after}");
        // The one connection of the pool works, and one version of the two is in production.
        let production = layer.models.in_stage(ModelStage::Production, PageRequest::first(10)).await.unwrap();
        assert_eq!(production.items.len(), 1, "{left}");
        if crowned && moved && appended {
            break;
        }
    }
    assert!(crowned && moved && appended, "expected every operation to end within 200 steps");
    database.release().await;
}

async fn count(connection: &mut PgConnection, table: &'static str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_wins_and_none_is_lost() {
    let database = database().await;
    let layer = Layer::postgres(database.pool().clone());
    let key = IdempotencyKey::new("once").unwrap();
    let made = join_all((0..8).map(|_| layer.models.register_once(&key, NewModel::new("fraud", "0")))).await;
    let ids: Vec<_> = made.into_iter().map(|made| made.unwrap().id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "expected one model, found {ids:?}");

    let mut models = Vec::new();
    for version in 1..=8 {
        models.push(layer.a_model("fraud", &version.to_string(), None).await);
    }
    let changes = join_all(models.iter().map(|model| layer.models.crown(model.id, None))).await;
    let dethroned = changes.into_iter().filter(|change| change.as_ref().unwrap().dethroned.is_some()).count();
    assert_eq!(dethroned, 7, "each champion but the last was dethroned by the next");
    let moved = models.iter().map(|model| layer.models.transition(model.id, None, ModelStage::Production));
    let archived = join_all(moved).await.into_iter().filter(|moved| moved.as_ref().unwrap().archived.is_some());
    assert_eq!(archived.count(), 7);

    let mut deployments = Vec::new();
    for _ in 0..8 {
        let new = NewDeployment::new(models[0].id, "fraud", "production");
        deployments.push(layer.deployments.create(new).await.unwrap());
    }
    let activated = join_all(deployments.iter().map(|row| layer.deployments.activate(row.id, None))).await;
    assert_eq!(activated.into_iter().filter(|change| change.as_ref().unwrap().replaced.is_none()).count(), 1);
    let active = layer.deployments.active("fraud", "production").await.unwrap().unwrap();
    assert_eq!(layer.deployments.chain(active.id).await.unwrap().len(), 8);

    let model = layer.models.find(models[0].id).await.unwrap();
    let updates = (0..8).map(|_| layer.models.update(model.id, Some(model.revision), ModelChanges::default()));
    let updates = join_all(updates).await;
    assert_eq!(updates.iter().filter(|update| update.is_ok()).count(), 1);
    assert_eq!(updates.iter().filter(|update| matches!(update, Err(E::Stale { .. }))).count(), 7);

    let run = NewBentoService::new("fraud:1", "1", "s");
    let service = layer.services.register(run).await.unwrap();
    let batch = vec![NewServingMetric::new(service.id, Measures::default()); 70_000 / 8];
    let appended = join_all((0..8).map(|_| layer.services.record_metrics(&batch))).await;
    assert!(appended.iter().all(|count| matches!(count, Ok(8_750))));
    let mut connection = database.connect().await.unwrap();
    assert_eq!(count(&mut connection, "ml_bentoml_serving_metrics").await, 70_000);
    database.release().await;
}

#[tokio::test]
async fn one_batch_has_more_rows_than_a_statement_has_parameters() {
    let database = database().await;
    let layer = Layer::postgres(database.pool().clone());
    let service = layer.a_service("scorer").await;
    let batch = vec![NewServingMetric::new(service.id, Measures::default()); 70_000];
    assert_eq!(layer.services.record_metrics(&batch).await.unwrap(), 70_000);
    assert_eq!(count(&mut database.connect().await.unwrap(), "ml_bentoml_serving_metrics").await, 70_000);
    database.release().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_loses_a_race_is_tried_again_within_bounds() {
    let database = database().await;
    let options = database.connect_options().options([("default_transaction_isolation", "serializable")]);
    let pool = StoreSettings::default().pool(options).unwrap();
    let retries = RetryPolicy::new(20, Duration::from_millis(2), Duration::from_millis(50)).unwrap();
    let layer = Layer::postgres(Store::from(pool.clone()).with_retries(retries));
    let mut models = Vec::new();
    for version in 0..6 {
        models.push(layer.a_model("fraud", &version.to_string(), None).await);
    }
    for crowned in join_all(models.iter().map(|model| layer.models.crown(model.id, None))).await {
        crowned.unwrap();
    }
    assert!(layer.models.champion("fraud").await.unwrap().is_some());

    // Somebody else changes the row between the snapshot and the update of each attempt: the first sleeps at the lock
    // of the name, which the test holds.
    let once = RetryPolicy::new(1, Duration::ZERO, Duration::ZERO).unwrap();
    let impatient = Layer::postgres(Store::from(pool).with_retries(once));
    let mut other = database.connect().await.unwrap();
    let mut transaction = other.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('ml_model_registry fraud', 0))")
        .execute(&mut *transaction)
        .await
        .unwrap();
    sqlx::query("UPDATE ml_model_registry SET auc = 0.5 WHERE id = $1")
        .bind(models[0].id.as_uuid())
        .execute(&mut *transaction)
        .await
        .unwrap();
    let attempt = tokio::spawn(async move { impatient.models.crown(models[0].id, None).await });
    let mut watch = database.connect().await.unwrap();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut watch).await.unwrap() == 0 {
        assert!(begun.elapsed() < HANG, "nobody waits for the lock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    transaction.commit().await.unwrap();
    let lost = attempt.await.unwrap();
    assert!(matches!(lost, Err(E::Contended { .. })), "expected a lost race, found {lost:?}");
    database.release().await;
}

#[tokio::test]
async fn every_wait_has_an_end_and_the_connection_is_good_afterwards() {
    let database = database().await;
    let soon = Duration::from_millis(100);
    let of = || StoreSettings { connections_max: 1, ..StoreSettings::default() };
    let model = Layer::postgres(database.pool().clone()).a_model("fraud", "1", None).await;
    let mut other = database.connect().await.unwrap();
    let mut transaction = other.begin().await.unwrap();
    sqlx::query("SELECT FROM ml_model_registry FOR UPDATE").execute(&mut *transaction).await.unwrap();
    for (settings, is_expected) in [
        (
            StoreSettings { lock_time_max: soon, ..of() },
            (|error: &E| matches!(error, E::Contended { .. })) as fn(&E) -> bool,
        ),
        (StoreSettings { statement_time_max: soon, ..of() }, |error| matches!(error, E::Cancelled { .. })),
    ] {
        let layer = Layer::postgres(store(&database, settings));
        for _ in 0..2 {
            let error = layer.models.update(model.id, None, ModelChanges::default()).await.unwrap_err();
            assert!(is_expected(&error), "found {error:?}");
            let error = layer.models.crown(model.id, None).await.unwrap_err();
            assert!(is_expected(&error), "found {error:?}");
            assert_eq!(layer.models.find(model.id).await.unwrap(), model);
        }
    }
    transaction.rollback().await.unwrap();

    let busy = store(&database, StoreSettings { acquire_time_max: soon, ..of() });
    let held = busy.pool().acquire().await.unwrap();
    let layer = Layer::postgres(busy.clone());
    let error = layer.models.find(model.id).await.unwrap_err();
    assert!(matches!(error, E::Unavailable { .. }), "found {error:?}");
    drop(held);
    assert_eq!(layer.models.find(model.id).await.unwrap(), model);
    database.release().await;
}

#[tokio::test]
async fn keys_are_forgotten_when_they_are_old() {
    let database = database().await;
    let store = Store::from(database.pool().clone());
    let layer = Layer::postgres(store.clone());
    let key = IdempotencyKey::new("old").unwrap();
    let made = layer.models.register_once(&key, NewModel::new("fraud", "1")).await.unwrap();
    assert_eq!(store.forget_idempotency_keys(made.registered_at).await.unwrap(), 0);
    let later = made.registered_at + chrono::TimeDelta::seconds(1);
    assert_eq!(store.forget_idempotency_keys(later).await.unwrap(), 1);
    let again = layer.models.register_once(&key, NewModel::new("fraud", "1")).await;
    assert!(matches!(again, Err(E::Conflict { .. })));
    database.release().await;
}
