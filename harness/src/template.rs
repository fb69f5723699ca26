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

/// The templates that one process uses, by the digest of their migrations. The server is one and the same for a run.
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

/// Builds under another name, so that a template that exists is complete. Where other processes may want the same
/// one, the first builds it and the others wait.
#[tracing::instrument(skip_all, fields(digest))]
async fn build(admin: &Admin, migrations: &MigrationSet, digest: &str) -> Built {
    let sealed = admin.template_name(digest);
    if !admin.is_shared() {
        return build_as(sealed, admin, migrations).await;
    }
    if admin.exists(&sealed).await? {
        return Ok(sealed.into());
    }
    let turn = admin.take_turn(digest).await?;
    let built =
        if admin.exists(&sealed).await? { Ok(sealed.into()) } else { build_as(sealed, admin, migrations).await };
    // The turn ends with its session, whatever happens to us.
    let _ = turn.close().await;
    built
}

async fn build_as(sealed: String, admin: &Admin, migrations: &MigrationSet) -> Built {
    let building = admin.new_name();
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
