//! The types that segments are made and opened as, each with what a program would do with it.

use robust_shm::{Error, LockError, SharedArray, SharedEvent, SharedLock, SharedSlice, SharedValue};

use crate::support::{Scratch, path};

/// One type, as functions. What opens also uses.
pub(crate) struct Face {
    pub(crate) title: &'static str,
    /// Does `open` take any number of elements?
    pub(crate) is_open: bool,
    pub(crate) open: fn(&str) -> Result<(), Error>,
    pub(crate) create: fn(&str) -> Result<(), Error>,
    pub(crate) open_or_create: fn(&str) -> Result<(), Error>,
    /// The bytes of a live segment.
    pub(crate) image: fn(persistent: bool) -> Vec<u8>,
}

type Points = SharedArray<[f64; 2], 9>;
type Bytes = SharedArray<u8, 5000>;
type Large = SharedValue<[u64; 40]>;

/// A live segment's file. The handle keeps it alive.
fn bytes_of<H>(name: &str, _handle: &H) -> Vec<u8> {
    let bytes = std::fs::read(path(name)).unwrap();
    let _ = robust_shm::remove(name); // a persistent one would stay
    bytes
}

fn may_be_impossible<R>(result: Result<R, LockError>) {
    assert!(matches!(result, Ok(_) | Err(LockError::InvalidValue { .. })));
}

fn use_flag(value: &SharedValue<bool>) {
    may_be_impossible(value.try_get());
    may_be_impossible(value.lock());
    value.set(true).unwrap();
    assert!(value.get());
}

#[derive(Clone, Copy, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
#[repr(u8)]
enum Light {
    Red,
    Green = 5,
}
robust_shm::describe!(Light(u8) { Red, Green });

#[derive(Clone, Copy, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
#[repr(C)]
struct Crossing {
    at: [f64; 2],
    cars: i32,
    light: Light,
    open: bool,
    _pad: [u8; 2],
}
robust_shm::describe!(Crossing { at: [f64; 2], cars: i32, light: Light, open: bool, _pad: [u8; 2] });

const CROSSING: Crossing = Crossing { at: [0.5, 1.5], cars: -3, light: Light::Green, open: true, _pad: [0; 2] };

fn use_crossing(value: &SharedValue<Crossing>) {
    may_be_impossible(value.try_get());
    value.set(Crossing { light: Light::Red, ..CROSSING }).unwrap();
    assert_eq!(value.get().cars, -3);
}

fn use_large(value: &Large) {
    let _ = value.get();
    value.update(|v| v[39] = 4).unwrap();
    assert_eq!(value.get()[39], 4);
}

fn use_points(array: &Points) {
    let mut guard = array.lock_ignoring_poison().unwrap();
    guard[8] = [1.0, 2.0];
    robust_shm::ArrayGuard::clear_poison(&mut guard);
}

fn use_bytes(array: &Bytes) {
    array.copy_from_slice(&[7; 5000]).unwrap();
    assert_eq!(array.get(4999).unwrap(), 7);
}

/// Of any length, and maybe with more holes than memory.
fn use_slice(slice: &SharedSlice<u8>) {
    let mut guard = slice.lock_ignoring_poison().unwrap();
    assert_eq!(guard.len(), slice.len());
    if let Some(last) = guard.last_mut() {
        *last = 7;
    }
    robust_shm::SliceGuard::clear_poison(&mut guard);
}

fn use_event(event: &SharedEvent) {
    let _ = event.wait_for(std::time::Duration::from_micros(1));
    event.set().unwrap();
    event.wait().unwrap();
    event.clear().unwrap();
    assert!(!event.is_set());
}

fn use_lock(lock: &SharedLock) {
    drop(lock.lock_ignoring_poison().unwrap());
}

macro_rules! face {
    ($title:literal, $options:expr, ($($initial:expr)?), $used:expr) => {
        Face {
            title: $title,
            is_open: false,
            open: |name| $options.open(name).map(|handle| $used(&handle)),
            create: |name| $options.create(name $(, $initial)?).map(|handle| $used(&handle)),
            open_or_create: |name| $options.open_or_create(name $(, $initial)?).map(|handle| $used(&handle)),
            image: |persistent| {
                let name = Scratch::new("image");
                let handle = $options.persistent(persistent).create(&name $(, $initial)?).unwrap();
                bytes_of(&name, &handle)
            },
        }
    };
}

pub(crate) fn all() -> Vec<Face> {
    vec![
        face!("value", SharedValue::<bool>::options(), (true), use_flag),
        face!("large value", Large::options(), ([3; 40]), use_large),
        face!("described value", SharedValue::<Crossing>::options().described(), (CROSSING), use_crossing),
        face!("array", Points::options(), (), use_points),
        face!("bytes", Bytes::options(), (), use_bytes),
        Face { is_open: true, ..face!("slice", SharedSlice::<u8>::options(), (5000), use_slice) },
        face!("lock", SharedLock::options(), (), use_lock),
        face!("event", SharedEvent::options(), (), use_event),
        face!("tagged lock", SharedLock::options().type_tag("acme.Printer/1"), (), use_lock),
    ]
}
