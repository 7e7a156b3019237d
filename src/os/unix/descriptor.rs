//! A descriptor that is kept for long, in a program that may close what it did not open.
//!
//! Daemons close all descriptors that they find, and the numbers are given to other files: what is done by such a number
//! then is done to a stranger's file. So before each use it is looked whether the number still stands for the file that
//! it was given for: at the beginning of whatever is done with it, as leaving or a question. (Another thread can close it
//! between the look and the use: that cannot be helped.)
//!
//! The number may be given to the same file again, which the program opens anew by this crate. Then it is that one's, and not
//! the first one's any more.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::file::{self, Status};
use super::file_lock;
use super::standard::above_standard;

/// An open file that stays open, unless the program closes it behind our back.
#[derive(Debug)]
pub(crate) struct Descriptor {
    file: ManuallyDrop<File>,
    /// As it was when it was opened; only the device and the inode count.
    opened: Status,
    /// Which of all is this?
    serial: u32,
    is_closed: AtomicBool,
}

/// The serial number of the last one that was given each descriptor; for those up to which programs usually come.
static LAST_AT: [AtomicU32; 4096] = [const { AtomicU32::new(0) }; 4096];

fn last_at(file: &File) -> Option<&'static AtomicU32> {
    usize::try_from(file.as_raw_fd()).ok().and_then(|number| LAST_AT.get(number))
}

impl Descriptor {
    /// Moves it out of the way of the standard descriptors, of which programs dispose without asking.
    pub(crate) fn new(file: File, opened: Status) -> io::Result<Self> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let file = ManuallyDrop::new(above_standard(file)?);
        file_lock::after_opening(&file);
        let serial = LAST.fetch_add(1, Ordering::Relaxed);
        if let Some(last) = last_at(&file) {
            last.store(serial, Ordering::Relaxed);
        }
        Ok(Self { file, opened, serial, is_closed: AtomicBool::new(false) })
    }

    /// The file, if the descriptor still stands for it.
    pub(crate) fn get(&self) -> Option<&File> {
        self.status_if_whole().map(|_| &*self.file)
    }

    pub(crate) fn status(&self) -> io::Result<Status> {
        self.status_if_whole().ok_or_else(|| {
            let message = "the descriptor by which this process has the segment open was closed by the program itself";
            io::Error::new(io::ErrorKind::NotConnected, message)
        })
    }

    fn status_if_whole(&self) -> Option<Status> {
        self.status_if_open().filter(|_| file_lock::is_whole(&self.file))
    }

    fn status_if_open(&self) -> Option<Status> {
        let is_last = || last_at(&self.file).is_none_or(|last| last.load(Ordering::Relaxed) == self.serial);
        if self.is_closed.load(Ordering::Relaxed) || !is_last() {
            return None;
        }
        file::status(&self.file).ok().filter(|now| now.is_same_file(&self.opened))
    }

    /// The file, for whoever has just opened it, or has just been told by [`get`](Self::get) that it is still there.
    pub(crate) fn known(&self) -> &File {
        &self.file
    }

    /// As it was when it was opened. Device and inode stay.
    pub(crate) fn opened(&self) -> &Status {
        &self.opened
    }

    /// Is that the file that this was opened as? A file that is mapped keeps its inode, whether or not it is still open.
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
        file::status(other).is_ok_and(|other| other.is_same_file(&self.opened))
    }

    /// Closes it before the end of its owner's life.
    pub(crate) fn close(&self) {
        if self.status_if_open().is_some() {
            self.close_known();
        }
    }

    /// [`close`](Self::close), for whoever has just been told by [`get`](Self::get) that it is still there.
    pub(crate) fn close_known(&self) {
        if !self.is_closed.swap(true, Ordering::Relaxed) {
            file_lock::before_closing(&self.file);
            // SAFETY: the descriptor is open and ours, and from here on counts as closed.
            unsafe { libc::close(self.file.as_raw_fd()) };
        }
    }

    /// Makes it stand for another description of the file, at once. `false`: it is not ours any more, or that failed.
    pub(crate) fn replace_by(&self, other: File) -> bool {
        let replaced = self.status_if_open().is_some() && put_in_place(&other, self.file.as_raw_fd());
        if replaced {
            file_lock::after_replacing(&self.file, &other);
        } else {
            file_lock::before_closing(&other);
        }
        replaced
    }

    /// In a child in which somebody may still be in the middle of using it: puts something in its place that nothing
    /// comes of, and forgets it.
    pub(crate) fn neutralise(&self) {
        if self.status_if_open().is_none() {
            return;
        }
        file_lock::before_closing(&self.file);
        // Without an allocation, as in `file::open`.
        let harmless = File::open("/dev/null");
        if harmless.is_ok_and(|harmless| put_in_place(&harmless, self.file.as_raw_fd())) {
            self.is_closed.store(true, Ordering::Relaxed);
        } else {
            self.close();
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.close();
    }
}

/// Makes descriptor `to` refer to the description of `from`, atomically; in a child that was forked just now, and so has one
/// thread, which executes no other program before the descriptor is marked. (macOS has no `dup3`.)
fn put_in_place(from: &File, to: RawFd) -> bool {
    // SAFETY: `to` is a descriptor that is ours and stays so; the call replaces what it refers to.
    let is_there = unsafe { libc::dup2(from.as_raw_fd(), to) == to };
    // SAFETY: takes integers.
    is_there && unsafe { libc::fcntl(to, libc::F_SETFD, libc::FD_CLOEXEC) } == 0
}
