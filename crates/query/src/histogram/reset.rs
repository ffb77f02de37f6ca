//! Whether a histogram that counts has fallen since the one before: in any bucket, as both can see.

use super::arithmetic::common_bounds;
use super::{Bucket, Histogram, ResetHint};

impl Histogram {
    /// Whether the counter began anew between the earlier histogram and this one.
    pub fn is_reset_since(&self, earlier: &Histogram) -> bool {
        match self.reset_hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < earlier.count
            || self.has_custom_buckets() != earlier.has_custom_buckets()
            || self.schema > earlier.schema
            || self.zero_threshold < earlier.zero_threshold
        {
            return true;
        }
        let mut now = self.clone();
        let mut before = earlier.clone();
        if self.has_custom_buckets() {
            if self.custom_values != earlier.custom_values {
                let common = common_bounds(&self.custom_values, &earlier.custom_values);
                now.rebound(&common);
                before.rebound(&common);
            }
        } else {
            if before.zero_threshold < now.zero_threshold {
                before.widen_zero(now.zero_threshold);
            }
            if before.zero_threshold > now.zero_threshold {
                return true;
            }
            before.reduce_to(now.schema);
        }
        now.zero_count < before.zero_count
            || has_fallen(&before.positive, &now.positive)
            || has_fallen(&before.negative, &now.negative)
    }
}

fn has_fallen(before: &[Bucket], now: &[Bucket]) -> bool {
    before.iter().any(|earlier| {
        let later = now
            .binary_search_by_key(&earlier.index, |bucket| bucket.index)
            .ok()
            .and_then(|at| now.get(at))
            .map_or(0.0, |bucket| bucket.count);
        later < earlier.count
    })
}
