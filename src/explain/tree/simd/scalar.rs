//! Vectors of one lane: the way of a single row.

use super::{Kernels, Real, Vector};

macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident, $multiply:ident, $kernels:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(in super::super) struct $name<E>(E);

        impl<E: Real> Vector for $name<E> {
            type Element = E;
            type Bins = u32;
            type Mask = bool;
            const LANES: usize = 1;
            const KERNELS: Kernels = Kernels::$kernels;

            #[inline(always)]
            fn splat(value: E) -> Self {
                Self(value)
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                Self(self.0.plus(other.0))
            }

            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                Self(self.0.minus(other.0))
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                Self(self.0.times(other.0))
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                Self(self.0.$multiply(factor.0, term.0))
            }

            #[inline(always)]
            fn keep(self, mask: bool) -> Self {
                if mask { self } else { Self(E::default()) }
            }

            #[inline(always)]
            fn select(mask: bool, yes: Self, no: Self) -> Self {
                if mask { yes } else { no }
            }

            #[inline(always)]
            fn bins(of: impl Fn(usize) -> u32) -> u32 {
                of(0)
            }

            #[inline(always)]
            fn below(bins: &u32, bin: u32) -> bool {
                *bins < bin
            }

            #[inline(always)]
            fn all() -> bool {
                true
            }

            #[inline(always)]
            fn both(a: bool, b: bool) -> bool {
                a & b
            }

            #[inline(always)]
            fn except(a: bool, b: bool) -> bool {
                a & !b
            }

            #[inline(always)]
            fn add_to(self, sums: &mut [f64]) {
                sums[0] += self.0.to_f64();
            }
        }
    };
}

scalar! {
    /// Multiplies and adds as AVX2 and AVX-512 do: for functions that enable FMA, as without it this is a slow call.
    Fused, fused, Many
}

scalar! {
    /// Multiplies and adds as the portable vectors do.
    Plain, plain, Few
}
