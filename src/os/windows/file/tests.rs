//! Names, and what they lead to.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::os::map::Map;
use crate::os::owner;

/// A file of one page, which goes with its name.
pub(in super::super) struct Scratch {
    pub(in super::super) name: String,
    pub(in super::super) file: File,
}

impl Scratch {
    pub(in super::super) fn new(name: &str, content: u8) -> Self {
        let scratch = Self { name: name.to_owned(), file: create_private(name).unwrap() };
        write_at(&scratch.file, &[content; 4096], 0).unwrap();
        scratch
    }

    fn unique(content: u8) -> Self {
        Self::new(&crate::unique_name("robust-shm-file"), content)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = unlink(&self.name);
    }
}

/// A name that is free again in the end.
struct Freed(String);

impl Drop for Freed {
    fn drop(&mut self) {
        let _ = unlink(&self.0);
    }
}

fn first(map: &Map) -> u8 {
    // SAFETY: mapped.
    unsafe { map.start().read_volatile() }
}

#[test]
fn a_name_is_free_at_once_whoever_has_the_file_open_or_mapped() {
    let one = Scratch::unique(1);
    let (name, status) = (&one.name, super::status(&one.file).unwrap());
    let map = Map::of(name, &status, 4096).unwrap().unwrap();
    unlink(name).unwrap();
    assert!(matches!(open(name, true), Err(OpenError::NotFound)));
    assert_eq!(status_of(name).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(Map::of(name, &status, 4096).unwrap().is_none());
    let next = Scratch::unique(2);
    link_private(&next.name, name).unwrap();
    assert!(!super::status(&next.file).unwrap().is_same_file(&status));
    assert!(Map::of(name, &status, 4096).unwrap().is_none(), "another file of that name");
    write_at(&one.file, &[3], 0).unwrap();
    assert_eq!(first(&map), 3, "coherent, and still there");
}

#[test]
fn a_name_is_given_to_one() {
    let (one, other) = (Scratch::unique(1), Scratch::unique(2));
    let name = Freed(crate::unique_name("robust-shm-file"));
    link_private(&one.name, &name.0).unwrap();
    assert_eq!(link_private(&other.name, &name.0).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(link_private(&one.name, &name.0).unwrap_err().kind(), io::ErrorKind::NotFound);
    let mut content = [0; 8192];
    assert_eq!(read_at(&open(&name.0, false).unwrap(), &mut content, 0).unwrap(), 4096);
    assert_eq!(content[0], 1);
}

/// A sweep may take the private name of one who is slow for a dead creator's.
#[test]
fn who_has_lost_his_private_name_is_told_so() {
    let one = Scratch::unique(1);
    let private = Freed(format!("x{UNFINISHED}-{}", crate::unique_name("y")));
    link_private(&one.name, &private.0).unwrap();
    unlink(&private.0).unwrap();
    let name = Freed(crate::unique_name("robust-shm-file"));
    assert_eq!(link_private(&private.0, &name.0).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_is_spelt_otherwise_is_told_apart() {
    let one = Scratch::unique(1);
    let error = status_of(&one.name.to_uppercase()).unwrap_err();
    assert!(error.to_string().contains(&one.name), "{error}");
    assert!(status_of(&one.name).is_ok());
}

/// A name that comes and goes while it is looked at.
#[test]
fn a_name_is_there_or_not() {
    let name = Freed(crate::unique_name("robust-shm-file"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let look = || {
            while !is_over.load(Ordering::Relaxed) {
                match status_of(&name.0) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error:?}"),
                }
                match open(&name.0, true) {
                    Ok(_) | Err(OpenError::NotFound) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        };
        let looking = [scope.spawn(look), scope.spawn(look)];
        for _ in 0..500 {
            let one = Scratch::unique(1);
            link_private(&one.name, &name.0).unwrap();
            unlink(&name.0).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        for thread in looking {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_directory_is_no_file() {
    let name = crate::unique_name("robust-shm-file");
    directory::prepare().unwrap();
    fs::create_dir(directory::path(&name).unwrap()).unwrap();
    let found = status_of(&name).unwrap().strange;
    let opened = [open(&name, true), open(&name, false)].map(|opened| matches!(opened, Err(OpenError::NotAFile)));
    fs::remove_dir(directory::path(&name).unwrap()).unwrap();
    assert_eq!((found, opened), (Some("a directory"), [true; 2]));
}

#[test]
fn what_is_cleared_and_reserved_is_zero_and_still_there() {
    let one = Scratch::unique(1);
    clear(&one.file, 100).unwrap();
    let mut content = [9; 4096];
    assert_eq!(read_at(&one.file, &mut content, 0).unwrap(), 4096);
    assert!(content[..100].iter().all(|byte| *byte == 1) && content[100..].iter().all(|byte| *byte == 0));
    set_len(&one.file, 100_000).unwrap();
    reserve(&one.file, 100_000).unwrap();
    let status = status(&one.file).unwrap();
    assert_eq!((status.len, status.owner), (100_000, owner::effective_uid()));
    assert!(available_space().is_some_and(|available| available > 0));
}

#[test]
fn the_longest_name_is_a_file_name() {
    let one = Scratch::new(&format!("{:-<250}", crate::unique_name("robust-shm-file")), 0);
    assert!(status_of(&one.name).is_ok());
    assert!(directory::names().unwrap().any(|found| found.unwrap() == one.name));
}

#[test]
fn what_no_drive_has_room_for_is_out_of_space() {
    let error = check_limit(1 << 60).unwrap_err();
    assert!(is_out_of_space(&error), "{error:?}");
    check_limit(4096).unwrap();
}
