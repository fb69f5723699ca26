//! Looks for values that a check refuses: one that refuses none is of no use.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::FillError;
use super::candidates::{Candidate, Constants, candidates};
use super::catalog::{Catalog, Check, Column, Table};
use super::plan::quoted;
use super::value::{Draw, derive, hash};

/// Combinations of values that are tried for a check on several columns.
const COMBINATIONS: u32 = 4_000;

/// The most candidates for one column.
const VALUES_MAX: usize = 120;

/// The longest text that is made because a condition speaks of a length.
const LENGTH_MAX: u32 = 32_000_000;

/// The same, where there are many combinations.
const COMBINED_LENGTH_MAX: u32 = 100_000;

/// A check that refused nothing of what was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepting {
    /// The table, quoted where needed and with its schema.
    pub table: String,
    /// The constraint's name.
    pub check: String,
    /// The condition, as the server writes it.
    pub expression: String,
    /// How many values or combinations of values were tried.
    pub tried: u32,
    /// The columns that are in it.
    pub columns: Vec<String>,
}

/// The checks of a database that refuse nothing of what is tried, and the number of those that there was no time for.
///
/// # Errors
/// When the connection is lost or the catalogs cannot be read.
pub async fn accepting(
    connection: &mut PgConnection,
    seed: u64,
    time_max: Duration,
) -> Result<(Vec<Accepting>, usize), FillError> {
    let deadline = Instant::now() + time_max;
    let catalog = Catalog::read_all(connection)
        .await
        .map_err(|source| FillError::Server { action: "read the catalogs for counterexamples", source })?;
    let (mut found, mut untried) = (Vec::new(), 0);
    for table in &catalog.tables {
        for check in &table.checks {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis();
            if left == 0 {
                untried += 1;
                continue;
            }
            let refuter =
                Refuter { catalog: &catalog, table, check, seed: derive(seed.cast_signed(), &table.name) };
            let Some((columns, values)) = refuter.values() else { continue };
            let time = (left / 3).clamp(1, 2_000);
            let tried = match values.as_slice() {
                [values] => refuter.one_column(connection, time, values).await,
                _ => refuter.several(connection, time, &values).await,
            };
            let tried =
                tried.map_err(|source| FillError::Server { action: "look for a counterexample", source })?;
            if let Some(tried) = tried {
                found.push(Accepting {
                    table: table.name.clone(),
                    check: check.name.clone(),
                    expression: check.expression.clone(),
                    tried,
                    columns,
                });
            }
        }
    }
    Ok((found, untried))
}

struct Refuter<'a> {
    catalog: &'a Catalog,
    table: &'a Table,
    check: &'a Check,
    seed: i64,
}

/// A column's name and declared type, and expressions for its values.
struct Tries {
    name: String,
    declared: String,
    values: Vec<String>,
}

impl Refuter<'_> {
    /// What to try for each column of the check.
    fn values(&self) -> Option<(Vec<String>, Vec<Tries>)> {
        let constants = Constants::of([self.check.expression.as_str()]);
        let mut names = Vec::new();
        let mut tries = Vec::new();
        for number in &self.check.columns {
            let column = self.table.columns.iter().find(|column| column.number == *number)?;
            names.push(column.name.clone());
            tries.push(self.tries(column, &constants)?);
        }
        (!tries.is_empty()).then_some((names, tries))
    }

    fn tries(&self, column: &Column, constants: &Constants) -> Option<Tries> {
        let resolved = self.catalog.resolve(column.type_oid, column.modifier);
        let base = resolved.base?;
        let declared = resolved.declared.unwrap_or(&column.declared).to_owned();
        let seed = derive(self.seed, &column.name);
        let draw = Draw { catalog: self.catalog, seed, word: &column.name, distinct: false, place: None };
        let mut list: Vec<Candidate> =
            draw.value(column.type_oid, column.modifier).map(Candidate::many).into_iter().collect();
        match base.builtin.as_deref() {
            Some("float4" | "float8") => {
                list.extend(["'NaN'", "'Infinity'", "'-Infinity'", "1e30", "-1e30"].map(Candidate::one));
            }
            Some("numeric") => {
                let (digits, scale) = super::value::precision_and_scale(resolved.modifier).unwrap_or((30, 0));
                let most = format!("(10::numeric ^ {} - 1)", (digits - scale).max(0));
                list.push(Candidate::one(format!("-{most}")));
                list.push(Candidate::one(most));
                list.push(Candidate::one("'NaN'"));
            }
            Some("int2") => list.extend(["32767", "-32768"].map(Candidate::one)),
            Some("int4") => list.extend(["2147483647", "-2147483648"].map(Candidate::one)),
            Some("int8") => list.extend(["9223372036854775807", "-9223372036854775808"].map(Candidate::one)),
            Some("text" | "varchar" | "bpchar") => {
                list.extend(["''", "' '", "'-'", "'Zz 9!'", "repeat('x', 300)"].map(Candidate::one));
                list.extend(self.long("repeat('x', ", ")"));
            }
            Some("json" | "jsonb") => {
                let kind = base.builtin.as_deref().unwrap_or("jsonb");
                list.extend(self.long("to_jsonb(repeat('x', ", &format!("))::{kind}")));
                list.push(Candidate::one(format!("'{{}}'::{kind}")));
            }
            Some("bytea") => {
                list.push(Candidate::one("''::bytea"));
                list.extend(self.long("convert_to(repeat('x', ", "), 'UTF8')"));
            }
            Some("date" | "timestamp" | "timestamptz") => {
                list.extend(["'-infinity'", "'infinity'", "'0044-03-15 BC'"].map(Candidate::one));
            }
            Some("interval") => list.extend(["'-1 year'", "'0'", "'100 years'"].map(Candidate::one)),
            _ => {}
        }
        list.extend(candidates(draw, base, constants));
        list.truncate(VALUES_MAX);
        let mut values = vec!["NULL".to_owned()];
        values.extend(list.into_iter().map(|candidate| candidate.expression));
        Some(Tries { name: quoted(&column.name), declared, values })
    }

    /// Texts that are longer than a condition may allow.
    fn long(&self, before: &str, after: &str) -> Vec<Candidate> {
        let constants = Constants::of([self.check.expression.as_str()]);
        let lengths = constants.numbers.iter().filter_map(|number| number.parse::<u32>().ok());
        let most = if self.check.columns.len() > 1 { COMBINED_LENGTH_MAX } else { LENGTH_MAX };
        let lengths = lengths.filter(|length| *length < most);
        lengths.map(|length| Candidate::one(format!("{before}{}{after}", length + 1))).collect()
    }

    /// How many values were tried and accepted; nothing, if one was refused.
    async fn one_column(
        &self,
        connection: &mut PgConnection,
        time: u128,
        tries: &Tries,
    ) -> Result<Option<u32>, sqlx::Error> {
        let rows: Vec<String> =
            tries.values.iter().map(|value| format!("(({value})::{})", tries.declared)).collect();
        if let Ok(is_refused) = self.ask(connection, time, &self.statement(tries, &rows.join(", "))).await? {
            return Ok((!is_refused).then(|| u32::try_from(rows.len()).unwrap_or(u32::MAX)));
        }
        // Either a value is none, or the check fails on one, which refuses it as well: each by itself.
        let mut accepted = 0;
        for row in &rows {
            match self.ask(connection, time, &self.statement(tries, row)).await? {
                Ok(true) => return Ok(None),
                Ok(false) => accepted += 1,
                Err(_) => {
                    let value = format!(
                        "SELECT max(s.v::text) IS NULL FROM (VALUES (1::int8)) AS g(i), LATERAL (VALUES {row}) AS s(v)"
                    );
                    if self.ask(connection, time, &value).await?.is_ok() {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(accepted))
    }

    fn statement(&self, tries: &Tries, rows: &str) -> String {
        format!(
            "SELECT EXISTS (SELECT FROM (VALUES (1::int8)) AS g(i), LATERAL (VALUES {rows}) AS s({}) \
             WHERE ({}) IS FALSE)",
            tries.name, self.check.expression
        )
    }

    async fn several(
        &self,
        connection: &mut PgConnection,
        time: u128,
        tries: &[Tries],
    ) -> Result<Option<u32>, sqlx::Error> {
        let columns: Vec<String> = tries
            .iter()
            .map(|column| {
                let cases: Vec<String> = column
                    .values
                    .iter()
                    .enumerate()
                    .map(|(number, value)| format!(" WHEN {number} THEN ({value})::{}", column.declared))
                    .collect();
                let chosen = hash(derive(self.seed, &format!("refute {}", column.name)));
                format!("CASE {chosen} % {}{} END AS {}", column.values.len(), cases.concat(), column.name)
            })
            .collect();
        let statement = format!(
            "SELECT EXISTS (SELECT FROM (SELECT {} FROM generate_series(1::int8, {COMBINATIONS}) AS g(i)) AS s \
             WHERE ({}) IS FALSE)",
            columns.join(", "),
            self.check.expression
        );
        Ok(match self.ask(connection, time, &statement).await? {
            Ok(false) => Some(COMBINATIONS),
            // What it fails on is refused as well.
            Ok(true) | Err(_) => None,
        })
    }

    /// Whether the statement finds something; what the server says, if it refuses to look.
    async fn ask(
        &self,
        connection: &mut PgConnection,
        time: u128,
        statement: &str,
    ) -> Result<Result<bool, String>, sqlx::Error> {
        // One message, which is a transaction to the server.
        let statement = format!("SET LOCAL statement_timeout = {time}; {statement}");
        let row = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(statement))).await;
        match row {
            Ok(row) => row.try_get(0).map(Ok),
            Err(sqlx::Error::Database(error)) => Ok(Err(error.message().to_owned())),
            Err(error) => Err(error),
        }
    }
}
