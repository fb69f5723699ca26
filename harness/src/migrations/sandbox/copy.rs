//! Copies of a sandbox as it is at a moment, for what cannot be rolled back.

use sqlx::{AssertSqlSafe, Connection as _};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Sandbox, SandboxError};
use crate::database::TestDatabase;

static COPIED: AtomicU64 = AtomicU64::new(0);

impl Sandbox {
    /// An empty database that was made by somebody else, such as one on a server of a test's own.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn on(database: TestDatabase) -> Result<Self, SandboxError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let (role, password) = (format!("proofmark_role_{}", &id[..12]), &id[12..]);
        let owner = database.connect_options().username(&role).password(password);
        let statements = format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{password}';
             ALTER DATABASE {name} OWNER TO {role};
             ALTER SCHEMA public OWNER TO {role}",
            name = database.name(),
        );
        let sandbox = Self { database, role, owner };
        sandbox.command(statements, "make a role for scripts").await?;
        Ok(sandbox)
    }

    /// A database with the same contents and the same owner. Nobody may have a session in this one. It goes with
    /// [`drop_copy`](Self::drop_copy), or with the run.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn copy(&self) -> Result<Self, SandboxError> {
        // All names of a run begin alike, by which what is left of it is found.
        let name = format!("{}_c{}", self.database.name(), COPIED.fetch_add(1, Ordering::Relaxed));
        let statement = format!(
            "CREATE DATABASE {name} TEMPLATE {template} OWNER {role}",
            template = self.database.name(),
            role = self.role
        );
        self.command(statement, "copy a database").await?;
        let url = match url::Url::parse(self.database.url()) {
            Ok(mut url) => {
                url.set_path(&name);
                url.to_string()
            }
            Err(_) => String::new(),
        };
        let options = self.database.connect_options().database(&name);
        Ok(Self {
            database: TestDatabase::of_server(name.clone(), url, options),
            role: self.role.clone(),
            owner: self.owner.clone().database(&name),
        })
    }

    /// Removes a copy of this database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn drop_copy(&self, copy: Self) -> Result<(), SandboxError> {
        self.command(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", copy.database.name()), "drop a copy").await
    }

    async fn command(&self, statement: String, action: &'static str) -> Result<(), SandboxError> {
        let mut admin = self.admin().await?;
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await;
        done.map_err(|source| SandboxError::Server { action, source })?;
        let _ = admin.close().await;
        Ok(())
    }
}
