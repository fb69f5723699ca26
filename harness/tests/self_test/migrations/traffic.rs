//! Faults of the group `traffic`.

use proofmark_harness::mutant::Mutant;
use proofmark_harness::suites::migrations::MigrationSubject;

/// Every fault, and the case that must find it.
pub(crate) const MUTANTS: &[Mutant<MigrationSubject>] = &[];
