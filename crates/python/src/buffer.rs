//! The memory of an array as a buffer of Python's.
//!
//! Whoever has a view of it keeps the mapping: a view may be useless after the block that it was made in, but it never
//! points to nothing.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use robust_shm::dynamic::{DynSlice, DynSliceGuard, DynSliceReadGuard};

/// What exports the buffer.
#[pyclass(frozen, module = "robust_shm._native")]
pub(crate) struct Span {
    memory: NonNull<u8>,
    len: isize,
    is_read_only: bool,
    /// How many buffers are out: that one memoryview is released does not say that no other one is there.
    exports: AtomicUsize,
    _keeps: Arc<DynSlice>,
}

// SAFETY: a span gives out the address and does not look at what is there; the counter is atomic.
unsafe impl Send for Span {}
// SAFETY: as above.
unsafe impl Sync for Span {}

impl Span {
    /// All bytes, to be written by the holder.
    pub(crate) fn writable(handle: &Arc<DynSlice>, guard: &mut DynSliceGuard<&'static DynSlice>) -> Self {
        let len = guard.as_bytes().len();
        Self::new(handle, guard.as_mut_ptr(), len, false)
    }

    /// All bytes, to be read.
    pub(crate) fn read_only(handle: &Arc<DynSlice>, guard: &DynSliceReadGuard<Arc<DynSlice>>) -> Self {
        Self::new(handle, guard.as_ptr().cast_mut(), guard.as_bytes().len(), true)
    }

    fn new(handle: &Arc<DynSlice>, memory: *mut u8, len: usize, is_read_only: bool) -> Self {
        let memory = NonNull::new(memory).expect("data are somewhere");
        // A mapping is never longer.
        Self { memory, len: len as isize, is_read_only, exports: AtomicUsize::new(0), _keeps: Arc::clone(handle) }
    }

    pub(crate) fn is_exported(&self) -> bool {
        self.exports.load(Ordering::Relaxed) > 0
    }
}

#[pymethods]
impl Span {
    /// # Safety
    ///
    /// The interpreter passes a view that is to be filled.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let (memory, read_only) = (this.memory.as_ptr().cast::<c_void>(), c_int::from(this.is_read_only));
        // SAFETY: `view` is the interpreter's to be filled. It will refer to `slf`, which keeps the handle, whose mapping has
        // `len` bytes at `memory` for as long as there is a handle. Other processes write there too, while they hold the
        // lock; Python code reads and writes with the lock as well, or reads what may be torn, byte by byte as C does.
        let rc = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), memory, this.len, read_only, flags) };
        if rc != 0 {
            return Err(PyErr::fetch(slf.py()));
        }
        this.exports.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// # Safety
    ///
    /// None: nothing is done with the view.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.exports.fetch_sub(1, Ordering::Relaxed);
    }
}
