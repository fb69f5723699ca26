//! Deliberately faulty subjects: a case that cannot fail is a defect, and a mutant proves that it can.

use futures_util::future::BoxFuture;

use crate::case::{Case, CaseError};
use crate::context::CaseContext;

/// A faulty subject, and the case that must reject it by name.
pub struct Mutant<S> {
    /// The case that must fail.
    pub case: &'static str,
    /// The fault, as a short name.
    pub name: &'static str,
    /// A fragment of the failure's message: the case must fail for the right reason.
    pub says: &'static str,
    /// Makes the faulty subject.
    pub subject: fn(CaseContext) -> BoxFuture<'static, Result<S, CaseError>>,
}

/// Fails the build unless every case has a mutant and every mutant names a case, when called in a `const` item:
///
/// ```
/// # use proofmark_harness::{case::Case, mutant::{Mutant, assert_every_case_has_a_mutant}};
/// # const CASES: &[Case<()>] = &[];
/// # const MUTANTS: &[Mutant<()>] = &[];
/// const _: () = assert_every_case_has_a_mutant(CASES, MUTANTS);
/// ```
///
/// # Panics
/// When a case has no mutant or a mutant has no case; in a `const` item, when it is compiled.
pub const fn assert_every_case_has_a_mutant<S>(cases: &[Case<S>], mutants: &[Mutant<S>]) {
    assert_every_case_has_a_mutant_in(cases, &[mutants]);
}

/// The same for mutants in several lists.
///
/// # Panics
/// When a case has no mutant or a mutant has no case; in a `const` item, when it is compiled.
pub const fn assert_every_case_has_a_mutant_in<S>(cases: &[Case<S>], lists: &[&[Mutant<S>]]) {
    let mut index = 0;
    while index < cases.len() {
        let mut has_one = false;
        let mut list = 0;
        while list < lists.len() {
            let mut other = 0;
            while other < lists[list].len() {
                has_one |= equal(cases[index].name, lists[list][other].case);
                other += 1;
            }
            list += 1;
        }
        assert!(has_one, "a case has no mutant: add a faulty subject that it rejects");
        index += 1;
    }
    let mut list = 0;
    while list < lists.len() {
        index = 0;
        while index < lists[list].len() {
            let mut other = 0;
            while other < cases.len() && !equal(lists[list][index].case, cases[other].name) {
                other += 1;
            }
            assert!(other < cases.len(), "a mutant names a case that there is not");
            index += 1;
        }
        list += 1;
    }
}

/// Equality of strings, which `==` cannot tell in a `const fn`.
const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}
