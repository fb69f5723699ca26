//! A set of migrations as data: what templates are keyed by and what the migration suite is run against.

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The version; unique in its set.
    pub version: i64,
    /// The name without version and ending.
    pub name: String,
    /// The SQL that applies it.
    pub up: String,
    /// The SQL that reverts it, if it can be reverted.
    pub down: Option<String>,
}

/// Migrations in the order of their versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationSet {
    migrations: Vec<Migration>,
}

impl MigrationSet {
    /// The reference layer's own migrations.
    #[must_use]
    pub fn reference() -> Self {
        Self { migrations: Vec::new() }
    }

    /// The migrations, by version.
    #[must_use]
    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }
}
