//! Programs run on glibc 2.17 (2012) and later: nothing of a later one is imported, unless it can do without (`weak`).
#![cfg(all(target_os = "linux", target_env = "gnu", not(robust_shm_unix)))]

use std::collections::BTreeSet;

use robust_shm::{SegmentInfo, SharedArray, SharedLock, SharedValue, unique_name};

/// Names that glibc has had from 2.17 on or before, under a version that they had then. They moved when its libraries
/// were merged: `stat` and its kin in 2.33, threads, shared memory and dynamic loading in 2.34. A program that is linked
/// with a new glibc has the new version of them, with an old one the old.
const MOVED: &[&str] =
    &["__libc_start_main", "stat64", "fstat64", "lstat64", "fstatat64", "stat", "fstat", "lstat", "fstatat"];
const MOVED_KINDS: &[&str] = &["pthread_", "shm_", "dl", "sem_", "timer_"];

struct Elf<'a>(&'a [u8]);

struct Section {
    kind: u32,
    link: usize,
    offset: usize,
    size: usize,
}

/// As far as a 64-bit little-endian file has it.
impl Elf<'_> {
    fn number(&self, at: usize, bytes: usize) -> usize {
        self.0[at..at + bytes].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    fn sections(&self) -> Vec<Section> {
        assert_eq!(self.0[..6], *b"\x7fELF\x02\x01");
        let (start, size, count) = (self.number(0x28, 8), self.number(0x3a, 2), self.number(0x3c, 2));
        (0..count)
            .map(|which| start + which * size)
            .map(|at| Section {
                kind: self.number(at + 4, 4) as u32,
                offset: self.number(at + 0x18, 8),
                size: self.number(at + 0x20, 8),
                link: self.number(at + 0x28, 4),
            })
            .collect()
    }

    fn text(&self, at: usize) -> &str {
        let end = self.0[at..].iter().position(|byte| *byte == 0).unwrap();
        std::str::from_utf8(&self.0[at..at + end]).unwrap()
    }

    /// The names that the file cannot do without, with their versions.
    fn strong_imports(&self) -> BTreeSet<(String, String)> {
        const DYNAMIC_SYMBOLS: u32 = 11;
        const VERSIONS: u32 = 0x6fff_ffff;
        const VERSIONS_NEEDED: u32 = 0x6fff_fffe;
        let sections = self.sections();
        let find = |kind| sections.iter().find(|section| section.kind == kind).unwrap();
        let (symbols, versions, needed) = (find(DYNAMIC_SYMBOLS), find(VERSIONS), find(VERSIONS_NEEDED));
        let names = sections[symbols.link].offset;
        let version_name = |wanted: usize| {
            let mut file = needed.offset;
            loop {
                let mut entry = file + self.number(file + 8, 4);
                for _ in 0..self.number(file + 2, 2) {
                    if self.number(entry + 6, 2) == wanted {
                        return self.text(sections[needed.link].offset + self.number(entry + 8, 4)).to_owned();
                    }
                    entry += self.number(entry + 12, 4);
                }
                match self.number(file + 12, 4) {
                    0 => return String::new(), // not versioned
                    next => file += next,
                }
            }
        };
        let mut imports = BTreeSet::new();
        for which in 0..symbols.size / 24 {
            let symbol = symbols.offset + which * 24;
            let is_global = self.0[symbol + 4] >> 4 == 1;
            let is_undefined = self.number(symbol + 6, 2) == 0;
            if is_global && is_undefined {
                let version = self.number(versions.offset + 2 * which, 2) & 0x7fff;
                imports.insert((self.text(names + self.number(symbol, 4)).to_owned(), version_name(version)));
            }
        }
        imports
    }
}

/// Is this version of glibc's after 2.17?
fn is_new(version: &str) -> bool {
    let Some(version) = version.strip_prefix("GLIBC_2.") else { return false };
    version.split('.').next().unwrap().parse::<u32>().unwrap() > 17
}

fn has_moved(name: &str) -> bool {
    MOVED.contains(&name) || MOVED_KINDS.iter().any(|kind| name.starts_with(kind))
}

#[test]
fn nothing_is_imported_that_glibc_2_17_does_not_have() {
    // So that all of it is in this program.
    let [value, array, lock] = [(); 3].map(|()| unique_name("glibc"));
    let (value, lock) = (SharedValue::create(&value, 1u64).unwrap(), SharedLock::open_or_create(&lock).unwrap());
    let array = SharedArray::<u64, 4>::create(&array).unwrap();
    drop((SegmentInfo::of(value.name()).unwrap(), robust_shm::segments().count()));
    drop((value.lock().unwrap(), array.lock().unwrap(), lock.lock().unwrap()));
    robust_shm::remove_orphans().unwrap();

    let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let imports = Elf(&file).strong_imports();
    assert!(imports.iter().any(|(name, version)| name == "getpid" && version.starts_with("GLIBC_2.")), "{imports:?}");
    let new: Vec<_> = imports.iter().filter(|(name, version)| is_new(version) && !has_moved(name)).collect();
    assert!(new.is_empty(), "newer than glibc 2.17: {new:?}");
}
