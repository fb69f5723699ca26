//! A directory of migrations as data.

use std::ops::Range;
use std::sync::Arc;

use crate::event::Place;
use crate::migration_set::MigrationSet;
use crate::migrations::sql::{self, Statement};

/// How a directory says what its files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// `NNNN_name.up.sql` and `NNNN_name.down.sql`, or `NNNN_name.sql`.
    Sqlx,
    /// `NNNN_name.up.sql` and `NNNN_name.down.sql`, as golang-migrate has them.
    GolangMigrate,
    /// `NNNN_name.sql` with `-- migrate:up` and `-- migrate:down`.
    Dbmate,
    /// `NNNN_name.sql` with `-- +goose Up` and `-- +goose Down`.
    Goose,
    /// `V1__name.sql`, `U1__name.sql`, `R__name.sql`.
    Flyway,
    /// `V1__name.sql`, `U1__name.sql`, as refinery has them.
    Refinery,
    /// `NNNN_name/up.sql` and `NNNN_name/down.sql`.
    Diesel,
    /// `YYYYMMDDHHMMSS_name.sql`, as Supabase and others have them.
    Timestamped,
    /// Files of SQL with a number somewhere at the beginning, or none, folders included.
    Plain,
}

/// What a file is run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StepKind {
    /// Once, in its place.
    Versioned,
    /// Whenever it has changed, after all that have a version.
    Repeatable,
}

/// A directory of migrations, in the order in which they are applied.
#[derive(Debug, Clone)]
pub struct Project {
    /// What its files are named relative to; for people.
    pub name: String,
    /// The layout that it has, or that it was said to have.
    pub layout: Layout,
    /// Why it is thought to have this layout.
    pub reason: String,
    /// The migrations, in order.
    pub steps: Vec<Step>,
    /// What is wrong with the files as files.
    pub problems: Vec<Problem>,
}

/// A migration.
#[derive(Debug, Clone)]
pub struct Step {
    /// The version as it is written, if there is one.
    pub version: Option<String>,
    /// What it is called, without the version.
    pub name: String,
    /// When it is run.
    pub kind: StepKind,
    /// What applies it.
    pub up: Script,
    /// What reverts it.
    pub down: Option<Script>,
}

/// A file of SQL, or the part of one that is run at one time.
#[derive(Debug, Clone)]
pub struct Script {
    /// The path, relative to the project, with `/` between its parts.
    pub file: Arc<str>,
    /// The whole file.
    pub text: Arc<str>,
    /// Which part of it this is, in bytes.
    pub range: Range<usize>,
    /// The statements in it, in order.
    pub statements: Vec<Statement>,
    /// Whether the runner puts a transaction around it.
    pub in_transaction: bool,
}

impl Script {
    /// A part of the file's text.
    #[must_use]
    pub fn slice(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// The text of one of its statements.
    #[must_use]
    pub fn statement(&self, statement: &Statement) -> &str {
        self.slice(&statement.range)
    }

    /// Where a part of the file is, for people.
    #[must_use]
    pub fn place(&self, range: Range<usize>) -> Place {
        Place::new(&self.file, &self.text, range)
    }
}

/// Something that is wrong with the files as files, whatever is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem.
    pub kind: ProblemKind,
    /// Where.
    pub place: Option<Place>,
    /// What was expected, and what was found.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The kinds of [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Two files have one version.
    DuplicateVersion,
    /// A version is missing between two others.
    Gap,
    /// The order of two files is open.
    AmbiguousOrder,
    /// Not UTF-8, or no text at all.
    Encoding,
    /// A script that reverts nothing.
    DownWithoutUp,
    /// A file that the layout does not know.
    Unrecognized,
    /// Larger than what is read.
    TooLarge,
}

impl Project {
    /// A set that was read before, as files in sqlx's layout.
    #[must_use]
    pub fn from_set(name: &str, set: &MigrationSet) -> Self {
        let script = |file: String, text: &str| {
            let range = 0..text.len();
            Script {
                file: file.into(),
                text: text.into(),
                statements: sql::split(text, range.clone()),
                range,
                in_transaction: !text.starts_with("-- no-transaction"),
            }
        };
        let steps = set.migrations().iter().map(|migration| Step {
            version: Some(migration.version.to_string()),
            name: migration.stem.split_once('_').map_or("", |(_, name)| name).to_owned(),
            kind: StepKind::Versioned,
            up: script(migration.up_file(), &migration.up),
            down: migration.down.as_deref().map(|down| script(migration.down_file(), down)),
        });
        Self {
            name: name.to_owned(),
            layout: Layout::Sqlx,
            reason: "it was read as such".to_owned(),
            steps: steps.collect(),
            problems: Vec::new(),
        }
    }
}
