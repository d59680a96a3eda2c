//! The Internet checksum (RFC 1071).

use core::net::Ipv4Addr;

/// A one's complement sum under way. Pieces may have any length: the sum knows on which side of a
/// 16-bit word the next byte falls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    /// The sum of native-order words: RFC 1071 section 2(B) lets the order be restored at the end.
    /// 64 KiB of 32-bit halves stay far below 2^64.
    words: u64,
    odd: bool,
}

impl Sum {
    /// The sum of the pseudo-header of UDP and TCP (RFC 768, RFC 9293 section 3.1); `len` is that
    /// of header and payload, in bytes. Where it does not fit 16 bits, the kernel that cuts the
    /// packet up expects it in 32.
    pub(crate) fn pseudo_header(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        len: usize,
    ) -> Self {
        let mut bytes = [0; 14];
        bytes[0..4].copy_from_slice(&source.octets());
        bytes[4..8].copy_from_slice(&destination.octets());
        bytes[9] = protocol;
        bytes[10..14].copy_from_slice(&(len as u32).to_be_bytes());
        Self::default().add(&bytes)
    }

    /// The sum with `bytes` added to it.
    #[must_use]
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        let words = sum_words(bytes);
        let words = if self.odd {
            u64::from(fold(words).swap_bytes())
        } else {
            words
        };
        Self {
            words: self.words + words,
            odd: self.odd ^ (bytes.len() % 2 == 1),
        }
    }

    /// The sum as a big-endian 16-bit word: what checksum offload wants in the field.
    pub(crate) fn folded(self) -> u16 {
        u16::from_be(fold(self.words))
    }

    /// The checksum: the complement of the sum. Zero over data that holds a right checksum.
    pub(crate) fn finish(self) -> u16 {
        !self.folded()
    }
}

/// The checksum of `bytes`.
pub(crate) fn of(bytes: &[u8]) -> u16 {
    Sum::default().add(bytes).finish()
}

fn sum_words(bytes: &[u8]) -> u64 {
    let mut chunks = bytes.chunks_exact(8);
    let mut sum = 0;
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        let word = u64::from_ne_bytes(word);
        sum += (word & 0xffff_ffff) + (word >> 32);
    }
    let rest = chunks.remainder();
    let mut word = [0; 8];
    word[..rest.len()].copy_from_slice(rest);
    let word = u64::from_ne_bytes(word);
    sum + (word & 0xffff_ffff) + (word >> 32)
}

fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
