//! From the processor to the kernel: the one place where it is decided which instructions run.
#![allow(unsafe_code, reason = "calls of functions that enable instructions, each after the processor was asked")]

#[cfg(target_arch = "x86_64")]
use super::simd::Fused;
#[cfg(target_arch = "aarch64")]
use super::simd::Fused as Lane;
#[cfg(not(target_arch = "aarch64"))]
use super::simd::Plain as Lane;
use super::simd::{InstructionSet, Portable, Real, Vector};

/// Something to be done with vectors of rows.
pub(super) trait Work {
    /// The numbers.
    type Element: Real;

    /// Does it; to be inlined.
    fn run<V: Vector<Element = Self::Element>>(&mut self);
}

/// Does some work with vectors of an instruction set, or of one lane for a single row.
///
/// An instruction set that the processor has not got is never used: the choice is cut down to what there is.
pub(super) fn dispatch<W: Work>(set: InstructionSet, single: bool, work: &mut W) {
    #[cfg(target_arch = "x86_64")]
    match set.min(InstructionSet::detect()) {
        InstructionSet::Portable => {}
        // SAFETY: the processor has AVX2 and FMA, as `detect` has just said.
        _ if single => return unsafe { avx2::<Fused<W::Element>, W>(work) },
        // SAFETY: the same.
        InstructionSet::Avx2 => return unsafe { avx2::<<W::Element as Real>::Avx2, W>(work) },
        // SAFETY: the processor has AVX-512 F, DQ and VL, as `detect` has just said.
        InstructionSet::Avx512 => return unsafe { avx512::<<W::Element as Real>::Avx512, W>(work) },
    }
    let _ = set;
    if single {
        work.run::<Lane<W::Element>>();
    } else {
        work.run::<Portable<W::Element>>();
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<V: Vector<Element = W::Element>, W: Work>(work: &mut W) {
    work.run::<V>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
fn avx512<V: Vector<Element = W::Element>, W: Work>(work: &mut W) {
    work.run::<V>();
}
