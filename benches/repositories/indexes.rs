//! Which index, or partitions, the append-only metrics get: the size of each, what it costs an append, and a summary.

use std::time::Instant;

use sqlx::{AssertSqlSafe, PgConnection};

use crate::report::{Report, milliseconds, percentile};
use crate::rows::{COLUMNS, SELECT, SERVICES, time};
use crate::summaries::{Table, WINDOW_MINUTES};
use crate::{Plan, Result};

/// The ways, each with what makes it out of a table `candidate` without any index.
const WAYS: [(&str, &str); 4] = [
    ("no index", ""),
    ("btree (service_id, timestamp)", "CREATE INDEX candidate_index ON candidate (service_id, timestamp)"),
    ("BRIN (timestamp)", "CREATE INDEX candidate_index ON candidate USING brin (timestamp)"),
    (
        "BRIN (service_id, timestamp)",
        "CREATE INDEX candidate_index ON candidate USING brin (service_id, timestamp)",
    ),
];

pub(crate) async fn measure(table: &Table, plan: Plan, report: &mut Report) -> Result<()> {
    let mut connection = table.database.connect().await?;
    let ids: Vec<_> = table.services.iter().map(|id| id.as_uuid()).collect();
    // The rows are moved, not copied, from way to way: there may be no room for two of them.
    execute(&mut connection, "ALTER TABLE ml_bentoml_serving_metrics RENAME TO candidate").await?;
    execute(&mut connection, "DROP INDEX idx_bentoml_metrics_service").await?;
    execute(&mut connection, "ALTER TABLE candidate DROP CONSTRAINT ml_bentoml_serving_metrics_pkey").await?;
    execute(&mut connection, "SET session_replication_role = replica").await?;
    let mut rows = plan.rows;
    for (name, create) in WAYS {
        if !create.is_empty() {
            execute(&mut connection, create).await?;
            execute(&mut connection, "ANALYZE candidate").await?;
        }
        rows = way(&mut connection, &ids, name, rows, plan, report).await?;
        execute(&mut connection, "DROP INDEX IF EXISTS candidate_index").await?;
    }
    let parts = "ALTER TABLE candidate RENAME TO single; \
                 CREATE TABLE candidate (LIKE single INCLUDING DEFAULTS) PARTITION BY RANGE (timestamp); \
                 DO $$ BEGIN FOR month IN 0..11 LOOP \
                     EXECUTE format('CREATE TABLE candidate_%s PARTITION OF candidate FOR VALUES FROM (%L) TO (%L)', \
                         month, '2024-01-01 00:00:00+00'::timestamptz + month * interval '30 days', \
                         '2024-01-01 00:00:00+00'::timestamptz + (month + 1) * interval '30 days'); \
                 END LOOP; END $$; \
                 INSERT INTO candidate SELECT * FROM single; DROP TABLE single; \
                 CREATE INDEX candidate_index ON candidate (service_id, timestamp); ANALYZE candidate";
    sqlx::raw_sql(parts).execute(&mut connection).await?;
    way(&mut connection, &ids, "partitions of 30 days, each with the btree", rows, plan, report).await?;
    Ok(())
}

/// Measures one way, and returns how many rows there are afterwards.
async fn way(
    connection: &mut PgConnection,
    ids: &[uuid::Uuid],
    name: &str,
    rows: u32,
    plan: Plan,
    report: &mut Report,
) -> Result<u32> {
    let size: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(pg_relation_size(c.oid)), 0)::bigint FROM pg_class AS c JOIN pg_index AS i ON i.indexrelid = c.oid \
         WHERE i.indrelid = 'candidate'::regclass \
            OR i.indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'candidate'::regclass)",
    )
    .fetch_one(&mut *connection)
    .await?;
    #[expect(clippy::cast_precision_loss, reason = "no index has 2^53 bytes")]
    report.value(format!("indexes: {name}: size"), "MB", size as f64 / 1e6, None);

    let summary = "SELECT count(*), sum(requests_per_second * window_seconds), max(p95_latency_ms) FROM candidate \
                   WHERE service_id = $1 AND timestamp >= $2 AND timestamp < $3";
    let mut times = Vec::new();
    // What reads the whole table is not asked as often.
    let queries = if name == "no index" { 3 } else { plan.queries.min(20) };
    for query in 0..queries {
        let span = u64::from(rows / SERVICES - WINDOW_MINUTES);
        let from = u32::try_from(u64::from(query) * 2_654_435_761 % span)?;
        let begun = Instant::now();
        let (count, _, _): (i64, Option<f64>, Option<f64>) = sqlx::query_as(summary)
            .bind(ids[usize::try_from(query * 7_919 % SERVICES)?])
            .bind(time(from))
            .bind(time(from + WINDOW_MINUTES))
            .fetch_one(&mut *connection)
            .await?;
        times.push(milliseconds(begun.elapsed()));
        if count != i64::from(WINDOW_MINUTES) {
            return Err(format!("{name}: expected {WINDOW_MINUTES} windows, found {count}").into());
        }
    }
    times.sort_by(f64::total_cmp);
    report.value(format!("indexes: {name}: summary, median"), "ms", percentile(&times, 50), None);

    let insert = format!("INSERT INTO candidate ({COLUMNS}) {SELECT}");
    let mut rates = Vec::new();
    let mut end = rows;
    for _ in 0..plan.rounds {
        let begun = Instant::now();
        sqlx::query(AssertSqlSafe(insert.as_str()))
            .bind(i64::from(end))
            .bind(i64::from(end + plan.append))
            .bind(ids)
            .execute(&mut *connection)
            .await?;
        rates.push(f64::from(plan.append) / begun.elapsed().as_secs_f64());
        end += plan.append;
    }
    report.median(format!("indexes: {name}: append"), "rows/s", &rates, None);
    Ok(end)
}

async fn execute(connection: &mut PgConnection, sql: &'static str) -> Result<()> {
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}
