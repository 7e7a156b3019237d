//! System calls that fail as on another kernel, or in a sandbox.

use std::io;

/// In place of an error: whoever makes the call is killed.
#[allow(dead_code, reason = "each test binary uses its own part")]
pub(crate) const FATAL: libc::c_int = -1;

/// A call that fails: its number, the value of one argument if only that fails, and the error (0: it claims success).
pub(crate) struct Refused {
    pub(crate) call: libc::c_long,
    pub(crate) only_if: Option<(u32, u32)>,
    pub(crate) errno: libc::c_int,
}

impl Refused {
    #[allow(dead_code, reason = "each test binary uses its own part")]
    pub(crate) const fn always(call: libc::c_long, errno: libc::c_int) -> Self {
        Self { call, only_if: None, errno }
    }
}

/// Has these calls fail in every thread of this process and in all of its children, for good.
pub(crate) fn refuse(calls: &[Refused]) {
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    const KILL_PROCESS: u32 = 0x8000_0000;
    let step = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    // Goes on if equal, else so many steps further.
    let expect = |k, skipped| libc::sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: skipped, k };
    let mut program = Vec::new();
    for Refused { call, only_if, errno } in calls {
        program.extend([step(LOAD, 0), expect(*call as u32, if only_if.is_some() { 3 } else { 1 })]);
        if let Some((argument, value)) = only_if {
            program.extend([step(LOAD, 16 + 8 * argument), expect(*value, 1)]);
        }
        program.push(step(RETURN, if *errno == FATAL { KILL_PROCESS } else { ERRNO | *errno as u32 }));
    }
    program.push(step(RETURN, ALLOW));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: takes integers.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    const SET_MODE_FILTER: libc::c_int = 1;
    const ALL_THREADS: libc::c_int = 1;
    // SAFETY: the program outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, ALL_THREADS, &raw const filter) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}
