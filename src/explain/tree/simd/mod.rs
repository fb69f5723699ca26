//! Vectors of numbers, one lane for each row, on whatever the processor has.
//!
//! The kernels are written once, against [`Vector`], and compiled for AVX-512, AVX2 with FMA, and any processor (on
//! 64-bit ARM the portable vectors are NEON's, which every such processor has). Every operation works lane by lane,
//! so that a row's result does not depend on the lane, on the width, or on the other rows: a single row runs through
//! the same kernel as a vector of one lane ([`scalar`]). Only fused multiplication makes a difference: processors
//! with FMA agree to the last bit with each other, and the portable vectors of x86 round once more.
//!
//! `unsafe` is allowed in the two modules of intrinsics and in `dispatch` alone; each says why it is sound.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
mod scalar;

pub(super) use self::portable::Portable;
pub(super) use self::scalar::{Fused, Plain};

/// A floating-point number.
pub(super) trait Real: Copy + Send + Sync + std::fmt::Debug + PartialEq + Default + 'static {
    /// The vectors of AVX-512.
    #[cfg(target_arch = "x86_64")]
    type Avx512: Vector<Element = Self>;
    /// The vectors of AVX2.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Vector<Element = Self>;

    /// The nearest number.
    fn from_f64(value: f64) -> Self;

    /// The same number.
    fn to_f64(self) -> f64;

    /// `self * factor + term`, rounded once.
    fn fused(self, factor: Self, term: Self) -> Self;

    /// `self * factor + term`, rounded twice.
    fn plain(self, factor: Self, term: Self) -> Self;

    /// The sum.
    fn plus(self, other: Self) -> Self;

    /// The difference.
    fn minus(self, other: Self) -> Self;

    /// The product.
    fn times(self, other: Self) -> Self;
}

macro_rules! real {
    ($($real:ident: $avx512:ident, $avx2:ident;)*) => {$(
        impl Real for $real {
            #[cfg(target_arch = "x86_64")]
            type Avx512 = avx512::$avx512;
            #[cfg(target_arch = "x86_64")]
            type Avx2 = avx2::$avx2;

            #[allow(clippy::cast_possible_truncation, reason = "rounding is what the fast mode is made of")]
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as Self
            }

            #[allow(clippy::cast_lossless, reason = "one of the two types is the same")]
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline(always)]
            fn fused(self, factor: Self, term: Self) -> Self {
                self.mul_add(factor, term)
            }

            #[inline(always)]
            fn plain(self, factor: Self, term: Self) -> Self {
                self * factor + term
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self - other
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }
        }
    )*};
}
real! {
    f32: F32x16, F32x8;
    f64: F64x8, F64x4;
}

/// How closely kernels fit a tree's number of quadrature nodes: each takes a while to compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernels {
    /// For vectors that most processors use.
    Many,
    /// For vectors of last resort.
    Few,
}

/// One number for each of a few rows.
///
/// Implementations for a processor's extension may be used only inside functions that enable the extension: nothing
/// else calls the kernels with them (see `dispatch`).
pub(super) trait Vector: Copy {
    /// The numbers.
    type Element: Real;
    /// One bin for each row, see `columns`.
    type Bins: Copy;
    /// One truth value for each row.
    type Mask: Copy;
    /// The number of rows.
    const LANES: usize;
    /// How many kernels are compiled.
    const KERNELS: Kernels;

    /// The same number in each lane.
    fn splat(value: Self::Element) -> Self;
    /// The sums.
    fn add(self, other: Self) -> Self;
    /// The differences.
    fn sub(self, other: Self) -> Self;
    /// The products.
    fn mul(self, other: Self) -> Self;
    /// `self * factor + term`.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// The numbers where the mask is set, and zero elsewhere.
    fn keep(self, mask: Self::Mask) -> Self;
    /// One of two numbers for each lane.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    /// The bins of [`LANES`](Self::LANES) rows.
    fn bins(of: impl Fn(usize) -> u32) -> Self::Bins;
    /// Which rows' bins are below a bin.
    fn below(bins: &Self::Bins, bin: u32) -> Self::Mask;
    /// All rows.
    fn all() -> Self::Mask;
    /// Rows in both.
    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Rows in the first, not in the second.
    fn except(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Adds the lanes to as many numbers.
    ///
    /// # Panics
    /// When there are fewer numbers than lanes.
    fn add_to(self, sums: &mut [f64]);
}

/// The vectors that this processor can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InstructionSet {
    /// What every processor of the architecture has.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 (F, DQ and VL).
    Avx512,
}

impl InstructionSet {
    /// The best that this processor has.
    #[must_use]
    pub fn detect() -> Self {
        *Self::available().last().unwrap_or(&Self::Portable)
    }

    /// All that this processor has, the best last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut available = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            available.push(Self::Avx2);
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                available.push(Self::Avx512);
            }
        }
        available
    }
}
