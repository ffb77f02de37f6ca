//! Sums that carry along what rounding takes from them, so that large numbers which cancel one another
//! leave the small ones between them as they were (Neumaier).

/// A sum and what rounding has taken from it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    pub(crate) sum: f64,
    pub(crate) lost: f64,
}

impl Sum {
    /// Adds a number.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        if sum.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - sum) + value;
        } else {
            self.lost += (value - sum) + self.sum;
        }
        self.sum = sum;
    }

    /// The sum.
    pub(crate) fn total(self) -> f64 {
        if self.sum.is_infinite() {
            self.sum
        } else {
            self.sum + self.lost
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_survive_large_ones_that_cancel() {
        let mut sum = Sum::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.total().to_bits(), 2.0f64.to_bits());
        sum.add(f64::INFINITY);
        assert!(sum.total().is_infinite());
    }
}
