//! Hashes of states, which are their own places in a set of them.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// The states that were seen.
pub(crate) type Seen = HashSet<u64, BuildHasherDefault<AsItIs>>;

/// Hashes are good already.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole numbers");
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

pub(crate) fn mixed(hash: u64, value: u64) -> u64 {
    let product = u128::from(hash ^ value ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (product as u64) ^ (product >> 64) as u64 ^ hash.rotate_left(23)
}
