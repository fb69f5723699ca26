//! Tests of facts, and properties of the splitter.

use proptest::prelude::*;

use super::lex::{all_tokens, token};
use super::*;

fn names(objects: &[ObjectName]) -> Vec<String> {
    objects.iter().map(ToString::to_string).collect()
}

/// What a statement creates, drops and refers to; it must be understood.
fn of(statement: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let facts = facts(statement);
    assert!(!facts.unsure, "{statement}: {facts:#?}");
    (names(&facts.creates), names(&facts.drops), names(&facts.refers))
}

fn creates(statement: &str) -> Vec<String> {
    of(statement).0
}

fn drops(statement: &str) -> Vec<String> {
    of(statement).1
}

fn refers(statement: &str) -> Vec<String> {
    of(statement).2
}

#[test]
fn a_table_comes_with_others() {
    let (creates, _, refers) = of("CREATE TABLE IF NOT EXISTS App.\"Models\" (
        id bigserial PRIMARY KEY,
        number int GENERATED ALWAYS AS IDENTITY,
        stage public.stage NOT NULL,
        owner bigint REFERENCES users (id),
        CONSTRAINT models_key UNIQUE (number)
    ) PARTITION BY RANGE (id)");
    assert_eq!(
        creates,
        [
            "type app.Models",
            "table app.Models",
            "sequence app.Models_id_seq",
            "index app.Models_pkey",
            "sequence app.Models_number_seq",
            "index app.models_key"
        ]
    );
    for name in ["type public.stage", "table users"] {
        assert!(refers.contains(&name.to_owned()), "{name}: {refers:?}");
    }
    assert!(facts("CREATE TABLE IF NOT EXISTS a ()").if_not_exists);
    assert_eq!(creates_of_kind("CREATE TABLE a AS SELECT 1", ObjectKind::Table), ["table a"]);
}

fn creates_of_kind(statement: &str, kind: ObjectKind) -> Vec<String> {
    names(&facts(statement).creates.into_iter().filter(|object| object.kind == kind).collect::<Vec<_>>())
}

#[test]
fn all_kinds_of_objects_are_found() {
    for (statement, object) in [
        ("CREATE TYPE stage AS ENUM ('a')", "type stage"),
        ("CREATE DOMAIN app.email AS text CHECK (value <> '')", "type app.email"),
        ("CREATE OR REPLACE FUNCTION app.f(a int) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$", "function app.f"),
        ("CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'", "function p"),
        ("CREATE SCHEMA IF NOT EXISTS app", "schema app"),
        ("CREATE SCHEMA AUTHORIZATION joe", "schema joe"),
        ("CREATE ROLE anon NOLOGIN", "role anon"),
        ("CREATE USER joe", "role joe"),
        ("CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA extensions", "extension uuid-ossp"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON app.a (b)", "index app.i"),
        ("CREATE SEQUENCE s", "sequence s"),
        ("CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()", "trigger t"),
        ("CREATE POLICY p ON a FOR SELECT TO anon USING (true)", "policy p"),
        ("CREATE VIEW v AS SELECT 1", "view v"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "materialized view v"),
        ("CREATE PUBLICATION p FOR ALL TABLES", "publication p"),
        ("ALTER TABLE a ADD COLUMN b serial", "sequence a_b_seq"),
        ("ALTER TABLE app.a ADD CONSTRAINT c PRIMARY KEY (b)", "index app.c"),
    ] {
        assert!(creates(statement).contains(&object.to_owned()), "{statement}: {:?}", creates(statement));
    }
}

#[test]
fn what_is_gone_is_found() {
    assert_eq!(drops("DROP TABLE IF EXISTS a, app.b CASCADE"), ["table a", "table app.b"]);
    assert_eq!(drops("DROP FUNCTION f(int, app.t)"), ["function f"]);
    assert_eq!(drops("DROP TRIGGER t ON a"), ["trigger t"]);
    assert_eq!(drops("DROP INDEX CONCURRENTLY i"), ["index i"]);
    assert_eq!(drops("ALTER TABLE a DROP COLUMN b"), Vec::<String>::new());
    let (creates, drops, _) = of("ALTER TABLE app.a RENAME TO b");
    assert_eq!((creates, drops), (vec!["table app.b".to_owned()], vec!["table app.a".to_owned()]));
    let (creates, drops, _) = of("ALTER TYPE stage SET SCHEMA app");
    assert_eq!((creates, drops), (vec!["type app.stage".to_owned()], vec!["type stage".to_owned()]));
    assert_eq!(of("ALTER TABLE a RENAME COLUMN b TO c").0, Vec::<String>::new());
}

#[test]
fn what_must_be_there_is_found() {
    let view = "CREATE VIEW v AS WITH recent AS (SELECT * FROM app.runs) SELECT auth.uid(), m.* FROM models m JOIN recent \
                USING (id)";
    let found = refers(view);
    for name in ["relation app.runs", "relation models", "function auth.uid"] {
        assert!(found.contains(&name.to_owned()), "{name}: {found:?}");
    }
    assert!(!found.contains(&"relation recent".to_owned()), "{found:?}");
    for (statement, object) in [
        ("GRANT SELECT ON models TO anon", "role anon"),
        ("CREATE POLICY p ON a TO authenticated USING (auth.uid() = b)", "role authenticated"),
        ("CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION app.touch()", "function app.touch"),
        ("INSERT INTO app.a VALUES (1)", "relation app.a"),
        ("CREATE EXTENSION e WITH SCHEMA extensions", "schema extensions"),
        ("CREATE INDEX i ON a USING gin (b)", "table a"),
        ("CREATE TABLE b PARTITION OF a DEFAULT", "table a"),
        ("COMMENT ON COLUMN app.a.b IS 'c'", "relation app.a"),
    ] {
        let found = refers(statement);
        let name = object.split(' ').nth(1).unwrap();
        assert!(found.iter().any(|found| found.ends_with(name)), "{statement}: {found:?}");
    }
}

#[test]
fn bodies_are_looked_at() {
    let block = "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_type WHERE typname = 'stage') THEN \
                 CREATE TYPE stage AS ENUM ('a'); END IF; EXCEPTION WHEN duplicate_object THEN DROP TABLE old; END $$";
    let facts_of_block = facts(block);
    assert_eq!(names(&facts_of_block.creates), ["type stage"]);
    assert_eq!(names(&facts_of_block.drops), ["table old"]);
    assert!(!facts_of_block.unsure);
    let dynamic = facts("DO $$ BEGIN EXECUTE 'CREATE TABLE a ()'; END $$");
    assert!(dynamic.unsure && dynamic.creates.is_empty());
    let function =
        facts("CREATE FUNCTION f() RETURNS void AS $$ BEGIN CREATE TABLE a (); END $$ LANGUAGE plpgsql");
    assert_eq!(names(&function.creates), ["function f"]);
    assert_eq!(names(&function.creates_when_called), ["type a", "table a"]);
    assert!(facts("DO LANGUAGE plperl $$ CREATE TABLE a () $$").unsure);
}

#[test]
fn the_reference_migrations_are_understood() {
    for migration in crate::migration_set::MigrationSet::reference().migrations() {
        for text in std::iter::once(&migration.up).chain(&migration.down) {
            for statement in split(text, 0..text.len()) {
                let facts = facts(&text[statement.range.clone()]);
                assert!(!facts.unsure && facts.verb != Verb::Other, "{}: {facts:#?}", &text[statement.range]);
            }
        }
    }
}

#[test]
fn verbs_and_flags_are_told_from_the_first_words() {
    for (statement, expected) in [
        ("create or replace view v as select 1", Verb::CreateView),
        ("CREATE TEMP TABLE a ()", Verb::CreateTable),
        ("CREATE CONSTRAINT TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()", Verb::CreateTrigger),
        ("CREATE USER MAPPING FOR joe SERVER s", Verb::CreateOther),
        ("/* a */ BEGIN", Verb::Begin),
        ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE", Verb::Begin),
        ("END", Verb::Commit),
        ("ROLLBACK TO a", Verb::Savepoint),
        ("ROLLBACK WORK", Verb::Rollback),
        ("COMMIT PREPARED 'a'", Verb::Other),
        ("DROP MATERIALIZED VIEW v", Verb::DropView),
        ("", Verb::Other),
    ] {
        assert_eq!(verb(statement), expected, "{statement}");
    }
    for statement in [
        "CREATE INDEX CONCURRENTLY i ON a (b)",
        "CREATE UNIQUE INDEX CONCURRENTLY i ON a (b)",
        "DROP INDEX CONCURRENTLY i",
        "REINDEX TABLE CONCURRENTLY a",
        "REINDEX (CONCURRENTLY) TABLE a",
        "ALTER TABLE a DETACH PARTITION b CONCURRENTLY",
        "VACUUM a",
        "ALTER SYSTEM SET work_mem = 1",
        "CREATE DATABASE a",
    ] {
        assert!(never_in_transaction(statement), "{statement}");
        assert!(facts(statement).never_in_transaction, "{statement}");
    }
    for statement in ["REFRESH MATERIALIZED VIEW CONCURRENTLY v", "REINDEX TABLE a", "ALTER TYPE t ADD VALUE 'a'"]
    {
        assert!(!never_in_transaction(statement), "{statement}");
    }
}

#[test]
fn what_the_parser_does_not_understand_is_guessed() {
    let found = facts("CREATE TABLE IF NOT EXISTS app.a (id int,, b int)");
    assert!(found.unsure);
    assert!(names(&found.creates).contains(&"table app.a".to_owned()), "{found:?}");
    let deep = format!("CREATE TABLE a (b int DEFAULT {}1{})", "(".repeat(1_000), ")".repeat(1_000));
    let found = facts(&deep);
    assert_eq!((found.unsure, names(&found.creates)), (true, vec!["table a".to_owned()]));
}

/// Pieces of SQL that make scripts in which much goes wrong.
fn piece() -> impl Strategy<Value = String> {
    let fixed = [
        ";",
        "\n",
        " ",
        "'",
        "''",
        "\"",
        "$$",
        "$a$",
        "$a",
        "--",
        "-- a\n",
        "/*",
        "*/",
        "(",
        ")",
        "[",
        "\\",
        "\\.\n",
        "\\g",
        "\n\\i a\n",
        "E'",
        "U&'",
        "N'",
        "é",
        "\u{feff}",
        "BEGIN",
        " ATOMIC ",
        "END",
        "CASE ",
        "CREATE ",
        "FUNCTION ",
        "RULE ",
        "OR REPLACE ",
        "COPY a FROM stdin;\n",
        "COPY a FROM stdin",
        "\n\\copy a from stdin\n",
        "SELECT 1",
        "\r\n",
        ",",
        ".",
        "SET standard_conforming_strings = off;",
        "RESET standard_conforming_strings;",
        "TABLE ",
        "DO ",
        "0x",
        "1e",
        "ALTER TABLE a ",
        "SET SCHEMA ",
        "RENAME TO ",
        "DROP ",
        "::",
        "NOT ",
        "LANGUAGE ",
        "AS ",
    ];
    prop_oneof![8 => proptest::sample::select(fixed.to_vec()).prop_map(str::to_owned), 1 => ".{0,4}"]
}

fn script() -> impl Strategy<Value = String> {
    proptest::collection::vec(piece(), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn statements_are_in_order_and_nothing_is_between_them(text in script()) {
        let mut at = 0;
        for statement in split(&text, 0..text.len()) {
            prop_assert!(at <= statement.range.start && statement.range.start < statement.range.end);
            prop_assert!(text.get(statement.range.clone()).is_some(), "on the boundaries of characters");
            check_between(&text[at..statement.range.start], at)?;
            at = statement.range.end;
            let ends_rows = |at: usize| text[..at].ends_with('\n') && text[at..].starts_with(r"\.");
            if statement.input == Input::PsqlCommand && ends_rows(at) {
                at += 2;
            }
            if let Input::CopyFromStdin(rows) = &statement.input {
                prop_assert!(text.get(rows.clone()).is_some());
                prop_assert!(rows.start >= at && rows.end >= rows.start);
                at = rows.end;
                if ends_rows(at) {
                    at += 2;
                }
            }
        }
        prop_assert!(at <= text.len());
        check_between(&text[at..], at)?;
    }

    #[test]
    fn tokens_cover_the_text(text in script()) {
        let mut at = 0;
        for token in all_tokens(&text) {
            prop_assert_eq!(token.start, at);
            prop_assert!(text.get(token.range()).is_some_and(|token| !token.is_empty()));
            at = token.end;
        }
        prop_assert_eq!(at, text.len());
    }

    #[test]
    fn no_text_breaks_anything(text in script(), other in any::<String>()) {
        for text in [&text, &other] {
            for statement in split(text, 0..text.len()) {
                let text = &text[statement.range];
                let _ = (facts(text), long_names(text), unterminated(text), psql_command(text));
            }
        }
    }
}

/// Between statements is white space, comments and semicolons.
fn check_between(text: &str, offset: usize) -> Result<(), TestCaseError> {
    let mut at = 0;
    while let Some(token) = token(text, at, false) {
        // A mark at the very beginning of a script is white space, and nowhere else.
        let is_mark = text[token.range()].starts_with('\u{feff}');
        let is_nothing = token.is_trivia() || text[token.range()] == *";";
        prop_assert!(
            is_nothing && (!is_mark || offset == 0),
            "found {:?} between statements",
            &text[token.range()]
        );
        at = token.end;
    }
    Ok(())
}
