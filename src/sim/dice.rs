//! Random choices from one seed.
//!
//! Invariant: the choices of a run depend on its seed and on nothing else.

use std::ops::RangeInclusive;

/// The dice of one run.
#[derive(Debug, Clone)]
pub struct Dice {
    rng: fastrand::Rng,
}

impl Dice {
    /// Dice that fall as this seed says.
    pub fn new(seed: u64) -> Dice {
        Dice {
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.rng.u64(..)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.rng.usize(..n)
    }

    /// A number in the range.
    pub fn within(&mut self, range: RangeInclusive<i64>) -> i64 {
        self.rng.i64(range)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of them; there must be one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// An index, each as likely as its weight; `None` when all weights are 0.
    pub fn weighted(&mut self, weights: &[u32]) -> Option<usize> {
        let sum: u32 = weights.iter().sum();
        if sum == 0 {
            return None;
        }
        let mut at = self.rng.u32(..sum);
        weights.iter().position(|weight| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_decide() {
        let mut dice = Dice::new(1);
        assert_eq!(dice.weighted(&[0, 0]), None);
        for _ in 0..100 {
            assert_eq!(dice.weighted(&[0, 3, 0]), Some(1));
        }
        let mut seen = [0; 3];
        for _ in 0..3_000 {
            seen[dice.weighted(&[1, 0, 2]).expect("a weight")] += 1;
        }
        assert!(seen[1] == 0 && seen[0] > 800 && seen[2] > 1_800, "{seen:?}");
    }
}
