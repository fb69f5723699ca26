//! Faults of the group `quality`.

use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::migrations::MigrationSubject;

use super::replaced;

/// Every fault, and the case that must find it.
pub(crate) const MUTANTS: &[Mutant<MigrationSubject>] = &[
    Mutant {
        case: "foreign_keys_are_indexed",
        name: "no_index",
        says: "services_model_id_fkey of public.services (model_id): CREATE INDEX ON public.services (model_id);",
        subject: |context| replaced(context, 2, "CREATE INDEX services_model ON services (model_id);\n", ""),
    },
    Mutant {
        case: "foreign_keys_are_indexed",
        name: "an_index_that_begins_with_another_column",
        says: "CREATE INDEX ON public.services (model_id);",
        subject: |context| replaced(context, 2, "services (model_id)", "services (tag, model_id)"),
    },
    Mutant {
        case: "foreign_keys_are_indexed",
        name: "an_index_of_some_rows",
        says: "CREATE INDEX ON public.services (model_id);",
        subject: |context| replaced(context, 2, "services (model_id)", "services (model_id) WHERE tag <> ''"),
    },
    Mutant {
        case: "every_table_has_a_primary_key",
        name: "a_table_without",
        says: "expected a primary key on every table, found none on public.services",
        subject: |context| replaced(context, 2, "id bigint PRIMARY KEY", "id bigint NOT NULL UNIQUE"),
    },
];
