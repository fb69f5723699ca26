//! A directory of migrations as data.

mod decode;
mod detect;
mod directory;
mod files;
mod layout;
mod layouts;
mod order;
mod order_file;
mod plan;
mod problem;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use directory::{DEPTH_MAX, FILES_MAX, ReadError, ReadOptions, SCRIPT_BYTES_MAX};
pub use files::SourceFile;
pub use layout::{Layout, LayoutError};
pub use problem::{Problem, ProblemKind};

use crate::event::Place;
use crate::migration_set::MigrationSet;
use crate::migrations::sql::{self, Statement};

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

impl Project {
    /// The migrations in a directory and the directories in it, in whatever layout they have.
    ///
    /// # Errors
    /// When there is no such directory, it has no SQL in it, or it is too large. What is wrong with single files is
    /// no error but a [`Problem`]: they are left out, and the others read.
    pub fn read(directory: &Path, options: &ReadOptions) -> Result<Self, ReadError> {
        directory::read(directory, options)
    }

    /// Files that were read before; their paths are relative, with `/` between the parts. Their order is of no matter.
    #[must_use]
    pub fn from_files(name: &str, files: Vec<SourceFile>, options: &ReadOptions) -> Self {
        detect::assemble(name, files, options.layout, None, Vec::new())
    }

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
