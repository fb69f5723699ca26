//! Directories in which names begin with a time: Supabase's, and those with a directory for each migration as Prisma
//! has them.

use super::super::StepKind;
use super::super::detect::last_part;
use super::super::files::{Files, is_sent_at_once, leading_number};
use super::super::plan::{Part, Plan, Sort};

pub(super) fn plan(files: &Files, plan: &mut Plan) -> Sort {
    for file in &files.sql {
        let in_folder = file.name() == "migration.sql" && !file.directory().is_empty();
        let stem = if in_folder { last_part(file.directory()) } else { file.stem() };
        let Some((version, number, rest)) = leading_number(stem) else { continue };
        let rest = rest.trim_start_matches(['_', '-', '.']);
        let (is_down, name) = match rest.strip_suffix(".down").or_else(|| rest.strip_suffix("_down")) {
            Some(name) => (true, name),
            None => (false, rest.strip_suffix(".up").unwrap_or(rest)),
        };
        // Where a directory is a migration, its file is sent as it is; elsewhere the tool adds the history's row to it.
        let script = file.script(|script| !in_folder || is_sent_at_once(script));
        let part = Part {
            id: version.to_owned(),
            version: Some(version.to_owned()),
            number: vec![number],
            name: name.to_owned(),
            kind: StepKind::Versioned,
            script,
        };
        if is_down { plan.down(part) } else { plan.up(part) }
    }
    Sort::Name
}

#[cfg(test)]
mod tests {
    use super::super::testing::{order, problems, project};
    use crate::migrations::source::Layout;

    #[test]
    fn names_begin_with_a_time() {
        let project = project(&[
            ("20240102000000_b.sql", "SELECT 1"),
            ("20240101000000_a.sql", "SELECT 1"),
            ("20240101000000_other.sql", "SELECT 1"),
            ("seed.sql", ""),
        ]);
        assert_eq!(project.layout, Layout::Timestamped);
        assert_eq!(project.reason, "the names of 3 of 4 files begin with a date");
        assert_eq!(order(&project), ["20240101000000_a.sql", "20240101000000_other.sql", "20240102000000_b.sql"]);
        let found = problems(&project);
        assert!(found[0].starts_with("Unrecognized seed.sql"), "{found:?}");
        assert!(found[1].starts_with("DuplicateVersion 20240101000000_other.sql"), "{found:?}");
    }

    #[test]
    fn a_directory_may_be_a_migration() {
        let project = project(&[
            ("20240102000000_b/migration.sql", "CREATE INDEX CONCURRENTLY i ON a (b)"),
            ("20240101000000_a/migration.sql", "SELECT 1; SELECT 2"),
            ("migration_lock.toml", "provider = \"postgresql\""),
        ]);
        assert_eq!(
            (project.layout, project.reason.as_str()),
            (Layout::Timestamped, "there is 20240101000000_a/migration.sql")
        );
        assert_eq!(order(&project), ["20240101000000_a/migration.sql", "20240102000000_b/migration.sql!"]);
        assert_eq!(project.steps[0].name, "a");
        assert_eq!(problems(&project), Vec::<String>::new());
    }
}
