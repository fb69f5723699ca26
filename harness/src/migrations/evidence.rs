//! What is found out by executing a project, once, for all cases that ask.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};

use super::Project;
use super::crash::{self, Explored};
use super::generate::{self, Fill, FillError, Filled};
use super::observe::{self, Traffic};
use super::places::Places;
use super::policy::Policy;
use super::replay::{Difference, History, Replay, StepReport, Variant};
use super::sandbox::{Profile, Refusal, Sandbox, SandboxError};
use crate::environment::Environment;

/// How a project is executed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many rows each table is given before a migration meets it.
    pub rows: usize,
    /// What is there before the first migration.
    pub profile: Profile,
    /// How long a statement may take: less than a case, which would end before it could say so.
    pub statement_time_max: Duration,
    /// How large a database may become, in bytes.
    pub database_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rows: 200,
            profile: Profile::Plain,
            statement_time_max: Duration::from_secs(20),
            database_bytes_max: 2 * 1024 * 1024 * 1024,
        }
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
    replay: Mutex<Option<Arc<Replay>>>,
    history: OnceCell<Arc<History>>,
    variants: [OnceCell<Arc<Difference>>; Variant::COUNT],
    traffic: OnceCell<Arc<Traffic>>,
    is_verdict_told: AtomicBool,
    concluded: std::sync::Mutex<BTreeSet<String>>,
    rows: OnceCell<Arc<WithRows>>,
    places: OnceLock<Places>,
    explored: OnceCell<Arc<Explored>>,
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
    pub sandbox: Arc<Sandbox>,
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
            replay: Mutex::default(),
            history: OnceCell::new(),
            variants: Default::default(),
            traffic: OnceCell::new(),
            is_verdict_told: AtomicBool::new(false),
            concluded: std::sync::Mutex::default(),
            rows: OnceCell::new(),
            places: OnceLock::new(),
            explored: OnceCell::new(),
        }
    }

    /// What becomes of every step, in the project's order and in the best one.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn replay(&self, environment: &Environment) -> Result<Arc<Replay>, SandboxError> {
        let mut replay = self.replay.lock().await;
        match &*replay {
            Some(found) => Ok(Arc::clone(found)),
            None => self.replay_into(&mut replay, environment).await,
        }
    }

    async fn replay_into(
        &self,
        replay: &mut Option<Arc<Replay>>,
        environment: &Environment,
    ) -> Result<Arc<Replay>, SandboxError> {
        let found = Replay::run(environment, &self.project, &self.settings).await.map(Arc::new)?;
        Ok(Arc::clone(replay.insert(found)))
    }

    /// A database in which all steps were applied, those that the server refused left out: in the project's order, or
    /// in one in which more of them apply. Shared by all cases: who changes it must roll back.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn head(&self, environment: &Environment) -> Result<Arc<Head>, SandboxError> {
        let mut replay = self.replay.lock().await;
        // What was found out stays true when a server is lost; a database does not stay.
        let found = match &*replay {
            Some(found) if found.head().is_alive().await => Arc::clone(found),
            _ => self.replay_into(&mut replay, environment).await?,
        };
        let refused = |step: &StepReport| step.failure.as_ref().map(|failure| failure.refusal.clone());
        let refusals = match &found.best {
            Some((_, refusals)) => refusals.clone(),
            None => found.steps.iter().map(refused).collect(),
        };
        Ok(Arc::new(Head { sandbox: Arc::clone(found.head()), refusals }))
    }

    /// Another database like [`head`](Self::head), for who changes it.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn another_head(&self, environment: &Environment) -> Result<Sandbox, SandboxError> {
        let replay = self.replay(environment).await?;
        replay.another_head(environment, &self.project, &self.settings).await
    }

    /// What happens step by step, forwards and backwards.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn history(&self, environment: &Environment) -> Result<Arc<History>, SandboxError> {
        let history = self.history.get_or_try_init(|| async {
            let replay = self.replay(environment).await?;
            History::run(environment, &self.project, &self.settings, &replay).await.map(Arc::new)
        });
        history.await.cloned()
    }

    /// What is different where something is as it is not usually.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn variant(
        &self,
        environment: &Environment,
        variant: Variant,
    ) -> Result<Arc<Difference>, SandboxError> {
        let [one_session, zone, schema] = &self.variants;
        let cell = match variant {
            Variant::OneSession => one_session,
            Variant::TimeZone => zone,
            Variant::SchemaFirst => schema,
        };
        let difference = cell.get_or_try_init(|| async {
            let replay = self.replay(environment).await?;
            Difference::find(environment, &self.project, &self.settings, &replay, variant).await.map(Arc::new)
        });
        difference.await.cloned()
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

    /// Another database at head, with generated rows. Shared by all cases: who changes it must roll back.
    ///
    /// # Errors
    /// When the environment is broken.
    pub async fn with_rows(&self, environment: &Environment) -> Result<Arc<WithRows>, SandboxError> {
        let rows = self.rows.get_or_try_init(|| async {
            let sandbox = self.another_head(environment).await?;
            let mut session = sandbox.session().await?;
            let options = Fill { rows_per_table: self.settings.rows, ..Fill::default() };
            let filled = generate::fill(session.connection(), &options).await;
            let filled =
                filled.map_err(|FillError::Server { action, source }| SandboxError::Server { action, source })?;
            drop(session);
            Ok::<_, SandboxError>(Arc::new(WithRows { sandbox, filled }))
        });
        rows.await.cloned()
    }

    /// Where things are made in the project's files.
    pub fn places(&self) -> &Places {
        self.places.get_or_init(|| Places::of(&self.project))
    }

    /// Notes that a case has said all that it had found.
    pub fn concluded(&self, check: &str) {
        self.concluded.lock().unwrap_or_else(PoisonError::into_inner).insert(check.to_owned());
    }

    /// Whether a case has said all that it had found.
    pub(crate) fn has_concluded(&self, check: &str) -> bool {
        self.concluded.lock().unwrap_or_else(PoisonError::into_inner).contains(check)
    }

    /// Whether this is the first time that somebody asks: a verdict is told once.
    pub fn tells_verdict(&self) -> bool {
        !self.is_verdict_told.swap(true, Ordering::Relaxed)
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
