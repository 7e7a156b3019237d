//! What `kill -9` does to a value and to an array whose holder it hits in the middle of a change.
//!
//! `cargo run --release --example recover`

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use robust_shm::{LockError, SharedArray, SharedValue, unique_name};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Pair = [u64; 2];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [] => parent(),
        [value, array] => child(value, array),
        _ => Err("this example takes no arguments".into()),
    }
}

/// Takes both locks, changes half of each, and waits for its end.
fn child(value: &str, array: &str) -> Result<()> {
    let (value, array) = (SharedValue::<Pair>::open(value)?, SharedArray::<u64, 4>::open(array)?);
    let mut pair = value.lock()?;
    let mut elements = array.lock()?;
    pair[0] = 99; // in a private copy
    elements[0] = 99; // in place
    println!("half done");
    std::thread::sleep(Duration::from_secs(30)); // the parent kills us long before
    Ok(())
}

fn parent() -> Result<()> {
    let value = SharedValue::<Pair>::create(&unique_name("pair"), [1, 1])?;
    let array = SharedArray::create_from(&unique_name("elements"), &[1u64; 4])?;

    let mut child =
        Command::new(std::env::current_exe()?).args([value.name(), array.name()]).stdout(Stdio::piped()).spawn()?;
    // The child says one line when it holds both locks. If it fails before, the pipe closes and there is no line.
    let mut line = String::new();
    let heard = BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut line);
    let seen_meanwhile = value.get(); // reading never waits for a holder

    child.kill()?; // SIGKILL: no destructor, no handler, nothing runs
    let killed = Instant::now();
    // The kernel hands the lock over; nobody has to notice the death first, not even by `wait`. The time limit is only
    // there so that this program ends whatever happens.
    let handed_over = value.try_lock_for(Duration::from_secs(10)).map(|guard| (*guard, killed.elapsed()));
    child.wait()?;

    if heard? == 0 {
        return Err("the child ended before it held the locks".into());
    }
    println!("the child holds both locks: {}; meanwhile the value reads {seen_meanwhile:?}", line.trim());
    let (found, waited) = handed_over?;
    println!("killed; {waited:.1?} later the parent has the lock, and the value is whole: {found:?}");
    value.update(|pair| pair[1] += 1)?;
    println!("the parent goes on with it: {:?}", value.get());

    // The array was being changed in place, so it says that it may be torn.
    match array.lock() {
        Err(LockError::Poisoned { .. }) => println!("the array reports: poisoned"),
        other => return Err(format!("expected poison, got {other:?}").into()),
    }

    // Repair is done under the lock; then everybody can go on.
    drop(array.lock_recover(|elements| {
        println!("what was found: {elements:?}");
        elements.fill(1);
    })?);
    println!("repaired: {:?}", array.to_vec()?);
    Ok(())
}
