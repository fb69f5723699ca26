//! What is found out by executing a project, once, for all cases that ask.

use std::sync::{Arc, OnceLock};

use tokio::sync::OnceCell;

use super::Project;
use super::generate::{self, Fill, FillError, Filled};
use super::places::Places;
use super::policy::Policy;
use super::sandbox::{Refusal, Sandbox, SandboxError};
use crate::environment::Environment;

/// How a project is executed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many rows each table is given before a migration meets it.
    pub rows: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rows: 200 }
    }
}

/// A project, and what is known of it so far. What a case asks for first is found out then, and kept for the others.
#[derive(Debug)]
pub struct Evidence {
    /// The migrations.
    pub project: Project,
    /// What a team thinks of findings.
    pub policy: Policy,
    /// How it is executed.
    pub settings: Settings,
    head: OnceCell<Arc<Head>>,
    rows: OnceCell<Arc<WithRows>>,
    places: OnceLock<Places>,
}

/// A database at head with generated rows: for probes, which must not meet those who look at [`Head`].
#[derive(Debug)]
pub struct WithRows {
    /// The database.
    pub sandbox: Sandbox,
    /// What became of the rows.
    pub filled: Filled,
}

/// A database in which all was executed that can be.
#[derive(Debug)]
pub struct Head {
    /// The database.
    pub sandbox: Sandbox,
    /// What the server refused, for each step.
    pub refusals: Vec<Option<Refusal>>,
}

impl Evidence {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(project: Project, policy: Policy, settings: Settings) -> Self {
        Self { project, policy, settings, head: OnceCell::new(), rows: OnceCell::new(), places: OnceLock::new() }
    }

    /// A database in which all steps were applied, those that the server refused left out. Shared by all cases: who
    /// changes it must roll back.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn head(&self, environment: &Environment) -> Result<Arc<Head>, SandboxError> {
        self.head.get_or_try_init(|| async { Ok(Arc::new(self.replay(environment).await?)) }).await.cloned()
    }

    async fn replay(&self, environment: &Environment) -> Result<Head, SandboxError> {
        let sandbox = Sandbox::new(environment).await?;
        let mut refusals = Vec::new();
        for step in &self.project.steps {
            refusals.push(sandbox.session().await?.run(&step.up).await?);
        }
        Ok(Head { sandbox, refusals })
    }

    /// Another database at head, with generated rows. Shared by all cases: who changes it must roll back.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn with_rows(&self, environment: &Environment) -> Result<Arc<WithRows>, SandboxError> {
        let rows = self.rows.get_or_try_init(|| async {
            let Head { sandbox, .. } = self.replay(environment).await?;
            let options = Fill { rows_per_table: self.settings.rows, ..Fill::default() };
            let filled = generate::fill(sandbox.session().await?.connection(), &options).await;
            let filled =
                filled.map_err(|FillError::Server { action, source }| SandboxError::Server { action, source })?;
            Ok::<_, SandboxError>(Arc::new(WithRows { sandbox, filled }))
        });
        rows.await.cloned()
    }

    /// Where things are made in the project's files.
    pub fn places(&self) -> &Places {
        self.places.get_or_init(|| Places::of(&self.project))
    }
}
