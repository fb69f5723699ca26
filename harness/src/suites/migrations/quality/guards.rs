//! Policies and functions that act with others' rights: what they let through.

use sqlx::Row as _;

use super::super::MigrationSubject;
use super::catalog::{listed, place, text};
use super::probe::{Prober, Tried};
use crate::case::{CaseError, CaseResult};
use crate::event::{Finding, Level};
use crate::migrations::generate::Values;

/// Of how many rows none must be kept back for a policy to be called always true, unless it says so itself.
const ROWS_MIN: i64 = 20;

/// The most tables that have a decoy.
const DECOYS_MAX: u32 = 200;

/// The name that nothing but a decoy says.
const DECOY: &str = "proofmark_decoy";

/// The condition of each permissive policy is evaluated on generated rows, by a session that is nobody in particular.
/// One that lets all rows be written is an error; one that lets all be read may be meant so: a warning.
pub(super) async fn policies_are_not_always_true(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT p.polname::text AS policy, t.name, t.relname::text AS relname, c.clause, c.expression,
            p.polcmd::text AS command, c.clause = 'USING' AND p.polcmd = 'r' AS is_read,
            CASE WHEN p.polroles = '{0}' THEN 'everybody' ELSE (
                SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname) FROM pg_roles r WHERE r.oid = ANY (p.polroles)
            ) END AS roles
        FROM pg_policy p
        JOIN tables t ON t.oid = p.polrelid
        CROSS JOIN LATERAL (VALUES
            ('USING', pg_get_expr(p.polqual, p.polrelid)),
            ('WITH CHECK', pg_get_expr(p.polwithcheck, p.polrelid))
        ) AS c(clause, expression)
        WHERE p.polpermissive AND c.expression IS NOT NULL
            -- Who passes over row security anyway may as well have a policy that says so.
            AND (p.polroles = '{0}' OR EXISTS (
                SELECT FROM pg_roles r
                WHERE r.oid = ANY (p.polroles) AND NOT r.rolbypassrls AND r.rolname <> 'service_role'
            ))
        ORDER BY t.name, p.polname, c.clause";
    let policies = listed(&subject, query).await?;
    let rows = subject.with_rows().await?;
    let mut prober = Prober::new(&rows).await?;
    let mut findings = Vec::new();
    for policy in &policies {
        let (name, table, expression) =
            (text(policy, "policy")?, text(policy, "name")?, text(policy, "expression")?);
        let select = format!("SELECT count(*) AS rows, count(*) FILTER (WHERE {expression}) AS kept FROM {table}");
        let Tried::Done(counts) = prober.attempt(&[&select]).await? else { continue };
        let Some(counts) = counts.first() else { continue };
        let count = |column| counts.try_get::<i64, _>(column).map_err(CaseError::harness);
        let (all, kept) = (count("rows")?, count("kept")?);
        if expression != "true" && (all < ROWS_MIN || kept < all) {
            continue;
        }
        let is_read: bool = policy.try_get("is_read").map_err(CaseError::harness)?;
        let clause = text(policy, "clause")?;
        findings.push(Finding::new(
            if is_read { Level::Warning } else { Level::Error },
            place(subject.evidence.places(), "policy", &name),
            format!("policy {name} of {table}"),
            format!(
                "expected {clause} ({expression}) to keep rows from {}, found that it is true for all {all} generated \
                 rows",
                text(policy, "roles")?
            ),
            "compare a column with who asks, as in owner_id = current_setting('app.user_id')::bigint; or revoke the \
             right if nobody is to have it",
        ));
    }
    subject.conclude(findings)
}

/// Each function that acts with its owner's rights is called by a session whose search path begins with a schema in which
/// every table of the project has a decoy, and some functions of the system.
pub(super) async fn functions_stand_a_hostile_search_path(subject: MigrationSubject) -> CaseResult {
    let query = "
        SELECT f.name, f.proname::text AS proname, format('%I.%I', f.nspname, f.proname) AS callee,
            coalesce((SELECT array_agg(t.type::int8 ORDER BY t.position)
                FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t(type, position)), '{}') AS arguments
        FROM functions f
        JOIN pg_proc p ON p.oid = f.oid
        WHERE f.prosecdef AND p.prokind = 'f' AND p.provariadic = 0
            AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
        ORDER BY f.name";
    let functions = listed(&subject, query).await?;
    if functions.is_empty() {
        return subject.conclude(Vec::new());
    }
    let decoys = decoys(&subject).await?;
    let rows = subject.with_rows().await?;
    let mut prober = Prober::new(&rows).await?;
    let values = Values::read(prober.connection()).await.map_err(CaseError::harness)?;
    let mut findings = Vec::new();
    for function in &functions {
        let (name, bare) = (text(function, "name")?, text(function, "proname")?);
        let oids: Vec<i64> = function.try_get("arguments").map_err(CaseError::harness)?;
        let arguments: Option<Vec<String>> =
            oids.iter().zip(1_i64..).map(|(oid, number)| values.value(*oid, number)).collect();
        let Some(arguments) = arguments else { continue };
        let call = format!("SELECT {}({}) LIMIT 1", text(function, "callee")?, arguments.join(", "));
        let Tried::Refused(refused) = prober.attempt(&[&decoys, &call]).await? else { continue };
        if refused.message.contains(DECOY) {
            findings.push(Finding::new(
                Level::Error,
                place(subject.evidence.places(), "function", &bare),
                format!("function {name}"),
                format!(
                    "expected it to use the project's own tables and functions, found that it uses those that the \
                     caller's search path begins with: {}",
                    refused.text()
                ),
                format!(
                    "ALTER FUNCTION {name} SET search_path = pg_catalog, pg_temp; and qualify the names in it"
                ),
            ));
        }
    }
    subject.conclude(findings)
}

/// Makes the decoys, and the session's path begin with them.
async fn decoys(subject: &MigrationSubject) -> Result<String, CaseError> {
    let query = format!(
        "SELECT DISTINCT ON (relname) format('CREATE VIEW {DECOY}.%I AS SELECT * FROM %s WHERE {DECOY}.reached(); \
         CREATE TRIGGER reached INSTEAD OF INSERT OR UPDATE OR DELETE ON {DECOY}.%I FOR EACH ROW \
         EXECUTE FUNCTION {DECOY}.written();', relname, name, relname) AS decoy
         FROM tables ORDER BY relname, name LIMIT {DECOYS_MAX}"
    );
    let tables = listed(subject, &query).await?;
    let tables: Vec<String> = tables.iter().map(|table| text(table, "decoy")).collect::<Result<_, _>>()?;
    let raise = format!("BEGIN RAISE EXCEPTION '{DECOY} was reached'; END");
    // Not volatile, so that it is called also where there is no row.
    Ok(format!(
        "CREATE SCHEMA {DECOY};
         CREATE FUNCTION {DECOY}.reached() RETURNS boolean LANGUAGE plpgsql STABLE AS '{escaped}';
         CREATE FUNCTION {DECOY}.written() RETURNS trigger LANGUAGE plpgsql AS '{escaped}';
         CREATE FUNCTION {DECOY}.now() RETURNS timestamptz LANGUAGE plpgsql AS '{escaped}';
         CREATE FUNCTION {DECOY}.lower(text) RETURNS text LANGUAGE plpgsql AS '{escaped}';
         {tables}
         SET LOCAL search_path = {DECOY}, pg_catalog, public",
        escaped = raise.replace('\'', "''"),
        tables = tables.concat(),
    ))
}
