//! goose: a number and an underscore first, both directions in one file, behind a line for each.

use std::ops::Range;

use super::super::detect::marker;
use super::super::files::{Files, TextFile, lines};
use super::super::plan::{Plan, Sort};
use super::super::problem::{Problem, ProblemKind};
use super::numbered::{part, version};
use crate::event::Place;
use crate::migrations::source::Script;
use crate::migrations::sql::Input;

const STATEMENT_HELP: &str = "put `-- +goose StatementBegin` on a line before the statement and \
                              `-- +goose StatementEnd` on a line behind it";

/// The most statements in a script of which it is said that they would be cut.
const CUTS_MAX: usize = 50;

pub(super) fn plan(files: &Files, plan: &mut Plan) -> Sort {
    for file in files.at_top() {
        let Some((digits, number, name)) = version(file) else { continue };
        if number == 0 {
            continue;
        }
        plan.claim(file);
        let found = Markers::read(file, plan);
        let Some(up) = found.up else {
            let problem = Problem::new(
                ProblemKind::Marker,
                &file.path,
                "expected a line `-- +goose Up`, found none: goose refuses the file",
                "put `-- +goose Up` before what applies the migration, and `-- +goose Down` before what reverts it",
            );
            plan.problems.push(problem.at(Place::file(&file.path, &file.text)));
            continue;
        };
        let in_transaction = !found.no_transaction;
        let script = file.part(up, |_| in_transaction);
        check_cuts(file, &script, &found.whole, plan);
        plan.up(part(digits, number, name, script));
        if let Some(down) = found.down {
            let script = file.part(down, |_| in_transaction);
            check_cuts(file, &script, &found.whole, plan);
            plan.down(part(digits, number, name, script));
        }
    }
    Sort::Version
}

/// What the lines for goose say of a file.
#[derive(Default)]
struct Markers {
    up: Option<Range<usize>>,
    down: Option<Range<usize>>,
    no_transaction: bool,
    /// The parts that are said to be one statement.
    whole: Vec<Range<usize>>,
}

impl Markers {
    fn read(file: &TextFile, plan: &mut Plan) -> Self {
        let mut found = Self::default();
        let mut begun: Option<Range<usize>> = None;
        let mut problem = |range: Range<usize>, message: &str, help: &str| {
            let problem = Problem::new(ProblemKind::Marker, &file.path, message, help);
            plan.problems.push(problem.at(Place::new(&file.path, &file.text, range)));
        };
        for (start, line) in lines(&file.text) {
            let (end, place) = (start + line.len(), start..start + line.trim_end().len());
            if marker(line.trim_start(), "+goose") && line.starts_with(char::is_whitespace) {
                problem(place, "expected this line without spaces before it, found some", "remove the spaces");
            } else if marker(line, "+goose up") {
                if found.up.is_some() {
                    problem(place, "expected one `-- +goose Up` in a file, found another", "use a file for each");
                    continue;
                }
                found.up = Some(end..file.text.len());
            } else if marker(line, "+goose down") {
                match &mut found.up {
                    Some(up) if found.down.is_none() => {
                        up.end = start;
                        found.down = Some(end..file.text.len());
                    }
                    _ => problem(
                        place,
                        "expected one `-- +goose Down` behind `-- +goose Up`, found it elsewhere",
                        "exchange the two parts, or use a file for each migration",
                    ),
                }
            } else if marker(line, "+goose no transaction") {
                found.no_transaction = true;
            } else if marker(line, "+goose statementbegin") {
                if let Some(first) = begun.replace(start..end) {
                    problem(first, "expected `-- +goose StatementEnd` behind it, found none", STATEMENT_HELP);
                }
            } else if marker(line, "+goose statementend") {
                match begun.take() {
                    Some(first) => found.whole.push(first.end..start),
                    None => {
                        problem(
                            place,
                            "expected `-- +goose StatementBegin` before it, found none",
                            STATEMENT_HELP,
                        );
                    }
                }
            }
        }
        if let Some(first) = begun {
            problem(first, "expected `-- +goose StatementEnd` behind it, found none", STATEMENT_HELP);
        }
        found
    }
}

/// Outside of what is said to be one statement, goose ends a statement wherever a line ends with a semicolon.
fn check_cuts(file: &TextFile, script: &Script, whole: &[Range<usize>], plan: &mut Plan) {
    let least = plan.problems.len();
    for statement in &script.statements {
        if plan.problems.len() - least >= CUTS_MAX {
            break;
        }
        let is_whole =
            whole.iter().any(|part| part.start <= statement.range.start && statement.range.end <= part.end);
        if is_whole || statement.input != Input::Sql {
            continue;
        }
        let cut = lines(script.statement(statement)).find(|(_, line)| {
            let code = line.split("--").next().unwrap_or_default().trim_end();
            line.ends_with('\n') && code.ends_with(';')
        });
        if let Some((at, line)) = cut {
            let start = statement.range.start + at;
            let problem = Problem::new(
                ProblemKind::Marker,
                &file.path,
                "expected the statement to be run as a whole, found that goose cuts it here, at a line that ends with a \
                 semicolon",
                STATEMENT_HELP,
            );
            let place = Place::new(&file.path, &file.text, start..start + line.trim_end().len());
            plan.problems.push(problem.at(place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{order, problems, project, project_as};
    use crate::migrations::source::Layout;

    #[test]
    fn both_directions_are_in_one_file() {
        let project = project(&[
            ("00002_b.sql", "-- +goose NO TRANSACTION\n-- +goose up\nVACUUM;\n"),
            ("00001_a.sql", "-- +goose Up\nSELECT 1;\nSELECT 2;\n-- +goose Down\nSELECT 3;\n"),
            ("embed.go", ""),
            ("00003_c.go", ""),
        ]);
        assert_eq!(project.layout, Layout::Goose);
        assert_eq!(order(&project), ["00001_a.sql / 00001_a.sql", "00002_b.sql!"]);
        assert_eq!(project.steps[0].up.statements.len(), 2);
        assert_eq!(problems(&project).len(), 1);
        assert!(
            problems(&project)[0]
                .starts_with("Unrecognized 00003_c.go: expected SQL, found a migration in another")
        );
    }

    #[test]
    fn a_statement_that_goose_would_cut_is_a_problem() {
        let body = "DO $$ BEGIN\n  PERFORM 1; -- a\nEND $$;\n";
        let whole = format!("-- +goose Up\n-- +goose StatementBegin\n{body}-- +goose StatementEnd\n");
        let cut = format!("-- +goose Up\n{body}");
        let project = project(&[("1_a.sql", whole.as_str()), ("2_b.sql", cut.as_str())]);
        let found = problems(&project);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("Marker 2_b.sql: expected the statement to be run as a whole"), "{found:?}");
        assert_eq!(project.problems[0].place.as_ref().unwrap().line, 3);
        assert_eq!(project.steps.iter().map(|step| step.up.statements.len()).sum::<usize>(), 2);
    }

    #[test]
    fn lines_that_are_missing_or_elsewhere_are_problems() {
        let project = project_as(
            Layout::Goose,
            &[
                ("1_a.sql", "SELECT 1;"),
                ("2_b.sql", "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n"),
                ("3_c.sql", "-- +goose Down\n  -- +goose Up\n"),
                ("4_d.sql", "-- +goose Up\n-- +goose StatementEnd\n-- +goose Up\n"),
            ],
        );
        let kinds = problems(&project);
        assert!(kinds.iter().all(|problem| problem.starts_with("Marker")), "{kinds:?}");
        assert_eq!(kinds.len(), 7, "{kinds:?}");
    }
}
