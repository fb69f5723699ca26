//! `proofmark.toml`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::SUPPRESSIONS_ARE_USED;
use super::names::proposal;
use crate::event::Level;
use crate::migrations::source::Layout;

/// The file's name.
pub const FILE_NAME: &str = "proofmark.toml";

/// The longest file that is read, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// How many directories above the first are searched.
const PARENTS_MAX: usize = 64;

/// The most rows that a table is filled with.
const ROWS_MAX: usize = 1_000_000;

/// What a team says of its migrations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The file that says it, if there is one.
    pub path: Option<PathBuf>,
    /// The layout.
    pub layout: Option<Layout>,
    /// The order file; a path that is relative to the configuration has been joined to it.
    pub order: Option<PathBuf>,
    /// What a bare server is given before anything is run: `plain` or `supabase`.
    pub profile: Option<String>,
    /// How many rows each table is given.
    pub rows: Option<usize>,
    /// The levels of checks; nothing for those that are off.
    pub levels: BTreeMap<String, Option<Level>>,
    /// What does not count.
    pub suppressions: Vec<Suppression>,
}

/// Findings that do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// The check.
    pub check: String,
    /// A pattern for the file, with `*` and `?`.
    pub file: Option<String>,
    /// A pattern for the object.
    pub object: Option<String>,
    /// Why.
    pub reason: String,
    /// Where it is said, for people.
    pub place: String,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not there, or may not be read.
    #[error("expected a configuration, found that {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("expected TOML in {}, found: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, with the place.
        message: String,
    },
    /// The file says something that nobody understands.
    #[error("{}, {place}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The table and key.
        place: String,
        /// What was expected, and what was found.
        message: String,
    },
}

impl Config {
    /// The configuration in a directory, or in the nearest one above it up to the one with `.git`; nothing if there is
    /// none. `checks` are the names of all checks.
    ///
    /// # Errors
    /// When there is one that cannot be read or understood.
    pub fn find(directory: &Path, checks: &[&str]) -> Result<Self, ConfigError> {
        let start = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        for directory in start.ancestors().take(PARENTS_MAX) {
            let path = directory.join(FILE_NAME);
            if path.is_file() {
                return Self::load(&path, checks);
            }
            if directory.join(".git").exists() {
                break;
            }
        }
        Ok(Self::default())
    }

    /// The configuration in a file.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn load(path: &Path, checks: &[&str]) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(unreadable(std::io::Error::other("expected a regular file")));
        }
        let mut text = String::new();
        File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text)).map_err(unreadable)?;
        Self::parse(path, &text, checks)
    }

    /// The configuration in a text; `path` is for messages, and what paths in it are relative to.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn parse(path: &Path, text: &str, checks: &[&str]) -> Result<Self, ConfigError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let mut parser = Parser { path, checks, config: Self { path: Some(path.to_owned()), ..Self::default() } };
        parser.top(&table).map_err(|(place, message)| ConfigError::Content {
            path: path.to_owned(),
            place,
            message,
        })?;
        Ok(parser.config)
    }
}

/// Where, and what is wrong there.
type Fault = (String, String);

struct Parser<'a> {
    path: &'a Path,
    checks: &'a [&'a str],
    config: Config,
}

impl Parser<'_> {
    fn top(&mut self, table: &Table) -> Result<(), Fault> {
        for (key, value) in table {
            match key.as_str() {
                "migrations" => self.migrations(as_table(value, "migrations")?)?,
                _ => return Err(unknown("the file", key, &["migrations"])),
            }
        }
        Ok(())
    }

    fn migrations(&mut self, table: &Table) -> Result<(), Fault> {
        let at = |key: &str| format!("migrations.{key}");
        for (key, value) in table {
            match key.as_str() {
                "layout" => {
                    let layout = as_text(value, &at(key))?.parse::<Layout>();
                    self.config.layout = Some(layout.map_err(|error| {
                        let names = Layout::ALL.map(Layout::name);
                        (at(key), format!("{error}{}", proposal(&error.found, names)))
                    })?);
                }
                "order" => {
                    let order = as_text(value, &at(key))?;
                    self.config.order = Some(self.path.parent().unwrap_or(Path::new("")).join(order));
                }
                "profile" => {
                    let profile = as_text(value, &at(key))?;
                    if !["plain", "supabase"].contains(&profile) {
                        return Err((at(key), format!("expected plain or supabase, found {profile:?}")));
                    }
                    self.config.profile = Some(profile.to_owned());
                }
                "rows" => {
                    let rows = value.as_integer().and_then(|rows| usize::try_from(rows).ok());
                    let rows = rows.filter(|rows| *rows <= ROWS_MAX);
                    let message =
                        || (at(key), format!("expected a number from 0 to {ROWS_MAX}, found {}", shown(value)));
                    self.config.rows = Some(rows.ok_or_else(message)?);
                }
                "levels" => self.levels(as_table(value, "migrations.levels")?)?,
                "suppress" => self.suppressions(value)?,
                _ => {
                    let known = ["layout", "order", "profile", "rows", "levels", "suppress"];
                    return Err(unknown("migrations", key, &known));
                }
            }
        }
        Ok(())
    }

    fn levels(&mut self, table: &Table) -> Result<(), Fault> {
        for (check, value) in table {
            self.check("migrations.levels", check)?;
            let place = format!("migrations.levels.{check}");
            let level = match as_text(value, &place)? {
                "error" => Some(Level::Error),
                "warning" => Some(Level::Warning),
                "note" => Some(Level::Note),
                "off" => None,
                other => {
                    let near = proposal(other, ["error", "warning", "note", "off"]);
                    return Err((place, format!("expected error, warning, note or off, found {other:?}{near}")));
                }
            };
            self.config.levels.insert(check.clone(), level);
        }
        Ok(())
    }

    fn suppressions(&mut self, value: &Value) -> Result<(), Fault> {
        let wrong = || {
            (
                "migrations.suppress".to_owned(),
                "expected tables, each under [[migrations.suppress]], found another".to_owned(),
            )
        };
        for (index, entry) in value.as_array().ok_or_else(wrong)?.iter().enumerate() {
            let place = format!("entry {} of [[migrations.suppress]]", index + 1);
            let table = entry.as_table().ok_or_else(wrong)?;
            if let Some(key) =
                table.keys().find(|key| !["check", "file", "object", "reason"].contains(&key.as_str()))
            {
                return Err(unknown(&place, key, &["check", "file", "object", "reason"]));
            }
            let text =
                |key: &str| table.get(key).map(|value| as_text(value, &format!("{place}, {key}"))).transpose();
            let required = |key: &str, what: &str| match text(key)? {
                Some(value) if !value.trim().is_empty() => Ok(value.to_owned()),
                _ => Err((place.clone(), format!("expected {what}, found none"))),
            };
            let check = required("check", "the name of a check under `check`")?;
            self.check(&place, &check)?;
            let suppression = Suppression {
                check,
                file: text("file")?.map(str::to_owned),
                object: text("object")?.map(str::to_owned),
                reason: required("reason", "under `reason` why it does not count")?,
                place: format!("{}, {place}", self.path.file_name().unwrap_or_default().to_string_lossy()),
            };
            self.config.suppressions.push(suppression);
        }
        Ok(())
    }

    fn check(&self, place: &str, name: &str) -> Result<(), Fault> {
        if self.checks.is_empty() || self.checks.contains(&name) || name == SUPPRESSIONS_ARE_USED {
            return Ok(());
        }
        let near = proposal(name, self.checks.iter().copied());
        Err((place.to_owned(), format!("expected the name of a check, found `{name}`{near}")))
    }
}

fn unknown(place: &str, key: &str, known: &[&str]) -> Fault {
    let near = proposal(key, known.iter().copied());
    (place.to_owned(), format!("expected one of {}, found the key `{key}`{near}", known.join(", ")))
}

fn shown(value: &Value) -> String {
    value.as_integer().map_or_else(|| value.type_str().to_owned(), |number| number.to_string())
}

fn as_table<'a>(value: &'a Value, place: &str) -> Result<&'a Table, Fault> {
    value.as_table().ok_or_else(|| (place.to_owned(), format!("expected a table, found {}", value.type_str())))
}

fn as_text<'a>(value: &'a Value, place: &str) -> Result<&'a str, Fault> {
    value
        .as_str()
        .ok_or_else(|| (place.to_owned(), format!("expected a text in quotes, found {}", value.type_str())))
}
