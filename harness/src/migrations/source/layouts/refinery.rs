//! refinery: `V1__name.sql`, and `U1__name.sql` for those that may be added later below a version that was applied.

use super::super::StepKind;
use super::super::files::Files;
use super::super::plan::{Part, Plan, Sort};
use super::flyway::version;

pub(super) fn plan(files: &Files, plan: &mut Plan) -> Sort {
    for file in &files.sql {
        let found = version(file.stem(), 'V').or_else(|| version(file.stem(), 'U'));
        let Some((version, number, name)) = found.filter(|(_, number, _)| number.len() == 1) else { continue };
        plan.up(Part {
            id: format!("{number:?}"),
            version: Some(version.to_owned()),
            number,
            name: name.to_owned(),
            kind: StepKind::Versioned,
            script: file.script(|_| true),
        });
    }
    Sort::Version
}

#[cfg(test)]
mod tests {
    use super::super::testing::{order, problems, project, project_as};
    use crate::migrations::source::Layout;

    #[test]
    fn u_is_not_undo() {
        let project = project(&[("V1__a.sql", ""), ("V10__c.sql", ""), ("U2__b.sql", "")]);
        assert_eq!(project.layout, Layout::Refinery);
        assert!(project.reason.starts_with("U2__b.sql has a version that no V file has"), "{}", project.reason);
        assert_eq!(order(&project), ["V1__a.sql", "U2__b.sql", "V10__c.sql"]);
    }

    #[test]
    fn a_migration_in_rust_tells_the_layout() {
        let project = project(&[("V1__a.sql", ""), ("V2__b.rs", ""), ("mod.rs", "")]);
        assert_eq!(
            (project.layout, project.reason.as_str()),
            (Layout::Refinery, "there is V2__b.rs beside V1__a.sql")
        );
        assert_eq!(problems(&project).len(), 1);
    }

    #[test]
    fn versions_are_single_numbers() {
        let project = project_as(Layout::Refinery, &[("V1.2__a.sql", ""), ("V1__b.sql", ""), ("U1__c.sql", "")]);
        let found = problems(&project);
        assert!(found[0].starts_with("Unrecognized V1.2__a.sql"), "{found:?}");
        assert!(found[1].starts_with("DuplicateVersion V1__b.sql"), "{found:?}");
    }
}
