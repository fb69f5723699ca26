//! Flyway: `V1.2__name.sql`, `U1.2__name.sql` to undo, `R__name.sql` whenever it has changed; in any directory.

use super::super::StepKind;
use super::super::files::{Files, TextFile, has_what_cannot_be};
use super::super::plan::{Part, Plan, Sort};
use super::super::problem::{Problem, ProblemKind};
use crate::event::{Level, Place};

pub(super) fn plan(files: &Files, plan: &mut Plan) -> Sort {
    for file in &files.sql {
        let stem = file.stem();
        if let Some((version, numbers, name)) = version(stem, 'V') {
            plan.up(versioned(files, file, version, numbers, name));
        } else if let Some((version, numbers, name)) = version(stem, 'U') {
            plan.down(versioned(files, file, version, numbers, name));
        } else if let Some(name) = stem.strip_prefix("R__") {
            plan.up(Part {
                id: format!("R__{name}"),
                version: None,
                number: Vec::new(),
                name: name.to_owned(),
                kind: StepKind::Repeatable,
                script: script(files, file),
            });
        } else if version(stem, 'B').is_some() || is_callback(stem) {
            plan.claim(file);
            let problem = Problem::new(
                ProblemKind::Unrecognized,
                &file.path,
                "expected a migration, found a baseline or callback: it is not run here",
                "none, if the migrations do without it",
            );
            plan.problems.push(problem.at(Place::file(&file.path, &file.text)).level(Level::Note));
        }
    }
    Sort::Version
}

fn versioned(files: &Files, file: &TextFile, version: &str, number: Vec<u64>, name: &str) -> Part {
    Part {
        // Zeros at the end are of no matter: 1 and 1.0 are one version.
        id: format!("{number:?}"),
        version: Some(version.to_owned()),
        number,
        name: name.to_owned(),
        kind: StepKind::Versioned,
        script: script(files, file),
    }
}

/// In a transaction, unless a statement cannot be, or the file beside it says otherwise.
fn script(files: &Files, file: &TextFile) -> super::super::Script {
    let settings = files.settings.get(&format!("{}.conf", file.path)).map_or("", String::as_str);
    let says_no = settings.lines().any(|line| line.replace([' ', '\t'], "") == "executeInTransaction=false");
    file.script(|script| !says_no && !has_what_cannot_be(script))
}

/// Whether a name is that of a migration with a version, which is what tells the layout.
pub(in super::super) fn is_versioned(name: &str) -> bool {
    let stem = name.strip_suffix(".sql").unwrap_or(name);
    ['V', 'U'].into_iter().any(|letter| version(stem, letter).is_some())
}

/// The version as it is written and in numbers, and the name behind it.
pub(super) fn version(stem: &str, letter: char) -> Option<(&str, Vec<u64>, &str)> {
    let (version, name) = stem.strip_prefix(letter)?.split_once("__")?;
    let numbers: Result<Vec<u64>, _> = version.split(['.', '_']).map(str::parse).collect();
    let mut numbers = numbers.ok().filter(|_| version.bytes().all(|byte| byte != b'+'))?;
    while numbers.len() > 1 && numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some((version, numbers, name))
}

fn is_callback(stem: &str) -> bool {
    let event = stem.split("__").next().unwrap_or_default();
    let known =
        ["Migrate", "Clean", "Info", "Validate", "Baseline", "Repair", "Undo", "Each", "Version", "Create"];
    ["before", "after"]
        .iter()
        .filter_map(|when| event.strip_prefix(when))
        .any(|rest| known.iter().any(|event| rest.starts_with(event)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{order, problems, project, project_as};
    use crate::migrations::source::{Layout, StepKind};

    #[test]
    fn versions_have_parts_and_directories_are_of_no_matter() {
        let project = project(&[
            ("V1__a.sql", "SELECT 1"),
            ("later/V1_10__c.sql", "CREATE INDEX CONCURRENTLY i ON a (b)"),
            ("V1.9__b.sql", "SELECT 1"),
            ("U1.9__b.sql", "SELECT 1"),
            ("R__views.sql", "SELECT 1"),
            ("V2__d.sql", "SELECT 1"),
            ("V2__d.sql.conf", "executeInTransaction = false\n"),
        ]);
        assert_eq!((project.layout, project.reason.as_str()), (Layout::Flyway, "there is U1.9__b.sql"));
        assert_eq!(
            order(&project),
            ["V1__a.sql", "V1.9__b.sql / U1.9__b.sql", "later/V1_10__c.sql!", "V2__d.sql!", "R__views.sql"]
        );
        assert_eq!(project.steps[4].kind, StepKind::Repeatable);
        assert_eq!(problems(&project), Vec::<String>::new());
    }

    #[test]
    fn versions_that_are_equal_and_names_that_are_unknown_are_problems() {
        let project = project_as(
            Layout::Flyway,
            &[
                ("V1__a.sql", ""),
                ("sub/V1.0__b.sql", ""),
                ("V2_c.sql", ""),
                ("afterMigrate.sql", ""),
                ("B3__x.sql", ""),
            ],
        );
        assert_eq!(order(&project), ["V1__a.sql", "sub/V1.0__b.sql"]);
        let found = problems(&project);
        assert!(found[0].starts_with("Unrecognized V2_c.sql: expected a name such as V1__name.sql"), "{found:?}");
        assert!(
            found[1].starts_with("Unrecognized B3__x.sql: expected a migration, found a baseline"),
            "{found:?}"
        );
        assert!(found[2].starts_with("Unrecognized afterMigrate.sql"), "{found:?}");
        assert!(
            found[3].starts_with("DuplicateVersion sub/V1.0__b.sql: expected one file for version 1.0"),
            "{found:?}"
        );
    }
}
