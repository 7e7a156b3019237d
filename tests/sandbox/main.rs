//! Runs a program, and all that it starts, as in a sandbox or an emulator without robust lists: `LockKind::Futex` is not
//! available, and the default is `LockKind::File`. As cargo's runner it has the whole suite take that kind:
//! `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=target/debug/robust-shm-sandbox cargo test`.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "a system call")]

use std::os::unix::process::CommandExt;
use std::process::Command;

#[allow(unreachable_pub, reason = "the tests' own")]
#[path = "../support/seccomp.rs"]
mod seccomp;

use seccomp::{Refused, refuse};

fn main() {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().expect("usage: robust-shm-sandbox PROGRAM ARGUMENTS");
    refuse(&[libc::SYS_get_robust_list, libc::SYS_set_robust_list].map(|call| Refused::always(call, libc::ENOSYS)));
    let error = Command::new(&program).args(words).exec();
    panic!("{}: {error}", program.display());
}
