//! Summaries of a day of one service's metrics, in tables of three sizes.

use std::time::Instant;

use proofmark::domain::{BentoServiceId, MetricSummary, TimeWindow};
use proofmark::repository::BentoServiceRepository as _;
use proofmark::repository::postgres::PostgresBentoServiceRepository;
use proofmark_harness::server::TestServer;
use proofmark_harness::{Migrations, TestDatabase};

use crate::report::{Report, Target, milliseconds, percentile};
use crate::rows::{COLUMNS, SELECT, SERVICES, make_services, time, windows};
use crate::{Plan, Result};

/// A day.
pub(crate) const WINDOW_MINUTES: u32 = 1_440;

/// The table at its full size.
pub(crate) struct Table {
    pub(crate) database: TestDatabase,
    pub(crate) services: Vec<BentoServiceId>,
}

pub(crate) async fn measure(server: &TestServer, plan: Plan, report: &mut Report) -> Result<Table> {
    let database = server.database(&Migrations::reference()).await?;
    let services = make_services(&database).await?;
    let repository = PostgresBentoServiceRepository::new(database.pool().clone());
    let mut rows = 0;
    let mut medians = Vec::new();
    for size in [plan.rows / 100, plan.rows / 10, plan.rows] {
        // A table holds one window at least.
        let size = size.max(2 * WINDOW_MINUTES * SERVICES);
        if size <= rows {
            continue;
        }
        grow(&database, &services, rows, size).await?;
        rows = size;
        let minutes = rows / SERVICES;
        let mut times = Vec::new();
        for query in 0..plan.queries {
            // Spread over services and times, without a pattern that a cache could follow.
            let service = query * 7_919 % SERVICES;
            let from = u32::try_from(u64::from(query) * 2_654_435_761 % u64::from(minutes - WINDOW_MINUTES))?;
            let until = from + WINDOW_MINUTES;
            let id = services[usize::try_from(service)?];
            let window = TimeWindow::new(time(from), time(until))?;
            let begun = Instant::now();
            let found = repository.summarize(id, window).await?;
            times.push(milliseconds(begun.elapsed()));
            let windows = windows(service, from, until);
            let expected = MetricSummary::of(&windows.iter().collect::<Vec<_>>());
            if found != expected {
                return Err(
                    format!("service {service}, minute {from}: expected {expected:?}, found {found:?}").into()
                );
            }
        }
        times.sort_by(f64::total_cmp);
        let (median, p95) = (percentile(&times, 50), percentile(&times, 95));
        let what = format!("summaries: {WINDOW_MINUTES} of {rows} rows");
        report.value(format!("{what}, median"), "ms", median, None);
        let is_last = size >= plan.rows;
        report.value(format!("{what}, 95th percentile"), "ms", p95, is_last.then_some(Target::AtMost(10.0)));
        medians.push(median);
    }
    if let (Some(first), Some(last)) = (medians.first(), medians.last()) {
        report.value("summaries: largest table / smallest, medians", "x", last / first, Some(Target::AtMost(2.0)));
    }
    Ok(Table { database, services })
}

/// Appends rows by the formula. References are not checked, as they are known to hold: that takes most of the time.
pub(crate) async fn grow(
    database: &TestDatabase,
    services: &[BentoServiceId],
    from: u32,
    until: u32,
) -> Result<()> {
    let mut connection = database.connect().await?;
    sqlx::raw_sql("SET session_replication_role = replica; SET synchronous_commit = off")
        .execute(&mut connection)
        .await?;
    let ids: Vec<_> = services.iter().map(|id| id.as_uuid()).collect();
    let insert = format!("INSERT INTO ml_bentoml_serving_metrics ({COLUMNS}) {SELECT}");
    sqlx::query(sqlx::AssertSqlSafe(insert))
        .bind(i64::from(from))
        .bind(i64::from(until))
        .bind(ids)
        .execute(&mut connection)
        .await?;
    sqlx::raw_sql("VACUUM ANALYZE ml_bentoml_serving_metrics").execute(&mut connection).await?;
    Ok(())
}
