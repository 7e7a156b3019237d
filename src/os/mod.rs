//! The operating system: everything that is a system call, a C library function or a fact about either.
//!
//! One directory per system, each with files of the same names and signatures, chosen here. Nothing in here knows what
//! a segment is.
#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
mod linux;
#[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
pub(crate) use linux::*;

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
compile_error!(
    "robust-shm needs 64-bit little-endian Linux: its lock is handed over by that kernel's robust futexes when a process dies"
);
