//! A handle that is kept for long, in a program that may close what it did not open.
//!
//! The numbers of closed handles are given to other files: what is done by such a number then is done to a stranger's
//! file. So our handles are protected from being closed, which the system then refuses to a program that tries; and before
//! each use it is looked whether the number still stands for the file that it was given for, because a program can also
//! take the protection away. (Another thread can close it between the look and the use: that cannot be helped.)

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::windows::io::AsRawHandle;
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::Foundation::{CloseHandle, HANDLE_FLAG_PROTECT_FROM_CLOSE, SetHandleInformation};

use super::file::{self, Status};
use super::handle::done;

/// An open file that stays open.
#[derive(Debug)]
pub(crate) struct Descriptor {
    file: ManuallyDrop<File>,
    /// As it was when it was opened; only the volume and the number count.
    opened: Status,
    is_closed: AtomicBool,
}

impl Descriptor {
    pub(crate) fn new(file: File, opened: Status) -> io::Result<Self> {
        protect(&file, true)?;
        Ok(Self { file: ManuallyDrop::new(file), opened, is_closed: AtomicBool::new(false) })
    }

    /// The file, if the handle still stands for it.
    pub(crate) fn get(&self) -> Option<&File> {
        let is_open = !self.is_closed.load(Ordering::Relaxed)
            && file::identity(&self.file).is_ok_and(|now| now.is_same(self.opened.identity));
        is_open.then_some(&*self.file)
    }

    pub(crate) fn status(&self) -> io::Result<Status> {
        match self.get() {
            Some(file) => file::status(file),
            None => {
                let message = "the handle by which this process has the segment open was closed by the program itself";
                Err(io::Error::new(io::ErrorKind::NotConnected, message))
            }
        }
    }

    /// The file, for whoever has just opened it, or has just been told by [`get`](Self::get) that it is still there.
    pub(crate) fn known(&self) -> &File {
        &self.file
    }

    /// As it was when it was opened. Volume and number stay.
    pub(crate) fn opened(&self) -> &Status {
        &self.opened
    }

    /// Is that the file that this was opened as? A file that is mapped keeps its number, whether or not it is still open.
    pub(crate) fn was_opened_as(&self, status: &Status) -> bool {
        self.opened.is_same_file(status)
    }

    /// Does the name lead elsewhere, or nowhere?
    pub(crate) fn has_lost(&self, name: &str) -> bool {
        match file::status_of(name) {
            Ok(there) => !self.was_opened_as(&there),
            Err(error) => error.kind() == io::ErrorKind::NotFound, // else nothing tells
        }
    }

    /// Is this another description of the same file?
    pub(crate) fn is_same_file(&self, other: &File) -> bool {
        file::identity(other).is_ok_and(|other| other.is_same(self.opened.identity))
    }

    /// Closes it before the end of its owner's life.
    pub(crate) fn close(&self) {
        if self.get().is_some() {
            self.close_known();
        }
    }

    /// [`close`](Self::close), for whoever has just been told by [`get`](Self::get) that it is still there.
    pub(crate) fn close_known(&self) {
        if !self.is_closed.swap(true, Ordering::Relaxed) {
            let _ = protect(&self.file, false); // else it stays open: there is nobody to tell
            // SAFETY: the handle is open and ours, and from here on counts as closed.
            unsafe { CloseHandle(self.file.as_raw_handle()) };
        }
    }

    /// Would make it stand for another description of the file, which only a forked child needs.
    pub(crate) fn replace_by(&self, _other: File) -> bool {
        false
    }

    /// Would be called in a forked child.
    pub(crate) fn neutralise(&self) {
        self.close();
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.close();
    }
}

fn protect(file: &File, is_protected: bool) -> io::Result<()> {
    let flags = if is_protected { HANDLE_FLAG_PROTECT_FROM_CLOSE } else { 0 };
    // SAFETY: the handle is open; takes integers.
    done(unsafe { SetHandleInformation(file.as_raw_handle(), HANDLE_FLAG_PROTECT_FROM_CLOSE, flags) })
}

#[cfg(test)]
mod tests {
    use std::mem::ManuallyDrop;
    use std::os::windows::io::FromRawHandle;

    use super::super::file::Scratch;
    use super::*;

    fn another(of: &Scratch) -> File {
        file::open(&of.name, true).unwrap()
    }

    fn new_file() -> Scratch {
        Scratch::new(&crate::unique_name("robust-shm-handle"), 0)
    }

    #[test]
    fn a_program_cannot_close_the_handle() {
        let scratch = new_file();
        let status = file::status(&scratch.file).unwrap();
        let descriptor = Descriptor::new(another(&scratch), status).unwrap();
        // SAFETY: the handle is open; that it stays so is what is tested.
        assert_eq!(unsafe { CloseHandle(descriptor.known().as_raw_handle()) }, 0);
        assert!(descriptor.get().is_some());
        descriptor.close();
        assert!(descriptor.get().is_none() && descriptor.status().is_err());
    }

    /// One that takes the protection away, and has the number given to another file of its own.
    #[test]
    fn a_number_that_stands_for_another_file_is_let_be() {
        let (scratch, other) = (new_file(), new_file());
        let opened = file::status(&scratch.file).unwrap();
        // SAFETY: a second owner of the number of an open handle, which closes nothing.
        let mine = ManuallyDrop::new(unsafe { File::from_raw_handle(other.file.as_raw_handle()) });
        let stolen = Descriptor { file: mine, opened, is_closed: AtomicBool::new(false) };
        assert!(stolen.get().is_none() && stolen.status().is_err());
        drop(stolen);
        assert!(file::status(&other.file).is_ok(), "still open");
    }
}
