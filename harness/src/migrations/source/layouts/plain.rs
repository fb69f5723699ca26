//! Folders of SQL that no tool has marked: run in the order of their numbers, as psql would run them.

use super::super::StepKind;
use super::super::files::{Files, TextFile, fits_in_transaction, leading_number};
use super::super::plan::{Part, Plan, Sort};

/// What tells a script that reverts another, behind its name; directories of this name hold such scripts.
const DOWN: [&str; 4] = ["down", "rollback", "revert", "undo"];

pub(super) fn plan(files: &Files, plan: &mut Plan) -> Sort {
    for file in &files.sql {
        let (is_down, id) = identity(file);
        let number =
            leading_number(file.stem()).or_else(|| leading_number(file.stem().trim_start_matches(['V', 'v'])));
        let part = Part {
            version: number.map(|(version, ..)| version.to_owned()),
            number: number.map(|(_, number, _)| number).into_iter().collect(),
            name: number
                .map_or(file.stem(), |(.., rest)| rest.trim_start_matches(['_', '-', '.', ' ']))
                .to_owned(),
            kind: StepKind::Versioned,
            script: file.script(fits_in_transaction),
            id,
        };
        if is_down { plan.down(part) } else { plan.up(part) }
    }
    Sort::Natural
}

/// Whether a script reverts another, and what both have in common: the path without what tells them apart.
fn identity(file: &TextFile) -> (bool, String) {
    let mut is_down = false;
    let directories = file.directory().split('/').filter(|part| {
        let lower = part.to_ascii_lowercase();
        let tells = DOWN.contains(&lower.trim_end_matches('s'));
        is_down |= tells;
        !tells && lower != "up"
    });
    let directory: Vec<&str> = directories.collect();
    let lower = file.stem().to_ascii_lowercase();
    let tail = |word: &str| ['.', '_', '-'].iter().any(|dot| lower.ends_with(&format!("{dot}{word}")));
    let mut stem = file.stem();
    if let Some(word) = DOWN.into_iter().find(|word| tail(word)) {
        is_down = true;
        stem = &stem[..stem.len() - word.len() - 1];
    } else if tail("up") {
        stem = &stem[..stem.len() - ".up".len()];
    }
    (is_down, format!("{}/{stem}", directory.join("/")))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{order, problems, project, project_as};
    use crate::migrations::source::Layout;

    #[test]
    fn numbers_are_numbers_and_directories_come_together() {
        let project = project(&[
            ("1_schema/2_b.sql", "SELECT 1"),
            ("1_schema/1_a.sql", "VACUUM"),
            ("2_data/1_c.sql", "BEGIN; SELECT 1; COMMIT"),
            ("2_data/1_c_down.sql", "SELECT 1"),
            ("2_data/rollback/2_d.sql", "SELECT 1"),
            ("2_data/2_d.sql", "SELECT 1"),
        ]);
        assert_eq!(project.layout, Layout::Plain);
        assert_eq!(
            order(&project),
            [
                "1_schema/1_a.sql!",
                "1_schema/2_b.sql",
                "2_data/1_c.sql! / 2_data/1_c_down.sql",
                "2_data/2_d.sql / 2_data/rollback/2_d.sql",
            ]
        );
        assert_eq!(problems(&project), Vec::<String>::new());
    }

    #[test]
    fn a_directory_above_that_of_the_migrations_is_noticed() {
        let files = [("migrations/1_a.sql", "SELECT 1"), ("tests/a.sql", "SELECT 1")];
        let found = problems(&project(&files));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("found 1 files in migrations and 1 elsewhere"), "{found:?}");
        assert_eq!(problems(&project_as(Layout::Plain, &files)), Vec::<String>::new());
    }

    #[test]
    fn an_order_that_depends_on_who_sorts_is_a_problem() {
        let found =
            problems(&project(&[("9_a.sql", ""), ("10_b.sql", ""), ("010_b.sql", ""), ("x_down.sql", "")]));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("DownWithoutUp x_down.sql"), "{found:?}");
        assert!(found[1].starts_with("AmbiguousOrder 010_b.sql: expected the same order"), "{found:?}");
        assert!(
            found[2].starts_with("AmbiguousOrder 10_b.sql: expected a number of its own, found that of 010_b.sql")
        );
    }
}
