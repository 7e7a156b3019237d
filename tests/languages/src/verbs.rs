//! What each of the three languages can do with one name: `verbs NAME VERB [ARGUMENT]`. The same verbs, with the same output, are
//! in verbs.c and verbs.py.
//!
//! A verb that ends in `-hold` says `held`, and then does nothing until it is killed.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use bytemuck::{CheckedBitPattern, NoUninit};
use robust_shm::{
    LockError, SharedEvent, SharedLock, SharedRwLock, SharedSemaphore, SharedSlice, SharedValue, describe,
};

#[derive(Clone, Copy, NoUninit, CheckedBitPattern)]
#[repr(u8)]
enum Light {
    Red,
    Amber = 5,
    Green,
}
describe!(Light(u8) { Red, Amber, Green });

#[derive(Clone, Copy, NoUninit, CheckedBitPattern)]
#[repr(C)]
struct Crossing {
    cars: i64,
    at: [f64; 2],
    light: Light,
    open: bool,
    _pad: [u8; 6],
}
describe!(Crossing { cars: i64, at: [f64; 2], light: Light, open: bool, _pad: [u8; 6] });

const ELEMENTS: usize = 64;
const PERMITS: usize = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, verb, rest @ ..] = &*arguments else { return Err("verbs NAME VERB [ARGUMENT]".into()) };
    let number = || rest.first().map_or(Ok(1), |text| text.parse::<i64>());
    match &**verb {
        "add" => {
            let value = SharedValue::open_or_create(name, 0i64)?;
            for _ in 0..number()? {
                *value.lock()? += 1;
            }
        }
        "value-hold" => {
            let value = SharedValue::open_or_create(name, 0i64)?;
            let mut guard = value.lock()?;
            *guard = -1;
            hold();
        }
        "get" => say(SharedValue::<i64>::open(name)?.get()),
        // Each element becomes the number: who comes in between sees different ones.
        "fill" => {
            let number = number()?;
            let array = SharedSlice::<i64>::open_or_create(name, ELEMENTS)?;
            match array.lock() {
                Ok(mut guard) => guard.fill(number),
                Err(LockError::Poisoned { .. }) => say("poisoned"),
                Err(error) => return Err(error.into()),
            }
        }
        "array-hold" => {
            let array = SharedSlice::<i64>::open_or_create(name, ELEMENTS)?;
            let mut guard = array.lock()?;
            guard[..ELEMENTS / 2].fill(-1);
            hold();
        }
        "repair" => {
            let array = SharedSlice::<i64>::open(name)?;
            let last = number()?;
            drop(array.lock_recover(|elements| elements.fill(last))?);
        }
        "read" => {
            let array = SharedSlice::<i64>::open(name)?;
            let guard = array.read()?;
            let first = guard[0];
            say(if guard.iter().all(|element| *element == first) { first.to_string() } else { "torn".to_owned() });
        }
        "permit" => say(SharedSemaphore::open_or_create(name, PERMITS)?.acquire()?.index()),
        "permit-hold" => {
            let semaphore = SharedSemaphore::open_or_create(name, PERMITS)?;
            let _permit = semaphore.acquire()?;
            hold();
        }
        "event-set" => SharedEvent::open_or_create(name)?.set()?,
        "event-wait" => SharedEvent::open_or_create(name)?.wait()?,
        "event-hold" => {
            let event = SharedEvent::open_or_create(name)?;
            say("held");
            event.wait()?;
        }
        "condition-wait" => {
            let lock = SharedLock::options().poison(false).open_or_create(name)?;
            let guard = lock.lock()?;
            say("waits"); // whoever has the lock now finds this one asleep
            drop(lock.condvar_at(1).wait(guard)?);
            say("woken");
        }
        "condition-notify" => {
            let lock = SharedLock::options().poison(false).open_or_create(name)?;
            let guard = lock.lock()?;
            lock.condvar_at(1).notify_all(&guard);
        }
        "write" => drop(SharedRwLock::options().poison(false).open_or_create(name)?.write()?),
        "reader-hold" => {
            let lock = SharedRwLock::options().poison(false).open_or_create(name)?;
            let _guard = lock.read()?;
            hold();
        }
        "writer-hold" => {
            let lock = SharedRwLock::options().poison(false).open_or_create(name)?;
            let _guard = lock.write()?;
            hold();
        }
        "struct-write" => {
            let (cars, light) = (number()?, Light::Green);
            let crossing = Crossing { cars, at: [1.5, -2.0], light, open: true, _pad: [0; 6] };
            SharedValue::options().described().persistent(true).open_or_create(name, crossing)?.set(crossing)?;
        }
        "struct-read" => {
            let shared = SharedValue::<Crossing>::options().described().open(name)?;
            let Crossing { cars, at: [x, y], light, open, .. } = shared.get();
            say(format_args!("{cars} {x} {y} {} {}", light as u8, u8::from(open)));
        }
        "wrong-type" => match SharedValue::<u16>::open(name) {
            Err(robust_shm::Error::TypeMismatch { .. }) => say("mismatch"),
            other => return Err(format!("{other:?}").into()),
        },
        other => return Err(format!("no verb {other}").into()),
    }
    Ok(())
}

fn say(what: impl std::fmt::Display) {
    let mut out = std::io::stdout();
    writeln!(out, "{what}").and_then(|()| out.flush()).expect("somebody reads");
}

fn hold() -> ! {
    say("held");
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}
