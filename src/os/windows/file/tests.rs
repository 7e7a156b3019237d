//! Names, and what they lead to.

use super::*;
use crate::os::map::Map;
use crate::os::owner;

fn new_file(content: u8) -> (String, File) {
    let name = crate::unique_name("robust-shm-file");
    let file = create_private(&name).unwrap();
    write_at(&file, &[content; 4096], 0).unwrap();
    (name, file)
}

fn first(map: &Map) -> u8 {
    // SAFETY: mapped.
    unsafe { map.start().read_volatile() }
}

#[test]
fn a_name_is_free_at_once_whoever_has_the_file_open_or_mapped() {
    let (name, file) = new_file(1);
    let status = super::status(&file).unwrap();
    let map = Map::of(&name, &status, 4096).unwrap().unwrap();
    unlink(&name).unwrap();
    assert!(matches!(open(&name, true), Err(OpenError::NotFound)));
    assert_eq!(status_of(&name).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(Map::of(&name, &status, 4096).unwrap().is_none());
    let (next_name, next) = new_file(2);
    link_private(&next_name, &name).unwrap();
    assert!(!super::status(&next).unwrap().is_same_file(&super::status(&file).unwrap()));
    assert!(Map::of(&name, &status, 4096).unwrap().is_none(), "another file of that name");
    write_at(&file, &[3], 0).unwrap();
    assert_eq!(first(&map), 3, "coherent, and still there");
    unlink(&name).unwrap();
}

#[test]
fn a_name_is_given_to_one() {
    let ((one, _file), (other, _other_file)) = (new_file(1), new_file(2));
    let name = crate::unique_name("robust-shm-file");
    link_private(&one, &name).unwrap();
    assert_eq!(link_private(&other, &name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(link_private(&one, &name).unwrap_err().kind(), io::ErrorKind::NotFound);
    let mut content = [0; 8192];
    assert_eq!(read_at(&open(&name, false).unwrap(), &mut content, 0).unwrap(), 4096);
    assert_eq!(content[0], 1);
    [&name, &other].into_iter().for_each(|name| unlink(name).unwrap());
}

#[test]
fn what_is_spelt_otherwise_is_told_apart() {
    let (name, _file) = new_file(1);
    let error = status_of(&name.to_uppercase()).unwrap_err();
    assert!(error.to_string().contains(&name), "{error}");
    assert!(status_of(&name).is_ok());
    unlink(&name).unwrap();
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
    let (name, file) = new_file(1);
    clear(&file, 100).unwrap();
    let mut content = [9; 4096];
    assert_eq!(read_at(&file, &mut content, 0).unwrap(), 4096);
    assert!(content[..100].iter().all(|byte| *byte == 1) && content[100..].iter().all(|byte| *byte == 0));
    set_len(&file, 100_000).unwrap();
    reserve(&file, 100_000).unwrap();
    assert_eq!((status(&file).unwrap().len, owner::effective_uid()), (100_000, status(&file).unwrap().owner));
    assert!(available_space().is_some_and(|available| available > 0));
    unlink(&name).unwrap();
}

#[test]
fn the_longest_name_is_a_file_name() {
    let name = format!("{:-<250}", crate::unique_name("robust-shm-file"));
    let _file = create_private(&name).unwrap();
    assert!(status_of(&name).is_ok());
    assert!(directory::names().unwrap().any(|found| found.unwrap() == name));
    unlink(&name).unwrap();
}
