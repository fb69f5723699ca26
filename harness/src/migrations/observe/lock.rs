//! Locks on tables.

use std::fmt;

/// How a table is locked, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    /// Taken by `SELECT`.
    AccessShare,
    /// Taken by `SELECT ... FOR UPDATE`, and on the table that a foreign key refers to.
    RowShare,
    /// Taken by `INSERT`, `UPDATE` and `DELETE`.
    RowExclusive,
    /// Taken by `VALIDATE CONSTRAINT` and `CREATE INDEX CONCURRENTLY`: hinders neither readers nor writers.
    ShareUpdateExclusive,
    /// Taken by `CREATE INDEX`: nobody can write.
    Share,
    /// Taken where foreign keys and triggers are added: nobody can write.
    ShareRowExclusive,
    /// Taken by `REFRESH MATERIALIZED VIEW CONCURRENTLY`: nobody can write.
    Exclusive,
    /// Taken by most of `ALTER TABLE`: nobody can read.
    AccessExclusive,
}

impl LockMode {
    /// All of them, the weakest first.
    pub const ALL: [Self; 8] = [
        Self::AccessShare,
        Self::RowShare,
        Self::RowExclusive,
        Self::ShareUpdateExclusive,
        Self::Share,
        Self::ShareRowExclusive,
        Self::Exclusive,
        Self::AccessExclusive,
    ];

    /// The name as statements have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessShare => "ACCESS SHARE",
            Self::RowShare => "ROW SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// The mode with a name as `pg_locks` has it.
    #[must_use]
    pub fn from_server(name: &str) -> Option<Self> {
        let name = name.strip_suffix("Lock")?;
        Self::ALL.into_iter().find(|mode| format!("{mode:?}") == name)
    }

    /// Whether nobody can read the table meanwhile.
    #[must_use]
    pub fn blocks_readers(self) -> bool {
        self == Self::AccessExclusive
    }

    /// Whether nobody can write to the table meanwhile.
    #[must_use]
    pub fn blocks_writers(self) -> bool {
        self >= Self::Share
    }

    /// What others cannot do meanwhile.
    #[must_use]
    pub fn consequence(self) -> &'static str {
        match self {
            _ if self.blocks_readers() => "nobody can read or write the table",
            _ if self.blocks_writers() => "nobody can write to the table",
            _ => "others can read and write the table",
        }
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_known_by_the_names_that_the_server_gives_them() {
        assert_eq!(LockMode::from_server("AccessExclusiveLock"), Some(LockMode::AccessExclusive));
        assert_eq!(LockMode::from_server("ShareRowExclusiveLock"), Some(LockMode::ShareRowExclusive));
        assert_eq!(LockMode::from_server("SIReadLock"), None);
        for mode in LockMode::ALL {
            assert_eq!(LockMode::from_server(&format!("{mode:?}Lock")), Some(mode));
        }
    }
}
