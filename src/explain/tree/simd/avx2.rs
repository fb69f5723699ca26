//! Vectors of 256 bits, with fused multiplication.
//!
//! The argument for each use of `unsafe` here is the same: these functions are inlined into kernels that enable the
//! instructions, and `dispatch` enters those only after it has asked the processor. Memory is touched through
//! references of the right size alone.
#![allow(unsafe_code, reason = "intrinsics; the argument is above")]

use std::arch::x86_64::*;
use std::array::from_fn;

use super::{Kernels, Vector};

/// Bins, on the boundary of a vector.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(in super::super) struct Bins<const N: usize>([u32; N]);

macro_rules! vector {
    (
        $(#[$doc:meta])* $name:ident, $vector:ident, $element:ident, $lanes:literal,
        $set:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident, $and:ident, $and_not:ident, $blend:ident,
        below: |$row_bins:ident, $bin:ident| $below:block, all: $all:block,
        sums: |$numbers:ident, $into:ident| $sums:block
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(in super::super) struct $name($vector);

        impl Vector for $name {
            type Element = $element;
            type Bins = Bins<$lanes>;
            type Mask = $vector;
            const LANES: usize = $lanes;
            const KERNELS: Kernels = Kernels::Many;

            #[inline(always)]
            fn splat(value: $element) -> Self {
                // SAFETY: see the module.
                unsafe { Self($set(value)) }
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: see the module.
                unsafe { Self($add(self.0, other.0)) }
            }

            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: see the module.
                unsafe { Self($sub(self.0, other.0)) }
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: see the module.
                unsafe { Self($mul(self.0, other.0)) }
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                // SAFETY: see the module.
                unsafe { Self($fma(self.0, factor.0, term.0)) }
            }

            #[inline(always)]
            fn keep(self, mask: $vector) -> Self {
                // SAFETY: see the module.
                unsafe { Self($and(self.0, mask)) }
            }

            #[inline(always)]
            fn select(mask: $vector, yes: Self, no: Self) -> Self {
                // SAFETY: see the module.
                unsafe { Self($blend(no.0, yes.0, mask)) }
            }

            #[inline(always)]
            fn bins(of: impl Fn(usize) -> u32) -> Self::Bins {
                Bins(from_fn(of))
            }

            #[inline(always)]
            fn below(bins: &Self::Bins, bin: u32) -> $vector {
                let ($row_bins, $bin) = (&bins.0, bin.cast_signed());
                $below
            }

            #[inline(always)]
            fn all() -> $vector {
                $all
            }

            #[inline(always)]
            fn both(a: $vector, b: $vector) -> $vector {
                // SAFETY: see the module.
                unsafe { $and(a, b) }
            }

            #[inline(always)]
            fn except(a: $vector, b: $vector) -> $vector {
                // SAFETY: see the module. The instruction inverts its first operand.
                unsafe { $and_not(b, a) }
            }

            #[inline(always)]
            fn add_to(self, sums: &mut [f64]) {
                let ($numbers, $into) = (self.0, &mut sums[..$lanes]);
                $sums
            }
        }
    };
}

vector! {
    /// Eight numbers of 32 bits.
    F32x8, __m256, f32, 8,
    _mm256_set1_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_fmadd_ps, _mm256_and_ps,
    _mm256_andnot_ps, _mm256_blendv_ps,
    below: |bins, bin| {
        // SAFETY: see the module; the array is as long as the vector.
        unsafe {
            let bins = _mm256_loadu_si256(bins.as_ptr().cast::<__m256i>());
            _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(bin), bins))
        }
    },
    all: {
        // SAFETY: see the module.
        unsafe { _mm256_castsi256_ps(_mm256_set1_epi32(-1)) }
    },
    sums: |numbers, sums| {
        // SAFETY: see the module; there are 8 sums, as `add_to` has checked.
        unsafe {
            let low = _mm256_cvtps_pd(_mm256_castps256_ps128(numbers));
            let high = _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(numbers));
            let (first, second) = (sums.as_mut_ptr(), sums.as_mut_ptr().add(4));
            _mm256_storeu_pd(first, _mm256_add_pd(_mm256_loadu_pd(first), low));
            _mm256_storeu_pd(second, _mm256_add_pd(_mm256_loadu_pd(second), high));
        }
    }
}

vector! {
    /// Four numbers of 64 bits.
    F64x4, __m256d, f64, 4,
    _mm256_set1_pd, _mm256_add_pd, _mm256_sub_pd, _mm256_mul_pd, _mm256_fmadd_pd, _mm256_and_pd,
    _mm256_andnot_pd, _mm256_blendv_pd,
    below: |bins, bin| {
        // SAFETY: see the module; the array is as long as the vector.
        unsafe {
            let bins = _mm_loadu_si128(bins.as_ptr().cast::<__m128i>());
            let below = _mm_cmpgt_epi32(_mm_set1_epi32(bin), bins);
            _mm256_castsi256_pd(_mm256_cvtepi32_epi64(below))
        }
    },
    all: {
        // SAFETY: see the module.
        unsafe { _mm256_castsi256_pd(_mm256_set1_epi64x(-1)) }
    },
    sums: |numbers, sums| {
        // SAFETY: see the module; there are 4 sums, as `add_to` has checked.
        unsafe {
            _mm256_storeu_pd(sums.as_mut_ptr(), _mm256_add_pd(_mm256_loadu_pd(sums.as_ptr()), numbers));
        }
    }
}
