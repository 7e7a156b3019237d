//! What may cross threads, and what may not, is part of the interface.

use std::panic::{RefUnwindSafe, UnwindSafe};

use robust_shm::{
    ArrayGuard, ArrayReadGuard, Error, LockError, LockGuard, Options, RwLockReadGuard, RwLockWriteGuard, SharedArray,
    SharedEvent, SharedLock, SharedRwLock, SharedSlice, SharedValue, SliceGuard, SliceReadGuard, ValueGuard,
    ValueObserver,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};

assert_impl_all!(SharedValue<u64>: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(SharedArray<u64, 4>: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(SharedSlice<u64>: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(SharedLock: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(SharedRwLock: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(ValueObserver<u64>: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(SharedEvent: Send, Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(Options<SharedLock>: Send, Sync, Clone);
assert_impl_all!(Error: std::error::Error, Send, Sync, From<LockError>);
assert_impl_all!(LockError: std::error::Error, Send, Sync);

// The kernel's list of held locks belongs to a thread.
assert_not_impl_any!(ValueGuard<'static, u64>: Send);
assert_not_impl_any!(ArrayGuard<'static, u64, 4>: Send);
assert_not_impl_any!(SliceGuard<'static, u64>: Send);
assert_not_impl_any!(LockGuard<'static>: Send);
assert_not_impl_any!(ArrayReadGuard<'static, u64, 4>: Send, std::ops::DerefMut);
assert_not_impl_any!(SliceReadGuard<'static, u64>: Send, std::ops::DerefMut);
assert_not_impl_any!(RwLockReadGuard<'static>: Send);
assert_not_impl_any!(RwLockWriteGuard<'static>: Send);
assert_impl_all!(ArrayReadGuard<'static, u64, 4>: Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(SliceReadGuard<'static, u64>: Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(RwLockReadGuard<'static>: Sync, UnwindSafe, RefUnwindSafe);
assert_impl_all!(RwLockWriteGuard<'static>: Sync);
assert_impl_all!(ValueGuard<'static, u64>: Sync);
assert_impl_all!(ArrayGuard<'static, u64, 4>: Sync);
assert_impl_all!(SliceGuard<'static, u64>: Sync);
assert_impl_all!(LockGuard<'static>: Sync);

#[test]
fn errors_are_small_enough_to_return_by_value() {
    assert!(size_of::<LockError>() <= 48);
}
