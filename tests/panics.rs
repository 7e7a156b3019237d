//! A panic that is the caller's fault names the caller's line, and leaves everything as it was.

#![allow(unsafe_code)]

mod support;

use robust_shm::SharedValue;
use robust_shm::bytemuck::{CheckedBitPattern, NoUninit};
use support::{Scratch, panic_of};

/// Whether bytes are a value is asked of the type, which may be anybody's, and under the lock.
#[test]
fn a_type_that_panics_over_its_bytes_does_not_keep_the_lock() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(transparent)]
    struct Picky(u8);
    // SAFETY: a `u8` has no padding and is initialised.
    unsafe impl NoUninit for Picky {}
    // SAFETY: any bits of a `u8` are a `Picky`.
    unsafe impl CheckedBitPattern for Picky {
        type Bits = u8;
        fn is_valid_bit_pattern(bits: &u8) -> bool {
            assert_ne!(*bits, 13, "unlucky");
            true
        }
    }
    let name = Scratch::new("picky");
    let value = SharedValue::create(&name, Picky(13)).unwrap();
    for _ in 0..2 {
        assert!(panic_of(|| value.lock().map(drop)).2.contains("unlucky"));
    }
    value.set(Picky(12)).unwrap();
    assert_eq!(*value.lock().unwrap(), Picky(12));
}
