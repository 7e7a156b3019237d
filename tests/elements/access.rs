//! Elements in and out, one and all, by every way that there is.

use std::time::{Duration, Instant};

use robust_shm::{Element, LockError, SegmentInfo};

use super::face::{Elements, HANDLE, create};
use crate::support::{Scratch, within_limit};

#[test]
fn what_is_new_is_zero_and_what_is_given_stands_there() {
    let name = Scratch::new("new");
    let elements = create::<[u16; 3], 5>(&name).unwrap();
    assert_eq!((elements.len(), elements.is_empty()), (5, false));
    assert_eq!(elements.to_vec().unwrap(), [[0; 3]; 5]);
    let name = Scratch::new("given");
    let given = [[1, 2, 3], [4, 5, 6]];
    let elements = Elements::<[u16; 3], 2>::create_from(&name, &given).unwrap();
    assert_eq!(elements.to_vec().unwrap(), given);
    let other = Elements::<[u16; 3], 2>::open(&name).unwrap();
    assert_eq!((other.len(), other.get(1).unwrap()), (2, [4, 5, 6]));
    assert!(elements.was_created() && !other.was_created());
    let third = Elements::<[u16; 3], 2>::open_or_create_from(&name, &[[0; 3]; 2]).unwrap();
    assert_eq!((third.was_created(), third.get(0).unwrap()), (false, [1, 2, 3]));
}

#[test]
fn every_way_in_is_seen_by_every_way_out() {
    let name = Scratch::new("ways");
    let (one, other) = (create::<u32, 4>(&name).unwrap(), Elements::<u32, 4>::open(&name).unwrap());
    let check = |expected: [u32; 4]| {
        let mut copy = [9; 4];
        other.read_into(&mut copy).unwrap();
        assert_eq!(copy, expected);
        assert_eq!(other.to_vec().unwrap(), expected);
        assert_eq!(std::array::from_fn(|i| other.get(i).unwrap()), expected);
        assert_eq!(*other.lock().unwrap(), expected);
        assert_eq!(other.update(|elements| elements.to_vec()).unwrap(), expected);
    };
    check([0; 4]);
    one.set(3, 1).unwrap();
    check([0, 0, 0, 1]);
    one.copy_from_slice(&[1, 2, 3, 4]).unwrap();
    check([1, 2, 3, 4]);
    one.update(|elements| elements.reverse()).unwrap();
    check([4, 3, 2, 1]);
    one.lock().unwrap().swap(0, 1);
    check([3, 4, 2, 1]);
    one.try_lock().unwrap()[1..3].fill(7);
    check([3, 7, 7, 1]);
    one.try_lock_for(Duration::MAX).unwrap().iter_mut().for_each(|element| *element += 1);
    check([4, 8, 8, 2]);
    one.try_lock_until(Instant::now() + Duration::from_secs(9)).unwrap().sort_unstable();
    check([2, 4, 8, 8]);
    one.lock_ignoring_poison().unwrap().rotate_left(1);
    one.try_lock_ignoring_poison().unwrap()[0] = 0;
    one.try_lock_ignoring_poison_for(Duration::ZERO).unwrap()[1] = 1;
    one.lock_recover(|_| panic!("there is nothing to repair")).unwrap()[2] = 2;
    check([0, 1, 2, 2]);
}

#[test]
fn none_at_all_are_elements_too() {
    let name = Scratch::new("none");
    let elements = create::<u64, 0>(&name).unwrap();
    assert_eq!((elements.len(), elements.is_empty()), (0, true));
    let other = Elements::<u64, 0>::open(&name).unwrap();
    other.copy_from_slice(&[]).unwrap();
    other.read_into(&mut []).unwrap();
    assert_eq!(other.to_vec().unwrap(), []);
    assert!(other.lock().unwrap().is_empty());
    assert_eq!(other.update(|elements| elements.len()).unwrap(), 0);
    assert!(format!("{other:?}").contains("data: []"));
    assert_eq!(SegmentInfo::of(&name).unwrap().length(), 0);
    let name = Scratch::new("no-bytes");
    let elements = Elements::<[u8; 0], 3>::create_from(&name, &[[]; 3]).unwrap();
    assert_eq!((elements.len(), elements.get(2).unwrap()), (3, []));
    assert_eq!(elements.to_vec().unwrap(), [[]; 3]);
}

#[test]
fn elements_stand_where_their_alignment_wants_them_and_do_not_reach_out() {
    #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C, align(256))]
    struct Wide([u8; 256]);
    #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C, align(4096))]
    struct Page([u8; 4096]);
    fn fill<T: Element + PartialEq + std::fmt::Debug>(value: T) {
        let name = Scratch::new("aligned");
        let elements = create::<T, 3>(&name).unwrap();
        let address = elements.lock().unwrap().as_ptr() as usize;
        assert!(address.is_multiple_of(align_of::<T>().max(64)), "{address:#x}");
        elements.lock().unwrap().fill(value);
        assert_eq!(elements.to_vec().unwrap(), [value; 3]);
        // What stands before them, and the file's end, are as before.
        assert!(elements.lock().is_ok() && elements.info().is_ok());
    }
    fill(7u8);
    fill(u128::MAX);
    fill(Wide([7; 256]));
    fill(Page([7; 4096]));
}

#[test]
fn everybody_counts_and_no_count_is_lost() {
    const ROUNDS: u64 = 5_000;
    let name = Scratch::new("counted");
    let elements = create::<u64, 3>(&name).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let elements = if thread % 2 == 0 { None } else { Some(Elements::<u64, 3>::open(&name).unwrap()) };
            let ours = &name;
            scope.spawn(move || {
                let elements = elements.unwrap_or_else(|| Elements::<u64, 3>::open(ours).unwrap());
                for _ in 0..ROUNDS {
                    elements.update(|elements| elements[0] += 1).unwrap();
                    let mut guard = elements.lock().unwrap();
                    guard[1] += 1;
                    guard[2] = guard[0] + guard[1];
                }
            });
        }
    });
    assert_eq!(elements.to_vec().unwrap()[..2], [4 * ROUNDS; 2]);
}

#[test]
fn who_cannot_have_the_lock_is_told_why() {
    let name = Scratch::new("refused");
    let (one, other) = (create::<u8, 2>(&name).unwrap(), Elements::<u8, 2>::open(&name).unwrap());
    let guard = one.lock().unwrap();
    assert!(matches!(other.try_lock(), Err(LockError::WouldBlock { .. })));
    for error in [other.get(0).err(), other.set(0, 1).err(), other.to_vec().err(), other.update(|_| ()).err()] {
        assert!(matches!(error, Some(LockError::WouldDeadlock { .. })), "{error:?}");
    }
    let of_another_thread = std::thread::scope(|scope| {
        scope.spawn(|| other.try_lock_for(Duration::from_millis(1)).map(drop)).join().unwrap()
    });
    assert!(matches!(of_another_thread, Err(LockError::TimedOut { holder: Some(_), .. })), "{of_another_thread:?}");
    drop(guard);
    assert!(other.lock().is_ok());
}

/// A segment has one kind, whoever made it.
#[test]
fn what_can_be_told_from_outside_is_the_same_of_both() {
    let name = Scratch::new("info");
    let elements = create::<f64, 3>(&name).unwrap();
    let info = elements.info().unwrap();
    assert_eq!((info.kind(), info.type_name(), info.element_size(), info.length()), ("SharedArray", "f64", 8, 3));
    assert!(info.to_string().contains("SharedArray<f64, 3>"), "{info}");
    assert!(format!("{elements:?}").starts_with(&format!("{HANDLE} {{ name: \"{}\"", &*name)), "{elements:?}");
    let listed = robust_shm::segments().filter_map(Result::ok).find(|info| info.name() == &*name).unwrap();
    assert_eq!((listed.kind(), listed.length(), listed.attached()), ("SharedArray", 3, 1));
    assert!(!elements.is_removed());
    robust_shm::remove(&name).unwrap();
    assert!(elements.is_removed() && elements.lock().is_ok());
}

#[test]
fn persistent_elements_outlive_their_users() {
    let name = Scratch::new("persistent");
    let options = Elements::<u8, 2>::options().persistent(true).type_tag("acme.Pair/1");
    drop(options.create_from(&name, &[1, 2]).unwrap());
    assert_eq!(options.open(&name).unwrap().to_vec().unwrap(), [1, 2]);
    assert!(Elements::<u8, 2>::open(&name).is_err(), "without the tag");
    assert!(!options.open_or_create_from(&name, &[3, 4]).unwrap().was_created());
}

/// Elements of a size that no stack has room for.
#[test]
fn large_ones_never_stand_on_the_stack() {
    const MANY: usize = 32 << 20;
    within_limit("large elements", || {
        let name = Scratch::new("large");
        let elements = create::<u8, MANY>(&name).unwrap();
        let mut copy = elements.to_vec().unwrap();
        copy[MANY - 1] = 7;
        elements.copy_from_slice(&copy).unwrap();
        elements.read_into(&mut copy).unwrap();
        let other = Elements::<u8, MANY>::open(&name).unwrap();
        assert_eq!((other.get(MANY - 1).unwrap(), copy[MANY - 1]), (7, 7));
    });
}
