//! Files with their texts, as the layouts see them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::Script;
use crate::migrations::sql::{self, Verb};

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path, relative to the project, with `/` between its parts.
    pub path: String,
    /// What is in it. Only that of SQL files, and of files with settings for single scripts, is looked at.
    pub bytes: Vec<u8>,
}

impl SourceFile {
    /// A file with the given content.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: bytes.into() }
    }
}

/// A file of SQL.
#[derive(Debug, Clone)]
pub(super) struct TextFile {
    pub(super) path: Arc<str>,
    pub(super) text: Arc<str>,
    pub(super) has_bom: bool,
}

/// All files of a project.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Those with SQL, by path.
    pub(super) sql: Vec<TextFile>,
    /// Those with settings of a tool, by path.
    pub(super) settings: BTreeMap<String, String>,
}

impl TextFile {
    /// The name without the directories.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The name without the directories and `.sql`.
    pub(super) fn stem(&self) -> &str {
        let name = self.name();
        &name[..name.len().saturating_sub(".sql".len())]
    }

    /// The directories, without the last `/`.
    pub(super) fn directory(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    /// The whole file as a script; `in_transaction` sees the script as it would be within one.
    pub(super) fn script(&self, in_transaction: impl FnOnce(&Script) -> bool) -> Script {
        self.part(0..self.text.len(), in_transaction)
    }

    /// A part of the file as a script.
    pub(super) fn part(&self, range: Range<usize>, in_transaction: impl FnOnce(&Script) -> bool) -> Script {
        let mut script = Script {
            file: Arc::clone(&self.path),
            text: Arc::clone(&self.text),
            statements: sql::split(&self.text, range.clone()),
            range,
            in_transaction: true,
        };
        script.in_transaction = in_transaction(&script);
        script
    }
}

impl Files {
    /// Whether any file has all SQL of a project directly in it.
    pub(super) fn at_top(&self) -> impl Iterator<Item = &TextFile> {
        self.sql.iter().filter(|file| file.directory().is_empty())
    }
}

/// Whether a script has a statement that cannot be within a transaction.
pub(super) fn has_what_cannot_be(script: &Script) -> bool {
    script.statements.iter().any(|statement| sql::never_in_transaction(script.statement(statement)))
}

/// Whether a script can be within a transaction that somebody else begins and ends.
pub(super) fn fits_in_transaction(script: &Script) -> bool {
    let begins = script.statements.iter().any(|statement| sql::verb(script.statement(statement)) == Verb::Begin);
    !begins && !has_what_cannot_be(script)
}

/// Whether the server puts a transaction around a script that is sent as it is: it does around several statements.
pub(super) fn is_sent_at_once(script: &Script) -> bool {
    let begins = script.statements.iter().any(|statement| sql::verb(script.statement(statement)) == Verb::Begin);
    script.statements.len() > 1 && !begins
}

/// The lines of a text, and where they begin.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    })
}

/// The number at the beginning of a text, and what follows it.
pub(super) fn leading_number(text: &str) -> Option<(&str, u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    Some((&text[..digits], number, &text[digits..]))
}
