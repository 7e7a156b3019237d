//! Several elements at once: `a[2:8:2]`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PySlice};

use super::Array;
use crate::errors::not_held;
use crate::scratch::zeros;

/// Which elements.
#[derive(Clone, Copy)]
pub(super) struct Items {
    start: isize,
    step: isize,
    count: usize,
}

impl Items {
    pub(super) fn all(len: usize) -> Self {
        Self { start: 0, step: 1, count: len }
    }

    pub(super) fn of(slice: &Bound<'_, PySlice>, len: usize) -> PyResult<Self> {
        let slice = slice.indices(isize::try_from(len)?)?;
        Ok(Self { start: slice.start, step: slice.step, count: slice.slicelength })
    }

    /// Where their bytes begin, if each has `size` of them.
    fn starts(self, size: usize) -> impl Iterator<Item = usize> {
        (0..self.count as isize).map(move |i| (self.start + i * self.step) as usize * size)
    }
}

impl Array {
    pub(super) fn copy<'py>(&self, py: Python<'py>, items: Items) -> PyResult<Bound<'py, PyList>> {
        let size = self.codec.size();
        let mut bytes = zeros(items.count * size)?;
        self.with_bytes(py, |all| {
            if items.step == 1 {
                bytes.copy_from_slice(&all[items.start as usize * size..][..items.count * size]);
                return;
            }
            for (into, start) in bytes.chunks_exact_mut(size.max(1)).zip(items.starts(size)) {
                into.copy_from_slice(&all[start..][..size]);
            }
        })?;
        PyList::new(py, self.codec.decode_all(py, items.count, &bytes)?)
    }

    /// All of them or, if one is no element, none.
    pub(super) fn paste(&self, items: Items, new: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, size) = (new.py(), self.codec.size());
        if !self.lock.held().is_mine() {
            return Err(not_held(py, self.name(), "assign inside `with a:`, or use `set`, `add` or `update`"));
        }
        let new: Vec<Bound<'_, PyAny>> = new.try_iter()?.collect::<PyResult<_>>()?;
        if new.len() != items.count {
            let text = format!("an array does not grow or shrink: expected {} items, found {}", items.count, new.len());
            return Err(PyValueError::new_err(text));
        }
        let mut bytes = zeros(items.count * size)?;
        for (at, element) in new.iter().enumerate() {
            self.codec.encode(element, &mut bytes[at * size..][..size])?;
        }
        self.with_bytes_mut(py, |all| {
            for (from, start) in bytes.chunks_exact(size.max(1)).zip(items.starts(size)) {
                all[start..][..size].copy_from_slice(from);
            }
        })
    }
}
