//! Histograms as one line of text, which is also their value as a label.

use std::fmt;

use super::Histogram;
use crate::number::Short;

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", Short(self.count), Short(self.sum))?;
        for span in self.spans() {
            let is_zero = !self.has_custom_buckets() && span.lower <= 0.0 && span.upper >= 0.0;
            let (open, close) = if is_zero {
                ('[', ']')
            } else if span.upper <= 0.0 && !self.has_custom_buckets() {
                ('[', ')')
            } else {
                ('(', ']')
            };
            write!(
                f,
                ", {open}{},{}{close}:{}",
                Short(span.lower),
                Short(span.upper),
                Short(span.count)
            )?;
        }
        f.write_str("}")
    }
}
