//! Vectors of 512 bits.
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
#[repr(C, align(64))]
pub(in super::super) struct Bins<const N: usize>([u32; N]);

macro_rules! vector {
    (
        $(#[$doc:meta])* $name:ident, $vector:ident, $element:ident, $lanes:literal, $mask:ident,
        $set:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident, $keep:ident, $blend:ident,
        bins: $load:ident as $bins:ident, $set_bin:ident, $compare:ident, sums: |$numbers:ident, $into:ident| $sums:block
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(in super::super) struct $name($vector);

        impl Vector for $name {
            type Element = $element;
            type Bins = Bins<$lanes>;
            type Mask = $mask;
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
            fn keep(self, mask: $mask) -> Self {
                // SAFETY: see the module.
                unsafe { Self($keep(mask, self.0)) }
            }

            #[inline(always)]
            fn select(mask: $mask, yes: Self, no: Self) -> Self {
                // SAFETY: see the module.
                unsafe { Self($blend(mask, no.0, yes.0)) }
            }

            #[inline(always)]
            fn bins(of: impl Fn(usize) -> u32) -> Self::Bins {
                Bins(from_fn(of))
            }

            #[inline(always)]
            fn below(bins: &Self::Bins, bin: u32) -> $mask {
                // SAFETY: see the module; the array is as long as the vector.
                unsafe { $compare($load(bins.0.as_ptr().cast::<$bins>()), $set_bin(bin.cast_signed())) }
            }

            #[inline(always)]
            fn all() -> $mask {
                $mask::MAX
            }

            #[inline(always)]
            fn both(a: $mask, b: $mask) -> $mask {
                a & b
            }

            #[inline(always)]
            fn except(a: $mask, b: $mask) -> $mask {
                a & !b
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
    /// Sixteen numbers of 32 bits.
    F32x16, __m512, f32, 16, u16,
    _mm512_set1_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_fmadd_ps, _mm512_maskz_mov_ps,
    _mm512_mask_blend_ps,
    bins: _mm512_loadu_si512 as __m512i, _mm512_set1_epi32, _mm512_cmplt_epi32_mask,
    sums: |numbers, sums| {
        // SAFETY: see the module; there are 16 sums, as `add_to` has checked.
        unsafe {
            let low = _mm512_cvtps_pd(_mm512_castps512_ps256(numbers));
            let high = _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(numbers));
            let (first, second) = (sums.as_mut_ptr(), sums.as_mut_ptr().add(8));
            _mm512_storeu_pd(first, _mm512_add_pd(_mm512_loadu_pd(first), low));
            _mm512_storeu_pd(second, _mm512_add_pd(_mm512_loadu_pd(second), high));
        }
    }
}

vector! {
    /// Eight numbers of 64 bits.
    F64x8, __m512d, f64, 8, u8,
    _mm512_set1_pd, _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd, _mm512_fmadd_pd, _mm512_maskz_mov_pd,
    _mm512_mask_blend_pd,
    bins: _mm256_loadu_si256 as __m256i, _mm256_set1_epi32, _mm256_cmplt_epi32_mask,
    sums: |numbers, sums| {
        // SAFETY: see the module; there are 8 sums, as `add_to` has checked.
        unsafe {
            _mm512_storeu_pd(sums.as_mut_ptr(), _mm512_add_pd(_mm512_loadu_pd(sums.as_ptr()), numbers));
        }
    }
}
