//! Two peers on loopback: the program runs twice, under names of its own here and there. Every wait has an end, and nothing
//! is left behind, also by a test that fails.

mod support;

use std::time::{Duration, Instant};

use bytemuck::{CheckedBitPattern, NoUninit};
use robust_shm::dynamic::DynValue;
use robust_shm::{SharedValue, describe};

use support::{Mirror, Names, Writer, endpoint, until};

#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(u8)]
enum Light {
    Red,
    Amber = 5,
    Green,
}
describe!(Light(u8) { Red, Amber, Green });

#[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern)]
#[repr(C)]
struct Crossing {
    cars: i64,
    at: [f64; 2],
    light: Light,
    open: bool,
    _pad: [u8; 6],
}
describe!(Crossing { cars: i64, at: [f64; 2], light: Light, open: bool, _pad: [u8; 6] });

/// Longer than a heartbeat, and than the silence after which another writer is believed.
const A_WHILE: Duration = Duration::from_secs(5);

#[test]
fn a_value_written_here_appears_there() {
    let names = Names::new();
    let near = SharedValue::create(&names.near, 41u64).unwrap();
    let endpoint = endpoint();
    let _shows = Mirror::start(&["--listen", &endpoint, "--export", &names.near_as_key()]);
    let _follows = Mirror::start(&["--connect", &endpoint, "--import", &names.far_as_key()]);
    until("there is a copy", || DynValue::open(&names.far).is_ok());
    let far = SharedValue::<u64>::open(&names.far).unwrap();
    until("it has the value", || far.get() == 41);
    let mut times = Vec::new();
    for new in 100..600 {
        let start = Instant::now();
        near.set(new).unwrap();
        until("it has the next one", || far.get() == new);
        times.push(start.elapsed());
    }
    times.sort();
    println!("set -> seen in the copy: median {:?}, 99 of 100 {:?}, worst {:?}", times[250], times[495], times[499]);

    let heard = DynValue::open(&format!("{}.heard", names.far)).unwrap();
    until("its age stands beside it", || {
        let mut bytes = [0; 16];
        heard.get(&mut bytes);
        let commits = u64::from_ne_bytes(*bytes.last_chunk().unwrap());
        bytes[..8] != [0; 8] && commits == near.commits()
    });
}

#[test]
fn a_struct_with_a_bool_and_an_enum() {
    let names = Names::new();
    let first = Crossing { cars: 7, at: [1.5, -2.0], light: Light::Green, open: true, _pad: [0; 6] };
    let near = SharedValue::options().described().create(&names.near, first).unwrap();
    let endpoint = endpoint();
    let _follows = Mirror::start(&["--listen", &endpoint, "--import", &names.far_as_key()]);
    let _shows = Mirror::start(&["--connect", &endpoint, "--export", &names.near_as_key()]);
    until("there is a copy", || DynValue::open(&names.far).is_ok());
    let far = SharedValue::<Crossing>::options().described().open(&names.far).unwrap();
    assert_eq!(far.get(), first);
    let second = Crossing { cars: -8, light: Light::Amber, open: false, ..first };
    near.set(second).unwrap();
    until("it has the other one", || far.get() == second);
}

#[test]
fn who_comes_late_has_the_present_value() {
    let names = Names::new();
    let near = SharedValue::create(&names.near, 1u64).unwrap();
    let endpoint = endpoint();
    let shows = Mirror::start(&["--listen", &endpoint, "--export", &names.near_as_key()]);
    shows.says("shows");
    for new in 2..10 {
        near.set(new).unwrap();
    }
    // From now on nobody writes.
    let _follows = Mirror::start(&["--connect", &endpoint, "--import", &names.far_as_key()]);
    until("there is a copy", || DynValue::open(&names.far).is_ok());
    assert_eq!(SharedValue::<u64>::open(&names.far).unwrap().get(), 9);
}

#[test]
fn a_peer_that_is_killed_and_comes_back() {
    let names = Names::new();
    let near = SharedValue::create(&names.near, 1u64).unwrap();
    let far = SharedValue::create(&names.far, 0u64).unwrap();
    let endpoint = endpoint();
    let (key_of_near, key_of_far) = (names.near_as_key(), names.far_as_key());
    let show = || Mirror::start(&["--listen", &endpoint, "--export", &key_of_near]);
    let follow = || Mirror::start(&["--connect", &endpoint, "--import", &key_of_far]);
    let (mut shows, mut follows) = (show(), follow());
    until("it has the value", || far.get() == 1);
    for round in 1..4 {
        drop(shows); // SIGKILL
        near.set(10 * round).unwrap();
        shows = show();
        until("it has what was written meanwhile", || far.get() == 10 * round);

        drop(follows);
        near.set(10 * round + 1).unwrap();
        follows = follow();
        until("it has what was written meanwhile", || far.get() == 10 * round + 1);
    }
}

#[test]
fn a_segment_that_is_made_anew() {
    let names = Names::new();
    let near = SharedValue::create(&names.near, 1000u64).unwrap();
    for new in 0..100 {
        near.set(new).unwrap();
    }
    let far = SharedValue::create(&names.far, 0u64).unwrap();
    let endpoint = endpoint();
    let _shows = Mirror::start(&["--listen", &endpoint, "--export", &names.near_as_key()]);
    let _follows = Mirror::start(&["--connect", &endpoint, "--import", &names.far_as_key()]);
    until("it has the value", || far.get() == 99);
    robust_shm::remove(&names.near).unwrap();
    let near = SharedValue::create(&names.near, 7u64).unwrap(); // which has made no commit yet
    until("it has the first value of the new one", || far.get() == 7);
    near.set(8).unwrap();
    until("it has the next one", || far.get() == 8);
}

#[test]
fn a_writer_that_is_killed_amid_its_writing_leaves_the_copy_whole() {
    let names = Names::new();
    let near = SharedValue::create(&names.near, [0u64; 500]).unwrap();
    let far = SharedValue::create(&names.far, [0u64; 500]).unwrap();
    let endpoint = endpoint();
    let _shows = Mirror::start(&["--listen", &endpoint, "--export", &names.near_as_key()]);
    let _follows = Mirror::start(&["--connect", &endpoint, "--import", &names.far_as_key()]);
    let (mut seen, mut copies) = (u64::MAX, 0);
    for round in 0..20 {
        let writer = Writer::start(&names.near);
        let end = Instant::now() + Duration::from_millis(50 + 7 * round);
        while Instant::now() < end {
            if let Some(copy) = far.get_if_changed(&mut seen) {
                assert!(copy.iter().all(|item| *item == copy[0]), "torn: {copy:?}");
                copies += 1;
            }
        }
        drop(writer); // SIGKILL, most of the time with the lock held and half of the value written
    }
    assert!(copies > 20, "only {copies} copies came");
    until("it has the last one", || far.get() == near.get());
}

#[test]
fn another_schema_is_refused_with_a_sentence() {
    let names = Names::new();
    let near = SharedValue::create(&names.near, 7i64).unwrap();
    let far = SharedValue::create(&names.far, 0.5f64).unwrap();
    let endpoint = endpoint();
    let _shows = Mirror::start(&["--listen", &endpoint, "--export", &names.near_as_key()]);
    let follows = Mirror::start(&["--connect", &endpoint, "--import", &names.far_as_key()]);
    let sentence = follows.says("is not written");
    assert!(sentence.contains("f64") && sentence.contains("i64"), "{sentence}");
    assert_eq!((far.get(), near.get()), (0.5, 7));
    // When nobody insists on the other type any more, it is mirrored.
    drop(far);
    until("there is a copy", || SharedValue::<i64>::open(&names.far).is_ok_and(|far| far.get() == 7));
}

#[test]
fn what_goes_both_ways_comes_to_rest() {
    let (there, back) = (Names::new(), Names::new());
    let (near, other_near) =
        (SharedValue::create(&there.near, 1u64).unwrap(), SharedValue::create(&back.far, 0u64).unwrap());
    let (far, other_far) =
        (SharedValue::create(&there.far, 0u64).unwrap(), SharedValue::create(&back.near, 2u64).unwrap());
    let endpoint = endpoint();
    // `near` is shown here and copied to `far` there; `other_far` is shown there and copied to `other_near` here.
    let _here =
        Mirror::start(&["--listen", &endpoint, "--export", &there.near_as_key(), "--import", &back.far_as_key()]);
    let _there =
        Mirror::start(&["--connect", &endpoint, "--import", &there.far_as_key(), "--export", &back.near_as_key()]);
    until("both have arrived", || far.get() == 1 && other_near.get() == 2);
    near.set(3).unwrap();
    until("it has arrived", || far.get() == 3);
    let commits = || [near.commits(), other_near.commits(), far.commits(), other_far.commits()];
    let before = commits();
    std::thread::sleep(A_WHILE);
    assert_eq!(commits(), before, "somebody writes although nobody does");
}

#[test]
fn a_copy_is_not_shown_as_an_original() {
    let names = Names::new();
    let _near = SharedValue::create(&names.near, 1u64).unwrap();
    let endpoint = endpoint();
    let shows = Mirror::start(&["--listen", &endpoint, "--export", &names.near_as_key()]);
    shows.says("shows");
    let back = format!("{}={}/back", names.near, names.key);
    let mut circle = Mirror::start(&["--connect", &endpoint, "--import", &back]);
    let sentence = circle.says("is mirrored on this machine already");
    assert!(sentence.contains(&shows.process().to_string()), "{sentence}");
    assert_eq!(circle.ends(), Some(1));
    let mut circle =
        Mirror::start(&["--connect", &endpoint, "--import", &names.near_as_key(), "--export", &names.near_as_key()]);
    circle.says("is mirrored twice");
    assert_eq!(circle.ends(), Some(2));
}

#[test]
fn a_second_writer_is_not_followed() {
    let (names, second) = (Names::new(), Names::new());
    let near = SharedValue::create(&names.near, 1u64).unwrap();
    let intruder = SharedValue::create(&second.near, 100u64).unwrap();
    let far = SharedValue::create(&names.far, 0u64).unwrap();
    let endpoint = endpoint();
    let follows = Mirror::start(&["--listen", &endpoint, "--import", &names.far_as_key()]);
    let shows = Mirror::start(&["--connect", &endpoint, "--export", &names.near_as_key()]);
    until("it has the value", || far.get() == 1);
    let _second = Mirror::start(&["--connect", &endpoint, "--export", &format!("{}={}", second.near, names.key)]);
    follows.says("has two writers");
    intruder.set(101).unwrap();
    near.set(2).unwrap();
    until("it has the first one's", || far.get() == 2);
    drop(shows);
    until("the second one is the only one now", || far.get() == 101);
}

#[test]
fn what_is_written_to_a_copy_is_lost() {
    let names = Names::new();
    let _near = SharedValue::create(&names.near, 1u64).unwrap();
    let far = SharedValue::create(&names.far, 0u64).unwrap();
    let endpoint = endpoint();
    let _shows = Mirror::start(&["--listen", &endpoint, "--export", &names.near_as_key()]);
    let follows = Mirror::start(&["--connect", &endpoint, "--import", &names.far_as_key()]);
    until("it has the value", || far.get() == 1);
    far.set(5).unwrap();
    follows.says("what they write is lost");
    until("it is a copy again", || far.get() == 1);
}

#[test]
fn a_killed_mirror_leaves_nothing_that_stays() {
    let names = Names::new();
    let _near = SharedValue::create(&names.near, 1u64).unwrap();
    let endpoint = endpoint();
    let _shows = Mirror::start(&["--listen", &endpoint, "--export", &names.near_as_key()]);
    let follows = Mirror::start(&["--connect", &endpoint, "--import", &names.far_as_key()]);
    until("there is a copy", || DynValue::open(&names.far).is_ok());
    drop(follows);
    let orphans = robust_shm::orphans().unwrap();
    for end in ["", ".heard", ".mirror"] {
        let name = format!("{}{end}", names.far);
        assert!(orphans.contains(&name), "{name} is not among {orphans:?}");
    }
}
