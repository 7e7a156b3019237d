//! Opening and creating a segment, beside the system calls that any such thing needs.

use std::ffi::CString;
use std::io;

use robust_shm::{SharedValue, unique_name};

use crate::effort::Effort;
use crate::report::{Limit, Part, Row};
use crate::sys;

const ROUNDS: usize = 11;
const MS: u64 = 50;

const OPEN: &str = "open what exists, close";
const CREATE: &str = "create, remove";
const OURS: &str = "SharedValue<u64>";
const BARE: &str = "bare system calls";

/// A segment of one page.
const BYTES: usize = 4_096;

pub fn measure(effort: Effort) -> Part {
    let how = format!(
        "{} rounds over all contenders, {} ms each; processor time; pinned to the second core; bare calls: shm_open, fstat or ftruncate, mmap, \
         one access, munmap, close, and shm_unlink",
        effort.rounds(ROUNDS),
        effort.ms(MS)
    );
    let mut part = Part { name: "segments", how, rows: Vec::new(), bars: Vec::new() };
    sys::pin(1);
    if effort.wants(OPEN) {
        part.rows.extend(open(effort));
    }
    if effort.wants(CREATE) {
        part.rows.extend(create(effort));
    }
    sys::unpin();
    [OPEN, CREATE].iter().for_each(|case| part.bar(case, OURS, BARE, Limit::AtMost(2.0)));
    part
}

fn open(effort: Effort) -> Vec<Row> {
    let name = unique_name("peers");
    let _value = SharedValue::create(&name, 7u64).expect("a new name");
    let other = Bare(CString::new(unique_name("peers-bare")).expect("no zero in it"));
    other.create();
    let ours = || drop(SharedValue::<u64>::open(&name).expect("it exists"));
    let rows = rounds(OPEN, effort, &[(OURS, &ours), (BARE, &|| other.open())]);
    other.remove();
    rows
}

fn create(effort: Effort) -> Vec<Row> {
    let name = unique_name("peers");
    let other = Bare(CString::new(unique_name("peers-bare")).expect("no zero in it"));
    let ours = || drop(SharedValue::create(&name, 7u64).expect("a new name"));
    let bare = || {
        other.create();
        other.remove();
    };
    rounds(CREATE, effort, &[(OURS, &ours), (BARE, &bare)])
}

fn rounds(case: &str, effort: Effort, contenders: &[(&str, &dyn Fn())]) -> Vec<Row> {
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds(ROUNDS) {
        for (which, (_, run)) in contenders.iter().enumerate() {
            rounds[which].push(microseconds(run, effort.ms(MS)));
        }
    }
    let row = |(&(who, _), rounds): (&(&str, _), Vec<f64>)| Row::new(case, who, "µs", rounds);
    contenders.iter().zip(rounds).map(row).collect()
}

fn microseconds(run: &dyn Fn(), ms: u64) -> f64 {
    let (start, mut times) = (sys::own_time(), 0);
    loop {
        run();
        times += 1;
        let taken = sys::own_time() - start;
        if taken >= ms * 1_000_000 {
            return taken as f64 / 1e3 / f64::from(times);
        }
    }
}

/// A shared-memory object without anything in it.
struct Bare(CString);

impl Bare {
    fn open(&self) {
        let file = self.file(libc::O_RDWR);
        // SAFETY: numbers: zero is valid.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: an open file, and room for the answer.
        assert_eq!(unsafe { libc::fstat(file, &raw mut status) }, 0);
        self.map_and_close(file);
    }

    fn create(&self) {
        let file = self.file(libc::O_RDWR | libc::O_CREAT | libc::O_EXCL);
        // SAFETY: an open file.
        assert_eq!(unsafe { libc::ftruncate(file, BYTES as libc::off_t) }, 0);
        self.map_and_close(file);
    }

    fn remove(&self) {
        // SAFETY: a string.
        assert_eq!(unsafe { libc::shm_unlink(self.0.as_ptr()) }, 0);
    }

    fn file(&self, flags: i32) -> i32 {
        // SAFETY: a string.
        let file = unsafe { libc::shm_open(self.0.as_ptr(), flags, 0o600) };
        assert!(file >= 0, "shm_open: {}", io::Error::last_os_error());
        file
    }

    fn map_and_close(&self, file: i32) {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), BYTES, protection, flags, file, 0) };
        assert_ne!(start, libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
        // SAFETY: mapped, and nobody else's.
        unsafe { start.cast::<u64>().write_volatile(7) };
        // SAFETY: mapped above; nothing points into it any more.
        unsafe { libc::munmap(start, BYTES) };
        // SAFETY: opened above, and not used again.
        unsafe { libc::close(file) };
    }
}
