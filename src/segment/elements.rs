//! Elements in place, while the lock is held: an array's, whose length is part of its type, or a slice's, which has its
//! length from the segment.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;

use bytemuck::Pod;

use super::locked::{Locked, lock_line};
use super::readers::SideBySide;
use super::{Contents, Expected, Extent, Measures, Segment};
use crate::error::LockError;
use crate::kind::{Kind, Open, Shape};
use crate::layout;
use crate::schema::Schema;
use crate::sync::mutex::{Reading, Wait};

/// The elements in place, seen as a `D`: see [`Elements`].
pub(crate) struct ElementsOf<D: ?Sized>(PhantomData<D>);

/// What elements can be seen as: `[T; N]`, `[T]`, or [`Bytes`]. There is no fourth.
pub(crate) trait Elements {
    type Element: Pod;
    /// What a program says of the length when it runs.
    type Stated: Default;
    /// What the type leaves open of the length.
    type Len: Copy + fmt::Debug + Send + Sync;

    /// See [`Contents::expected`].
    fn expected(stated: &Self::Stated) -> Expected;

    /// So many of them, from the first on.
    fn at(first: NonNull<u8>, len: Self::Len) -> NonNull<Self>;

    /// What is left open, as the segment says it.
    fn open_len(measures: Measures) -> Self::Len;

    fn as_slice(&self) -> &[Self::Element];

    fn as_mut_slice(&mut self) -> &mut [Self::Element];
}

impl<T: Pod, const N: usize> Elements for [T; N] {
    type Element = T;
    type Stated = ();
    type Len = ();

    fn expected((): &()) -> Expected {
        Expected::of::<T>(Shape { open: Open::Nothing, ..shape_of::<T>(Some(N)) })
    }

    #[inline(always)]
    fn at(first: NonNull<u8>, (): ()) -> NonNull<Self> {
        first.cast()
    }

    #[inline(always)]
    fn open_len(_: Measures) -> Self::Len {}

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
    /// How many.
    type Stated = Option<usize>;
    type Len = usize;

    fn expected(len: &Option<usize>) -> Expected {
        Expected::of::<T>(shape_of::<T>(*len))
    }

    #[inline(always)]
    fn at(first: NonNull<u8>, len: usize) -> NonNull<Self> {
        NonNull::slice_from_raw_parts(first.cast(), len)
    }

    #[inline(always)]
    fn open_len(measures: Measures) -> usize {
        measures.count
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

/// Elements whose type is known when the program runs, as their bytes.
#[repr(transparent)]
pub(crate) struct Bytes([u8]);

/// How many elements, and of how many bytes each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) len: usize,
    pub(crate) elem_size: usize,
}

impl Elements for Bytes {
    type Element = u8;
    /// What the elements are, and how many, if that is known; `None`: whatever they are.
    type Stated = Option<(Schema, Option<usize>)>;
    type Len = Count;

    fn expected(stated: &Self::Stated) -> Expected {
        let len = |len: Option<usize>| len.map(|len| len as u64);
        match stated {
            Some((schema, count)) => Expected::of_schema(Kind::Array, schema, len(*count)),
            None => Expected::of_any(Kind::Array),
        }
    }

    #[inline(always)]
    fn at(first: NonNull<u8>, Count { len, elem_size }: Count) -> NonNull<Self> {
        let bytes = NonNull::slice_from_raw_parts(first, len * elem_size); // cannot overflow: they fit into a file
        // SAFETY: as that, which is not null.
        unsafe { NonNull::new_unchecked(bytes.as_ptr() as *mut Self) }
    }

    #[inline(always)]
    fn open_len(measures: Measures) -> Count {
        Count { len: measures.count, elem_size: measures.elem_size }
    }

    #[inline(always)]
    fn as_slice(&self) -> &[u8] {
        &self.0
    }

    #[inline(always)]
    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Of elements of type `T`, so many if it is known.
fn shape_of<T>(len: Option<usize>) -> Shape {
    const { assert!(align_of::<T>() <= layout::PAGE, "shared elements are aligned to at most 4,096 bytes") };
    let (elem_size, elem_align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    Shape { kind: Kind::Array, elem_size, elem_align, len: len.map(|len| len as u64), open: Open::Length }
}

/// Where elements stand, and how many, as far as their type leaves it open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<L> {
    /// From the lock line, in bytes.
    offset: usize,
    pub(crate) len: L,
}

impl<D: Elements + ?Sized> Extent<ElementsOf<D>> for Place<D::Len> {
    #[inline(always)]
    fn new(measures: Measures) -> Self {
        Self { offset: measures.offset, len: D::open_len(measures) }
    }
}

impl<D: Elements + ?Sized> Contents for ElementsOf<D> {
    const KIND: Kind = Kind::Array;
    type Stated = D::Stated;
    type Extent = Place<D::Len>;

    fn expected(stated: &D::Stated) -> Expected {
        D::expected(stated)
    }
}

// SAFETY: arrays have a reader line.
unsafe impl<D: Elements + ?Sized> SideBySide for ElementsOf<D> {}

impl<D: Elements + ?Sized> Locked<'_, ElementsOf<D>> {
    #[inline(always)]
    pub(super) fn place(&self) -> NonNull<D> {
        let lock_line = lock_line(self.held.line());
        // SAFETY: within the mapping, whose length was checked against the shape.
        let first = unsafe { lock_line.add(self.extent.offset) };
        D::at(first, self.extent.len)
    }

    /// The elements.
    #[inline(always)]
    pub(crate) fn elements(&self) -> &D {
        // SAFETY: the shape was checked when opening: so many elements stand there, aligned, and any bytes are one. The lock
        // is held, and mutable access needs a `&mut self`: nobody writes meanwhile.
        unsafe { self.place().as_ref() }
    }

    /// The elements, for writing: of a lock that was taken for that.
    #[inline(always)]
    pub(crate) fn elements_mut(&mut self) -> &mut D {
        // SAFETY: as in `elements`; and `self` is borrowed exclusively: nobody else reads or writes meanwhile. Readers side
        // by side have left.
        unsafe { self.place().as_mut() }
    }

    /// Runs the closure on the elements and releases the lock; poisons it first unless the closure returns.
    #[inline(always)]
    pub(crate) fn run<R>(self, change: impl FnOnce(&mut D) -> R) -> R {
        self.run_changing(|this| change(this.elements_mut()))
    }
}

/// The elements, while nobody writes.
#[derive(Debug)]
pub(crate) struct Read<'a, D: ?Sized> {
    reading: Reading<'a>,
    place: NonNull<D>,
}

// SAFETY: what it gives access to can be shared; and the reading stays on its thread by itself.
unsafe impl<D: Sync + ?Sized> Sync for Read<'_, D> {}

// As the reading.
impl<D: ?Sized> UnwindSafe for Read<'_, D> {}
impl<D: ?Sized> RefUnwindSafe for Read<'_, D> {}

impl<D: Elements + ?Sized> Read<'_, D> {
    #[inline(always)]
    pub(crate) fn elements(&self) -> &D {
        // SAFETY: as in `Locked::elements`; who changes anything waits until this reader has left.
        unsafe { self.place.as_ref() }
    }

    /// Lets writers in, if this thread reads.
    #[inline(always)]
    pub(crate) fn release(&self) {
        self.reading.release();
    }
}

impl<D: Elements + ?Sized> Segment<ElementsOf<D>> {
    /// Where they stand.
    #[inline(always)]
    pub(super) fn place(&self) -> NonNull<D> {
        let extent = self.extent();
        // SAFETY: within the mapping, whose length was checked against the shape.
        let first = unsafe { self.mapping.base.add(layout::LOCK_OFFSET + extent.offset) };
        D::at(first, extent.len)
    }

    /// The elements, beside others who read.
    #[inline(always)]
    pub(crate) fn read_beside(&self, wait: Wait) -> Result<Read<'_, D>, LockError> {
        let place = self.place();
        match self.enter(wait) {
            Ok(reading) => Ok(Read { reading, place }),
            Err(error) => Err(error),
        }
    }
}
