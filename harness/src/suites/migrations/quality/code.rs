//! Views, functions and triggers: executed, because the server looks at most of their text only then.

use sqlx::Row as _;

use super::super::MigrationSubject;
use super::catalog::{listed, place, text};
use super::probe::{Prober, Refused, Tried};
use crate::case::{CaseError, CaseResult};
use crate::event::{Finding, Level};
use crate::migrations::generate::{self, Values};

/// The most rows of a view or a function that are read.
const ROWS_MAX: u32 = 1_000;

const CODE_HELP: &str = "correct the body in a new migration, with CREATE OR REPLACE; the server checks most of it only \
                         when it is executed";

pub(super) async fn every_view_selects(subject: MigrationSubject) -> CaseResult {
    let query = "SELECT name, relname::text AS relname, relkind::text AS relkind FROM relations
        WHERE relkind IN ('v', 'm') ORDER BY name";
    let views = listed(&subject, query).await?;
    let rows = subject.with_rows().await?;
    let mut prober = Prober::new(&rows).await?;
    let mut findings = Vec::new();
    for view in &views {
        let (name, bare) = (text(view, "name")?, text(view, "relname")?);
        // The text of each row, so that no column is left out by the planner.
        let select = format!("SELECT count(v::text) FROM (SELECT * FROM {name} LIMIT {ROWS_MAX} OFFSET 0) AS v");
        let refresh = format!("REFRESH MATERIALIZED VIEW {name}");
        let statements: &[&str] = if text(view, "relkind")? == "m" { &[&refresh, &select] } else { &[&select] };
        let (level, found) = match prober.attempt(statements).await? {
            Tried::Done(_) => continue,
            Tried::Refused(refused) if refused.sqlstate == "57014" => {
                (Level::Warning, format!("nothing within the time limit: {}", refused.text()))
            }
            Tried::Refused(refused) => (Level::Error, refused.text()),
            Tried::OutOfTime => (Level::Note, "no time to read it".to_owned()),
            Tried::Lost => (Level::Warning, "that the session ended".to_owned()),
        };
        let place = place(subject.evidence.places(), "view", &bare);
        let message = format!("expected its rows, where its tables have generated ones, found {found}");
        let help =
            "make the view bear every value that its tables may hold, with NULLIF, CASE or a check on the table";
        findings.push(Finding::new(level, place, format!("view {name}"), message, help));
    }
    subject.conclude(findings)
}

/// Called with values that rows have in columns of the arguments' names, so that what is looked up is found; with typical
/// values; and with NULLs.
pub(super) async fn every_function_runs(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT f.name, f.proname::text AS proname, format('%I.%I', f.nspname, f.proname) AS callee,
            p.prokind::text AS kind,
            coalesce((SELECT array_agg(t.type::int8 ORDER BY t.position)
                FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t(type, position)), '{}') AS arguments,
            coalesce((SELECT array_agg(format_type(t.type, NULL) ORDER BY t.position)
                FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t(type, position)), '{}') AS types,
            coalesce((SELECT array_agg((
                    SELECT format('SELECT %1$I::text FROM %2$s WHERE %1$I IS NOT NULL LIMIT 1', c.attname, c.table_name)
                    FROM columns c
                    WHERE c.attname = regexp_replace(names.list[t.position], '^(p|v|in|arg)?_+', '')
                        AND (c.base = t.type
                            OR ARRAY[c.base, t.type] <@ ARRAY['text'::regtype, 'varchar'::regtype]::oid[])
                    ORDER BY c.name LIMIT 1
                ) ORDER BY t.position)
                FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t(type, position)), '{}') AS sources,
            p.provariadic <> 0 AS is_variadic
        FROM functions f
        JOIN pg_proc p ON p.oid = f.oid
        JOIN pg_language l ON l.oid = p.prolang
        CROSS JOIN LATERAL (
            SELECT array_agg(n.name ORDER BY n.position) AS list
            FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS n(name, mode, position)
            WHERE n.mode IS NULL OR n.mode IN ('i', 'b', 'v')
        ) names
        WHERE l.lanname IN ('plpgsql', 'sql') AND p.prokind IN ('f', 'p')
            AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
        ORDER BY f.name";
    let functions = listed(&subject, query).await?;
    let rows = subject.with_rows().await?;
    let mut prober = Prober::new(&rows).await?;
    let values = Values::read(prober.connection()).await.map_err(CaseError::harness)?;
    let mut findings = Vec::new();
    for function in &functions {
        let (name, bare) = (text(function, "name")?, text(function, "proname")?);
        let types: Vec<String> = function.try_get("types").map_err(CaseError::harness)?;
        let oids: Vec<i64> = function.try_get("arguments").map_err(CaseError::harness)?;
        let is_variadic: bool = function.try_get("is_variadic").map_err(CaseError::harness)?;
        let typical: Option<Vec<String>> =
            oids.iter().zip(1_i64..).map(|(oid, number)| values.value(*oid, number)).collect();
        let nulls: Vec<String> = types.iter().map(|name| format!("NULL::{}", concrete(name))).collect();
        let sources: Vec<Option<String>> = function.try_get("sources").map_err(CaseError::harness)?;
        let found = match &typical {
            Some(typical) => found(&mut prober, &sources, &types, typical).await?,
            None => None,
        };
        let calls = [
            found.map(|found| ("values of rows", found)),
            typical.map(|typical| ("typical values", typical)),
            (!nulls.is_empty()).then_some(("NULLs", nulls)),
        ];
        let is_procedure = text(function, "kind")? == "p";
        let (verb, limit) =
            if is_procedure { ("CALL", String::new()) } else { ("SELECT", format!(" LIMIT {ROWS_MAX}")) };
        for (what, mut arguments) in calls.into_iter().flatten() {
            if let Some(last) = arguments.last_mut().filter(|_| is_variadic) {
                *last = format!("VARIADIC {last}");
            }
            let call = format!("{verb} {}({})", text(function, "callee")?, arguments.join(", "));
            let (level, found) = match prober.attempt(&[&format!("{call}{limit}")]).await? {
                Tried::Refused(refused) if refused.is_faulty_code() => (level_of(&refused), refused.text()),
                Tried::Lost => (Level::Warning, "that the session ended".to_owned()),
                Tried::OutOfTime => (Level::Note, "no time to call it".to_owned()),
                Tried::Done(_) | Tried::Refused(_) => continue,
            };
            let place = place(subject.evidence.places(), "function", &bare);
            let message =
                format!("expected a result or an error of its own when called with {what}, found {found}");
            findings.push(Finding::new(level, place, format!("function {name}"), message, CODE_HELP));
            break;
        }
    }
    subject.conclude(findings)
}

/// The typical values, with those of rows in place of some; nothing, if there are none.
async fn found(
    prober: &mut Prober<'_>,
    sources: &[Option<String>],
    types: &[String],
    typical: &[String],
) -> Result<Option<Vec<String>>, CaseError> {
    let mut arguments = typical.to_vec();
    let mut is_found = false;
    for ((source, declared), argument) in sources.iter().zip(types).zip(&mut arguments) {
        let Some(source) = source else { continue };
        let Tried::Done(rows) = prober.attempt(&[source]).await? else { continue };
        let Some(row) = rows.first() else { continue };
        let value: Option<String> = row.try_get(0).map_err(CaseError::harness)?;
        if let Some(value) = value {
            *argument = format!("{}::{declared}", generate::literal(&value));
            is_found = true;
        }
    }
    Ok(is_found.then_some(arguments))
}

/// A type that a polymorphic argument can have.
fn concrete(name: &str) -> &str {
    match name {
        "anyelement" | "anynonarray" | "anycompatible" | "anycompatiblenonarray" | "\"any\"" => "integer",
        "anyarray" | "anycompatiblearray" => "integer[]",
        "anyrange" | "anycompatiblerange" => "int4range",
        "anymultirange" | "anycompatiblemultirange" => "int4multirange",
        "anyenum" | "record" => "text",
        other => other,
    }
}

/// What a statement that is put together at run time names may come from the values that it was called with.
fn level_of(refused: &Refused) -> Level {
    let is_ours = refused.message.contains("value-");
    if is_ours || refused.is_dynamic() { Level::Note } else { Level::Error }
}

/// A generated row is updated without a change, then given another row's values, then deleted, in each table that has
/// triggers; rows were inserted when the tables were filled.
pub(super) async fn every_trigger_fires(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT t.name, t.relname::text AS relname,
            (SELECT min(g.tgname::text) FROM pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal) AS trigger,
            (SELECT string_agg(format('%1$I = %1$I', a.attname), ', ') FROM pg_attribute a
                WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                    AND a.attidentity <> 'a') AS same,
            (SELECT string_agg(format('%1$I = o.%1$I', a.attname), ', ') FROM pg_attribute a
                WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                    AND a.attidentity <> 'a'
                    AND NOT EXISTS (SELECT FROM pg_index i
                        WHERE i.indrelid = t.oid AND i.indisunique AND a.attnum = ANY (i.indkey))) AS other
        FROM tables t
        WHERE EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D')
        ORDER BY t.name";
    let tables = listed(&subject, query).await?;
    let rows = subject.with_rows().await?;
    let mut prober = Prober::new(&rows).await?;
    let mut findings = Vec::new();
    for table in &tables {
        let (name, bare, trigger) = (text(table, "name")?, text(table, "relname")?, text(table, "trigger")?);
        let optional = |column| table.try_get::<Option<String>, _>(column).map_err(CaseError::harness);
        let one = format!("(tableoid, ctid) = (SELECT tableoid, ctid FROM {name} LIMIT 1)");
        let mut statements = Vec::new();
        if let Some(same) = optional("same")? {
            statements.push(("update", format!("UPDATE {name} SET {same} WHERE {one}")));
        }
        if let Some(other) = optional("other")? {
            statements.push((
                "update",
                format!(
                    "UPDATE {name} AS t SET {other} FROM (SELECT * FROM {name} OFFSET 1 LIMIT 1) AS o \
                     WHERE (t.tableoid, t.ctid) = (SELECT tableoid, ctid FROM {name} LIMIT 1)"
                ),
            ));
        }
        statements.push(("delete", format!("DELETE FROM {name} WHERE {one}")));
        let mut refusals = Vec::new();
        if let Some(skipped) = rows.filled.skipped.iter().find(|skipped| skipped.table == name)
            && let Some(sqlstate) = &skipped.sqlstate
        {
            let (message, context) = (skipped.reason.clone(), skipped.context.clone());
            refusals.push(("insert", Refused { sqlstate: sqlstate.clone(), message, context }));
        }
        for (verb, statement) in &statements {
            match prober.attempt(&[statement]).await? {
                Tried::Refused(refused) => refusals.push((verb, refused)),
                Tried::Lost | Tried::Done(_) | Tried::OutOfTime => {}
            }
        }
        let Some((verb, refused)) = refusals.into_iter().find(|(_, refused)| refused.is_faulty_code()) else {
            continue;
        };
        let places = subject.evidence.places();
        let place = match refused.function() {
            Some(function) => place(places, "function", function),
            None => place(places, "trigger", &trigger).or_else(|| place(places, "table", &bare)),
        };
        let message =
            format!("expected the triggers of {name} to bear the {verb} of a row, found {}", refused.text());
        findings.push(Finding::new(Level::Error, place, format!("table {name}"), message, CODE_HELP));
    }
    subject.conclude(findings)
}
