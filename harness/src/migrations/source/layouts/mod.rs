//! What each tool makes of the files in a directory.

mod dbmate;
mod diesel;
pub(super) mod flyway;
mod goose;
mod numbered;
mod plain;
mod refinery;
mod timestamped;

use super::Layout;
use super::files::Files;
use super::plan::{Plan, Sort};

/// Puts the files that a layout's tool would run into a plan.
pub(super) fn plan(layout: Layout, files: &Files, plan: &mut Plan) -> Sort {
    match layout {
        Layout::Sqlx => numbered::sqlx(files, plan),
        Layout::GolangMigrate => numbered::golang_migrate(files, plan),
        Layout::Dbmate => dbmate::plan(files, plan),
        Layout::Goose => goose::plan(files, plan),
        Layout::Flyway => flyway::plan(files, plan),
        Layout::Refinery => refinery::plan(files, plan),
        Layout::Diesel => diesel::plan(files, plan),
        Layout::Timestamped => timestamped::plan(files, plan),
        Layout::Plain => plain::plan(files, plan),
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! What the tests of all layouts need.

    use crate::migrations::source::{Layout, Project, ReadOptions, SourceFile};

    /// A project of files with the given texts.
    pub(in super::super) fn project(files: &[(&str, &str)]) -> Project {
        let files = files.iter().map(|(path, text)| SourceFile::new(*path, *text)).collect();
        Project::from_files("test", files, &ReadOptions::default())
    }

    /// The same in a layout that is said.
    pub(in super::super) fn project_as(layout: Layout, files: &[(&str, &str)]) -> Project {
        let files = files.iter().map(|(path, text)| SourceFile::new(*path, *text)).collect();
        Project::from_files("test", files, &ReadOptions { layout: Some(layout), order: None })
    }

    /// The files of the up scripts in their order, those of down scripts behind a slash, those outside of a
    /// transaction with an exclamation mark.
    pub(in super::super) fn order(project: &Project) -> Vec<String> {
        let steps = project.steps.iter().map(|step| {
            let mark = if step.up.in_transaction { "" } else { "!" };
            let down = step.down.as_ref().map_or_else(String::new, |down| format!(" / {}", down.file));
            format!("{}{mark}{down}", step.up.file)
        });
        steps.collect()
    }

    /// The problems as text: kind, file and message.
    pub(in super::super) fn problems(project: &Project) -> Vec<String> {
        let texts =
            project.problems.iter().map(|found| format!("{:?} {}: {}", found.kind, found.file, found.message));
        texts.collect()
    }
}
