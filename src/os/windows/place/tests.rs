use super::*;

/// As a lock line: the word, and the room behind it.
#[repr(C)]
struct Line([AtomicU64; 3]);

const _: () = assert!(Place::ROOM.start == 8 && Place::ROOM.end as usize == size_of::<Line>());

/// He has made something else of the name by which the holder's end would be heard of.
#[test]
fn a_stranger_in_the_holders_place_keeps_no_release_from_being_heard() {
    const HOLDER: u32 = 7 << 24 | 0xff_ff01;
    let line = Line([u64::from(HOLDER).into(), 0.into(), 0.into()]);
    std::ptr::from_ref(&line).expose_provenance();
    let word = &line.0[0];
    let stranger = Event::of(&format!("life-{HOLDER:08x}"), true).unwrap();
    assert!(life::of(HOLDER).is_err());
    let mut place = Place::new();
    let mut wait = || place.wait(word, HOLDER, 1, Deadline::soon(Duration::from_secs(60))).unwrap();
    assert!(!wait(), "the caller looks whether the holder is there");
    assert!(tell(word).unwrap());
    assert!(!wait(), "and again");
    assert!(place.may_be_preferred() && place.heard_of_the_end_of(HOLDER));
    drop(stranger);
}

#[test]
fn a_meeting_is_opened_once_and_forgotten_after_so_many_others() {
    let number = random_place();
    let opened = Meeting::of(number, 0).unwrap();
    assert!(Arc::ptr_eq(&opened, &Meeting::of(number, 0).unwrap()));
    let first = Arc::downgrade(&opened);
    drop(opened);
    let others = |queues: std::ops::Range<u32>| queues.for_each(|queue| drop(Meeting::of(number, queue).unwrap()));
    for round in 0..4 {
        others(1 + round * 20..21 + round * 20);
        drop(Meeting::of(number, 0).unwrap()); // is used again and again
    }
    assert!(first.upgrade().is_some());
    others(100..100 + 2 * KEPT as u32);
    assert!(first.upgrade().is_none());
}
