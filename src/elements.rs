//! What has elements in place: arrays and slices are two faces of one body. A face adds the ways to create and to open, and
//! how long it is.
//!
//! | file | what is there |
//! |---|---|
//! | `elements/element.rs` | what an element can be |
//! | `elements/guard.rs` | the guard |
//! | `elements/reading.rs` | the guard of those who only read, and the methods that give it |
//! | `elements/locking.rs` | the methods that lock |
//! | `elements/access.rs` | the methods that do without a guard |
//! | `elements/show.rs` | what `Debug` shows |
//!
//! The methods are written once, in macros, so that each face has its own with its own examples; what they do is below.

use crate::error::LockError;
use crate::segment::{Elements, ElementsOf, Segment};
use crate::sync::mutex::Wait;

mod access;
mod element;
mod guard;
mod locking;
mod reading;
mod show;

pub(crate) use access::methods_without_a_guard;
pub use element::Element;
pub(crate) use guard::guard_of_elements;
pub(crate) use locking::methods_that_lock;
pub(crate) use reading::{methods_that_read, read_guard_of_elements};
pub(crate) use show::{Shortened, show};

/// All that both faces have, given the parameters of `$handle` with their bounds, and in `$of` without: its `$guard`
/// and its `$read_guard`, and its methods. The elements are of type `$element`, and all together a `$data`.
///
/// Whoever calls it has in scope what the macros name.
macro_rules! face_of_elements {
    ([$($generics:tt)*] $handle:ident<$($of:ident),*>, $guard:ident, $read_guard:ident, $element:ty, $data:ty) => {
        read_guard_of_elements!([$($generics)*] $handle, $read_guard<$($of),*>, $element, $data);
        guard_of_elements!([$($generics)*] $handle, $guard<$($of),*>, $element, $data);

        impl<$($generics)*> $handle<$($of),*> {
            methods_that_lock!($handle, $guard<$($of),*>, $data);
            methods_that_read!($handle, $read_guard<$($of),*>);
            methods_without_a_guard!($handle, $element, $data);
            crate::condvar::conditions_of_elements!($handle);
        }

        impl<$($generics)*> Face for $handle<$($of),*> {
            type Contents = ElementsOf<$data>;

            fn from_segment(segment: Segment<ElementsOf<$data>>) -> Self {
                Self { segment }
            }
        }

        impl<$($generics)*> HasPoison for $handle<$($of),*> {}
        impl<$($generics)*> HasReaders for $handle<$($of),*> {}

        /// Shows the name and the first elements. Never waits, and holds no lock while it formats: what it shows was copied
        /// out.
        impl<$($generics)*> fmt::Debug for $handle<$($of),*>
        where
            $element: fmt::Debug,
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(stringify!($handle), &self.segment, self.len(), f)
            }
        }
    };
}
pub(crate) use face_of_elements;

impl<D: Elements + ?Sized> Segment<ElementsOf<D>> {
    /// Copies something out, under the lock. A death in it poisons nothing.
    #[inline(always)]
    pub(crate) fn read<R>(&self, wait: Wait, copy: impl FnOnce(&D) -> R) -> Result<R, LockError> {
        let locked = self.lock_whole(wait)?;
        let result = copy(locked.elements()); // only copies, and so cannot panic
        locked.release_or_poison();
        Ok(result)
    }

    /// Writes one element, whose index was checked.
    #[inline(always)]
    pub(crate) fn write(&self, index: usize, element: D::Element) -> Result<(), LockError> {
        let mut locked = self.lock_to_change(Wait::Forever)?;
        locked.elements_mut().as_mut_slice()[index] = element; // cannot panic
        locked.release_changed();
        Ok(())
    }

    /// Replaces all elements by as many others, which repairs them.
    #[inline(always)]
    pub(crate) fn replace(&self, source: &[D::Element]) -> Result<(), LockError> {
        // Without a guard: one that passes through memory holds the copy up for longer than the lock takes.
        let mut locked = self.lock_to_repair(Wait::Forever)?;
        locked.elements_mut().as_mut_slice().copy_from_slice(source); // cannot panic: the length was checked
        if locked.is_poisoned() {
            locked.clear_poison();
        }
        locked.release_changed();
        Ok(())
    }

    #[inline]
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut D) -> R) -> Result<R, LockError> {
        Ok(self.lock_to_change(Wait::Forever)?.run(change))
    }
}

#[inline]
#[track_caller]
pub(crate) fn check_index(index: usize, len: usize) {
    assert!(index < len, "index out of bounds: the len is {len} but the index is {index}");
}

#[inline]
#[track_caller]
pub(crate) fn check_len(found: usize, expected: usize) {
    assert!(found == expected, "a slice of {expected} elements is needed to copy them all, got {found}");
}
