//! Faults of the group `files`.

use std::sync::Arc;

use proofmark_harness::context::CaseContext;
use proofmark_harness::event::Level;
use proofmark_harness::migrations::policy::config::Suppression;
use proofmark_harness::migrations::policy::{Config, Policy};
use proofmark_harness::migrations::source::{Layout, ReadOptions, SourceFile};
use proofmark_harness::migrations::{Evidence, Project, Settings};
use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::migrations::{MigrationSubject, check_names};

use super::Made;

/// A team that wants no suppression that is of no use, and one that was run with all checks.
fn strict(context: CaseContext, text: &str, configured: &[Suppression]) -> Made {
    let files = vec![SourceFile::new("0001_models.sql", text.as_bytes())];
    let project = Project::from_files("faulty", files, &ReadOptions { layout: Some(Layout::Sqlx), order: None });
    let levels = [("suppressions_are_used".to_owned(), Some(Level::Error))].into();
    let config = Config { levels, suppressions: configured.to_vec(), ..Config::default() };
    let policy = Policy::new(check_names()).with_config(config).with_comments_of(&project);
    let evidence = Evidence::new(project, policy, Settings::default());
    check_names().into_iter().for_each(|check| evidence.concluded(check));
    Box::pin(async move { Ok(MigrationSubject::of_evidence(context, Arc::new(evidence))) })
}

/// A subject of files with the given bytes.
fn bytes(context: CaseContext, layout: Layout, files: &[(&str, &[u8])]) -> Made {
    let files = files.iter().map(|(path, bytes)| SourceFile::new(*path, *bytes)).collect();
    let project = Project::from_files("faulty", files, &ReadOptions { layout: Some(layout), order: None });
    Box::pin(async move { Ok(MigrationSubject::of_project(context, project)) })
}

/// A subject of files with the given texts.
fn files(context: CaseContext, layout: Layout, files: &[(&str, &str)]) -> Made {
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_bytes())).collect();
    bytes(context, layout, &files)
}

/// A subject of one file for sqlx.
fn one(context: CaseContext, text: &str) -> Made {
    files(context, Layout::Sqlx, &[("0001_models.sql", text)])
}

const MODELS: &str = "CREATE TABLE models (id bigint PRIMARY KEY);\n";

/// Every fault, and the case that must find it.
pub(crate) const MUTANTS: &[Mutant<MigrationSubject>] = &[
    Mutant {
        case: "versions_are_unique",
        name: "two_branches_that_took_the_same_number",
        says: "0002_services.sql:1:1: file 0002_services.sql: expected one file for version 0002, found this one and \
               0002_runs.sql",
        subject: |context| {
            files(
                context,
                Layout::Sqlx,
                &[("0001_models.sql", MODELS), ("0002_runs.sql", "SELECT 1"), ("0002_services.sql", "SELECT 1")],
            )
        },
    },
    Mutant {
        case: "versions_are_unique",
        name: "a_version_with_a_zero_behind_it",
        says: "expected one file for version 1.0, found this one and V1__models.sql: the tool refuses to start",
        subject: |context| {
            files(context, Layout::Flyway, &[("V1__models.sql", MODELS), ("later/V1.0__runs.sql", "SELECT 1")])
        },
    },
    Mutant {
        case: "versions_have_no_gaps",
        name: "a_number_that_was_lost",
        says: "000004_c.up.sql: expected version 3 between 2 and 4, found none: when it turns up later, golang-migrate \
               passes over it in silence",
        subject: |context| {
            let texts =
                [("000001_a.up.sql", MODELS), ("000002_b.up.sql", "SELECT 1"), ("000004_c.up.sql", "SELECT 1")];
            files(context, Layout::GolangMigrate, &texts)
        },
    },
    Mutant {
        case: "order_is_not_ambiguous",
        name: "numbers_of_different_length_sorted_as_text",
        says: "file 9_a.sql: expected it to be run before 10_b.sql, found that names are sorted as text",
        subject: |context| {
            let up = "-- migrate:up\nSELECT 1;\n";
            files(context, Layout::Dbmate, &[("9_a.sql", up), ("10_b.sql", up)])
        },
    },
    Mutant {
        case: "order_is_not_ambiguous",
        name: "one_number_twice_in_a_plain_folder",
        says: "file 001_b.sql: expected a number of its own, found that of 001_a.sql",
        subject: |context| files(context, Layout::Plain, &[("001_a.sql", MODELS), ("001_b.sql", "SELECT 1")]),
    },
    Mutant {
        case: "files_are_text",
        name: "utf_16",
        says: "expected text in UTF-8, found UTF-16 with the low byte first; convert it (iconv -f UTF-16 -t UTF-8 0001_a.sql",
        subject: |context| bytes(context, Layout::Sqlx, &[("0001_a.sql", b"\xff\xfeS\0E\0")]),
    },
    Mutant {
        case: "files_are_text",
        name: "latin_1",
        says: "expected text in UTF-8, found byte 0xe9 at offset 11, in line 1",
        subject: |context| bytes(context, Layout::Sqlx, &[("0001_a.sql", b"SELECT 'caf\xe9';")]),
    },
    Mutant {
        case: "files_are_text",
        name: "a_byte_order_mark_that_is_sent",
        says: "expected SQL at the beginning, found a byte order mark",
        subject: |context| one(context, "\u{feff}SELECT 1;\n"),
    },
    Mutant {
        case: "files_are_recognized",
        name: "a_dash_instead_of_an_underscore",
        says: "file 0002-runs.sql: expected a name such as 0001_name.sql, or 0001_name.up.sql and 0001_name.down.sql (the \
               layout is sqlx)",
        subject: |context| {
            files(context, Layout::Sqlx, &[("0001_models.sql", MODELS), ("0002-runs.sql", "SELECT 1")])
        },
    },
    Mutant {
        case: "markers_are_in_their_places",
        name: "a_body_that_goose_cuts",
        says: "1_a.sql:3:1: file 1_a.sql: expected the statement to be run as a whole, found that goose cuts it here",
        subject: |context| {
            files(context, Layout::Goose, &[("1_a.sql", "-- +goose Up\nDO $$ BEGIN\nPERFORM 1;\nEND $$;\n")])
        },
    },
    Mutant {
        case: "markers_are_in_their_places",
        name: "no_up",
        says: "expected a line `-- migrate:up`, found none: dbmate refuses the file",
        subject: |context| files(context, Layout::Dbmate, &[("1_a.sql", MODELS)]),
    },
    Mutant {
        case: "down_scripts_have_an_up",
        name: "a_down_script_that_was_left_behind",
        says: "file 0002_runs.down.sql: expected an up script with the same version beside this down script",
        subject: |context| {
            files(context, Layout::Sqlx, &[("0001_models.sql", MODELS), ("0002_runs.down.sql", "DROP TABLE runs")])
        },
    },
    Mutant {
        case: "files_are_not_empty",
        name: "a_file_that_was_never_written",
        says: "file 0001_models.sql: expected a statement, found nothing: the version is recorded, and nothing is done",
        subject: |context| one(context, " \n"),
    },
    Mutant {
        case: "line_ends_do_not_change_checksums",
        name: "one_file_from_windows",
        says: "0002_runs.sql:1:10: file 0002_runs.sql: expected lines that end with LF, found CR and LF here",
        subject: |context| {
            files(context, Layout::Sqlx, &[("0001_models.sql", MODELS), ("0002_runs.sql", "SELECT 1;\r\n")])
        },
    },
    Mutant {
        case: "statements_end",
        name: "a_dollar_quote_with_another_tag_at_its_end",
        says: "0001_models.sql:2:4: file 0001_models.sql: expected the dollar-quoted string that begins here to end",
        subject: |context| one(context, "SELECT 1;\nDO $body$ BEGIN NULL; END $bdy$;\nSELECT 2;\n"),
    },
    Mutant {
        case: "statements_end",
        name: "rows_without_an_end",
        says: "expected rows and a line `\\.` behind COPY ... FROM stdin",
        subject: |context| files(context, Layout::Plain, &[("1.sql", "COPY models (id) FROM stdin;\n1\n2\n")]),
    },
    Mutant {
        case: "psql_commands_are_not_used",
        name: "a_dump_with_connect",
        says: "0001_models.sql:1:1: file 0001_models.sql: expected SQL, found \\connect, a command to psql",
        subject: |context| one(context, "\\connect platform\nSELECT 1;\n"),
    },
    Mutant {
        case: "psql_commands_are_not_used",
        name: "rows_in_a_script",
        says: "expected SQL, found rows behind COPY ... FROM stdin",
        subject: |context| one(context, "COPY models (id) FROM stdin;\n1\n\\.\n"),
    },
    Mutant {
        case: "names_fit_into_63_bytes",
        name: "a_constraint_named_after_all_its_columns",
        says: "expected at most 63 bytes, found 69: Postgres cuts it to \
               model_explanations_project_id_model_version_id_explainer_name_a, and whoever",
        subject: |context| {
            one(
                context,
                "CREATE TABLE a (id bigint CONSTRAINT model_explanations_project_id_model_version_id_explainer_name_and_day \
                 UNIQUE);",
            )
        },
    },
    Mutant {
        case: "begin_and_commit_are_balanced",
        name: "a_commit_in_the_runners_transaction",
        says: "0001_models.sql:2:1: file 0001_models.sql: expected the transaction of the runner to be left alone, found \
               that this ends it: what follows is run outside of any transaction",
        subject: |context| one(context, "SELECT 1;\nCOMMIT;\nSELECT 2;\n"),
    },
    Mutant {
        case: "begin_and_commit_are_balanced",
        name: "a_begin_without_commit",
        says: "expected COMMIT behind it, found none: when the session ends, all is rolled back",
        subject: |context| files(context, Layout::GolangMigrate, &[("1_a.up.sql", "BEGIN;\nSELECT 1;\n")]),
    },
    Mutant {
        case: "concurrently_is_outside_a_transaction",
        name: "an_index_in_a_transaction",
        says: "0001_models.sql:1:1: index models_name: expected no transaction around this statement, found that of sqlx",
        subject: |context| one(context, "CREATE INDEX CONCURRENTLY models_name ON models (name);\n"),
    },
    Mutant {
        case: "concurrently_is_outside_a_transaction",
        name: "two_statements_that_are_sent_at_once",
        says: "found that of golang-migrate",
        subject: |context| {
            let text = "SELECT 1;\nDROP INDEX CONCURRENTLY models_name;\n";
            files(context, Layout::GolangMigrate, &[("1_a.up.sql", text)])
        },
    },
    Mutant {
        case: "no_transaction_files_have_one_statement",
        name: "two_indexes",
        says: "0001_models.sql:3:1: file 0001_models.sql: expected one statement in a script without a transaction, found 2",
        subject: |context| {
            one(
                context,
                "-- no-transaction\nCREATE INDEX CONCURRENTLY a ON models (a);\nCREATE INDEX CONCURRENTLY b ON models (b);\n",
            )
        },
    },
    Mutant {
        case: "no_transaction_files_have_one_statement",
        name: "what_flyway_does_not_mix",
        says: "Flyway refuses to mix statements that can be in a transaction with others that cannot",
        subject: |context| {
            let text = "ALTER TABLE models ADD COLUMN a int;\nCREATE INDEX CONCURRENTLY a ON models (a);\n";
            files(context, Layout::Flyway, &[("V1__a.sql", text)])
        },
    },
    Mutant {
        case: "suppressions_are_well_formed",
        name: "a_check_that_there_is_not",
        says: "expected the name of a check, found `files_are_texts`; did you mean `files_are_text`?",
        subject: |context| one(context, "-- proofmark: allow files_are_texts because it is old\nSELECT 1;\n"),
    },
    Mutant {
        case: "suppressions_are_well_formed",
        name: "no_reason",
        says: "expected `because` and a reason behind the name of the check, found none",
        subject: |context| one(context, "-- proofmark: allow files_are_text\nSELECT 1;\n"),
    },
];

/// Those of the case that is about what a team has decided.
pub(crate) const POLICY_MUTANTS: &[Mutant<MigrationSubject>] = &[
    Mutant {
        case: "suppressions_are_used",
        name: "a_comment_above_what_is_right",
        says: "0001_models.sql:1:1: suppression of keys_are_not_int4: expected a finding that the comment suppresses, found \
               none",
        subject: |context| {
            let comment = "-- proofmark: allow keys_are_not_int4 because it was an int once\n";
            strict(context, &format!("{comment}{MODELS}"), &[])
        },
    },
    Mutant {
        case: "suppressions_are_used",
        name: "a_line_of_the_configuration_for_a_file_that_is_gone",
        says: "suppression of files_are_text: expected a finding that proofmark.toml, suppress 1 suppresses, found none",
        subject: |context| {
            let suppression = Suppression {
                check: "files_are_text".to_owned(),
                file: Some("0000_old.sql".to_owned()),
                object: None,
                reason: "it is old".to_owned(),
                place: "proofmark.toml, suppress 1".to_owned(),
            };
            strict(context, MODELS, &[suppression])
        },
    },
];
