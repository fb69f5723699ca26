//! Template databases: a set of migrations is applied once, and every case gets a copy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::OnceCell;

use crate::environment::EnvironmentError;
use crate::migration_set::MigrationSet;
use crate::server::Admin;

/// What every server has, and what nobody can have changed.
pub(crate) const EMPTY_TEMPLATE: &str = "template0";

/// The name of a template, or why there is none.
type Built = Result<Arc<str>, EnvironmentError>;

/// The templates of one run, by the digest of their migrations. The server is one and the same for a run.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    cells: Mutex<HashMap<String, Arc<OnceCell<Built>>>>,
}

impl Templates {
    /// The template of a set, built by the first who asks. Should that one be cancelled, the next begins anew.
    pub(crate) async fn get(&self, admin: &Admin, migrations: &MigrationSet) -> Built {
        let digest = migrations.digest();
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(digest.clone()).or_default())
        };
        cell.get_or_init(|| build(admin, migrations, &digest)).await.clone()
    }
}

/// Builds under another name, so that a template that exists is complete.
#[tracing::instrument(skip_all, fields(digest))]
async fn build(admin: &Admin, migrations: &MigrationSet, digest: &str) -> Built {
    let building = admin.new_name();
    let sealed = admin.name_for(&format!("template_{}", &digest[..16]));
    admin.create(&building, EMPTY_TEMPLATE).await?;
    let connected = admin.options(&building).connect().await;
    let mut connection =
        connected.map_err(|source| EnvironmentError::database(format!("connect to {building}"), source))?;
    let applied = migrations.apply(&mut connection).await;
    // The copy would wait for the session's end.
    let _ = connection.close().await;
    if let Err(error) = applied {
        admin.drop(&building).await?;
        return Err(EnvironmentError::Migration(Arc::new(error)));
    }
    admin.seal(&building, &sealed).await?;
    Ok(sealed.into())
}
