//! sqlx and golang-migrate: a number, an underscore and words, in one directory.

use super::super::StepKind;
use super::super::files::{Files, TextFile, is_sent_at_once, leading_number};
use super::super::plan::{Part, Plan, Sort};
use crate::migrations::source::Script;

/// sqlx: a file with neither `.up` nor `.down` cannot be reverted; versions are 64 bits with a sign, above zero.
pub(super) fn sqlx(files: &Files, plan: &mut Plan) -> Sort {
    for file in files.at_top() {
        let Some((version, number, name)) = version(file) else { continue };
        if number == 0 || i64::try_from(number).is_err() {
            continue;
        }
        let script = file.script(|script| !script.text.starts_with("-- no-transaction"));
        match name.strip_suffix(".down") {
            Some(name) => plan.down(part(version, number, name, script)),
            None => plan.up(part(version, number, name.strip_suffix(".up").unwrap_or(name), script)),
        }
    }
    Sort::Version
}

/// golang-migrate: always with `.up` or `.down`; a script is sent as it is, without a transaction of the tool's.
pub(super) fn golang_migrate(files: &Files, plan: &mut Plan) -> Sort {
    for file in files.at_top() {
        let Some((version, number, name)) = version(file) else { continue };
        let script = file.script(is_sent_at_once);
        if let Some(name) = name.strip_suffix(".up") {
            plan.up(part(version, number, name, script));
        } else if let Some(name) = name.strip_suffix(".down") {
            plan.down(part(version, number, name, script));
        }
    }
    Sort::Version
}

/// The version of a file as it is written and in numbers, and its name without the ending.
pub(super) fn version(file: &TextFile) -> Option<(&str, u64, &str)> {
    let (version, number, rest) = leading_number(file.stem())?;
    Some((version, number, rest.strip_prefix('_')?))
}

/// A script that is put together with others of the same number.
pub(super) fn part(version: &str, number: u64, name: &str, script: Script) -> Part {
    Part {
        id: number.to_string(),
        version: Some(version.to_owned()),
        number: vec![number],
        name: name.to_owned(),
        kind: StepKind::Versioned,
        script,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{order, problems, project, project_as};
    use crate::migrations::source::Layout;

    #[test]
    fn sqlx_runs_versions_as_numbers() {
        let project = project(&[
            ("10_d.up.sql", "SELECT 1"),
            ("9_c.up.sql", "SELECT 1"),
            ("8_b.up.sql", "-- no-transaction\nSELECT 1"),
            ("8_b.down.sql", "SELECT 1"),
            ("7_a.sql", "SELECT 1; SELECT 2"),
            ("README.md", "\u{0}"),
        ]);
        assert_eq!(
            (project.layout, project.reason.as_str()),
            (Layout::Sqlx, "8_b.up.sql begins with `-- no-transaction`")
        );
        assert_eq!(order(&project), ["7_a.sql", "8_b.up.sql! / 8_b.down.sql", "9_c.up.sql", "10_d.up.sql"]);
        assert_eq!(project.steps[1].name, "b");
        assert_eq!(project.steps[1].version.as_deref(), Some("8"));
        assert_eq!(problems(&project), Vec::<String>::new());
    }

    #[test]
    fn sqlx_has_one_file_for_a_version() {
        let files =
            [("1_a.sql", ""), ("01_b.up.sql", ""), ("3_c.down.sql", ""), ("schema.sql", ""), ("sub/4_d.sql", "")];
        let project = project_as(Layout::Sqlx, &files);
        assert_eq!(order(&project), ["01_b.up.sql", "1_a.sql"]);
        let found = problems(&project);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(
            found[0].starts_with("Unrecognized schema.sql: expected a name such as 0001_name.sql"),
            "{found:?}"
        );
        assert!(found[1].starts_with("Unrecognized sub/4_d.sql"), "{found:?}");
        assert!(
            found[2]
                .starts_with("DuplicateVersion 1_a.sql: expected one file for version 1, found this one and 01_b")
        );
        assert!(found[3].starts_with("DownWithoutUp 3_c.down.sql"), "{found:?}");
    }

    #[test]
    fn golang_migrate_sends_files_as_they_are() {
        let project = project(&[
            ("000001_a.up.sql", "CREATE TABLE a (); CREATE TABLE b ()"),
            ("000001_a.down.sql", "DROP TABLE a"),
            ("000002_b.up.sql", "CREATE INDEX CONCURRENTLY i ON a (b)"),
            ("000003_c.up.sql", "BEGIN; SELECT 1; COMMIT;"),
            ("000004_d.sql", ""),
        ]);
        assert_eq!(project.layout, Layout::GolangMigrate);
        assert_eq!(
            order(&project),
            ["000001_a.up.sql / 000001_a.down.sql", "000002_b.up.sql!", "000003_c.up.sql!"]
        );
        assert!(problems(&project)[0].starts_with("Unrecognized 000004_d.sql"));
    }

    #[test]
    fn what_is_missing_where_versions_are_counted_is_a_gap() {
        let files = [("0001_a.up.sql", ""), ("0002_b.up.sql", ""), ("0005_c.up.sql", "")];
        let found = problems(&project_as(Layout::Sqlx, &files));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("Gap 0005_c.up.sql: expected versions 3 to 4 between 2 and 5, found none"),
            "{found:?}"
        );
        let tens = [("10_a.up.sql", ""), ("20_b.up.sql", ""), ("40_c.up.sql", "")];
        assert_eq!(problems(&project_as(Layout::Sqlx, &tens)), Vec::<String>::new());
    }
}
