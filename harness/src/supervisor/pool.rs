//! The databases of one server: templates, clones of them, and those that are used again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{Notify, OnceCell, RwLock, Semaphore};
use tokio::time::timeout;

use super::protocol::{Refusal, Wanted};
use super::recycle::{Identity, Keeper, Plan, Verdict};
use crate::migration_set::{MigrationError, MigrationSet};
use crate::server::Admin;

/// What every server has, and what nobody can have changed.
const EMPTY_TEMPLATE: &str = "template0";

/// How many databases are cloned at one time: each keeps a processor of the server busy.
const CLONES_MAX: usize = 2;

/// How many unused databases of one schema are kept ready.
const IDLE_MAX: usize = 16;

/// How long a database that is about to be ready is waited for before another is cloned.
const RETURN_TIME_MAX: Duration = Duration::from_millis(500);

/// How long it may take to find out about, and to clean, one database.
const RESTORE_TIME_MAX: Duration = Duration::from_secs(10);

/// The databases of a server.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) admin: Admin,
    templates: Mutex<HashMap<String, Arc<Template>>>,
    clones: Semaphore,
    /// How many are in use.
    taken: AtomicUsize,
    /// The roles when they were last looked at.
    roles: Mutex<String>,
    /// Whether a test changed them, and nobody has undone it yet.
    roles_changed: AtomicBool,
    /// Held by the last test's database while it is looked at: what has become of the roles can only be undone while
    /// nobody else can rely on it.
    quiet: RwLock<()>,
    pub(super) recycled: AtomicU64,
    pub(super) cloned: AtomicU64,
}

#[derive(Debug, Default)]
struct Template {
    /// Its name.
    built: OnceCell<Result<Arc<str>, Refusal>>,
    /// How its clones can be used again; none if they cannot be. Not needed before the first one comes back.
    plan: OnceCell<Option<Arc<Plan>>>,
    idle: Mutex<Vec<Slot>>,
    /// How many are being cleaned.
    returning: AtomicUsize,
    returned: Notify,
}

/// A database, in use or not.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    identity: Identity,
    /// The template, if it may be used again.
    home: Option<Arc<Template>>,
    keeper: Option<Keeper>,
    /// The roles when it was leased.
    roles: String,
}

impl Pool {
    pub(super) fn new(admin: Admin) -> Self {
        Self {
            admin,
            templates: Mutex::default(),
            clones: Semaphore::new(CLONES_MAX),
            taken: AtomicUsize::new(0),
            roles: Mutex::default(),
            roles_changed: AtomicBool::new(false),
            quiet: RwLock::new(()),
            recycled: AtomicU64::new(0),
            cloned: AtomicU64::new(0),
        }
    }

    pub(super) fn templates(&self) -> usize {
        lock(&self.templates).len()
    }

    pub(super) fn idle(&self) -> usize {
        lock(&self.templates).values().map(|template| lock(&template.idle).len()).sum()
    }

    /// A database for one test alone.
    pub(super) async fn take(
        self: &Arc<Self>,
        wanted: &Wanted,
        migrations: Option<&MigrationSet>,
    ) -> Result<Slot, Refusal> {
        let _begun = self.quiet.read().await;
        let slot = self.find(wanted, migrations).await?;
        self.taken.fetch_add(1, Ordering::SeqCst);
        if let Some(template) = &slot.home
            && !template.plan.initialized()
        {
            // While the first test is at work.
            let (pool, template) = (Arc::clone(self), Arc::clone(template));
            tokio::spawn(async move { pool.plan(&template).await });
        }
        Ok(slot)
    }

    async fn find(&self, wanted: &Wanted, migrations: Option<&MigrationSet>) -> Result<Slot, Refusal> {
        let Some((digest, migrations)) = wanted.migrations.as_ref().zip(migrations) else {
            return self.clone_of(EMPTY_TEMPLATE, None).await;
        };
        let template = Arc::clone(lock(&self.templates).entry(digest.clone()).or_default());
        let built = template.built.get_or_try_init(|| async {
            match self.build(digest, migrations).await {
                // It would be refused again.
                Err(refusal @ Refusal::Migration { .. }) => Ok(Err(refusal)),
                built => built.map(Ok),
            }
        });
        let name = built.await?.clone()?;
        if wanted.fresh || template.plan.get().is_some_and(Option::is_none) {
            return self.clone_of(&name, None).await;
        }
        loop {
            let returned = template.returned.notified();
            if let Some(mut slot) = template.take_idle() {
                if !slot.is_alive().await {
                    // Its session ended: the server was lost, or has recovered from a crash.
                    self.refuse_unless_healthy().await?;
                    self.drop_slot(slot).await;
                    continue;
                }
                slot.roles = lock(&self.roles).clone();
                self.recycled.fetch_add(1, Ordering::Relaxed);
                return Ok(slot);
            }
            let returning = template.returning.load(Ordering::SeqCst) > 0;
            if !returning || timeout(RETURN_TIME_MAX, returned).await.is_err() {
                break;
            }
        }
        self.clone_of(&name, Some(template)).await
    }

    /// How clones of a template can be used again: found out on one that then is ready for use itself.
    async fn plan(&self, template: &Arc<Template>) -> Option<Arc<Plan>> {
        let made = template.plan.get_or_init(|| async {
            let name = template.built.get()?.as_ref().ok()?;
            let mut slot = self.clone_of(name, Some(Arc::clone(template))).await.ok()?;
            let made = async {
                let mut connection = self.keeper_options(&slot).connect().await?;
                let plan = Plan::make(&mut connection).await?;
                slot.keeper = Some(Keeper::start(connection).await?);
                Ok::<_, sqlx::Error>(plan)
            };
            let plan = made.await.unwrap_or_else(|error| {
                tracing::warn!(%error, "databases of this schema are not recycled");
                None
            });
            let left = if plan.is_some() { template.keep_idle(slot) } else { Some(slot) };
            if let Some(slot) = left {
                self.drop_slot(slot).await;
            }
            plan.map(Arc::new)
        });
        made.await.clone()
    }

    fn keeper_options(&self, slot: &Slot) -> PgConnectOptions {
        self.admin.options(&slot.name).application_name("proofmark keeper")
    }

    /// Cleans a database that was used, or drops it.
    pub(super) async fn give_back(&self, mut slot: Slot) {
        // Unless another test has begun or is about to.
        let quiet = self.quiet.try_write().ok();
        let others = self.taken.fetch_sub(1, Ordering::SeqCst) - 1;
        let quiet = quiet.filter(|_| others == 0);
        let Some(template) = slot.home.clone() else {
            let roles = slot.roles.clone();
            self.drop_slot(slot).await;
            if self.admin.roles().await.is_ok_and(|found| found != roles) {
                self.roles_changed.store(true, Ordering::SeqCst);
            }
            if quiet.is_some() {
                self.restore_roles().await;
            }
            return;
        };
        template.returning.fetch_add(1, Ordering::SeqCst);
        let restored = match self.plan(&template).await {
            Some(plan) => match timeout(RESTORE_TIME_MAX, self.restore(&mut slot, &plan)).await {
                Ok(Ok(Verdict::Restored)) => Ok(()),
                Ok(Ok(Verdict::Spoiled(why))) => Err(why.to_owned()),
                Ok(Err(error)) => Err(crate::error_chain(&error)),
                Err(_) => Err(format!("it was not clean within {RESTORE_TIME_MAX:?}")),
            },
            None => Err("databases of its schema are not".to_owned()),
        };
        let mut left = match restored {
            Ok(()) => template.keep_idle(slot),
            Err(why) => {
                tracing::debug!(database = slot.name, why, "not recycled");
                Some(slot)
            }
        };
        if quiet.is_some() && self.roles_changed.load(Ordering::SeqCst) {
            // What belongs to a role keeps it there.
            if let Some(slot) = left.take() {
                self.drop_slot(slot).await;
            }
            self.restore_roles().await;
        }
        drop(quiet);
        template.returning.fetch_sub(1, Ordering::SeqCst);
        template.returned.notify_waiters();
        if let Some(slot) = left {
            self.drop_slot(slot).await;
        }
    }

    /// Undoes what tests did to the roles of the whole server; the caller knows that nobody is relying on it.
    async fn restore_roles(&self) {
        if !self.roles_changed.load(Ordering::SeqCst) {
            return;
        }
        match self.admin.restore_roles().await {
            Ok(()) => self.roles_changed.store(false, Ordering::SeqCst),
            Err(refusal) => tracing::warn!(?refusal, "what a test did to roles stays"),
        }
    }

    /// Drops one that was kept.
    pub(super) async fn discard(&self, slot: Slot) {
        self.drop_slot(slot).await;
    }

    /// One that will not be used again, but stays.
    pub(super) fn give_up(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
    }

    async fn restore(&self, slot: &mut Slot, plan: &Plan) -> Result<Verdict, sqlx::Error> {
        let keeper = match &mut slot.keeper {
            Some(keeper) => keeper,
            none => {
                let connection =
                    self.admin.options(&slot.name).application_name("proofmark keeper").connect().await?;
                none.insert(Keeper::start(connection).await?)
            }
        };
        let (verdict, roles) = keeper.restore(plan, &slot.identity, &slot.roles).await?;
        if let Some(roles) = roles
            && roles != slot.roles
        {
            *lock(&self.roles) = roles;
            self.roles_changed.store(true, Ordering::SeqCst);
        }
        Ok(verdict)
    }

    async fn drop_slot(&self, mut slot: Slot) {
        if let Some(keeper) = slot.keeper.take() {
            keeper.end().await;
        }
        if let Err(refusal) = self.admin.drop_with_id(slot.identity.oid).await {
            tracing::warn!(database = slot.name, ?refusal, "a database was not dropped");
        }
    }

    /// Found out at once, where requests to a server that is gone would wait for it to come back.
    async fn refuse_unless_healthy(&self) -> Result<(), Refusal> {
        if self.admin.is_healthy().await {
            return Ok(());
        }
        Err(Refusal::Server {
            message: "expected the server to answer, found that it does not any more".to_owned(),
        })
    }

    async fn clone_of(&self, template: &str, home: Option<Arc<Template>>) -> Result<Slot, Refusal> {
        // Never closed.
        let _turn = self.clones.acquire().await;
        self.refuse_unless_healthy().await?;
        let name = self.admin.new_name();
        self.admin.create(&name, template).await?;
        let (identity, roles) = self.admin.identity(&name).await?;
        self.cloned.fetch_add(1, Ordering::Relaxed);
        *lock(&self.roles) = roles.clone();
        Ok(Slot { name, identity, home, keeper: None, roles })
    }

    /// Builds under another name, so that a template that exists is complete.
    async fn build(&self, digest: &str, migrations: &MigrationSet) -> Result<Arc<str>, Refusal> {
        self.refuse_unless_healthy().await?;
        let building = self.admin.new_name();
        self.admin.create(&building, EMPTY_TEMPLATE).await?;
        if let Err(refusal) = self.fill(&building, migrations).await {
            self.admin.drop(&building).await?;
            return Err(refusal);
        }
        let name = self.admin.template_name(digest);
        self.admin.seal(&building, &name).await?;
        Ok(name.into())
    }

    async fn fill(&self, building: &str, migrations: &MigrationSet) -> Result<(), Refusal> {
        let refused = |action: &str, error: &sqlx::Error| Refusal::Database {
            action: format!("{action} {building}"),
            message: crate::error_chain(error),
        };
        let connected = self.admin.options(building).connect().await;
        let mut connection = connected.map_err(|error| refused("connect to", &error))?;
        let applied = migrations.apply(&mut connection).await.map_err(|error| match error {
            MigrationError::Connection(error) => refused("apply migrations to", &error),
            error => Refusal::Migration { message: crate::error_chain(&error) },
        });
        // The copy would wait for the session's end.
        let _ = connection.close().await;
        applied
    }
}

impl Slot {
    /// Whether its session, which stays while it is idle, is still there.
    async fn is_alive(&mut self) -> bool {
        match &mut self.keeper {
            Some(keeper) => keeper.is_alive().await,
            None => false,
        }
    }
}

impl Template {
    fn take_idle(&self) -> Option<Slot> {
        lock(&self.idle).pop()
    }

    /// Gives it back if there are enough.
    fn keep_idle(&self, slot: Slot) -> Option<Slot> {
        let mut idle = lock(&self.idle);
        if idle.len() >= IDLE_MAX {
            return Some(slot);
        }
        idle.push(slot);
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
