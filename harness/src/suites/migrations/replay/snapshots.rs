//! The schema that each version is meant to have, as committed text.

use std::collections::BTreeMap;

use super::super::{MigrationSubject, schema_of};
use crate::case::{CaseError, CaseResult};
use crate::check;
use crate::schema::difference;

/// The files `snapshots/schema__NNNN.snap`, as they were when this was compiled.
const FILES: &[(i64, &str)] = include!(concat!(env!("OUT_DIR"), "/schema_snapshots.rs"));

const HOW_TO_ACCEPT: &str = "if the change is meant: INSTA_UPDATE=always cargo nextest run -p proofmark-harness --test \
                             schema_snapshots";

/// A schema's text for every version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshots {
    by_version: BTreeMap<i64, String>,
}

impl Snapshots {
    /// Those that are committed for the reference layer's migrations.
    #[must_use]
    pub fn reference() -> Self {
        Self::new(FILES.iter().map(|(version, file)| (*version, content(file).to_owned())))
    }

    /// The given texts.
    pub fn new(texts: impl IntoIterator<Item = (i64, String)>) -> Self {
        Self { by_version: texts.into_iter().collect() }
    }

    /// The texts that the subject's migrations have in fact.
    ///
    /// # Errors
    /// When a migration fails, or the environment does.
    pub async fn take(subject: &MigrationSubject) -> Result<Self, CaseError> {
        let database = subject.empty().await?;
        let mut by_version = BTreeMap::new();
        for migration in subject.migrations.migrations() {
            subject.apply_up_to(&database, migration.version).await?;
            by_version.insert(migration.version, schema_of(&database).await?);
        }
        Ok(Self { by_version })
    }

    /// The texts by version.
    #[must_use]
    pub fn by_version(&self) -> &BTreeMap<i64, String> {
        &self.by_version
    }
}

/// The text in a file of insta's: what follows its header.
fn content(file: &str) -> &str {
    file.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).map_or(file, |(_, content)| content)
}

pub(super) async fn every_version_matches_its_snapshot(subject: MigrationSubject) -> CaseResult {
    let expected = subject.snapshots.by_version();
    let migrations = subject.migrations.migrations();
    for version in expected.keys() {
        check!(
            migrations.iter().any(|migration| migration.version == *version),
            "expected a migration for the snapshot schema__{version:04}.snap, found none; if it is gone for good, \
             remove the snapshot"
        );
    }
    let found = Snapshots::take(&subject).await?;
    for migration in migrations {
        let version = migration.version;
        let Some(expected) = expected.get(&version) else {
            return Err(CaseError::failed(format!(
                "expected a snapshot schema__{version:04}.snap for {}, found none; {HOW_TO_ACCEPT}",
                migration.up_file()
            )));
        };
        let found = found.by_version().get(&version).map_or("", String::as_str);
        // insta does not keep the end of the text as it was.
        if found.trim_end() != expected.trim_end() {
            return Err(CaseError::failed_with(
                format!(
                    "expected the schema of version {version} ({}) to be that of schema__{version:04}.snap, found \
                     another; {HOW_TO_ACCEPT}",
                    migration.up_file()
                ),
                difference(expected.trim_end(), found.trim_end()),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_no_part_of_a_snapshot() {
        assert_eq!(content("---\nsource: a.rs\nexpression: text\n---\ntable a\n---\nb\n"), "table a\n---\nb\n");
        assert_eq!(content("table a\n"), "table a\n");
    }
}
