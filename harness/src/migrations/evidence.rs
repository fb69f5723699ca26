//! What is found out by executing a project, once, for all cases that ask.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::Project;
use super::crash::{self, Explored};
use super::observe::{self, Traffic};
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
    traffic: OnceCell<Arc<Traffic>>,
    explored: OnceCell<Arc<Explored>>,
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
        Self {
            project,
            policy,
            settings,
            head: OnceCell::new(),
            traffic: OnceCell::new(),
            explored: OnceCell::new(),
        }
    }

    /// A database in which all steps were applied, those that the server refused left out. Shared by all cases: who
    /// changes it must roll back.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn head(&self, environment: &Environment) -> Result<Arc<Head>, SandboxError> {
        let head = self.head.get_or_try_init(|| async {
            let sandbox = Sandbox::new(environment).await?;
            let mut refusals = Vec::new();
            for step in &self.project.steps {
                refusals.push(sandbox.session().await?.run(&step.up).await?);
            }
            Ok::<_, SandboxError>(Arc::new(Head { sandbox, refusals }))
        });
        head.await.cloned()
    }

    /// What each migration does to tables with rows, and to those who use them.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn traffic(&self, environment: &Environment) -> Result<Arc<Traffic>, SandboxError> {
        let traffic = self.traffic.get_or_try_init(|| async {
            let head = self.head(environment).await?;
            let found = observe::observe(environment, &self.project, &self.settings, &head.refusals).await?;
            Ok::<_, SandboxError>(Arc::new(found))
        });
        traffic.await.cloned()
    }

    /// What each migration leaves when its session is killed.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn explored(&self, environment: &Environment) -> Result<Arc<Explored>, SandboxError> {
        let explored = self.explored.get_or_try_init(|| async {
            let head = self.head(environment).await?;
            Ok::<_, SandboxError>(Arc::new(
                crash::explore(environment, &self.project, &self.settings, &head.refusals).await?,
            ))
        });
        explored.await.cloned()
    }
}
