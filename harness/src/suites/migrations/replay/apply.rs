//! Cases about which files apply, and why others do not.

use std::collections::{BTreeMap, BTreeSet};

use super::super::MigrationSubject;
use crate::case::{CaseError, CaseResult};
use crate::event::{Finding, Level, Place};
use crate::migrations::replay::{
    Cause, Kind, Object, Replay, StepFailure, created_objects, file_of, place_of, statement_of,
};
use crate::migrations::sandbox::{Profile, Reach};
use crate::migrations::source::{Project, Step};

/// The most files that a text lists.
const LISTED_MAX: usize = 12;

/// Schemas that a hosted platform has from the beginning.
const HOSTED_SCHEMAS: [&str; 6] = ["auth", "storage", "realtime", "extensions", "vault", "graphql_public"];

/// Roles that it has.
const HOSTED_ROLES: [&str; 5] = ["anon", "authenticated", "service_role", "authenticator", "supabase_admin"];

pub(super) async fn applies_to_an_empty_server(subject: MigrationSubject) -> CaseResult {
    let project = &subject.evidence.project;
    if project.steps.is_empty() {
        return Err(CaseError::failed("expected at least one migration, found none"));
    }
    let replay = subject.replay().await?;
    let finding = |(number, failure): (usize, &StepFailure)| {
        let step = project.steps.get(number)?;
        // What it follows from is wrong, and says so.
        let level = match failure.cause {
            Cause::Consequence { .. } => Level::Warning,
            _ => Level::Error,
        };
        let kept = replay.steps.get(number).map_or(0, |report| report.kept);
        let mut message = format!(
            "expected the file to apply to an empty server, found: {}{}",
            failure.refusal,
            why(project, failure)
        );
        if kept > 0 {
            message.push_str(&format!(
                "; {kept} of its {} statements were committed before and stay",
                step.up.statements.len()
            ));
        }
        Some(failed(step, failure, level, message, help(&subject, failure)))
    };
    let mut findings: Vec<Finding> = replay.failures().filter_map(finding).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    subject.conclude(findings)
}

pub(super) async fn order_applies(subject: MigrationSubject) -> CaseResult {
    let project = &subject.evidence.project;
    let replay = subject.replay().await?;
    let finding = |(number, failure): (usize, &StepFailure)| {
        let Cause::WrongOrder { creator, object } = &failure.cause else { return None };
        let step = project.steps.get(number)?;
        let file = file_of(project, *creator);
        let message = format!("expected {object} to be there, found that {file} creates it later");
        Some(failed(step, failure, Level::Error, message, proposal(project, &replay, number, *creator)))
    };
    subject.conclude(replay.failures().filter_map(finding).collect())
}

pub(super) async fn every_object_is_created_somewhere(subject: MigrationSubject) -> CaseResult {
    let project = &subject.evidence.project;
    let replay = subject.replay().await?;
    let mut findings = Vec::new();
    for (number, failure) in replay.failures() {
        let (Cause::Missing { object }, Some(step)) = (&failure.cause, project.steps.get(number)) else {
            continue;
        };
        if object.kind == Kind::Extension {
            continue;
        }
        let message = format!("expected a file that creates {object}, found none ({})", failure.refusal);
        let finding = failed(step, failure, Level::Error, message, missing_help(&subject, object));
        findings.push(Finding { object: object.to_string(), ..finding });
    }
    subject.conclude(findings)
}

pub(super) async fn extensions_are_available(subject: MigrationSubject) -> CaseResult {
    let project = &subject.evidence.project;
    let mut wanted: BTreeMap<String, Vec<&Step>> = BTreeMap::new();
    for step in &project.steps {
        let made: BTreeSet<String> = created_objects(&step.up)
            .into_iter()
            .filter_map(|object| (object.kind == Kind::Extension).then_some(object.name))
            .collect();
        for extension in made {
            wanted.entry(extension).or_default().push(step);
        }
    }
    let replay = subject.replay().await?;
    let mut findings = Vec::new();
    for (extension, steps) in wanted.into_iter().filter(|(extension, _)| !replay.extensions.contains(extension)) {
        let files: Vec<&str> = steps.iter().map(|step| &*step.up.file).collect();
        findings.push(Finding::new(
            Level::Error,
            steps.first().and_then(|step| place_of_words(step, &extension)),
            format!("extension {extension}"),
            format!(
                "expected a server that has the extension {extension}, found one that has not; it is needed by {}",
                listed(&files)
            ),
            format!(
                "install it on every server that these files are run on (for {extension} often a package such as \
                 postgresql-NN-{extension}), or remove what needs it",
            ),
        ));
    }
    subject.conclude(findings)
}

pub(super) async fn applies_as_its_owner(subject: MigrationSubject) -> CaseResult {
    let project = &subject.evidence.project;
    let replay = subject.replay().await?;
    let mut findings = Vec::new();
    for (number, failure) in replay.failures() {
        let Some(step) = project.steps.get(number) else { continue };
        if failure.refusal.sqlstate == "42501" && failure.reach.is_none() {
            let message =
                format!("expected no more than the owner of the database may do, found: {}", failure.refusal);
            let help = "let a superuser do it outside of the migrations, or do without; a migration that only a superuser \
                        can run keeps the application's role from being the one that runs them";
            findings.push(failed(step, failure, Level::Error, message, help.to_owned()));
        }
    }
    for (number, report) in replay.steps.iter().enumerate() {
        let Some(step) = project.steps.get(number) else { continue };
        for beyond in report.beyond.iter().filter(|beyond| beyond.reach == Reach::Extension) {
            findings.push(Finding::new(
                Level::Warning,
                place_of_statement(step, beyond.statement),
                format!("extension {}", beyond.name),
                format!(
                    "expected an extension that the owner may create, found that {} needs a superuser",
                    beyond.name
                ),
                "have it created by a superuser before, with CREATE EXTENSION IF NOT EXISTS here as well",
            ));
        }
    }
    subject.conclude(findings)
}

pub(super) async fn nothing_outside_the_database_is_touched(subject: MigrationSubject) -> CaseResult {
    let project = &subject.evidence.project;
    let replay = subject.replay().await?;
    let mut findings = Vec::new();
    for (number, failure) in replay.failures() {
        let (Some(step), Some(reach)) = (project.steps.get(number), failure.reach) else { continue };
        let message = format!(
            "expected no statement that reaches for {}, found one, which was contained: {}",
            target(reach),
            failure.refusal
        );
        let help = "do it where the server is managed, with its own tools, and not in a migration".to_owned();
        let finding = failed(step, failure, Level::Error, message, help);
        findings.push(Finding { object: target(reach).to_owned(), ..finding });
    }
    for (number, report) in replay.steps.iter().enumerate() {
        let Some(step) = project.steps.get(number) else { continue };
        for beyond in report.beyond.iter().filter(|beyond| beyond.reach == Reach::Role) {
            findings.push(Finding::new(
                Level::Warning,
                place_of_statement(step, beyond.statement),
                format!("role {}", beyond.name),
                format!(
                    "expected no statement about roles, which all databases of a server have together, found one \
                     about {}",
                    beyond.name
                ),
                "make roles where the server is managed; here, only grant to them, and say in which file they are \
                 expected",
            ));
        }
    }
    subject.conclude(findings)
}

pub(super) async fn applies_under_a_statement_timeout(subject: MigrationSubject) -> CaseResult {
    let project = &subject.evidence.project;
    let replay = subject.replay().await?;
    let limit = subject.evidence.settings.statement_time_max;
    let finding = |(number, failure): (usize, &StepFailure)| {
        let step = project.steps.get(number)?;
        if !failure.refusal.is_limit() {
            return None;
        }
        let message = format!("expected every statement to end within {limit:?}, found: {}", failure.refusal);
        let help = "do the work in parts, each of which ends; what waits for something outside belongs elsewhere";
        Some(failed(step, failure, Level::Error, message, help.to_owned()))
    };
    subject.conclude(replay.failures().filter_map(finding).collect())
}

/// A finding about a file that failed.
pub(super) fn failed(step: &Step, failure: &StepFailure, level: Level, message: String, help: String) -> Finding {
    let place = place_of(&step.up, &failure.refusal);
    Finding::new(level, place, format!("migration {}", step.up.file), message, help)
}

pub(super) fn place_of_statement(step: &Step, number: usize) -> Option<Place> {
    let statement = step.up.statements.get(number)?;
    Some(step.up.place(statement.range.clone()))
}

/// The first statement that has a word in it.
fn place_of_words(step: &Step, word: &str) -> Option<Place> {
    let has = |statement: &&crate::migrations::sql::Statement| {
        let text = step.up.statement(statement).to_lowercase();
        text.contains("extension") && text.contains(&word.to_lowercase())
    };
    let statement = step.up.statements.iter().find(has)?;
    Some(step.up.place(statement.range.clone()))
}

fn target(reach: Reach) -> &'static str {
    match reach {
        Reach::Role => "the server's roles",
        Reach::Extension => "an extension that only a superuser may create",
        Reach::Program => "a program on the server's machine",
        Reach::File => "a file on the server's machine",
        Reach::Database => "a database as a whole",
        _ => "the server itself",
    }
}

/// Why it failed, as the end of a sentence.
fn why(project: &Project, failure: &StepFailure) -> String {
    match &failure.cause {
        Cause::Own => String::new(),
        Cause::Consequence { of, .. } => {
            format!(", which {} would have created, had it applied", file_of(project, *of))
        }
        Cause::WrongOrder { creator, .. } => format!(", which {} creates later", file_of(project, *creator)),
        Cause::Missing { .. } => ", which no file creates".to_owned(),
    }
}

fn help(subject: &MigrationSubject, failure: &StepFailure) -> String {
    let project = &subject.evidence.project;
    match &failure.cause {
        Cause::Own => match failure.refusal.hint.as_deref() {
            Some(hint) => format!("correct the statement: {hint}"),
            None => "correct the statement, or the state that it is run in".to_owned(),
        },
        Cause::Consequence { of, .. } => format!("correct {} first", file_of(project, *of)),
        Cause::WrongOrder { creator, object } => {
            let creator = file_of(project, *creator);
            format!("let {creator} come first, or create {object} here; order_applies proposes an order")
        }
        Cause::Missing { object } => missing_help(subject, object),
    }
}

/// Who would have to create what no file creates.
fn missing_help(subject: &MigrationSubject, object: &Object) -> String {
    let hosted = subject.evidence.settings.profile == Profile::Plain
        && (HOSTED_SCHEMAS.contains(&object.schema.as_deref().unwrap_or_default())
            || object.kind == Kind::Schema && HOSTED_SCHEMAS.contains(&object.name.as_str())
            || object.kind == Kind::Role && HOSTED_ROLES.contains(&object.name.as_str()));
    if hosted {
        return format!(
            "a hosted platform brings {object} along: check with --profile supabase if that is where the files are \
             run, else create it in a file before this one"
        );
    }
    if let Some(extension) = object.usual_extension() {
        return format!(
            "{object} usually comes with an extension: CREATE EXTENSION IF NOT EXISTS \"{extension}\"; in a file \
             before this one"
        );
    }
    match object.kind {
        Kind::Role => format!(
            "have the role made before the migrations are run (CREATE ROLE {} NOLOGIN;) and say so, or do not refer \
             to it",
            object.name
        ),
        Kind::Extension => format!(
            "install the extension {} on the server; extensions_are_available names all files that need it",
            object.name
        ),
        Kind::Schema => format!("CREATE SCHEMA IF NOT EXISTS {}; in a file before this one", object.name),
        _ => format!("add the file that creates {object} before this one, or remove what refers to it"),
    }
}

/// An order that applies, as far as one differs.
fn proposal(project: &Project, replay: &Replay, number: usize, creator: usize) -> String {
    let file = file_of(project, creator);
    let creator = replay.steps.get(creator).and_then(|report| report.failure.as_ref());
    let Some(order) = &replay.best_order else {
        return match creator {
            Some(failure) => format!(
                "let {file} come first, and correct it before: it fails as well, with: {}",
                failure.refusal
            ),
            None => format!(
                "let {file} come first; no order was found in which more files apply, as this one is refused for more \
                 than one reason or what it needs needs it in turn"
            ),
        };
    };
    let at = order.iter().position(|step| *step == number).unwrap_or_default();
    let before = at.checked_sub(1).and_then(|at| order.get(at));
    let behind = before.map_or_else(
        || "put this file first".to_owned(),
        |before| format!("put this file behind {}", file_of(project, *before)),
    );
    format!(
        "{behind}: in the order that was found {} of {} files apply, in the given one {}",
        replay.applied_in_best_order,
        order.len(),
        replay.applied_in_order,
    )
}

fn listed(files: &[&str]) -> String {
    let shown = files.iter().take(LISTED_MAX).copied().collect::<Vec<_>>().join(", ");
    match files.len().saturating_sub(LISTED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The statement that was refused, for texts.
pub(super) fn refused_text(step: &Step, refusal: &crate::migrations::sandbox::Refusal) -> String {
    format!("`{}`: {refusal}", statement_of(&step.up, refusal))
}
