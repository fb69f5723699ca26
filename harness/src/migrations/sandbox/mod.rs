//! Databases in which anybody's scripts are executed: as a role that may do in them what it likes, and nothing else.
//!
//! The role owns its database. What it may not do is refused by the server, with two exceptions that would keep all
//! that follows from being judged: roles are made for it (without any rights, and dropped with the database), and so
//! are extensions that only a superuser may create, unless they reach outside.

mod copy;
mod intent;
mod notices;
mod profile;
mod refusal;
mod role_names;
mod session;
mod undone;
mod watch;
pub(crate) mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

pub use intent::Reach;
pub(crate) use intent::{keeps_its_transaction, reach, reach_of_refusal};
pub use notices::Notice;
pub use profile::{Profile, UnknownProfile};
pub use refusal::Refusal;
pub use session::{Beyond, End, Ran, Session};
pub(crate) use undone::Begun;

use super::evidence::Settings;
use crate::database::TestDatabase;
use crate::environment::{Environment, EnvironmentError};
use crate::schema::{Fingerprint, Mark};
use crate::server::sandbox_roles::role_of;
use session::{Entry, Limits};
use watch::{Watch, literal, quoted};

/// How long a session may wait for a lock, in milliseconds.
const LOCK_TIME_MAX_MS: u64 = 30_000;

/// How long a transaction may be left alone, in milliseconds.
const IDLE_TIME_MAX_MS: u64 = 600_000;

/// What went wrong, and was not the scripts' fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// No database.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The server refused something that is done to look at a database, or is gone.
    #[error("{action}: {source}")]
    Server {
        /// What was to be done.
        action: &'static str,
        /// What the server said.
        #[source]
        source: sqlx::Error,
    },
    /// A role that the profile needs cannot be had.
    #[error("the role {name} of the profile cannot be made: {message}; use a server where no such role is")]
    Role {
        /// The role.
        name: String,
        /// What speaks against it.
        message: String,
    },
}

fn server_error(action: &'static str) -> impl Fn(sqlx::Error) -> SandboxError {
    move |source| SandboxError::Server { action, source }
}

/// A database, and the role that owns it and nothing else.
#[derive(Debug)]
pub struct Sandbox {
    database: TestDatabase,
    role: String,
    /// Empty if the role is not ours.
    password: String,
    is_confined: bool,
    entry: Entry,
    watch: Arc<Watch>,
    profile: Profile,
    limits: Limits,
}

impl Sandbox {
    /// An empty database, with the usual settings.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn new(environment: &Environment) -> Result<Self, SandboxError> {
        Self::with(environment, &Settings::default(), &[]).await
    }

    /// A database as the settings' profile has it at first. Every session of its role begins with these parameters.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn with(
        environment: &Environment,
        settings: &Settings,
        parameters: &[(&str, &str)],
    ) -> Result<Self, SandboxError> {
        Self::on(environment.empty_database().await?, settings, parameters).await
    }

    /// The same in an empty database that was made by somebody else, such as one on a server of a test's own.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn on(
        database: TestDatabase,
        settings: &Settings,
        parameters: &[(&str, &str)],
    ) -> Result<Self, SandboxError> {
        let mut admin = connect(&database).await?;
        let query = "SELECT rolname::text, rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
        let found = sqlx::query_as(query).fetch_one(&mut admin).await;
        let (admin_role, is_superuser): (String, bool) = found.map_err(server_error("look at the own role"))?;
        let profile = settings.profile;
        let limits = Limits {
            statement_time_max: settings.statement_time_max,
            database_bytes_max: settings.database_bytes_max,
        };
        let statement_time_max_ms = u64::try_from(settings.statement_time_max.as_millis()).unwrap_or(u64::MAX);
        let owner = database.connect_options().application_name("proofmark migrations").options([
            ("statement_timeout", statement_time_max_ms),
            ("lock_timeout", LOCK_TIME_MAX_MS),
            ("idle_in_transaction_session_timeout", IDLE_TIME_MAX_MS),
        ]);
        let owner = without_compiler(owner);
        let (role, password, owner) = if is_superuser {
            let role = role_of(database.name());
            let password = Uuid::new_v4().simple().to_string();
            let owner = owner.username(&role).password(&password);
            make_role(&mut admin, &database, &role, &password).await?;
            (role, password, owner)
        } else {
            (quoted(&admin_role), String::new(), owner)
        };
        let set = sqlx::raw_sql(Watch::SETTINGS).execute(&mut admin).await;
        set.map_err(server_error("prepare the session that watches"))?;
        let watch = Arc::new(Watch::new(admin, role.clone(), is_superuser));
        // A role of somebody else's keeps its settings.
        let is_set_first = |name| name == "timezone" || !is_superuser;
        let settings = parameters.iter().filter(|(name, _)| is_set_first(*name));
        let settings = settings.map(|(name, value)| format!("SET {name} = {};", value_of(name, value))).collect();
        let entry = Entry { options: owner, settings };
        let sandbox = Self { database, role, password, is_confined: is_superuser, entry, watch, profile, limits };
        sandbox.prepare(parameters).await?;
        Ok(sandbox)
    }

    async fn prepare(&self, parameters: &[(&str, &str)]) -> Result<(), SandboxError> {
        let mut statements = String::new();
        let path = self.profile.search_path().map(|path| ("search_path", path));
        let of_role = path.into_iter().chain(parameters.iter().copied()).filter(|_| self.is_confined);
        for (name, value) in of_role {
            let value = value_of(name, value);
            statements.push_str(&format!("ALTER ROLE {} SET {name} = {value};", self.role));
        }
        for role in self.profile.roles() {
            self.watch.provide(role).await?;
        }
        if let Some(preparation) = self.profile.preparation() {
            statements.push_str(&preparation.replace("{owner}", &self.role));
            for extension in self.profile.extensions() {
                statements.push_str(&format!(
                    "DO $$ BEGIN
                        IF EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = '{extension}') THEN
                            CREATE EXTENSION \"{extension}\" SCHEMA extensions;
                        END IF;
                    END $$;"
                ));
            }
        }
        if statements.is_empty() {
            return Ok(());
        }
        self.watch.execute("prepare a database for scripts", statements).await
    }

    /// The role that scripts are executed as, as it is written in a statement.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Whether this role is a new one, which may do nothing outside of its database; if not, the server does not let
    /// us make one, and it is the one of the server's URL.
    #[must_use]
    pub fn is_confined(&self) -> bool {
        self.is_confined
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// Whether the server that it is on is still there, and has not crashed meanwhile.
    pub async fn is_alive(&self) -> bool {
        self.watch.is_alive().await
    }

    /// A connection of ours, which may look at everything.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn admin(&self) -> Result<PgConnection, SandboxError> {
        connect(&self.database).await
    }

    /// A new session for scripts.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn session(&self) -> Result<Session, SandboxError> {
        let open = || Session::open(self.entry.clone(), Arc::clone(&self.watch), self.profile, self.limits);
        match open().await {
            Err(SandboxError::Server { source: sqlx::Error::Database(_), .. }) if self.is_confined => {
                // A script may have changed how its role, or its database, lets anybody in.
                self.readmit().await?;
                open().await
            }
            session => session,
        }
    }

    /// Watches again after a crash of the server, which has ended all sessions.
    pub(crate) async fn reconnect(&self) -> Result<(), SandboxError> {
        let mut admin = connect(&self.database).await?;
        let set = sqlx::raw_sql(Watch::SETTINGS).execute(&mut admin).await;
        set.map_err(server_error("prepare the session that watches"))?;
        self.watch.reconnect(admin).await;
        Ok(())
    }

    async fn readmit(&self) -> Result<(), SandboxError> {
        let statements = format!(
            "ALTER ROLE {role} LOGIN CONNECTION LIMIT -1 VALID UNTIL 'infinity' PASSWORD '{password}';
             ALTER DATABASE {name} CONNECTION LIMIT -1",
            role = self.role,
            name = self.database.name(),
            password = self.password,
        );
        self.watch.execute("let scripts into their database again", statements).await
    }

    /// The schema as text, in which the role that owns all is called `owner`, whichever sandbox it is.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn schema(&self) -> Result<String, SandboxError> {
        let text = self.watch.schema().await?;
        Ok(text.replace(&self.role, "owner"))
    }

    /// A short text of the schema's state: equal ones of this sandbox mean equal schemas, and different ones nothing.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn digest(&self) -> Result<String, SandboxError> {
        self.watch.digest().await
    }

    /// Whether the schema is as it was at a moment that was marked in this sandbox.
    pub(crate) async fn is_as_it_was(&self, mark: &mut Mark) -> Result<bool, SandboxError> {
        self.watch.is_as_it_was(mark).await
    }

    /// The state of the catalogs.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn fingerprint(&self) -> Result<Fingerprint, SandboxError> {
        self.watch.fingerprint().await
    }

    /// The names of the extensions that the server has.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn available_extensions(&self) -> Result<BTreeSet<String>, SandboxError> {
        self.watch.available_extensions().await
    }

    /// Gives the database back, and drops its roles.
    pub async fn release(self) {
        self.database.release().await;
    }
}

/// A parameter's value as it is written in a statement.
fn value_of(name: &str, value: &str) -> String {
    // Several names are a list, and no string.
    if name == "search_path" { value.to_owned() } else { literal(value) }
}

async fn make_role(
    admin: &mut PgConnection,
    database: &TestDatabase,
    role: &str,
    password: &str,
) -> Result<(), SandboxError> {
    let statements = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{password}';
         ALTER ROLE {role} SET lc_messages = 'C';
         ALTER DATABASE {name} OWNER TO {role};
         ALTER SCHEMA public OWNER TO {role}",
        name = database.name(),
    );
    let made = sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(admin).await;
    made.map(drop).map_err(server_error("make a role for scripts"))
}

async fn connect(database: &TestDatabase) -> Result<PgConnection, SandboxError> {
    let options = without_compiler(database.connect_options());
    options.connect().await.map_err(server_error("connect to the database"))
}

/// What is asked of the catalogs is run once and has many parts: to compile it takes the server longer than to run it.
fn without_compiler(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("jit", "off")])
}
