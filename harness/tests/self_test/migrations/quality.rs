//! Faults of the group `quality`.

use proofmark_harness::context::CaseContext;
use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::migrations::MigrationSubject;

use super::{Made, replaced, sound, subject};

/// The sound set, and more at the end of its last migration.
fn added(context: CaseContext, sql: &'static str) -> Made {
    let migrations = sound().edited(2, |migration| migration.up.push_str(sql));
    Box::pin(async move { Ok(subject(context, migrations)) })
}

macro_rules! mutant {
    ($case:literal, $name:literal, $says:literal, add: $sql:literal) => {
        Mutant { case: $case, name: $name, says: $says, subject: |context| added(context, $sql) }
    };
    ($case:literal, $name:literal, $says:literal, replace: $old:literal, $new:literal) => {
        Mutant { case: $case, name: $name, says: $says, subject: |context| replaced(context, 2, $old, $new) }
    };
}

/// Every fault, and the case that must find it.
pub(crate) const MUTANTS: &[Mutant<MigrationSubject>] = &[
    mutant!(
        "foreign_keys_are_indexed",
        "no_index",
        "0002_services.up.sql:4:5: foreign key services_model_id_fkey of public.services: expected an index that \
         begins with model_id, found none",
        replace: "CREATE INDEX services_model ON services (model_id);\n", ""
    ),
    mutant!(
        "foreign_keys_are_indexed",
        "an_index_that_begins_with_another_column",
        "CREATE INDEX ON public.services (model_id);",
        replace: "services (model_id)", "services (tag, model_id)"
    ),
    mutant!(
        "foreign_keys_are_indexed",
        "an_index_of_some_rows",
        "CREATE INDEX ON public.services (model_id);",
        replace: "services (model_id)", "services (model_id) WHERE tag <> ''"
    ),
    mutant!(
        "every_table_has_a_primary_key",
        "a_table_without",
        "0002_services.up.sql:2:1: table public.services: expected a primary key, found none",
        replace: "id bigint PRIMARY KEY", "id bigint NOT NULL UNIQUE"
    ),
    mutant!(
        "foreign_keys_have_the_type_that_they_refer_to",
        "an_integer_for_a_bigint",
        "4:5: foreign key services_model_id_fkey of public.services: expected model_id to be of type bigint like \
         public.models.id, found integer",
        replace: "model_id bigint", "model_id integer"
    ),
    mutant!(
        "indexes_are_not_duplicates",
        "the_same_index_again",
        "index public.services_model_again: expected each index of public.services to be of use, found that \
         public.services_model does all",
        add: "CREATE INDEX services_model_again ON services (model_id);"
    ),
    mutant!(
        "indexes_are_not_duplicates",
        "an_index_beside_the_primary_key",
        "index public.services_id: expected each index of public.services to be of use, found that \
         public.services_pkey does all",
        add: "CREATE INDEX services_id ON services (id);"
    ),
    mutant!(
        "keys_are_not_int4",
        "a_serial_key_of_events",
        "column public.events.id: expected a key that is numbered to be bigint, found integer: the insert of row \
         2147483648 fails",
        add: "CREATE TABLE events (id serial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());"
    ),
    mutant!(
        "timestamps_have_a_zone",
        "a_time_without",
        "column public.services.at: expected a point in time to be timestamptz, found timestamp(3) without time zone",
        add: "ALTER TABLE services ADD COLUMN at timestamp(3);"
    ),
    mutant!(
        "timestamps_have_a_zone",
        "a_domain_without",
        "column public.services.at: expected a point in time to be timestamptz",
        add: "CREATE DOMAIN moment AS timestamp; ALTER TABLE services ADD COLUMN at moment;"
    ),
    mutant!(
        "char_n_is_not_used",
        "a_padded_tag",
        "column public.services.tag: expected text without padding, found character(40)",
        replace: "tag varchar(255)", "tag char(40)"
    ),
    mutant!(
        "money_is_not_a_float",
        "a_price_as_a_double",
        "what should be exact becomes 0.30000000000000004 for 0.1 + 0.2",
        add: "ALTER TABLE services ADD COLUMN unit_price double precision;"
    ),
    mutant!(
        "money_is_not_a_float",
        "the_type_money",
        "expected an amount to be numeric, found money",
        add: "ALTER TABLE services ADD COLUMN paid money;"
    ),
    mutant!(
        "tables_have_row_security",
        "one_table_of_two",
        "table public.models: expected row security as other tables have it, found none",
        add: "ALTER TABLE services ENABLE ROW LEVEL SECURITY;"
    ),
    mutant!(
        "views_keep_row_security",
        "a_view_that_reads_as_its_owner",
        "view public.tags: expected the policies of public.services to hold for who reads the view",
        add: "ALTER TABLE services ENABLE ROW LEVEL SECURITY; CREATE VIEW tags AS SELECT tag FROM services;"
    ),
    mutant!(
        "security_definer_pins_search_path",
        "the_callers_path",
        "function public.count_services(): expected SECURITY DEFINER with a search_path of its own",
        add: "CREATE FUNCTION count_services() RETURNS bigint LANGUAGE sql SECURITY DEFINER
              AS 'SELECT count(*) FROM services';"
    ),
    mutant!(
        "nothing_is_granted_to_public",
        "a_table_for_everybody",
        "table public.services: expected rights for roles that need them, found INSERT, SELECT granted to PUBLIC",
        add: "GRANT SELECT, INSERT ON services TO PUBLIC;"
    ),
    mutant!(
        "nothing_is_granted_to_public",
        "a_schema_for_everybody",
        "schema public: expected rights for roles that need them, found CREATE granted to PUBLIC",
        add: "GRANT CREATE ON SCHEMA public TO PUBLIC;"
    ),
    mutant!(
        "indexes_are_valid",
        "an_index_on_the_parent_only",
        "index public.events_at: expected a valid index on public.events at the end",
        add: "CREATE TABLE events (id bigint, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
              CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
              CREATE INDEX events_at ON ONLY events (at);"
    ),
    mutant!(
        "constraints_are_validated",
        "a_check_that_was_never_validated",
        "0002_services.up.sql:9:37: constraint tagged of public.services: expected all rows to be checked",
        add: "ALTER TABLE services ADD CONSTRAINT tagged CHECK (tag <> '') NOT VALID;"
    ),
    mutant!(
        "triggers_are_enabled",
        "one_that_was_disabled_for_a_change",
        "trigger touch of public.services: expected the trigger to be enabled at the end, found it disabled",
        add: "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
              CREATE TRIGGER touch BEFORE UPDATE ON services FOR EACH ROW EXECUTE FUNCTION touch();
              ALTER TABLE services DISABLE TRIGGER touch;"
    ),
    mutant!(
        "nothing_is_named_like_the_systems",
        "a_table_of_tables",
        "table public.pg_tables: expected a name that the system has not taken",
        add: "CREATE TABLE public.pg_tables (id bigint PRIMARY KEY);"
    ),
    mutant!(
        "nothing_is_named_like_the_systems",
        "a_function_of_the_systems",
        "function public.md5(text): expected a name that the system has not taken",
        add: "CREATE FUNCTION public.md5(text) RETURNS text LANGUAGE sql AS 'SELECT $1';"
    ),
    mutant!(
        "every_table_accepts_a_row",
        "bounds_that_nothing_is_between",
        "table public.services: expected a row that it accepts, found none: no value was found for column tag_number",
        add: "ALTER TABLE services ADD COLUMN tag_number int NOT NULL DEFAULT 7 CHECK (tag_number > 10),
                ADD CHECK (tag_number < 5);"
    ),
    mutant!(
        "every_table_accepts_a_row",
        "a_trigger_that_writes_to_a_column_that_is_gone",
        "found none: the server refuses every row: record \"new\" has no field \"touched_at\"",
        add: "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
                  'BEGIN NEW.touched_at := now(); RETURN NEW; END';
              CREATE TRIGGER touch BEFORE INSERT ON services FOR EACH ROW EXECUTE FUNCTION touch();"
    ),
    mutant!(
        "checks_reject_a_counterexample",
        "a_comparison_with_null",
        "constraint services_tag_check of public.services: expected a value of tag that CHECK ((tag)::text <> \
         NULL::text) refuses, found none",
        add: "ALTER TABLE services ADD CONSTRAINT services_tag_check CHECK (tag <> NULL);"
    ),
    mutant!(
        "checks_reject_a_counterexample",
        "a_list_with_or",
        "it is never false",
        add: "ALTER TABLE services ADD CHECK (tag <> 'a' OR tag <> 'b');"
    ),
    mutant!(
        "checks_reject_a_counterexample",
        "two_columns_that_cover_each_other",
        "expected a value of tag, model_id that CHECK",
        add: "ALTER TABLE services ADD CHECK (tag IS NULL OR model_id IS NULL OR tag = tag);"
    ),
    mutant!(
        "every_view_selects",
        "a_division_by_what_may_be_zero",
        "view public.shares: expected its rows, where its tables have generated ones, found division by zero \
         (SQLSTATE 22012",
        add: "CREATE VIEW shares AS SELECT id, 100 / (id - id) AS share FROM services;"
    ),
    mutant!(
        "every_function_runs",
        "a_table_that_is_gone",
        "function public.count_tags(wanted text): expected a result or an error of its own",
        add: "CREATE FUNCTION count_tags(wanted text) RETURNS bigint LANGUAGE plpgsql AS
                  'BEGIN RETURN (SELECT count(*) FROM tags WHERE tag = wanted); END';"
    ),
    mutant!(
        "every_function_runs",
        "a_fault_behind_what_is_looked_up",
        "when called with values of rows, found relation \"audit\" does not exist (SQLSTATE 42P01",
        add: "CREATE FUNCTION retire(p_tag text) RETURNS void LANGUAGE plpgsql AS '
              BEGIN
                  IF NOT EXISTS (SELECT FROM services WHERE tag = p_tag) THEN
                      RAISE EXCEPTION ''there is no service %'', p_tag;
                  END IF;
                  INSERT INTO audit (tag) VALUES (p_tag);
              END';"
    ),
    mutant!(
        "every_function_runs",
        "a_procedure_with_an_ambiguous_column",
        "column reference \"tag\" is ambiguous (SQLSTATE 42702",
        add: "CREATE PROCEDURE forget(tag varchar) LANGUAGE plpgsql AS
                  'BEGIN DELETE FROM services WHERE services.tag = tag; END';"
    ),
    mutant!(
        "every_trigger_fires",
        "an_audit_table_that_is_gone",
        "expected the triggers of public.services to bear the update of a row, found relation \"audit\" does not exist",
        add: "CREATE FUNCTION log_update() RETURNS trigger LANGUAGE plpgsql AS
                  'BEGIN INSERT INTO audit (id) VALUES (OLD.id); RETURN NEW; END';
              CREATE TRIGGER log_update AFTER UPDATE ON services FOR EACH ROW
                  WHEN (OLD.tag IS DISTINCT FROM NEW.tag) EXECUTE FUNCTION log_update();"
    ),
    mutant!(
        "every_trigger_fires",
        "a_delete_that_names_new",
        "to bear the delete of a row, found",
        add: "CREATE FUNCTION log_delete() RETURNS trigger LANGUAGE plpgsql AS
                  'BEGIN PERFORM gone(OLD.id); RETURN OLD; END';
              CREATE TRIGGER log_delete BEFORE DELETE ON services FOR EACH ROW EXECUTE FUNCTION log_delete();"
    ),
    mutant!(
        "unique_holds_for_nulls",
        "one_tag_for_each_model_or_none",
        "unique index services_tag_model_id_key of public.services: expected two rows that are alike to be refused, \
         found both in the table where model_id is NULL",
        add: "ALTER TABLE services ADD UNIQUE (tag, model_id);"
    ),
    mutant!(
        "unique_holds_for_nulls",
        "deleted_rows_and_a_trigger_that_refuses_updates",
        "0002_services.up.sql:13:51: unique index services_live of public.services: expected two rows that are alike",
        add: "ALTER TABLE services ADD COLUMN deleted_at timestamptz;
              CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
                  'BEGIN RAISE EXCEPTION ''rows are never changed''; END';
              CREATE TRIGGER keep BEFORE UPDATE ON services FOR EACH ROW EXECUTE FUNCTION keep();
              ALTER TABLE services ADD CONSTRAINT services_live UNIQUE (tag, deleted_at);"
    ),
    mutant!(
        "defaults_are_accepted",
        "a_state_that_the_check_does_not_know",
        "column public.services.health: expected the default 'unknown'::text to be accepted, found",
        add: "ALTER TABLE services ADD COLUMN health text CHECK (health IN ('good', 'bad'));
              ALTER TABLE services ALTER COLUMN health SET DEFAULT 'unknown';"
    ),
    mutant!(
        "defaults_are_accepted",
        "a_text_that_is_too_long",
        "value too long for type character varying(3) (SQLSTATE 22001",
        add: "ALTER TABLE services ADD COLUMN zone varchar(3);
              ALTER TABLE services ALTER COLUMN zone SET DEFAULT 'eu-central';"
    ),
    mutant!(
        "numbers_have_room",
        "a_base_value_below_ten",
        "column public.services.base_value: expected room for a measure such as 12.5 in numeric(6,5), found numeric \
         field overflow (SQLSTATE 22003",
        add: "ALTER TABLE services ADD COLUMN base_value numeric(6, 5);"
    ),
    mutant!(
        "sequences_are_ahead_of_their_columns",
        "rows_with_numbers_of_their_own",
        "column public.kinds.id: expected the next number to be above 2, found 1",
        add: "CREATE TABLE kinds (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text NOT NULL);
              INSERT INTO kinds (id, name) VALUES (1, 'shap'), (2, 'lime');"
    ),
    mutant!(
        "policies_are_not_always_true",
        "everybody_may_write",
        "policy everybody of public.services: expected USING (true) to keep rows from everybody",
        add: "ALTER TABLE services ENABLE ROW LEVEL SECURITY;
              CREATE POLICY everybody ON services USING (true);"
    ),
    mutant!(
        "policies_are_not_always_true",
        "a_row_compared_with_itself",
        "found that it is true for all 200 generated rows",
        add: "ALTER TABLE services ENABLE ROW LEVEL SECURITY;
              CREATE POLICY own ON services FOR UPDATE USING (id = services.id);"
    ),
    mutant!(
        "functions_stand_a_hostile_search_path",
        "a_table_found_by_the_callers_path",
        "function public.count_services(): expected it to use the project's own tables and functions",
        add: "CREATE FUNCTION count_services() RETURNS bigint LANGUAGE sql SECURITY DEFINER
              AS 'SELECT count(*) FROM services';"
    ),
];
