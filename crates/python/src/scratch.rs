//! Room for the bytes of one value: on the stack, for all but the large ones.

#[inline]
pub(crate) fn scratch<R>(size: usize, use_: impl FnOnce(&mut [u8]) -> R) -> R {
    const ON_STACK: usize = 64;
    if size <= ON_STACK { use_(&mut [0; ON_STACK][..size]) } else { use_(&mut vec![0; size]) }
}
