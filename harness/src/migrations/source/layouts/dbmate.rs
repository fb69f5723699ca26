//! dbmate: a number first, both directions in one file, behind a line for each.

use super::super::StepKind;
use super::super::detect::marker;
use super::super::files::{Files, TextFile, leading_number, lines};
use super::super::plan::{Part, Plan, Sort};
use super::super::problem::{Problem, ProblemKind};
use crate::event::Place;
use crate::migrations::sql;

const UP: &str = "migrate:up";
const DOWN: &str = "migrate:down";

pub(super) fn plan(files: &Files, plan: &mut Plan) -> Sort {
    for file in &files.sql {
        let Some((version, number, rest)) = leading_number(file.stem()) else { continue };
        plan.claim(file);
        let Some(sections) = sections(file, plan) else { continue };
        for (is_up, (range, in_transaction)) in [(true, Some(sections.up)), (false, sections.down)]
            .into_iter()
            .filter_map(|(is_up, section)| Some((is_up, section?)))
        {
            let part = Part {
                id: version.to_owned(),
                version: Some(version.to_owned()),
                number: vec![number],
                name: rest.trim_start_matches('_').to_owned(),
                kind: StepKind::Versioned,
                script: file.part(range, |_| in_transaction),
            };
            if is_up { plan.up(part) } else { plan.down(part) }
        }
    }
    Sort::Name
}

type Section = (std::ops::Range<usize>, bool);

struct Sections {
    up: Section,
    down: Option<Section>,
}

/// The parts of a file behind the lines that begin them, and whether they are run in a transaction.
fn sections(file: &TextFile, plan: &mut Plan) -> Option<Sections> {
    let text = &file.text;
    let mut problem = |range: std::ops::Range<usize>, message: &str, help: &str| {
        let problem = Problem::new(ProblemKind::Marker, &file.path, message, help);
        plan.problems.push(problem.at(Place::new(&file.path, text, range)));
    };
    let (mut up, mut down) = (None, None);
    for (start, line) in lines(text) {
        let place = start..start + line.trim_end().len();
        let found = match line {
            _ if marker(line, UP) => &mut up,
            _ if marker(line, DOWN) => &mut down,
            _ => continue,
        };
        if found.is_some() {
            problem(
                place,
                "expected this line once in a file, found it again",
                "move what follows to another file",
            );
            continue;
        }
        let in_transaction = !line.split_whitespace().any(|option| option == "transaction:false");
        *found = Some((start, start + line.len(), in_transaction));
    }
    let Some((begin, up_start, in_transaction)) = up else {
        problem(
            0..0,
            "expected a line `-- migrate:up`, found none: dbmate refuses the file",
            "put `-- migrate:up` before what applies the migration, and `-- migrate:down` before what reverts it",
        );
        return None;
    };
    if let Some(stray) = sql::split(text, 0..down.map_or(begin, |(start, ..)| begin.min(start))).first() {
        problem(
            stray.range.clone(),
            "expected nothing but comments before `-- migrate:up`, found a statement: dbmate refuses the file",
            "move it behind the line `-- migrate:up`",
        );
    }
    match down {
        Some((begin, ..)) if begin < up_start => {
            problem(
                begin..begin + DOWN.len(),
                "expected `-- migrate:down` behind `-- migrate:up`, found it before: dbmate refuses the file",
                "exchange the two parts",
            );
            Some(Sections { up: (up_start..text.len(), in_transaction), down: None })
        }
        Some((end, down_start, down_in_transaction)) => Some(Sections {
            up: (up_start..end, in_transaction),
            down: Some((down_start..text.len(), down_in_transaction)),
        }),
        None => Some(Sections { up: (up_start..text.len(), in_transaction), down: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{order, problems, project, project_as};
    use crate::migrations::source::{Layout, Script};

    fn statements(script: &Script) -> Vec<&str> {
        script.statements.iter().map(|statement| script.statement(statement)).collect()
    }

    #[test]
    fn both_directions_are_in_one_file() {
        let project = project(&[
            ("20240102_b.sql", "-- migrate:up transaction:false\r\nSELECT 1;\r\n-- migrate:down\r\nSELECT 2;\r\n"),
            ("20240101_a.sql", "-- a comment\n--  migrate:up\nSELECT 3; SELECT 4;"),
        ]);
        assert_eq!(project.layout, Layout::Dbmate);
        assert_eq!(order(&project), ["20240101_a.sql", "20240102_b.sql! / 20240102_b.sql"]);
        assert_eq!(statements(&project.steps[0].up), ["SELECT 3", "SELECT 4"]);
        assert_eq!(statements(&project.steps[1].up), ["SELECT 1"]);
        let down = project.steps[1].down.as_ref().unwrap();
        assert_eq!((statements(down), down.in_transaction), (vec!["SELECT 2"], true));
        assert_eq!(problems(&project), Vec::<String>::new());
    }

    #[test]
    fn lines_that_are_missing_or_elsewhere_are_problems() {
        let project = project_as(
            Layout::Dbmate,
            &[
                ("1_a.sql", "SELECT 1"),
                ("2_b.sql", "SELECT 1;\n-- migrate:up\nSELECT 2"),
                ("3_c.sql", "-- migrate:down\nSELECT 1;\n-- migrate:up\nSELECT 2\n-- migrate:up\n"),
                ("readme.sql", ""),
            ],
        );
        assert_eq!(order(&project), ["2_b.sql", "3_c.sql"]);
        let found = problems(&project);
        let starts: Vec<_> = found.iter().map(|problem| problem.split(',').next().unwrap()).collect();
        assert_eq!(
            starts,
            [
                "Unrecognized readme.sql: expected a name such as 20240131120000_name.sql (the layout is dbmate)",
                "Marker 1_a.sql: expected a line `-- migrate:up`",
                "Marker 2_b.sql: expected nothing but comments before `-- migrate:up`",
                "Marker 3_c.sql: expected this line once in a file",
                "Marker 3_c.sql: expected `-- migrate:down` behind `-- migrate:up`",
            ]
        );
    }

    #[test]
    fn names_are_sorted_as_text() {
        let text = "-- migrate:up\n";
        let project = project(&[("9_a.sql", text), ("10_b.sql", text), ("1_c.sql", text), ("01_d.sql", text)]);
        assert_eq!(order(&project), ["01_d.sql", "10_b.sql", "1_c.sql", "9_a.sql"]);
        let found = problems(&project);
        assert_eq!(
            found,
            ["AmbiguousOrder 1_c.sql: expected it to be run before 10_b.sql, found that names are sorted as text"]
        );
    }
}
