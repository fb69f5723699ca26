//! What is different about a table after a statement.

use std::fmt;

use super::look::{Column, Table};

/// Something that a statement has changed about a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// All rows were written anew, and all indexes built anew.
    Rewritten,
    /// The rows are gone.
    Emptied,
    /// The table is gone.
    TableDropped,
    /// The table has another name.
    TableRenamed {
        /// The new one.
        to: String,
    },
    /// A column that was not there.
    ColumnAdded {
        /// Its name.
        name: String,
        /// Whether who does not know it cannot insert.
        required: bool,
    },
    /// A column that is gone.
    ColumnDropped {
        /// Its name.
        name: String,
        /// Whether who inserted had to name it.
        required: bool,
    },
    /// A column with another name.
    ColumnRenamed {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
    /// A column of another type.
    ColumnType {
        /// Its name.
        name: String,
        /// The old type.
        from: String,
        /// The new one.
        to: String,
    },
    /// A column that may not be null has no default any more: who does not know it cannot insert.
    DefaultDropped {
        /// Its name.
        name: String,
    },
    /// A column that may not be null any more.
    NotNullSet {
        /// Its name.
        name: String,
    },
    /// A constraint that was not there.
    ConstraintAdded {
        /// Its name.
        name: String,
        /// What kind.
        kind: ConstraintKind,
        /// Whether it holds for the rows that were there.
        valid: bool,
    },
    /// A constraint that was found to hold for the rows that were there.
    ConstraintValidated {
        /// Its name.
        name: String,
    },
    /// An index that was not there.
    IndexAdded {
        /// Its name.
        name: String,
        /// Whether it came with a constraint.
        of_constraint: bool,
    },
    /// An index that was built anew, although the table was not rewritten.
    IndexRebuilt {
        /// Its name.
        name: String,
    },
}

/// The kinds of constraints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstraintKind {
    /// `CHECK`.
    Check,
    /// `FOREIGN KEY`.
    ForeignKey,
    /// `PRIMARY KEY`.
    PrimaryKey,
    /// `UNIQUE`.
    Unique,
    /// `EXCLUDE`.
    Exclusion,
    /// Anything else, such as a constraint trigger.
    Other,
}

impl ConstraintKind {
    fn from_server(kind: &str) -> Self {
        match kind {
            "c" => Self::Check,
            "f" => Self::ForeignKey,
            "p" => Self::PrimaryKey,
            "u" => Self::Unique,
            "x" => Self::Exclusion,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for ConstraintKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Check => "CHECK",
            Self::ForeignKey => "FOREIGN KEY",
            Self::PrimaryKey => "PRIMARY KEY",
            Self::Unique => "UNIQUE",
            Self::Exclusion => "EXCLUDE",
            Self::Other => "constraint",
        })
    }
}

/// A column without which nothing can be inserted.
fn required(column: &Column) -> bool {
    column.not_null && !column.given
}

/// What has become different.
pub(super) fn changes(before: &Table, after: &Table) -> Vec<Change> {
    let mut found = Vec::new();
    let rewritten = before.file != after.file;
    if rewritten && before.bytes > 0 {
        found.push(if after.bytes > 0 { Change::Rewritten } else { Change::Emptied });
    }
    if before.name != after.name {
        found.push(Change::TableRenamed { to: after.name.clone() });
    }
    columns(before, after, &mut found);
    for constraint in &after.constraints {
        let name = constraint.name.clone();
        match before.constraints.iter().find(|other| other.id == constraint.id) {
            None => {
                let kind = ConstraintKind::from_server(&constraint.kind);
                found.push(Change::ConstraintAdded { name, kind, valid: constraint.valid });
            }
            Some(other) if constraint.valid && !other.valid => found.push(Change::ConstraintValidated { name }),
            Some(_) => {}
        }
    }
    for index in &after.indexes {
        let name = index.name.clone();
        match before.indexes.iter().find(|other| other.id == index.id) {
            None => found.push(Change::IndexAdded { name, of_constraint: index.of_constraint }),
            Some(other) if other.file != index.file && !rewritten => found.push(Change::IndexRebuilt { name }),
            Some(_) => {}
        }
    }
    found
}

fn columns(before: &Table, after: &Table, found: &mut Vec<Change>) {
    for column in &before.columns {
        let name = column.name.clone();
        let Some(now) = after.columns.iter().find(|other| other.number == column.number) else {
            found.push(Change::ColumnDropped { name, required: required(column) });
            continue;
        };
        if now.name != column.name {
            found.push(Change::ColumnRenamed { from: name.clone(), to: now.name.clone() });
        }
        if now.kind != column.kind {
            found.push(Change::ColumnType { name: name.clone(), from: column.kind.clone(), to: now.kind.clone() });
        }
        if now.not_null && !column.not_null {
            found.push(Change::NotNullSet { name });
        } else if required(now) && !required(column) {
            found.push(Change::DefaultDropped { name });
        }
    }
    for column in &after.columns {
        if !before.columns.iter().any(|other| other.number == column.number) {
            found.push(Change::ColumnAdded { name: column.name.clone(), required: required(column) });
        }
    }
}
