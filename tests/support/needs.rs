//! What a test needs of a machine: root, namespaces, a kernel that is new enough. (What it needs of a *system* is compiled
//! out elsewhere, and stands in `tests/README.md`.)

use std::process::{Command, Stdio};

use robust_shm::LockKind;

/// What a test cannot do everywhere.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// To be root.
    Root,
    /// To make namespaces.
    Namespaces,
    /// What root, too, cannot have everywhere: a kernel that is new enough, a file system, a control group.
    System,
}

/// Says that a test does not do its work here. Fails instead if `ROBUST_SHM_NO_SKIPS` names the need (`root,namespaces`)
/// or is `all`: where they are met, nothing may be passed over in silence.
#[track_caller]
pub fn skip(need: Need, why: impl std::fmt::Display) {
    let needed = format!("{need:?}").to_lowercase();
    let forbidden = std::env::var("ROBUST_SHM_NO_SKIPS").unwrap_or_default();
    let is_forbidden = forbidden.split(',').any(|word| word == needed || word == "all");
    assert!(!is_forbidden, "ROBUST_SHM_NO_SKIPS={forbidden} forbids to skip this: {why}");
    // Not by `eprintln!`, whose output nobody sees when the test passes.
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED, needs {needed}: {why}");
}

/// Whether this process is root; else says that the test is skipped.
#[cfg(unix)]
#[track_caller]
pub fn is_root(why: &str) -> bool {
    // SAFETY: takes nothing.
    #[allow(unsafe_code)]
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        skip(Need::Root, why);
    }
    is_root
}

/// Whether the kernel is Linux and not gVisor, which says so in this way; else says that the test is skipped.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn is_linux(why: &str) -> bool {
    let version = std::fs::read_to_string("/proc/version").unwrap_or_default();
    let is_gvisor = version.starts_with("Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016");
    if is_gvisor {
        skip(Need::System, format!("gVisor {why}"));
    }
    !is_gvisor
}

/// Whether this command works here, such as `unshare --mount true`; else says that the test is skipped.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn can_unshare(command: &[&str]) -> bool {
    let mut attempt = Command::new(command[0]);
    attempt.args(&command[1..]).arg("true").stdin(Stdio::null()).stderr(Stdio::null());
    let can = attempt.status().is_ok_and(|status| status.success());
    if !can {
        skip(Need::Namespaces, format!("`{} true` does not work", command.join(" ")));
    }
    can
}

/// Whether there are robust lists here, and so the kernel reports the death of a thread that holds a lock of the default
/// kind; else says that the test is skipped. There are none in an emulator, in some sandboxes (`tests/sandbox` is one),
/// and with `--cfg robust_shm_unix`: the default is then `LockKind::File`.
#[track_caller]
pub fn has_robust_lists(why: &str) -> bool {
    let are_there = LockKind::Futex.is_available();
    if !are_there {
        skip(Need::System, format!("robust lists: {why}"));
    }
    are_there
}

/// Whether others hear of a thread that ends with a lock of the default kind while its process goes on; else says that the
/// test is skipped.
#[track_caller]
pub fn reports_ends_of_threads() -> bool {
    cfg!(windows) || has_robust_lists("the death of a thread is reported")
}

/// Whether all users have one directory of segments, which are objects of shared memory; else says that the test is
/// skipped.
#[track_caller]
pub fn has_shared_memory_objects(why: &str) -> bool {
    let are_files = cfg!(any(robust_shm_unix, not(target_os = "linux")));
    if are_files {
        skip(Need::System, why);
    }
    !are_files
}

/// A holder's process, where the system tells which that is.
pub fn told(process: u32) -> Option<u32> {
    let tells = cfg!(any(windows, all(target_os = "linux", not(robust_shm_unix))));
    tells.then_some(process)
}
