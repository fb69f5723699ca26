//! Pages of a long list: the last costs what the first does.

use std::time::Instant;

use proofmark::domain::ExperimentId;
use proofmark::repository::postgres::PostgresExperimentRepository;
use proofmark::repository::{Cursor, ExperimentRepository as _, LIMIT_MAX, PageRequest};
use proofmark_harness::Migrations;
use proofmark_harness::server::TestServer;

use crate::report::{Report, Target, milliseconds, percentile};
use crate::{Plan, Result};

/// Three rows have one time, so that a page ends among equals.
const INSERT: &str = "INSERT INTO ml_experiments (experiment_name, created_at, updated_at) \
     SELECT 'churn', made, made FROM generate_series(0, $1::bigint - 1) AS i, \
     LATERAL (SELECT '2024-01-01 00:00:00+00'::timestamptz + i / 3 * interval '1 second' AS made) AS at";

pub(crate) async fn measure(server: &TestServer, plan: Plan, report: &mut Report) -> Result<()> {
    let database = server.database(&Migrations::reference()).await?;
    sqlx::query(INSERT).bind(i64::from(plan.rows)).execute(database.pool()).await?;
    sqlx::raw_sql("VACUUM ANALYZE ml_experiments").execute(database.pool()).await?;
    let repository = PostgresExperimentRepository::new(database.pool().clone());
    let page = async |after: Option<Cursor>| repository.list(PageRequest { limit: LIMIT_MAX, after }).await;

    // The whole list, to verify that every row is in it once, and to be led to its end.
    let (mut rows, mut cursors, mut last, mut after) = (0_u32, Vec::new(), None, None);
    loop {
        let found = page(after).await?;
        for row in &found.items {
            let key: (_, ExperimentId) = (row.created_at, row.id);
            if last.is_some_and(|last| last >= key) {
                return Err(format!("expected a row after {last:?}, found {key:?}").into());
            }
            last = Some(key);
            rows += 1;
        }
        match found.next {
            Some(next) => cursors.push(next.clone()),
            None => break,
        }
        after = cursors.last().cloned();
    }
    if rows != plan.rows {
        return Err(format!("expected {} rows in all pages together, found {rows}", plan.rows).into());
    }
    // The last full page, for the very last may be short.
    let full = cursors.len().saturating_sub(2);
    let places = [("first", None), ("middle", cursors.get(full / 2)), ("last", cursors.get(full))];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..plan.queries {
        for ((_, cursor), times) in places.iter().zip(&mut times) {
            let begun = Instant::now();
            let found = page(cursor.cloned()).await?;
            times.push(milliseconds(begun.elapsed()));
            if found.items.len() != usize::try_from(LIMIT_MAX)? {
                return Err(format!("expected {LIMIT_MAX} rows, found {}", found.items.len()).into());
            }
        }
    }
    let mut medians = Vec::new();
    for ((name, _), times) in places.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        medians.push(percentile(times, 50));
        report.value(format!("lists: {name} page of {rows} rows, median"), "ms", percentile(times, 50), None);
        report.value(
            format!("lists: {name} page of {rows} rows, 95th percentile"),
            "ms",
            percentile(times, 95),
            None,
        );
    }
    report.value("lists: last page / first, medians", "x", medians[2] / medians[0], Some(Target::AtMost(1.2)));

    let offset = "SELECT id FROM ml_experiments ORDER BY created_at, id OFFSET $1 LIMIT 500";
    let begun = Instant::now();
    sqlx::query(offset).bind(i64::from(rows) - 500).fetch_all(database.pool()).await?;
    report.value("lists: the last page by OFFSET, for comparison", "ms", milliseconds(begun.elapsed()), None);
    Ok(())
}
