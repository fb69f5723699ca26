//! Vectors for any processor: arrays, which the compiler maps to what the architecture has at least.

use std::array::from_fn;

use super::{Kernels, Real, Vector};

/// Rows in a vector.
const LANES: usize = 4;

/// An array of numbers.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(in super::super) struct Portable<E>([E; LANES]);

impl<E: Real> Vector for Portable<E> {
    type Element = E;
    type Bins = [u32; LANES];
    type Mask = [bool; LANES];
    const LANES: usize = LANES;
    const KERNELS: Kernels = Kernels::Few;

    #[inline(always)]
    fn splat(value: E) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(from_fn(|lane| self.0[lane].plus(other.0[lane])))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(from_fn(|lane| self.0[lane].minus(other.0[lane])))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(from_fn(|lane| self.0[lane].times(other.0[lane])))
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // Where fused multiplication belongs to the architecture, it is an instruction; elsewhere a slow call.
        #[cfg(target_arch = "aarch64")]
        let sums = from_fn(|lane| self.0[lane].fused(factor.0[lane], term.0[lane]));
        #[cfg(not(target_arch = "aarch64"))]
        let sums = from_fn(|lane| self.0[lane].plain(factor.0[lane], term.0[lane]));
        Self(sums)
    }

    #[inline(always)]
    fn keep(self, mask: Self::Mask) -> Self {
        Self(from_fn(|lane| if mask[lane] { self.0[lane] } else { E::default() }))
    }

    #[inline(always)]
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self {
        Self(from_fn(|lane| if mask[lane] { yes.0[lane] } else { no.0[lane] }))
    }

    #[inline(always)]
    fn bins(of: impl Fn(usize) -> u32) -> Self::Bins {
        from_fn(of)
    }

    #[inline(always)]
    fn below(bins: &Self::Bins, bin: u32) -> Self::Mask {
        from_fn(|lane| bins[lane] < bin)
    }

    #[inline(always)]
    fn all() -> Self::Mask {
        [true; LANES]
    }

    #[inline(always)]
    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        from_fn(|lane| a[lane] & b[lane])
    }

    #[inline(always)]
    fn except(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        from_fn(|lane| a[lane] & !b[lane])
    }

    #[inline(always)]
    fn add_to(self, sums: &mut [f64]) {
        for (sum, number) in sums[..LANES].iter_mut().zip(self.0) {
            *sum += number.to_f64();
        }
    }
}
