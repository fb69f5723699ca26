//! The tables and views of a database, kept up to date at the cost of what has changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use sqlx::postgres::PgConnection;

use super::look::document;
use crate::migrations::sandbox::SandboxError;

/// Those that a transaction since the last look made or changed, and those whose size is asked for; and whether that is
/// all that may be different. SINCE is a transaction, SIZES a list of identifiers.
const RELATIONS: &str = "
    WITH relation AS MATERIALIZED (
        SELECT c.oid, c.relname, c.relnamespace, c.relkind, n.nspname,
            pg_catalog.age(c.xmin) <= pg_catalog.age('SINCE'::xid) OR c.oid = ANY ('{SIZES}'::oid[]) AS is_asked
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'v')
            AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    )
    SELECT pg_catalog.json_build_object(
        'next', pg_catalog.xid(pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()))::text,
        'count', (SELECT count(*) FROM relation),
        'schemas_changed', EXISTS (
            SELECT FROM pg_catalog.pg_namespace n WHERE pg_catalog.age(n.xmin) <= pg_catalog.age('SINCE'::xid)
        ),
        'relations', (
            SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                'id', r.oid::bigint,
                'name', pg_catalog.format('%I.%I', r.nspname, r.relname),
                'kind', r.relkind::text,
                'bytes', CASE WHEN r.relkind IN ('r', 'm') THEN coalesce(pg_catalog.pg_relation_size(r.oid), 0) ELSE 0 END
            )), '[]')
            FROM relation r WHERE r.is_asked
        )
    )::text";

/// As a transaction since which all has changed: that which makes a database has this number.
const BEGINNING: &str = "1";

/// A table or a view that there is.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Relation {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) bytes: i64,
}

#[derive(Deserialize)]
struct Found {
    next: String,
    count: usize,
    schemas_changed: bool,
    relations: Vec<Relation>,
}

/// Tables and views by their identifiers.
#[derive(Debug, Default)]
pub(super) struct Relations {
    known: HashMap<i64, Arc<Relation>>,
    /// The first transaction that may have made what is not known yet; nothing, if all may have.
    since: Option<String>,
    /// Those that may have another size.
    sizes: HashSet<i64>,
}

impl Relations {
    /// What there is.
    pub(super) fn known(&self) -> &HashMap<i64, Arc<Relation>> {
        &self.known
    }

    /// Something was done to the rows of a table.
    pub(super) fn touched(&mut self, id: i64) {
        self.sizes.insert(id);
    }

    /// Nobody knows what was done.
    pub(super) fn forget(&mut self) {
        self.since = None;
    }

    /// Looks at what may be different.
    pub(super) async fn refresh(&mut self, admin: &mut PgConnection) -> Result<(), SandboxError> {
        if let Some(since) = &self.since {
            let found = ask(admin, since, &self.sizes).await?;
            let is_sound = !found.schemas_changed;
            self.known.extend(found.relations.into_iter().map(|found| (found.id, Arc::new(found))));
            if is_sound && self.known.len() == found.count {
                self.since = Some(found.next);
                self.sizes.clear();
                return Ok(());
            }
            // Some are gone.
        }
        let found = ask(admin, BEGINNING, &HashSet::new()).await?;
        self.known = found.relations.into_iter().map(|found| (found.id, Arc::new(found))).collect();
        self.since = Some(found.next);
        self.sizes.clear();
        Ok(())
    }
}

async fn ask(admin: &mut PgConnection, since: &str, sizes: &HashSet<i64>) -> Result<Found, SandboxError> {
    let sizes: Vec<String> = sizes.iter().map(i64::to_string).collect();
    let query = RELATIONS.replace("SINCE", since).replace("SIZES", &sizes.join(","));
    document(admin, &query, "look at the tables").await
}
