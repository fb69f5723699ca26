//! Tests of what policies make of findings.

use std::path::Path;

use super::*;
use crate::event::Place;
use crate::migrations::source::{Layout, ReadOptions, SourceFile};

const CHECKS: [&str; 3] = ["foreign_keys_are_indexed", "files_are_text", "names_fit_into_63_bytes"];

fn config(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("/app/proofmark.toml"), text, &CHECKS).map_err(|error| error.to_string())
}

fn finding(check: &str, file: &str, text: &str, range: std::ops::Range<usize>) -> Finding {
    let place = Place::new(file, text, range);
    Finding { check: check.to_owned(), ..Finding::new(Level::Error, place, "table public.a", "found", "do") }
}

fn project(text: &str) -> Project {
    Project::from_files("test", vec![SourceFile::new("1_a.sql", text)], &ReadOptions::default())
}

#[test]
fn a_configuration_says_everything() {
    let config = config(
        "[migrations]\nlayout = 'goose'\norder = 'order.txt'\nprofile = 'supabase'\nrows = 10\n\
         [migrations.levels]\nfiles_are_text = 'off'\nforeign_keys_are_indexed = 'warning'\n\
         [[migrations.suppress]]\ncheck = 'names_fit_into_63_bytes'\nfile = '1_*'\nobject = 'table *'\nreason = 'old'\n",
    )
    .unwrap();
    assert_eq!(config.layout, Some(Layout::Goose));
    assert_eq!(config.order.as_deref(), Some(Path::new("/app/order.txt")));
    assert_eq!((config.profile.as_deref(), config.rows), (Some("supabase"), Some(10)));
    let policy = Policy::new(CHECKS.to_vec()).with_config(config);
    assert_eq!(policy.judge(finding("files_are_text", "1_a.sql", "", 0..0)), None);
    let found = policy.judge(finding("foreign_keys_are_indexed", "1_a.sql", "", 0..0)).unwrap();
    assert_eq!((found.level, found.counts()), (Level::Warning, false));
    assert_eq!(policy.unused().len(), 1);
    assert_eq!(policy.unused_among(|check| check != "names_fit_into_63_bytes").len(), 0);
    let found = policy.judge(finding("names_fit_into_63_bytes", "1_a.sql", "", 0..0)).unwrap();
    let place = "proofmark.toml, entry 1 of [[migrations.suppress]]".to_owned();
    assert_eq!(found.waiver, Some(Waiver::Suppression { reason: "old".to_owned(), place }));
    let other = policy.judge(finding("names_fit_into_63_bytes", "2_a.sql", "", 0..0)).unwrap();
    assert!(other.counts());
    assert_eq!(policy.unused(), []);
}

#[test]
fn what_a_configuration_does_not_know_is_an_error_with_a_proposal() {
    let refused = |text: &str| config(text).unwrap_err();
    assert_eq!(
        refused("[migrations]\nlayuot = 'goose'"),
        "/app/proofmark.toml, migrations: expected one of layout, order, profile, rows, levels, suppress, found the \
         key `layuot`; did you mean `layout`?"
    );
    assert!(refused("[migration]").ends_with("found the key `migration`; did you mean `migrations`?"));
    assert!(refused("[migrations]\nlayout = 'gose'").ends_with("found \"gose\"; did you mean `goose`?"));
    assert!(refused("[migrations]\nprofile = 'x'").contains("expected plain or supabase"));
    assert!(refused("[migrations]\nrows = -1").contains("expected a number from 0 to 1000000, found -1"));
    assert!(refused("[migrations.levels]\nfile_are_text = 'off'").ends_with("did you mean `files_are_text`?"));
    assert!(refused("[migrations.levels]\nfiles_are_text = 'of'").ends_with("found \"of\"; did you mean `off`?"));
    assert!(
        refused("[[migrations.suppress]]\ncheck = 'files_are_text'").contains("why it does not count, found none")
    );
    assert!(
        refused("[[migrations.suppress]]\nreason = 'a'").contains("the name of a check under `check`, found none")
    );
    assert!(refused("[[migrations.suppress]]\nresaon = 'a'").ends_with("did you mean `reason`?"));
    assert!(
        refused("[migrations").contains("expected TOML in /app/proofmark.toml, found: TOML parse error at line 1")
    );
}

#[test]
fn a_configuration_is_searched_upwards_to_the_repository() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("repository/db/migrations");
    std::fs::create_dir_all(inner.join("deep")).unwrap();
    let write = |path: &str| std::fs::write(directory.path().join(path), "[migrations]\nrows = 1\n").unwrap();
    write("proofmark.toml");
    assert_eq!(Config::find(&inner, &CHECKS).unwrap().rows, Some(1));
    std::fs::create_dir(directory.path().join("repository/.git")).unwrap();
    assert_eq!(Config::find(&inner, &CHECKS).unwrap(), Config::default());
    write("repository/proofmark.toml");
    let found = Config::find(&inner, &CHECKS).unwrap();
    assert!(found.path.unwrap().ends_with("repository/proofmark.toml"));
    assert!(Config::load(&inner.join("none.toml"), &CHECKS).is_err());
}

#[test]
fn a_comment_is_about_a_statement_or_the_file() {
    let text = "-- proofmark: allow files_are_text because the file is old\n\n\
                -- proofmark: allow foreign_keys_are_indexed because it is small\n-- another\nCREATE TABLE a ();\n\
                CREATE TABLE b (\n  -- proofmark: allow foreign_keys_are_indexed because it is smaller\n);\n\
                CREATE TABLE c (); -- proofmark: allow foreign_keys_are_indexed because it is empty\n\
                CREATE TABLE d ();\n";
    let policy = Policy::new(CHECKS.to_vec()).with_comments_of(&project(text));
    assert_eq!(policy.malformed(), []);
    let waived = |check: &str, of: &str| {
        let at = text.find(of).unwrap();
        match policy.judge(finding(check, "1_a.sql", text, at..at + of.len())).unwrap().waiver {
            Some(Waiver::Suppression { reason, place }) => Some(format!("{reason}, {place}")),
            _ => None,
        }
    };
    assert_eq!(waived("foreign_keys_are_indexed", "TABLE a").as_deref(), Some("it is small, 1_a.sql:3"));
    assert_eq!(waived("foreign_keys_are_indexed", "TABLE b").as_deref(), Some("it is smaller, 1_a.sql:7"));
    assert_eq!(waived("foreign_keys_are_indexed", "TABLE c").as_deref(), Some("it is empty, 1_a.sql:9"));
    assert_eq!(waived("foreign_keys_are_indexed", "TABLE d"), None);
    assert_eq!(policy.unused().len(), 1);
    assert_eq!(waived("files_are_text", "TABLE d").as_deref(), Some("the file is old, 1_a.sql:1"));
    assert_eq!(policy.unused(), []);
}

#[test]
fn a_comment_that_does_not_say_what_or_why_is_a_finding() {
    let text = "-- proofmark: allow file_are_text because old\n-- proofmark: ignore files_are_text\n\
                -- proofmark: allow files_are_text\nSELECT 'proofmark: no comment';\n\
                -- proofmark: allow files_are_text because it is far away\n\nSELECT 1;";
    let policy = Policy::new(CHECKS.to_vec()).with_comments_of(&project(text));
    let found: Vec<_> = policy.malformed().iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].contains("found `file_are_text`; did you mean `files_are_text`?"), "{found:#?}");
    assert!(found[1].contains("expected `allow` behind `proofmark:`, found `ignore`"), "{found:#?}");
    assert!(found[2].contains("expected `because` and a reason"), "{found:#?}");
    assert!(found[3].starts_with("1_a.sql:5:1: comment: expected a statement directly below"), "{found:#?}");
}

#[test]
fn a_baseline_waives_what_was_there_and_no_more() {
    let text = "CREATE TABLE a ();\nCREATE TABLE b ();";
    let moved = "-- new\n\nCREATE  TABLE a ();\nCREATE TABLE b ();";
    let old = finding("files_are_text", "1_a.sql", text, 0..17);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("baseline.json");
    Baseline::of([&old, &finding("files_are_text", "1_a.sql", text, 19..36)]).write(&path).unwrap();
    let policy = Policy::default().with_baseline(Baseline::read(&path).unwrap());
    let judged = |range| policy.judge(finding("files_are_text", "1_a.sql", moved, range)).unwrap().waiver;
    assert_eq!(judged(8..26), Some(Waiver::Baseline));
    assert_eq!(judged(8..26), None, "once only");
    assert_eq!(judged(8..20), None);
    let gone = policy.unused();
    assert_eq!(gone.len(), 1);
    assert_eq!((gone[0].level, gone[0].check.as_str()), (Level::Note, SUPPRESSIONS_ARE_USED));
    std::fs::write(&path, "{\"version\": 2, \"findings\": []}").unwrap();
    assert!(Baseline::read(&path).unwrap_err().to_string().contains("expected version 1, found 2"));
    assert!(Baseline::read(directory.path()).is_err());
}
