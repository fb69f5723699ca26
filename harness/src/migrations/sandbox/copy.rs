//! Copies of a sandbox as it is at a moment, for what cannot be rolled back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::watch::Watch;
use super::{Entry, Sandbox, SandboxError, connect};
use crate::database::TestDatabase;

static COPIED: AtomicU64 = AtomicU64::new(0);

impl Sandbox {
    /// A database with the same contents and the same owner. Nobody may have a session in this one, but its own watch.
    /// It goes with [`drop_copy`](Self::drop_copy), or with the run.
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
        self.watch.execute("copy a database", statement).await?;
        let url = match url::Url::parse(self.database.url()) {
            Ok(mut url) => {
                url.set_path(&name);
                url.to_string()
            }
            Err(_) => String::new(),
        };
        let options = self.database.connect_options().database(&name);
        let database = TestDatabase::of_server(name.clone(), url, options);
        let watch = Watch::new(connect(&database).await?, self.role.clone(), self.is_confined);
        watch.share_roles(&self.watch).await;
        let options = self.entry.options.clone().database(&name);
        Ok(Self {
            database,
            role: self.role.clone(),
            password: self.password.clone(),
            is_confined: self.is_confined,
            entry: Entry { options, settings: self.entry.settings.clone() },
            watch: Arc::new(watch),
            profile: self.profile,
            limits: self.limits,
        })
    }

    /// Removes a copy of this database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn drop_copy(&self, copy: Self) -> Result<(), SandboxError> {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", copy.database.name());
        drop(copy);
        self.watch.execute("drop a copy", statement).await
    }
}
