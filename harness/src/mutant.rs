//! Deliberately faulty subjects: a case that cannot fail is a defect, and a mutant proves that it can.

use futures_util::future::BoxFuture;

use crate::case::CaseError;
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
