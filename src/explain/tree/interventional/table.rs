//! Which patterns have been met at a leaf, and the weights of what they contribute.

use std::collections::HashMap;

use super::paths::FEATURES_MAX;

/// The longest patterns that are looked up directly.
const DIRECT_BITS: usize = 14;

/// a! b! / (a + b + 1)!, the integral of t^a (1 - t)^b from 0 to 1.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    by_sizes: Vec<f64>,
}

impl Weights {
    pub(super) fn new() -> Self {
        let size = FEATURES_MAX + 1;
        let mut by_sizes = vec![0.0; size * size];
        for (b, row) in (0_u32..).zip(by_sizes.chunks_exact_mut(size)) {
            // From a to a + 1 the integral is multiplied by (a + 1) / (a + b + 2).
            let mut weight = 1.0 / f64::from(b + 1);
            for (a, place) in (0_u32..).zip(row) {
                *place = weight;
                weight *= f64::from(a + 1) / f64::from(a + b + 2);
            }
        }
        Self { by_sizes }
    }

    /// The weight of a and b.
    #[inline(always)]
    pub(super) fn of(&self, a: u32, b: u32) -> f64 {
        self.by_sizes[b as usize * (FEATURES_MAX + 1) + a as usize]
    }
}

/// The entries of the patterns that have been met.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// For short patterns the turn in which it was met, and its entry.
    direct: Vec<(u32, u32)>,
    turn: u32,
    others: HashMap<u64, u32>,
    is_direct: bool,
}

impl Table {
    /// Forgets all patterns; the next ones have so many bits.
    pub(super) fn begin(&mut self, bits: usize) {
        self.is_direct = bits <= DIRECT_BITS;
        if !self.is_direct {
            self.others.clear();
            return;
        }
        if self.direct.len() < 1 << bits {
            self.direct.resize(1 << bits, (0, 0));
        }
        self.turn = self.turn.wrapping_add(1);
        if self.turn == 0 {
            self.direct.fill((0, 0));
            self.turn = 1;
        }
    }

    /// The entry of a pattern: `next` if it has not been met.
    #[inline(always)]
    pub(super) fn entry(&mut self, pattern: u64, next: usize) -> usize {
        let next = u32::try_from(next).unwrap_or(u32::MAX);
        let entry = if self.is_direct {
            let place = usize::try_from(pattern).unwrap_or(usize::MAX);
            let (turn, entry) = &mut self.direct[place];
            if *turn != self.turn {
                (*turn, *entry) = (self.turn, next);
            }
            *entry
        } else {
            *self.others.entry(pattern).or_insert(next)
        };
        entry as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_factorials() {
        let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
        let weights = Weights::new();
        for a in 0..20 {
            for b in 0..20 {
                let exact = factorial(a) * factorial(b) / factorial(a + b + 1);
                assert!((weights.of(a, b) / exact - 1.0).abs() < 1e-13, "{a}, {b}");
            }
        }
    }

    #[test]
    fn patterns_are_met_once_each_turn() {
        let mut table = Table::default();
        for bits in [3, 20, 3] {
            table.begin(bits);
            assert_eq!(
                [(5, 0), (2, 1), (5, 2), (2, 2)].map(|(pattern, next)| table.entry(pattern, next)),
                [0, 1, 0, 1]
            );
        }
    }
}
