//! System calls that the measurements need: memory that children inherit, children, cores, clocks and costs.

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// Memory shared with the children that are forked afterwards.
pub struct Shared<T> {
    start: NonNull<T>,
}

/// What zero bytes are a valid value of, and what may be used by several processes at once.
///
/// # Safety
///
/// Both must be true.
pub unsafe trait Zeroed: Sync {}

// SAFETY: atomics are valid when zero, and made for sharing.
unsafe impl Zeroed for std::sync::atomic::AtomicU64 {}
// SAFETY: as the element.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}

impl<T: Zeroed> Shared<T> {
    pub fn new() -> Self {
        let start = map(size_of::<T>()).cast();
        Self { start }
    }
}

impl<T: Zeroed> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: mapped until the drop, page-aligned, zero at first, and `T` allows all of that.
        unsafe { self.start.as_ref() }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        unmap(self.start.cast(), size_of::<T>());
    }
}

/// Bytes shared with the children that are forked afterwards, zero at first.
pub fn map(bytes: usize) -> NonNull<u8> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address that the kernel chooses.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED, "mmap of {bytes} bytes: {}", io::Error::last_os_error());
    NonNull::new(start.cast()).expect("no mapping is at 0")
}

/// Bytes of a POSIX shared-memory object that has lost its name again.
pub fn map_object(bytes: usize) -> NonNull<u8> {
    let name = std::ffi::CString::new(robust_shm::unique_name("peers-object")).expect("no zero in it");
    // SAFETY: a string.
    let file = unsafe { libc::shm_open(name.as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600) };
    assert!(file >= 0, "shm_open: {}", io::Error::last_os_error());
    // SAFETY: a string.
    unsafe { libc::shm_unlink(name.as_ptr()) };
    // SAFETY: an open file.
    assert_eq!(unsafe { libc::ftruncate(file, bytes as libc::off_t) }, 0);
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping at an address that the kernel chooses.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, file, 0) };
    assert_ne!(start, libc::MAP_FAILED, "mmap of {bytes} bytes: {}", io::Error::last_os_error());
    // SAFETY: opened above, and not used again.
    unsafe { libc::close(file) };
    NonNull::new(start.cast()).expect("no mapping is at 0")
}

/// Allows as many open files as this user may have.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: room for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: filled in above.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
}

pub fn unmap(start: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's own mapping.
    unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
}

/// A child process. It is killed when it is dropped before its end.
pub struct Child {
    pid: libc::pid_t,
}

impl Child {
    /// Runs `role` in a forked child, which ends after it. The parent must have only one thread.
    pub fn fork(role: impl FnOnce()) -> Self {
        // SAFETY: the parent has one thread, so no lock of another thread stays held in the child.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", io::Error::last_os_error()),
            0 => {
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(role));
                // SAFETY: ends the process, without the parent's exit handlers.
                unsafe { libc::_exit(i32::from(done.is_err())) }
            }
            pid => Self { pid },
        }
    }

    pub fn kill(&self) {
        // SAFETY: a child that has not been waited for, so the number is still its own.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }

    /// Whether it sleeps.
    pub fn asleep(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("a child is there until its end");
        // The name, in brackets, may have any sign in it.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
    }

    /// Waits for the end.
    pub fn wait(self) {
        let status = self.reap();
        std::mem::forget(self);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "a child failed: status {status:#x}");
    }

    /// Waits for the end of a child that was killed.
    pub fn wait_killed(self) {
        self.reap();
        std::mem::forget(self);
    }

    fn reap(&self) -> i32 {
        let mut status = 0;
        loop {
            // SAFETY: a child of this process, and room for its status.
            let reaped = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
            if reaped == self.pid {
                return status;
            }
            let error = io::Error::last_os_error();
            assert_eq!(error.kind(), io::ErrorKind::Interrupted, "waitpid: {error}");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        self.reap();
    }
}

/// How many cores this process may run on.
pub fn cores() -> usize {
    allowed().len()
}

/// The cores that this process was started on.
fn allowed() -> Vec<usize> {
    use std::sync::OnceLock;
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    let read = || {
        // SAFETY: a set of bits: zero is valid.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: room for a set of the size given.
        unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
        // SAFETY: below the size of the set.
        (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
    };
    ALLOWED.get_or_init(read).clone()
}

/// Pins this thread to the `which`th of the cores it was started on, counted round.
pub fn pin(which: usize) {
    let allowed = allowed();
    pin_to(&[allowed[which % allowed.len()]]);
}

/// From here on this thread runs only when no other wants its core.
pub fn run_only_when_idle() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread; the parameters outlive the call.
    let failed = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    assert_eq!(failed, 0, "sched_setscheduler: {}", io::Error::last_os_error());
}

/// Undoes [`pin`].
pub fn unpin() {
    pin_to(&allowed());
}

fn pin_to(cores: &[usize]) {
    // SAFETY: a set of bits: zero is valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &core in cores {
        // SAFETY: `allowed` counts below the size of the set.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: a set of the size given.
    let failed = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    assert_eq!(failed, 0, "sched_setaffinity: {}", io::Error::last_os_error());
}

/// CLOCK_MONOTONIC, the same for all processes.
#[inline]
pub fn now() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// The processor time of this thread, which other processes on the same core do not add to.
pub fn own_time() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock(which: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for a time.
    unsafe { libc::clock_gettime(which, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What this process has used so far.
#[derive(Clone, Copy)]
pub struct Used {
    pub cpu_ns: u64,
    /// Voluntary ones.
    pub switches: u64,
}

impl Used {
    pub fn so_far() -> Self {
        // SAFETY: numbers: zero is valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: room for the answer.
        unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
        let ns = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000;
        Self { cpu_ns: ns(usage.ru_utime) + ns(usage.ru_stime), switches: usage.ru_nvcsw as u64 }
    }

    pub fn since(self, before: Self) -> Self {
        Self { cpu_ns: self.cpu_ns - before.cpu_ns, switches: self.switches - before.switches }
    }
}

/// Waits until `done`, at most a minute; naps in between so that it leaves the core to others.
pub fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited for too long: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}
