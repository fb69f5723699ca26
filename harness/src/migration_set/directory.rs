//! Reads a directory of migrations.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use super::{MIGRATIONS_MAX, Migration, MigrationSetError, SCRIPT_BYTES_MAX};

/// The scripts of one stem.
#[derive(Default)]
struct Scripts {
    simple: Option<String>,
    up: Option<String>,
    down: Option<String>,
}

pub(super) fn read(directory: &Path) -> Result<Vec<Migration>, MigrationSetError> {
    let unreadable = |source| MigrationSetError::Unreadable { path: directory.to_owned(), source };
    let mut by_stem: BTreeMap<(i64, String), Scripts> = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(rest) = name.strip_suffix(".sql") else { continue };
        let (stem, slot): (&str, fn(&mut Scripts) -> &mut Option<String>) =
            if let Some(stem) = rest.strip_suffix(".up") {
                (stem, |scripts| &mut scripts.up)
            } else if let Some(stem) = rest.strip_suffix(".down") {
                (stem, |scripts| &mut scripts.down)
            } else {
                (rest, |scripts| &mut scripts.simple)
            };
        let version = stem.split_once('_').and_then(|(version, _)| version.parse().ok());
        let Some(version) = version else { return Err(MigrationSetError::Name { file: name }) };
        let scripts = by_stem.entry((version, stem.to_owned())).or_default();
        *slot(scripts) = Some(read_script(&path, &name)?);
        if by_stem.len() > MIGRATIONS_MAX {
            return Err(MigrationSetError::TooMany { found: by_stem.len() });
        }
    }
    if by_stem.is_empty() {
        return Err(MigrationSetError::Empty { directory: directory.to_owned() });
    }
    by_stem.into_iter().map(|((version, stem), scripts)| assemble(version, stem, scripts)).collect()
}

fn assemble(version: i64, stem: String, scripts: Scripts) -> Result<Migration, MigrationSetError> {
    match scripts {
        Scripts { simple: Some(_), up: Some(_), .. } => Err(MigrationSetError::DuplicateVersion {
            version,
            first: format!("{stem}.sql"),
            second: format!("{stem}.up.sql"),
        }),
        Scripts { simple: None, up: None, .. } => Err(MigrationSetError::DownWithoutUp {
            expected: format!("{stem}.up.sql"),
            file: format!("{stem}.down.sql"),
        }),
        Scripts { simple: Some(up), up: None, down } | Scripts { simple: None, up: Some(up), down } => {
            Ok(Migration { version, stem, up, down })
        }
    }
}

fn read_script(path: &Path, name: &str) -> Result<String, MigrationSetError> {
    let unreadable = |source| MigrationSetError::Unreadable { path: path.to_owned(), source };
    // A pipe would be waited for.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(std::io::Error::other("expected a regular file")));
    }
    let mut bytes = Vec::new();
    // One byte more than is allowed tells too long from just right, whatever the file's length claims to be.
    File::open(path)
        .and_then(|file| file.take(SCRIPT_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > SCRIPT_BYTES_MAX {
        return Err(MigrationSetError::TooLong { file: name.to_owned(), bytes: length });
    }
    String::from_utf8(bytes).map_err(|error| MigrationSetError::NotText {
        file: name.to_owned(),
        found: "another encoding",
        offset: error.utf8_error().valid_up_to(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::MigrationSet;
    use super::*;

    fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        directory
    }

    fn refused(files: &[(&str, &[u8])]) -> String {
        MigrationSet::from_directory(directory(files).path()).unwrap_err().to_string()
    }

    #[test]
    fn both_layouts_are_read_in_the_order_of_versions() {
        let directory = directory(&[
            ("10_last.sql", b"SELECT 10"),
            ("2_first.up.sql", b"SELECT 2"),
            ("2_first.down.sql", b"SELECT -2"),
            ("README.md", b"\xff"),
        ]);
        let set = MigrationSet::from_directory(directory.path()).unwrap();
        let files: Vec<_> = set.migrations().iter().map(Migration::up_file).collect();
        assert_eq!(files, ["2_first.up.sql", "10_last.sql"]);
        assert_eq!(set.migrations()[0].down.as_deref(), Some("SELECT -2"));
    }

    #[test]
    fn what_cannot_be_a_set_is_refused() {
        assert!(refused(&[]).contains("found none"));
        assert!(refused(&[("schema.sql", b"")]).contains("schema.sql"));
        assert!(refused(&[("1_a.sql", b"\xff")]).contains("another encoding at byte 0"));
        assert!(refused(&[("1_a.down.sql", b"")]).contains("expected 1_a.up.sql beside 1_a.down.sql"));
        assert!(refused(&[("1_a.sql", b""), ("01_b.sql", b"")]).contains("found 01_b.sql and 1_a.sql"));
        assert!(refused(&[("1_a.sql", b""), ("1_a.up.sql", b"")]).contains("found 1_a.sql and 1_a.up.sql"));
        let missing = MigrationSet::from_directory(Path::new("/does/not/exist")).unwrap_err();
        assert!(missing.to_string().starts_with("/does/not/exist cannot be read"));
    }
}
