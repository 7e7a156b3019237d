//! Elements in place, while the lock is held: an array's, whose length is part of its type, or a slice's, which has its
//! length from the segment.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ptr::NonNull;

use bytemuck::Pod;

use super::locked::{Locked, body, run};
use super::{Contents, OpenLen};
use crate::identity::TypeName;
use crate::kind::{Kind, Shape};
use crate::layout;
use crate::sync::mutex::Section;

/// The elements in place, seen as a `D`: see [`Elements`].
pub(crate) struct ElementsOf<D: ?Sized>(PhantomData<D>);

/// What elements can be seen as: `[T; N]`, or `[T]`. There is no third.
pub(crate) trait Elements {
    type Element: Pod;
    /// What the type leaves open of the length.
    type Len: OpenLen;
    /// The length, unless it is left open.
    const LEN: Option<usize>;

    /// So many of them, from the first on.
    fn at(first: NonNull<Self::Element>, len: Self::Len) -> NonNull<Self>;

    fn as_slice(&self) -> &[Self::Element];

    fn as_mut_slice(&mut self) -> &mut [Self::Element];
}

impl<T: Pod, const N: usize> Elements for [T; N] {
    type Element = T;
    type Len = ();
    const LEN: Option<usize> = Some(N);

    #[inline(always)]
    fn at(first: NonNull<T>, (): ()) -> NonNull<Self> {
        first.cast()
    }

    #[inline(always)]
    fn as_slice(&self) -> &[T] {
        self
    }

    #[inline(always)]
    fn as_mut_slice(&mut self) -> &mut [T] {
        self
    }
}

impl<T: Pod> Elements for [T] {
    type Element = T;
    type Len = usize;
    const LEN: Option<usize> = None;

    #[inline(always)]
    fn at(first: NonNull<T>, len: usize) -> NonNull<Self> {
        NonNull::slice_from_raw_parts(first, len)
    }

    #[inline(always)]
    fn as_slice(&self) -> &[T] {
        self
    }

    #[inline(always)]
    fn as_mut_slice(&mut self) -> &mut [T] {
        self
    }
}

impl<D: Elements + ?Sized> Contents for ElementsOf<D> {
    type Len = D::Len;

    const SHAPE: Shape = {
        assert!(align_of::<D::Element>() <= layout::PAGE, "shared elements are aligned to at most 4,096 bytes");
        Shape {
            kind: Kind::Array,
            elem_size: size_of::<D::Element>() as u64,
            elem_align: align_of::<D::Element>() as u64,
            len: match D::LEN {
                Some(len) => Some(len as u64),
                None => None,
            },
            is_open: D::LEN.is_none(),
        }
    };

    fn type_name() -> TypeName {
        TypeName::of::<D::Element>()
    }
}

impl<D: Elements + ?Sized> Locked<'_, ElementsOf<D>> {
    /// From the start of the body, in bytes.
    const DATA_OFFSET: usize = layout::elements_offset(align_of::<D::Element>()) - layout::BODY_OFFSET;

    #[inline(always)]
    fn place(&self) -> NonNull<D> {
        // SAFETY: within the mapping, whose length was checked against the shape.
        let first = unsafe { body(self.held.line()).add(Self::DATA_OFFSET) };
        D::at(first.cast(), self.len)
    }

    /// The elements.
    #[inline(always)]
    pub(crate) fn elements(&self) -> &D {
        // SAFETY: the shape was checked when opening: so many elements stand there, aligned, and any bytes are one. The lock
        // is held, and mutable access needs a `&mut self`: nobody writes meanwhile.
        unsafe { self.place().as_ref() }
    }

    /// To be called before the first [`elements_mut`](Self::elements_mut); [`release_changed`](Self::release_changed)
    /// follows.
    #[inline(always)]
    pub(crate) fn begin_changes(&mut self) {
        self.held.begin_changes();
    }

    /// The elements, for writing.
    #[inline(always)]
    pub(crate) fn elements_mut(&mut self) -> &mut D {
        // SAFETY: as in `elements`; and `self` is borrowed exclusively: nobody else reads or writes meanwhile.
        unsafe { self.place().as_mut() }
    }

    /// [`release_or_poison`](Self::release_or_poison) after [`begin_changes`](Self::begin_changes).
    #[inline(always)]
    pub(crate) fn release_changed(&self) {
        self.held.release_or_poison(Section { changes: true, was_broken_off: false });
    }

    /// Runs the closure on the elements and releases the lock; poisons it first unless the closure returns.
    #[inline(always)]
    pub(crate) fn run<R>(mut self, change: impl FnOnce(&mut D) -> R) -> R {
        self.begin_changes();
        let leave = |this: &Self, was_broken_off| {
            this.held.release_or_poison(Section { changes: true, was_broken_off });
        };
        run(self, leave, |this| change(this.elements_mut()))
    }
}
