//! A repository on Postgres for the kit's reference records: sound, or with one fault.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use proofmark_harness::suites::repositories::kit::{
    Ability, Adapter, Database, Listed, Record, Refusal, RefusalKind, Spec, Value, async_trait, reference_spec,
};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
use tokio::sync::Mutex as AsyncMutex;
use uuid::Uuid;

/// What is wrong with the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    ReadsLocalTimes,
    EncodesJsonTwice,
    AsksForEachRow,
    SwallowsContention,
    LocksWhatItReads,
    SharesACache,
    IgnoresTenants,
    CachesReads,
    SelectsStar,
    ForgetsItsTransaction,
    LeavesATemporaryTable,
    SwallowsErrors,
    RetriesBlindly,
    RetriesAndDoubles,
    BlamesTheCaller,
    GivesUpAtOnce,
    HasOneConnection,
    NeverConnectsAgain,
    AppendsOneByOne,
    UpdatesFieldByField,
    WaitsForEver,
    MistakesCancellation,
    MistakesReadOnly,
    MistakesAFullDisk,
    BeginsByHand,
}

type Cache = Mutex<HashMap<String, Record>>;

/// Of the whole process, which is what is wrong with it.
static CACHE: LazyLock<Cache> = LazyLock::new(Mutex::default);

pub(crate) struct Samples {
    fault: Fault,
    tenant: String,
    pool: PgPool,
    single: Option<Arc<AsyncMutex<PgConnection>>>,
    cache: Cache,
    blocked: AtomicU64,
}

const COLUMNS: &str =
    "id, place, name, body, note, total, level, score, ratio, visible, seen_at, labels, state, phase";

const ZONE_OF_DATABASE: &str = "SELECT set_config('timezone', coalesce((
    SELECT split_part(setting, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) setting
    WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND setting ILIKE 'timezone=%'), 'UTC'), false)";

const FIELDS: [(&str, &str); 12] = [
    ("name", "text"),
    ("body", "text"),
    ("note", "text"),
    ("total", "bigint"),
    ("level", "bigint"),
    ("score", "double precision"),
    ("ratio", "double precision"),
    ("visible", "boolean"),
    ("seen_at", "timestamptz"),
    ("labels", "jsonb"),
    ("state", "text"),
    ("phase", "text"),
];

pub(crate) fn spec() -> Spec {
    reference_spec().schema(include_str!("sample.sql")).can(&[Ability::Pool, Ability::Reconnect, Ability::Tenants])
}

type Query = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind(query: Query, column: &str, value: &Value) -> Query {
    let kind = FIELDS.iter().find(|(name, _)| *name == column).map_or("text", |(_, kind)| kind);
    match value.clone() {
        Value::Absent => match kind {
            "bigint" => query.bind(None::<i64>),
            "double precision" => query.bind(None::<f64>),
            "boolean" => query.bind(None::<bool>),
            "timestamptz" => query.bind(None::<DateTime<Utc>>),
            "jsonb" => query.bind(None::<serde_json::Value>),
            _ => query.bind(None::<String>),
        },
        Value::Bool(value) => query.bind(value),
        Value::Integer(value) => query.bind(value),
        Value::Float(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Time(value) => query.bind(value),
        Value::Json(value) => query.bind(value),
    }
}

fn record(row: &PgRow, fault: Fault) -> Result<Record, sqlx::Error> {
    let seen_at = if fault == Fault::ReadsLocalTimes {
        row.try_get::<NaiveDateTime, _>("local_seen_at")?.and_utc()
    } else {
        row.try_get::<DateTime<Utc>, _>("seen_at")?
    };
    let mut labels: Option<serde_json::Value> = row.try_get("labels")?;
    if fault == Fault::EncodesJsonTwice
        && let Some(serde_json::Value::String(text)) = &labels
    {
        labels = serde_json::from_str(text).ok();
    }
    Ok(Record::new()
        .with("name", row.try_get::<String, _>("name")?)
        .with("body", row.try_get::<Option<String>, _>("body")?)
        .with("note", row.try_get::<String, _>("note")?)
        .with("total", row.try_get::<i64, _>("total")?)
        .with("level", row.try_get::<i64, _>("level")?)
        .with("score", row.try_get::<Option<f64>, _>("score")?)
        .with("ratio", row.try_get::<f64, _>("ratio")?)
        .with("visible", row.try_get::<bool, _>("visible")?)
        .with("seen_at", seen_at)
        .with("labels", labels)
        .with("state", row.try_get::<String, _>("state")?)
        .with("phase", row.try_get::<String, _>("phase")?))
}

fn not_found() -> Refusal {
    Refusal::new(RefusalKind::NotFound, "no such sample")
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(RefusalKind::Invalid, message)
}

fn id(key: &str) -> Result<Uuid, Refusal> {
    Uuid::parse_str(key).map_err(|_| not_found())
}

fn limit(limit: u32) -> Result<i64, Refusal> {
    if (1..=100).contains(&limit) { Ok(i64::from(limit)) } else { Err(invalid("limit")) }
}

impl Samples {
    pub(crate) async fn open_with(database: &Database, fault: Fault) -> Result<Self, Refusal> {
        let options: PgConnectOptions = database.url().parse().expect("a URL");
        let acquire = match fault {
            Fault::WaitsForEver => Duration::from_secs(3_600),
            _ => database.acquire_time(),
        };
        let pool = PgPoolOptions::new()
            .max_connections(database.connections_max())
            .acquire_timeout(acquire)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    // The client asks for UTC otherwise, and is right.
                    if fault == Fault::ReadsLocalTimes {
                        sqlx::raw_sql(ZONE_OF_DATABASE).execute(connection).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options.clone());
        let single = match fault {
            Fault::HasOneConnection | Fault::NeverConnectsAgain => {
                let connection = options.connect().await.map_err(|error| refusal(&error, fault))?;
                Some(Arc::new(AsyncMutex::new(connection)))
            }
            _ => None,
        };
        let tenant = database.tenant().unwrap_or("").to_owned();
        let (cache, blocked) = (Cache::default(), AtomicU64::new(0));
        Ok(Self { fault, tenant, pool, single, cache, blocked })
    }

    fn refused(&self, error: &sqlx::Error) -> Refusal {
        refusal(error, self.fault)
    }

    async fn rows(&self, query: Query) -> Result<Vec<PgRow>, Refusal> {
        if let Some(single) = &self.single {
            let mut connection = single.lock().await;
            return query.fetch_all(&mut *connection).await.map_err(|error| self.refused(&error));
        }
        let rows = query.fetch_all(&self.pool);
        if self.fault == Fault::GivesUpAtOnce {
            let late = Duration::from_millis(20);
            return match tokio::time::timeout(late, rows).await {
                Ok(rows) => rows.map_err(|error| self.refused(&error)),
                Err(_) => Err(Refusal::new(RefusalKind::Unavailable, "no answer in time")),
            };
        }
        rows.await.map_err(|error| self.refused(&error))
    }

    async fn insert_once(&self, record: &Record, on_conflict: &str) -> Result<String, Refusal> {
        let names: Vec<_> = record.iter().map(|(name, _)| name).filter(|name| *name != "phase").collect();
        let binds: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(index, name)| match (*name, self.fault) {
                ("labels", Fault::EncodesJsonTwice) => format!("to_jsonb(${}::jsonb::text)", index + 2),
                _ => format!("${}", index + 2),
            })
            .collect();
        let sql = format!(
            "WITH new AS (INSERT INTO samples (tenant, {}) VALUES ($1, {}) {on_conflict} RETURNING id),
                  event AS (INSERT INTO sample_events (sample_id) SELECT id FROM new RETURNING 1)
             SELECT id FROM new",
            names.join(", "),
            binds.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(self.tenant.clone());
        for name in names {
            query = bind(query, name, record.get(name).unwrap_or(&Value::Absent));
        }
        let rows = match self.fault {
            Fault::ForgetsItsTransaction | Fault::BeginsByHand => {
                let mut connection = self.pool.acquire().await.map_err(|error| self.refused(&error))?;
                let failed = |error: sqlx::Error| self.refused(&error);
                sqlx::raw_sql("BEGIN").execute(&mut *connection).await.map_err(failed)?;
                let rows = query.fetch_all(&mut *connection).await;
                if self.fault == Fault::BeginsByHand && rows.is_err() {
                    sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.map_err(failed)?;
                }
                let rows = rows.map_err(failed)?;
                sqlx::raw_sql("COMMIT").execute(&mut *connection).await.map_err(failed)?;
                rows
            }
            _ => self.rows(query).await?,
        };
        let row = rows.first().ok_or_else(not_found)?;
        row.try_get::<Uuid, _>(0).map(|id| id.to_string()).map_err(|error| self.refused(&error))
    }
}

/// What an error means, as the fault understands it.
fn refusal(error: &sqlx::Error, fault: Fault) -> Refusal {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned();
    let refusal = match error {
        sqlx::Error::Database(_) => Refusal::from_sqlstate(Some(&code), error),
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_) => {
            Refusal::new(RefusalKind::Unavailable, error)
        }
        // What cannot be encoded.
        sqlx::Error::Encode(_) => Refusal::new(RefusalKind::Invalid, error),
        _ => Refusal::new(RefusalKind::Other, error),
    };
    let is_mistaken = match fault {
        Fault::MistakesCancellation => code == "57014",
        Fault::MistakesReadOnly => code == "25006",
        Fault::MistakesAFullDisk => code == "53100",
        Fault::BlamesTheCaller => refusal.kind == RefusalKind::Unavailable,
        _ => false,
    };
    if is_mistaken { Refusal { kind: RefusalKind::Invalid, ..refusal } } else { refusal }
}

#[async_trait]
impl Adapter for Samples {
    fn spec() -> Spec {
        spec()
    }

    async fn open(database: &Database) -> Result<Self, Refusal> {
        Self::open_with(database, Fault::None).await
    }

    async fn insert(&self, record: &Record) -> Result<String, Refusal> {
        if self.fault == Fault::LeavesATemporaryTable {
            self.rows(sqlx::query("CREATE TEMPORARY TABLE IF NOT EXISTS staging (id uuid)")).await?;
        }
        let stored = self.insert_once(record, "").await;
        let stored = match (stored, self.fault) {
            (Err(error), Fault::SwallowsErrors) if error.kind == RefusalKind::Unavailable => {
                Ok(Uuid::new_v4().to_string())
            }
            (Err(error), Fault::RetriesBlindly) if error.kind == RefusalKind::Unavailable => {
                self.insert_once(record, "").await
            }
            (Err(error), Fault::RetriesAndDoubles) if error.kind == RefusalKind::Unavailable => {
                self.insert_once(record, "ON CONFLICT (tenant, name) DO UPDATE SET name = excluded.name").await
            }
            (stored, _) => stored,
        }?;
        if self.fault == Fault::SharesACache {
            CACHE.lock().unwrap_or_else(PoisonError::into_inner).insert(stored.clone(), record.clone());
        }
        Ok(stored)
    }

    async fn get(&self, key: &str) -> Result<Record, Refusal> {
        let id = id(key)?;
        let cache = if self.fault == Fault::SharesACache { &CACHE } else { &self.cache };
        if matches!(self.fault, Fault::SharesACache | Fault::CachesReads)
            && let Some(record) = cache.lock().unwrap_or_else(PoisonError::into_inner).get(key)
        {
            return Ok(record.clone());
        }
        let sql = match self.fault {
            Fault::SelectsStar => "SELECT * FROM samples WHERE id = $1 AND tenant = $2".to_owned(),
            Fault::ReadsLocalTimes => format!(
                "SELECT {COLUMNS}, seen_at::timestamp AS local_seen_at FROM samples WHERE id = $1 AND tenant = $2"
            ),
            Fault::LocksWhatItReads => {
                format!("SELECT {COLUMNS} FROM samples WHERE id = $1 AND tenant = $2 FOR UPDATE NOWAIT")
            }
            Fault::IgnoresTenants => format!("SELECT {COLUMNS} FROM samples WHERE id = $1 AND $2 = $2"),
            _ => format!("SELECT {COLUMNS} FROM samples WHERE id = $1 AND tenant = $2"),
        };
        let rows = self.rows(sqlx::query(AssertSqlSafe(sql)).bind(id).bind(self.tenant.clone())).await?;
        let row = rows.first().ok_or_else(not_found)?;
        let record = record(row, self.fault).map_err(|error| self.refused(&error))?;
        if self.fault == Fault::CachesReads {
            cache.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), record.clone());
        }
        Ok(record)
    }

    async fn update(&self, key: &str, changes: &Record) -> Result<(), Refusal> {
        if self.fault == Fault::UpdatesFieldByField && changes.iter().count() > 1 {
            for (name, value) in changes.iter() {
                self.update(key, &Record::new().with(name, value.clone())).await?;
            }
            return Ok(());
        }
        let mut sets = vec!["id = id".to_owned()];
        sets.extend(changes.iter().enumerate().map(|(index, (name, _))| format!("{name} = ${}", index + 3)));
        let sql = format!("UPDATE samples SET {} WHERE id = $1 AND tenant = $2 RETURNING id", sets.join(", "));
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(id(key)?).bind(self.tenant.clone());
        for (name, value) in changes.iter() {
            query = bind(query, name, value);
        }
        match self.rows(query).await {
            Err(refusal) if refusal.kind == RefusalKind::Contended && self.fault == Fault::SwallowsContention => {
                self.blocked.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            rows => rows?.first().map(|_| ()).ok_or_else(not_found),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), Refusal> {
        let sql = "DELETE FROM samples WHERE id = $1 AND tenant = $2 RETURNING id";
        let rows = self.rows(sqlx::query(sql).bind(id(key)?).bind(self.tenant.clone())).await?;
        rows.first().map(|_| ()).ok_or_else(not_found)
    }

    async fn list(&self, count: u32, cursor: Option<&str>) -> Result<Listed, Refusal> {
        let count = limit(count)?;
        let bad = || Refusal::new(RefusalKind::Cursor, "none of ours");
        let (place, after) = match cursor {
            None => (i64::MIN, Uuid::nil()),
            Some(text) => {
                let [place, id, sum] = text.split('/').collect::<Vec<_>>()[..] else { return Err(bad()) };
                let (place, id): (i64, Uuid) = (place.parse().map_err(|_| bad())?, id.parse().map_err(|_| bad())?);
                if format!("{place}/{id}/{}", sum_of(place, id)) != text || sum.is_empty() {
                    return Err(bad());
                }
                (place, id)
            }
        };
        let sql = format!(
            "SELECT {COLUMNS}, seen_at::timestamp AS local_seen_at FROM samples
             WHERE tenant = $1 AND (place, id) > ($2, $3) ORDER BY place, id LIMIT $4"
        );
        let query =
            sqlx::query(AssertSqlSafe(sql)).bind(self.tenant.clone()).bind(place).bind(after).bind(count + 1);
        let rows = self.rows(query).await?;
        let failed = |error: sqlx::Error| self.refused(&error);
        let mut listed = Listed::default();
        let count = usize::try_from(count).unwrap_or(0);
        for row in rows.iter().take(count) {
            let id: Uuid = row.try_get("id").map_err(failed)?;
            let record = if self.fault == Fault::AsksForEachRow {
                self.get(&id.to_string()).await?
            } else {
                record(row, self.fault).map_err(failed)?
            };
            listed.records.push((id.to_string(), record));
        }
        if rows.len() > count
            && let Some(last) = rows.get(count - 1)
        {
            let (place, id) = (last.try_get("place").map_err(failed)?, last.try_get("id").map_err(failed)?);
            listed.next = Some(format!("{place}/{id}/{}", sum_of(place, id)));
        }
        Ok(listed)
    }

    async fn find(&self, _: &'static str, value: &Value) -> Result<Vec<String>, Refusal> {
        let Value::Text(name) = value else { return Ok(Vec::new()) };
        let sql = "SELECT id FROM samples WHERE tenant = $1 AND name = $2";
        let rows = self.rows(sqlx::query(sql).bind(self.tenant.clone()).bind(name.clone())).await?;
        rows.iter()
            .map(|row| row.try_get::<Uuid, _>(0).map(|id| id.to_string()).map_err(|error| self.refused(&error)))
            .collect()
    }

    async fn tie(&self, keys: &[String]) -> Result<(), Refusal> {
        let ids = keys.iter().map(|key| id(key)).collect::<Result<Vec<_>, _>>()?;
        let sql = "UPDATE samples SET place = 0 WHERE id = ANY($1)";
        self.rows(sqlx::query(sql).bind(ids)).await.map(|_| ())
    }

    async fn append(&self, key: &str, points: &[Record]) -> Result<(), Refusal> {
        if self.fault == Fault::AppendsOneByOne && points.len() > 1 {
            for point in points {
                self.append(key, std::slice::from_ref(point)).await?;
            }
            return Ok(());
        }
        let sql = "INSERT INTO sample_points (sample_id, at, value, share)
            SELECT $1, * FROM unnest($2::timestamptz[], $3::float8[], $4::float8[]) ON CONFLICT DO NOTHING";
        let at: Vec<_> = points.iter().map(|point| point.time("at")).collect();
        let values: Vec<_> = points.iter().map(|point| point.float("value")).collect();
        let shares: Vec<_> = points.iter().map(|point| point.float("share")).collect();
        self.rows(sqlx::query(sql).bind(id(key)?).bind(at).bind(values).bind(shares)).await.map(|_| ())
    }

    async fn points(&self, key: &str, count: u32) -> Result<Vec<Record>, Refusal> {
        let count = limit(count)?;
        self.get(key).await?;
        let sql = "SELECT at, value, share FROM sample_points WHERE sample_id = $1 ORDER BY at DESC LIMIT $2";
        let rows = self.rows(sqlx::query(sql).bind(id(key)?).bind(count)).await?;
        rows.iter()
            .map(|row| {
                Ok(Record::new()
                    .with("at", row.try_get::<DateTime<Utc>, _>("at")?)
                    .with("value", row.try_get::<f64, _>("value")?)
                    .with("share", row.try_get::<Option<f64>, _>("share")?))
            })
            .collect::<Result<_, _>>()
            .map_err(|error| self.refused(&error))
    }
}

/// Against slips.
fn sum_of(place: i64, id: Uuid) -> u128 {
    (id.as_u128() ^ u128::from(place.unsigned_abs())) % 999_983
}
