//! The replay in which every migration meets rows.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::look::{self, Table};
use super::relations::{Relation, Relations};
use super::rows::Rows;
use super::run::{Before, Run};
use super::stall::{Stall, Traffic as Users};
use super::survive::{self, Kept};
use super::words::{is_harmless, words};
use super::zone::{self, OTHER_ZONE};
use super::{Change, LockMode, Observed, Passage, Touched, Traffic, queries};
use crate::environment::Environment;
use crate::migrations::sandbox::{Refusal, Sandbox, SandboxError, keeps_its_transaction};
use crate::migrations::source::Script;
use crate::migrations::{Project, Settings};

/// A database for migrations, as the settings have it.
pub(crate) async fn sandbox(environment: &Environment, settings: &Settings) -> Result<Sandbox, SandboxError> {
    Sandbox::with(environment, settings, &[]).await
}

/// How many migrations are run once more beside a reader and a writer.
const STALLS_MAX: usize = 20;

/// How many tables of one migration have a reader and a writer.
const TABLES_MAX: usize = 3;

/// The server gave up after a time limit of ours.
const TIME_IS_UP: &str = "57014";

/// A refusal that came with rows.
#[derive(Debug, Clone)]
pub struct Refused {
    /// What the server said.
    pub refusal: Refusal,
    /// Whether it says so without rows as well.
    pub without_rows: bool,
}

struct Replay {
    sandbox: Sandbox,
    admin: PgConnection,
    /// The tables as they are when the last migration is done.
    tables: HashMap<i64, Arc<Table>>,
    relations: Relations,
    /// How many rows a table is given.
    rows_per_table: usize,
    rows: Rows,
    stalls_left: usize,
}

/// Runs all migrations on tables with rows. `refusals` says which of them the server refuses on empty tables.
///
/// # Errors
/// When the environment is broken.
pub async fn observe(
    environment: &Environment,
    project: &Project,
    settings: &Settings,
    refusals: &[Option<Refusal>],
) -> Result<Traffic, SandboxError> {
    let sandbox = sandbox(environment, settings).await?;
    let admin = sandbox.admin().await?;
    let mut replay = Replay {
        sandbox,
        admin,
        tables: HashMap::new(),
        relations: Relations::default(),
        rows_per_table: settings.rows,
        rows: Rows::default(),
        stalls_left: STALLS_MAX,
    };
    let mut traffic = Traffic::default();
    for (number, step) in project.steps.iter().enumerate() {
        let refusal = refusals.get(number).and_then(Option::as_ref);
        let passage = match refusal {
            // Once is enough for what does not end.
            Some(refusal) if refusal.sqlstate == TIME_IS_UP => {
                let refused = Refused { refusal: refusal.clone(), without_rows: true };
                Passage { refused: Some(refused), ..Passage::default() }
            }
            _ => replay.step(&step.up, refusal.is_some()).await?,
        };
        traffic.steps.push(passage);
    }
    let _ = replay.admin.close().await;
    Ok(traffic)
}

impl Replay {
    async fn step(&mut self, script: &Script, is_refused_anyway: bool) -> Result<Passage, SandboxError> {
        self.relations.refresh(&mut self.admin).await?;
        if self.needs_rows(script) {
            let filled = self.rows.fill(&self.sandbox, self.rows_per_table, self.relations.known()).await?;
            filled.into_iter().for_each(|id| self.relations.touched(id));
            self.relations.refresh(&mut self.admin).await?;
        }
        let relations = self.relations.known().clone();
        let in_use = |relation: &&Arc<Relation>| match relation.kind.as_str() {
            "r" => relation.bytes > 0 || !self.rows.has_met(relation.id),
            "m" => relation.bytes > 0,
            kind => kind == "p",
        };
        let in_use = relations.values().filter(in_use).map(|relation| relation.id).collect();
        for (id, table) in &mut self.tables {
            let bytes = relations.get(id).map_or(0, |relation| relation.bytes);
            if table.bytes != bytes {
                Arc::make_mut(table).bytes = bytes;
            }
        }
        let before = Before { tables: self.tables.clone(), relations, in_use };
        let mut kept = Vec::new();
        if !keeps_its_transaction(script) {
            // What it commits cannot be run once more: whatever it may touch is kept.
            let text: Vec<&str> = script.statements.iter().map(|part| script.statement(part)).collect();
            kept = survive::keep(&mut self.admin, &before, &survive::named(&text.join(" "), &before)).await?;
        }
        let run = Run::start(&self.sandbox, script, &before, None).await?;
        let mut passage = match run.refusal.clone() {
            None => self.finish(script, &before, run, &mut kept).await?,
            Some(refusal) => self.refused(script, &before, run, refusal, is_refused_anyway).await?,
        };
        self.note(&passage.statements, &before);
        let lost = survive::compare(&mut self.admin, kept, &self.tables, &passage.statements).await?;
        if passage.refused.is_none() {
            passage.lost_rows = lost;
        }
        passage.broken = queries::broken(&mut self.admin, &before.tables, &passage.statements).await?;
        passage.lost_views = self.lost_views(script, &before, &passage.statements).await?;
        Ok(passage)
    }

    /// Whether a script may touch a table that has not been filled yet. What it only refers to needs no rows.
    fn needs_rows(&self, script: &Script) -> bool {
        let relations = self.relations.known().values();
        let unfilled = relations.filter(|relation| relation.kind == "r" && !self.rows.has_met(relation.id));
        let names: Vec<String> = unfilled
            .map(|relation| relation.name.rsplit('.').next().unwrap_or_default().trim_matches('"').to_lowercase())
            .collect();
        if self.rows_per_table == 0 || names.is_empty() {
            return false;
        }
        script.statements.iter().any(|statement| {
            let text = script.statement(statement);
            let words = words(text);
            let word = |number: usize| words.get(number).map_or("", String::as_str);
            let (first, second) = (word(0), word(1));
            match first {
                // Code may touch whatever it likes.
                "do" | "call" | "select" | "with" | "explain" | "execute" => true,
                _ if is_harmless(&words) || (first == "create" && matches!(second, "table" | "view")) => false,
                _ => {
                    let text = text.to_lowercase();
                    names.iter().any(|name| text.contains(name.as_str()))
                }
            }
        })
    }

    /// Notes what was done, and must be looked at before the next migration.
    fn note(&mut self, statements: &[Observed], before: &Before) {
        self.rows.touched(statements, &before.relations);
        for observed in statements {
            if observed.alone {
                self.relations.forget();
            }
            observed.tables.iter().for_each(|touched| self.relations.touched(touched.id));
        }
    }

    /// Goes on after a refusal: without the rows that may be the reason.
    async fn refused(
        &mut self,
        script: &Script,
        before: &Before,
        mut run: Run,
        refusal: Refusal,
        is_refused_anyway: bool,
    ) -> Result<Passage, SandboxError> {
        look::roll_back(run.session.connection()).await;
        let statements = std::mem::take(&mut run.statements);
        let whole = run.whole;
        drop(run);
        let mut passage = Passage { statements, ..Passage::default() };
        let mut without_rows = true;
        if whole && !is_refused_anyway {
            self.empty(before).await?;
            self.rows.forget();
            let mut again = Run::start(&self.sandbox, script, before, None).await?;
            let ended = match again.refusal {
                None => look::run(again.session.connection(), "COMMIT").await?,
                Some(_) => again.refusal.clone(),
            };
            without_rows = ended.is_some();
            if without_rows {
                look::roll_back(again.session.connection()).await;
            } else {
                let rest = again.statements.into_iter().filter(|observed| observed.statement >= refusal.statement);
                passage.statements.extend(rest);
            }
        }
        self.tables = look::all_tables(&mut self.admin).await?;
        self.relations.forget();
        passage.refused = Some(Refused { refusal, without_rows });
        Ok(passage)
    }

    /// Takes the rows from all tables, whatever refers to them.
    async fn empty(&mut self, before: &Before) -> Result<(), SandboxError> {
        let tables = before.relations.values().filter(|relation| matches!(relation.kind.as_str(), "r" | "p"));
        let names: Vec<&str> = tables.map(|relation| relation.name.as_str()).collect();
        if !names.is_empty() {
            // A trigger may refuse; then they stay.
            look::run(&mut self.admin, &format!("TRUNCATE {} CASCADE", names.join(", "))).await?;
        }
        Ok(())
    }

    /// Commits what went well; what is worth it is run again first, in another zone and beside other users.
    async fn finish(
        &mut self,
        script: &Script,
        before: &Before,
        mut run: Run,
        kept: &mut Vec<Kept>,
    ) -> Result<Passage, SandboxError> {
        let mut passage = Passage::default();
        if run.whole {
            let conversions = zone::conversions(&run.statements);
            let tables = if self.stalls_left > 0 { disturbed(&run.statements) } else { Vec::new() };
            let suspects = survive::suspects(&run.statements, before);
            if !conversions.is_empty() || !tables.is_empty() || !suspects.is_empty() {
                for mut conversion in conversions {
                    let here = zone::value(run.session.connection(), &conversion).await?;
                    conversion.example.0 = here.unwrap_or_default();
                    passage.zones.push(conversion);
                }
                look::roll_back(run.session.connection()).await;
                drop(run);
                self.in_another_zone(script, before, &mut passage).await?;
                kept.extend(survive::keep(&mut self.admin, before, &suspects).await?);
                run = self.beside_others(script, before, tables, &mut passage).await?;
            }
        }
        let refusal = match (&run.refusal, run.whole) {
            (None, true) => look::run(run.session.connection(), "COMMIT").await?,
            (None, false) => {
                // Nothing, or what a script that began a transaction has left open.
                look::roll_back(run.session.connection()).await;
                None
            }
            (Some(refusal), _) => Some(refusal.clone()),
        };
        match refusal {
            None => self.tables = std::mem::take(&mut run.tables),
            Some(mut refusal) => {
                look::roll_back(run.session.connection()).await;
                refusal.statement = refusal.statement.max(script.statements.len().saturating_sub(1));
                passage.refused = Some(Refused { refusal, without_rows: false });
            }
        }
        passage.statements = std::mem::take(&mut run.statements);
        if !run.whole {
            self.tables = look::all_tables(&mut self.admin).await?;
        }
        Ok(passage)
    }

    async fn in_another_zone(
        &mut self,
        script: &Script,
        before: &Before,
        passage: &mut Passage,
    ) -> Result<(), SandboxError> {
        if passage.zones.is_empty() {
            return Ok(());
        }
        let mut run = Run::start(&self.sandbox, script, before, Some(OTHER_ZONE)).await?;
        if run.refusal.is_none() {
            for conversion in &mut passage.zones {
                let there = zone::value(run.session.connection(), conversion).await?;
                conversion.example.1 = there.unwrap_or_default();
                let tables = run.statements.iter().filter(|observed| observed.statement == conversion.statement);
                conversion.rewritten = tables.flat_map(|observed| &observed.tables).any(Touched::is_rewritten);
            }
        }
        look::roll_back(run.session.connection()).await;
        Ok(())
    }

    /// Runs a migration while others use its tables.
    async fn beside_others(
        &mut self,
        script: &Script,
        before: &Before,
        tables: Vec<String>,
        passage: &mut Passage,
    ) -> Result<Run, SandboxError> {
        let mut users = Vec::new();
        if !tables.is_empty() {
            self.stalls_left -= 1;
        }
        for table in tables {
            let begun = Users::start(&self.sandbox, &table).await?;
            users.push((table, begun));
        }
        let mut run = Run::start(&self.sandbox, script, before, None).await;
        let mut committed = None;
        if let (Ok(run), false) = (&mut run, users.is_empty())
            && run.refusal.is_none()
        {
            committed = Some(look::run(run.session.connection(), "COMMIT").await);
        }
        for (table, users) in users {
            let stall: Option<Stall> = users.stop().await;
            passage.stalls.extend(stall.map(|stall| (table, stall)));
        }
        let mut run = run?;
        if let Some(committed) = committed {
            run.refusal = committed?;
        }
        if run.refusal.is_some() {
            // It may have given up waiting for those whom we set against it, which says nothing about it.
            look::roll_back(run.session.connection()).await;
            return Run::start(&self.sandbox, script, before, None).await;
        }
        Ok(run)
    }

    /// The views that a `CASCADE` took, and the statement that had it.
    async fn lost_views(
        &mut self,
        script: &Script,
        before: &Before,
        statements: &[Observed],
    ) -> Result<Vec<(usize, String)>, SandboxError> {
        let drops = |change: &Change| matches!(change, Change::TableDropped | Change::ColumnDropped { .. });
        let text = |number: usize| {
            script.statements.get(number).map(|part| script.statement(part).to_lowercase()).unwrap_or_default()
        };
        let culprit = statements.iter().find(|observed| {
            observed.tables.iter().any(|touched| touched.changes.iter().any(drops))
                && text(observed.statement).contains("cascade")
        });
        let Some(culprit) = culprit else { return Ok(Vec::new()) };
        self.relations.refresh(&mut self.admin).await?;
        let now = self.relations.known();
        let is_view = |relation: &&Arc<Relation>| matches!(relation.kind.as_str(), "v" | "m");
        let mut lost: Vec<(usize, String)> = Vec::new();
        for view in before.relations.values().filter(is_view) {
            let is_there = now.contains_key(&view.id) || now.values().any(|other| other.name == view.name);
            let name = view.name.rsplit('.').next().unwrap_or(&view.name);
            let is_named = (0..script.statements.len()).any(|number| {
                let text = text(number);
                text.starts_with("drop") && text.contains(name)
            });
            if !is_there && !is_named {
                lost.push((culprit.statement, view.name.clone()));
            }
        }
        lost.sort();
        Ok(lost)
    }
}

/// The tables that others would have to wait for, the longest first.
fn disturbed(statements: &[Observed]) -> Vec<String> {
    let mut found: Vec<&str> = Vec::new();
    let long: Vec<usize> = statements
        .iter()
        .filter(|observed| observed.tables.iter().any(Touched::is_long))
        .map(|observed| observed.transaction)
        .collect();
    for observed in statements.iter().filter(|observed| long.contains(&observed.transaction)) {
        for touched in observed.tables.iter().filter(|touched| touched.in_use) {
            let blocks = touched.held.is_some_and(LockMode::blocks_writers);
            if blocks && !found.contains(&touched.table.as_str()) {
                found.push(&touched.table);
            }
        }
    }
    found.into_iter().take(TABLES_MAX).map(str::to_owned).collect()
}
