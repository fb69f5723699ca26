//! diesel: a directory for each migration, with `up.sql`, and `down.sql` if it can be reverted.

use super::super::StepKind;
use super::super::detect::last_part;
use super::super::files::{Files, leading_number};
use super::super::plan::{Part, Plan, Sort};

pub(super) fn plan(files: &Files, plan: &mut Plan) -> Sort {
    for file in &files.sql {
        let is_up = file.name() == "up.sql";
        let directory = file.directory();
        if !is_up && file.name() != "down.sql" || directory.is_empty() {
            continue;
        }
        let folder = last_part(directory);
        let (version, name) = folder.split_once('_').unwrap_or((folder, ""));
        let settings = files.settings.get(&format!("{directory}/metadata.toml")).map_or("", String::as_str);
        let in_transaction =
            !settings.lines().any(|line| line.replace([' ', '\t'], "") == "run_in_transaction=false");
        let part = Part {
            // As diesel compares them: a date may be written with dashes.
            id: version.replace('-', ""),
            version: Some(version.to_owned()),
            number: leading_number(&version.replace('-', "")).map(|(_, number, _)| number).into_iter().collect(),
            name: name.to_owned(),
            kind: StepKind::Versioned,
            script: file.script(|_| in_transaction),
        };
        if is_up { plan.up(part) } else { plan.down(part) }
    }
    Sort::Name
}

#[cfg(test)]
mod tests {
    use super::super::testing::{order, problems, project};
    use crate::migrations::source::Layout;

    #[test]
    fn each_migration_is_a_directory() {
        let project = project(&[
            ("00000000000000_diesel_initial_setup/up.sql", ""),
            ("00000000000000_diesel_initial_setup/down.sql", ""),
            ("2024-01-02-120000_b/up.sql", "CREATE INDEX CONCURRENTLY i ON a (b)"),
            ("2024-01-02-120000_b/metadata.toml", "run_in_transaction = false\n"),
            ("2024-01-01-120000_a/up.sql", ""),
            ("2024-01-03-120000_c/down.sql", ""),
            ("notes.sql", ""),
        ]);
        assert_eq!(project.layout, Layout::Diesel);
        assert_eq!(
            order(&project),
            [
                "00000000000000_diesel_initial_setup/up.sql / 00000000000000_diesel_initial_setup/down.sql",
                "2024-01-01-120000_a/up.sql",
                "2024-01-02-120000_b/up.sql!",
            ]
        );
        let found = problems(&project);
        assert_eq!(found.len(), 2);
        assert!(
            found[0].starts_with("Unrecognized notes.sql: expected a name such as 0001_name/up.sql"),
            "{found:?}"
        );
        assert!(found[1].starts_with("DownWithoutUp 2024-01-03-120000_c/down.sql"), "{found:?}");
    }

    #[test]
    fn a_version_is_what_is_before_the_first_underscore() {
        let project = project(&[("1_a/up.sql", ""), ("1_b/up.sql", "")]);
        assert!(problems(&project)[0].starts_with("DuplicateVersion 1_b/up.sql"), "{:?}", problems(&project));
    }
}
