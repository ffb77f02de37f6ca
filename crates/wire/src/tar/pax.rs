//! Further fields of a file, which stand before it as lines `length name=value`.

use super::TarError;

/// What they say of the file behind them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// In Unix seconds.
    pub(super) modified: Option<i64>,
    /// GNU's: it has holes, and its bytes begin with a map of them.
    pub(super) is_sparse: bool,
    pub(super) real_size: Option<u64>,
}

impl Fields {
    /// Reads all lines, which stand at a byte of the archive; names that nobody needs are passed over.
    pub(super) fn read(&mut self, mut lines: &[u8], at: u64) -> Result<(), TarError> {
        let wrong = || TarError::Fields(at);
        while !lines.is_empty() {
            let blank = lines.iter().take(20).position(|byte| *byte == b' ');
            let blank = blank.ok_or_else(wrong)?;
            let length = lines.get(..blank).and_then(decimal);
            let length = length.and_then(|length| usize::try_from(length).ok());
            let (line, rest) = length
                .and_then(|length| lines.split_at_checked(length))
                .ok_or_else(wrong)?;
            let line = line
                .get(blank + 1..)
                .and_then(|line| line.strip_suffix(b"\n"));
            let line = line.ok_or_else(wrong)?;
            let equals = line.iter().position(|byte| *byte == b'=');
            let (name, value) = line
                .split_at_checked(equals.ok_or_else(wrong)?)
                .ok_or_else(wrong)?;
            self.set(name, value.get(1..).unwrap_or_default())
                .ok_or_else(wrong)?;
            lines = rest;
        }
        Ok(())
    }

    /// Nothing when the value is none of this name.
    fn set(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        match name {
            // The name in the path of a sparse file is made up.
            b"path" if self.path.is_none() || !self.is_sparse => self.path = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value)?),
            b"mtime" => self.modified = Some(seconds(value)?),
            b"GNU.sparse.name" => {
                self.is_sparse = true;
                self.path = Some(value.to_vec());
            }
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.is_sparse = true;
                self.real_size = Some(decimal(value)?);
            }
            _ if name.starts_with(b"GNU.sparse.") => self.is_sparse = true,
            _ => {}
        }
        Some(())
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Whole seconds of a time with a fraction, not after it.
fn seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let has_fraction = fraction.bytes().any(|byte| byte != b'0');
    let is_before = text.starts_with('-') && has_fraction;
    whole.checked_sub(i64::from(is_before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[u8]) -> Result<Fields, TarError> {
        let mut fields = Fields::default();
        fields.read(lines, 512).map(|()| fields)
    }

    #[test]
    fn lines_count_themselves() {
        let fields =
            read(b"15 path=a\nb=\0\xff\n19 size=9663676416\n22 mtime=1700000000.5\n9 x=yyyy\n");
        let fields = fields.unwrap();
        assert_eq!(fields.path.as_deref(), Some(&b"a\nb=\0\xff"[..]));
        assert_eq!(fields.size, Some(9_663_676_416));
        assert_eq!(fields.modified, Some(1_700_000_000));
        assert!(!fields.is_sparse);
        assert_eq!(read(b"15 mtime=-1.25\n").unwrap().modified, Some(-2));
    }

    #[test]
    fn what_counts_wrongly_is_refused() {
        for lines in [
            &b"8 path=a\n"[..],
            b"99 path=a\n",
            b"0 path=a\n",
            b"9 path=ab",
            b"-1 path=a\n",
            b"path=a\n",
            b"8 patha\n",
            b"18446744073709551616 path=a\n",
            b"11 size=-1\n",
            b"11 mtime=x\n",
        ] {
            assert_eq!(read(lines), Err(TarError::Fields(512)), "{lines:?}");
        }
    }

    #[test]
    fn sparse_files_are_known() {
        let lines = b"22 GNU.sparse.major=1\n23 GNU.sparse.name=abc\n28 GNU.sparse.realsize=9999\n";
        let fields = read(lines).unwrap();
        assert!(fields.is_sparse);
        assert_eq!(fields.path.as_deref(), Some(&b"abc"[..]));
        assert_eq!(fields.real_size, Some(9999));
    }
}
