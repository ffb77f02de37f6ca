//! The checksums that clients of S3 send beside a body or behind it.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The polynomial of CRC-32, reflected (ISO 3309).
static CRC32: Table = Table::new(0xedb8_8320);
/// Of CRC-32C (RFC 3720).
static CRC32C: Table = Table::new(0x82f6_3b78);
/// Of CRC-64/NVME (NVM Express specification 5.2.1.3.4).
static CRC64_NVME: Table = Table::new(0x9a6c_9329_ac4b_c9b5);

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// CRC-32.
    Crc32,
    /// CRC-32C.
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// The header or trailer with the value.
    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The algorithm whose header has this name, in lower case.
    pub fn of_header(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.header() == name)
    }
}

/// Tables for eight bytes a step: `[k][byte]` is the effect of a byte with `k` zero bytes behind it.
#[derive(Debug)]
struct Table([[u64; 256]; 8]);

impl Table {
    const fn new(polynomial: u64) -> Self {
        let mut table = [[0; 256]; 8];
        let mut byte = 0;
        while byte < 256 {
            let mut value = byte as u64;
            let mut bit = 0;
            while bit < 8 {
                value = (value >> 1) ^ if value & 1 == 1 { polynomial } else { 0 };
                bit += 1;
            }
            table[0][byte] = value;
            byte += 1;
        }
        let mut step = 1;
        while step < 8 {
            let mut byte = 0;
            while byte < 256 {
                let before = table[step - 1][byte];
                table[step][byte] = (before >> 8) ^ table[0][(before & 0xff) as usize];
                byte += 1;
            }
            step += 1;
        }
        Self(table)
    }

    fn update(&self, mut value: u64, bytes: &[u8]) -> u64 {
        let [first, ..] = &self.0;
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let mixed = (value ^ u64::from_le_bytes(*word)).to_le_bytes();
            // The first byte has seven behind it.
            let steps = mixed.iter().zip(self.0.iter().rev());
            value = steps.fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
        }
        for byte in rest {
            let [low, ..] = (value ^ u64::from(*byte)).to_le_bytes();
            value = (value >> 8) ^ first[usize::from(low)];
        }
        value
    }
}

/// A checksum under way.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    state: Running,
}

#[derive(Clone)]
enum Running {
    Crc(&'static Table, u64),
    Digest(digest::Context),
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hasher").field(&self.algorithm).finish()
    }
}

impl Hasher {
    /// Of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        let short = u64::from(u32::MAX);
        let state = match algorithm {
            Algorithm::Crc32 => Running::Crc(&CRC32, short),
            Algorithm::Crc32c => Running::Crc(&CRC32C, short),
            Algorithm::Crc64Nvme => Running::Crc(&CRC64_NVME, u64::MAX),
            Algorithm::Sha1 => {
                Running::Digest(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY))
            }
            Algorithm::Sha256 => Running::Digest(digest::Context::new(&digest::SHA256)),
        };
        Self { algorithm, state }
    }

    /// What it computes.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// More bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            Running::Crc(table, value) => *value = table.update(*value, bytes),
            Running::Digest(context) => context.update(bytes),
        }
    }

    /// The value in base64, as headers have it.
    pub fn finish(self) -> String {
        match (self.algorithm, self.state) {
            (Algorithm::Crc64Nvme, Running::Crc(_, value)) => {
                STANDARD.encode((!value).to_be_bytes())
            }
            (_, Running::Crc(_, value)) => {
                let [.., a, b, c, d] = (!value).to_be_bytes();
                STANDARD.encode([a, b, c, d])
            }
            (_, Running::Digest(context)) => STANDARD.encode(context.finish()),
        }
    }
}
