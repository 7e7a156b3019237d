//! `a.view()`: memory in place that is gone at the end of the block.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use robust_shm::dynamic::{Form, Primitive, Schema};

use super::Array;
use crate::buffer::Span;
use crate::errors::{self, not_held};
use crate::thread::me;

/// The views that blocks have opened, and not left yet: at most one for each thread.
#[derive(Default)]
pub(super) struct Views {
    count: AtomicUsize,
    open: Mutex<Vec<Open>>,
}

struct Open {
    /// Whose block it is for.
    thread: u64,
    view: Py<PyAny>,
    span: Py<Span>,
}

/// A view that was laid aside: where its object is, which the list keeps.
pub(super) struct Aside(usize);

/// No thread's number.
const NOBODY: u64 = 0;

impl Views {
    /// No Python code runs while it is locked.
    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends this thread's, if it has one. `BufferError`: somebody has made another view of it, which goes on.
    #[inline]
    pub(super) fn close(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        if self.count.load(Ordering::Relaxed) == 0 { Ok(()) } else { self.close_mine(py, name) }
    }

    #[cold]
    fn close_mine(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let mine = {
            let mut open = self.open();
            let mine = open.iter().position(|open| open.thread == me()).map(|at| open.swap_remove(at));
            self.count.store(open.len(), Ordering::Relaxed);
            mine
        };
        let Some(Open { view, span, .. }) = mine else { return Ok(()) };
        let released = view.bind(py).call_method0("release");
        if released.is_ok() && !span.get().is_exported() {
            return Ok(());
        }
        Err(errors::view_outlives(py, name))
    }

    /// For a thread that gives the lock up while it waits: what it does meanwhile, in a signal's handler, does not end the view.
    pub(super) fn lay_aside(&self) -> Option<Aside> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut open = self.open();
        let mine = open.iter_mut().find(|open| open.thread == me())?;
        mine.thread = NOBODY;
        Some(Aside(mine.view.as_ptr() as usize))
    }

    /// For the same one, whose wait has ended. In a child that was forked meanwhile there is nothing to take.
    pub(super) fn take_up(&self, aside: Aside) {
        let mut open = self.open();
        if let Some(mine) = open.iter_mut().find(|open| open.view.as_ptr() as usize == aside.0) {
            mine.thread = me();
        }
    }

    /// In a forked child: ends all, as far as that is possible.
    pub(super) fn forget(&self, py: Python<'_>) {
        let open = std::mem::take(&mut *self.open());
        self.count.store(0, Ordering::Relaxed);
        for open in open {
            // What is made of it goes on, as it would at the end of the block.
            let _ = open.view.bind(py).call_method0("release");
        }
    }
}

/// This block's view.
pub(super) fn view<'py>(of: &Bound<'py, Array>) -> PyResult<Bound<'py, PyAny>> {
    let (py, this) = (of.py(), of.get());
    if let Some(open) = this.views.open().iter().find(|open| open.thread == me()) {
        return Ok(open.view.bind(py).clone());
    }
    let span = Bound::new(py, span(of)?)?;
    let bytes = PyMemoryView::from(span.as_any())?;
    let view = match this.lock.handle().schema().and_then(|schema| format(schema, this.len())) {
        Some((format, shape)) if this.len() > 0 && !shape.contains(&0) => {
            bytes.call_method1("cast", (format, shape))?
        }
        _ => bytes.into_any(),
    };
    super::forks::note(of)?;
    let mut open = this.views.open();
    open.push(Open { thread: me(), view: view.clone().unbind(), span: span.unbind() });
    this.views.count.store(open.len(), Ordering::Relaxed);
    Ok(view)
}

/// What this thread may touch.
pub(super) fn span(of: &Bound<'_, Array>) -> PyResult<Span> {
    let (this, handle) = (of.get(), of.get().lock.handle());
    let span = this.lock.held().with(|guard| Span::writable(handle, guard));
    let span = span.or_else(|| this.reading.with(|guard| Span::read_only(handle, guard)));
    span.ok_or_else(|| not_held(of.py(), this.name(), "ask inside `with a:` or `with a.read():`, or copy it by `a[:]`"))
}

/// The letter of the numbers, and how many there are in each direction. `None`: they are no numbers, and stay bytes.
fn format(schema: &Schema, len: usize) -> Option<(&'static str, Vec<usize>)> {
    let (mut inner, mut shape) = (schema, vec![len]);
    loop {
        match inner.form() {
            Form::Array { element, len } => {
                shape.push(len);
                inner = element;
            }
            Form::Primitive(primitive) => return letter(primitive).map(|letter| (letter, shape)),
            _ => return None,
        }
    }
}

fn letter(primitive: Primitive) -> Option<&'static str> {
    Some(match primitive {
        Primitive::U8 => "B",
        Primitive::U16 => "H",
        Primitive::U32 => "I",
        Primitive::U64 => "Q",
        Primitive::I8 => "b",
        Primitive::I16 => "h",
        Primitive::I32 => "i",
        Primitive::I64 => "q",
        Primitive::F32 => "f",
        Primitive::F64 => "d",
        _ => return None,
    })
}
