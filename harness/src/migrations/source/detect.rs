//! Which layout files have, and what it makes of them.

use super::decode::{byte_order_mark, decode};
use super::files::{Files, SourceFile, TextFile, leading_number};
use super::order_file::OrderFile;
use super::plan::Plan;
use super::problem::{Problem, ProblemKind};
use super::{Layout, Project, layouts, order, order_file};
use crate::event::{Level, Place};

/// Makes a project of files; `problems` are those that were found when they were read.
pub(super) fn assemble(
    name: &str,
    sources: Vec<SourceFile>,
    layout: Option<Layout>,
    order: Option<&OrderFile>,
    mut problems: Vec<Problem>,
) -> Project {
    let mut others = Vec::new();
    let files = sorted(sources, &mut others, &mut problems);
    let was_said = layout.is_some() || order.is_some();
    let (layout, reason) = match layout {
        Some(layout) => (layout, "it was said to".to_owned()),
        None => detect(&files, &others),
    };
    if !was_said && layout == Layout::Plain {
        problems.extend(beside_migrations(&files));
    }
    problems.extend(others.iter().filter_map(|path| other_file(path, layout)));
    let mut plan = Plan::default();
    let sort = layouts::plan(layout, &files, &mut plan);
    for file in &files.sql {
        if !plan.is_claimed(file) {
            problems.push(unrecognized(file, layout));
        }
        if file.has_bom {
            problems.push(byte_order_mark(&file.path, &file.text, layout == Layout::Sqlx));
        }
    }
    let mut entries = plan.entries(layout);
    problems.append(&mut plan.problems);
    let mut doubts = Vec::new();
    order::sort(layout, sort, &mut entries, &mut doubts);
    let mut steps = entries.into_iter().map(|entry| entry.step).collect();
    match order {
        Some(order) => {
            steps = order_file::apply(order, steps, &mut problems);
            // Where somebody says the order, names need not.
            problems.retain(|problem| problem.kind != ProblemKind::AmbiguousOrder);
        }
        None => problems.extend(doubts),
    }
    Project { name: name.to_owned(), layout, reason, steps, problems }
}

/// The files by what they are, in the order of their paths.
fn sorted(mut sources: Vec<SourceFile>, others: &mut Vec<String>, problems: &mut Vec<Problem>) -> Files {
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources.dedup_by(|one, other| one.path == other.path);
    let mut files = Files::default();
    for SourceFile { path, bytes } in sources {
        if is_sql(&path) {
            match decode(&path, bytes) {
                Ok(decoded) => files.sql.push(TextFile {
                    path: path.into(),
                    text: decoded.text.into(),
                    has_bom: decoded.has_bom,
                }),
                Err(problem) => problems.push(*problem),
            }
        } else if is_settings(&path) {
            files.settings.insert(path, String::from_utf8_lossy(&bytes).into_owned());
        } else {
            others.push(path);
        }
    }
    files
}

pub(super) fn is_sql(path: &str) -> bool {
    path.len() > 4 && path.is_char_boundary(path.len() - 4) && path[path.len() - 4..].eq_ignore_ascii_case(".sql")
}

/// Whether a file says how a script is to be run.
pub(super) fn is_settings(path: &str) -> bool {
    path.ends_with("/metadata.toml") || path.ends_with(".sql.conf")
}

/// The layout that files have, and how it was told.
fn detect(files: &Files, others: &[String]) -> (Layout, String) {
    let first = |matches: &dyn Fn(&TextFile) -> bool| files.sql.iter().find(|file| matches(file));
    let has_line = |file: &TextFile, prefix: &str| file.text.lines().any(|line| marker(line, prefix));
    if let Some(file) = first(&|file| has_line(file, "+goose up")) {
        return (Layout::Goose, format!("{} has the line `-- +goose Up`", file.path));
    }
    if let Some(file) = first(&|file| has_line(file, "migrate:up")) {
        return (Layout::Dbmate, format!("{} has the line `-- migrate:up`", file.path));
    }
    if let Some(file) = first(&|file| file.name() == "up.sql" && !file.directory().is_empty()) {
        return (Layout::Diesel, format!("there is {}", file.path));
    }
    let is_stamped = |text: &str| leading_number(text).is_some_and(|(digits, ..)| digits.len() >= 8);
    if let Some(file) = first(&|file| file.name() == "migration.sql" && is_stamped(last_part(file.directory()))) {
        return (Layout::Timestamped, format!("there is {}", file.path));
    }
    if let Some(file) = first(&|file| layouts::flyway::is_versioned(file.name())) {
        return flyway_or_refinery(files, others, file);
    }
    let is_pair = |file: &TextFile| {
        let stem = file.stem();
        (stem.ends_with(".up") || stem.ends_with(".down"))
            && leading_number(stem).is_some_and(|(.., rest)| rest.starts_with('_'))
    };
    if let Some(file) = first(&is_pair) {
        return golang_migrate_or_sqlx(files, file);
    }
    if let Some(file) = first(&|file| file.text.starts_with("-- no-transaction")) {
        return (Layout::Sqlx, format!("{} begins with `-- no-transaction`", file.path));
    }
    let stamped = files.at_top().filter(|file| is_stamped(file.name())).count();
    if stamped > 0 && stamped * 2 > files.sql.len() {
        return (
            Layout::Timestamped,
            format!("the names of {stamped} of {} files begin with a date", files.sql.len()),
        );
    }
    (Layout::Plain, "there is no sign of a tool in names or files".to_owned())
}

fn flyway_or_refinery(files: &Files, others: &[String], file: &TextFile) -> (Layout, String) {
    let in_rust = others.iter().find(|path| {
        path.strip_suffix(".rs")
            .is_some_and(|stem| layouts::flyway::is_versioned(&format!("{}.sql", last_part(stem))))
    });
    if let Some(path) = in_rust {
        return (Layout::Refinery, format!("there is {path} beside {}", file.path));
    }
    let of = |letter: char| files.sql.iter().filter(move |file| file.name().starts_with(letter));
    let versions: Vec<&str> = of('V').filter_map(|file| file.name()[1..].split("__").next()).collect();
    let adds = of('U')
        .find(|undo| undo.name()[1..].split("__").next().is_some_and(|version| !versions.contains(&version)));
    match adds {
        Some(undo) if of('R').next().is_none() => {
            let reason =
                format!("{} has a version that no V file has: in Flyway, it would undo nothing", undo.path);
            (Layout::Refinery, reason)
        }
        _ => (Layout::Flyway, format!("there is {}", file.path)),
    }
}

fn golang_migrate_or_sqlx(files: &Files, file: &TextFile) -> (Layout, String) {
    let no_transaction = files.sql.iter().find(|file| file.text.starts_with("-- no-transaction"));
    if let Some(file) = no_transaction {
        return (Layout::Sqlx, format!("{} begins with `-- no-transaction`", file.path));
    }
    let begins = |file: &&TextFile| {
        file.text.lines().take(20).any(|line| {
            let line = line.trim().trim_end_matches(';');
            ["begin", "start transaction", "begin transaction"]
                .iter()
                .any(|begin| line.eq_ignore_ascii_case(begin))
        })
    };
    if let Some(file) = files.sql.iter().find(begins) {
        return (
            Layout::GolangMigrate,
            format!("{} begins a transaction by itself, and there are up files", file.path),
        );
    }
    match leading_number(file.name()) {
        Some((digits, ..)) if digits.len() == 6 => {
            (Layout::GolangMigrate, format!("{} has a version of six digits", file.path))
        }
        _ => (Layout::Sqlx, format!("there is {}", file.path)),
    }
}

pub(super) fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Whether a line is a comment with a word for a tool in it, whatever its case.
pub(super) fn marker(line: &str, word: &str) -> bool {
    let comment = line.strip_prefix("--").map(str::trim);
    comment.is_some_and(|comment| {
        comment.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && comment[word.len()..].chars().next().is_none_or(char::is_whitespace)
    })
}

/// The name that directories of migrations have most often.
const USUAL_NAME: &str = "migrations";

/// What to say where a directory has one called `migrations` in it, and other SQL beside it, such as tests.
fn beside_migrations(files: &Files) -> Option<Problem> {
    let is_in = |file: &&TextFile| file.path.split('/').next() == Some(USUAL_NAME) && !file.directory().is_empty();
    let inside = files.sql.iter().filter(is_in).count();
    let outside = files.sql.len() - inside;
    let message = format!(
        "expected migrations and nothing else, found {inside} files in {USUAL_NAME} and {outside} elsewhere, which are run as \
         migrations as well"
    );
    let help =
        "name the directory that the migrations are in, or say with --layout plain that all of them are some";
    (inside > 0 && outside > 0)
        .then(|| Problem::new(ProblemKind::Unrecognized, USUAL_NAME, message, help).level(Level::Warning))
}

fn unrecognized(file: &TextFile, layout: Layout) -> Problem {
    let problem = Problem::new(
        ProblemKind::Unrecognized,
        &file.path,
        format!(
            "expected a name such as {} (the layout is {layout}), found one that the tool does not know",
            layout.expects()
        ),
        "rename it, or move it elsewhere: nobody knows whether it is ever run",
    );
    problem.at(Place::file(&file.path, &file.text))
}

/// What to say of a file that is no SQL: a migration in another language, or a file that was to be one.
fn other_file(path: &str, layout: Layout) -> Option<Problem> {
    let name = last_part(path);
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let has_version = leading_number(name).is_some() || layouts::flyway::is_versioned(&format!("{stem}.sql"));
    let code = ["go", "rs", "java", "kt", "py", "js", "mjs", "cjs", "ts", "rb", "php", "cs", "exs", "sh"];
    if name.starts_with('.') {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let found = if has_version && code.contains(&extension) {
        let message = "expected SQL, found a migration in another language: what it does is missing here, and what comes \
                       after it may fail for that reason";
        let help = "write it in SQL, or put what it does to the schema into a migration of its own";
        Problem::new(ProblemKind::Unrecognized, path, message, help)
    } else if lower.contains(".sql.") || lower.ends_with(".sql~") || ["psql", "pgsql", "ddl"].contains(&extension)
    {
        let message =
            format!("expected a name such as {}, found one that the tool does not know", layout.expects());
        Problem::new(
            ProblemKind::Unrecognized,
            path,
            message,
            "rename it if it is a migration, or move it elsewhere",
        )
    } else {
        return None;
    };
    Some(found.level(Level::Warning))
}
