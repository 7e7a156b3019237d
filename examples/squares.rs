//! A child process computes; the parent reads. The counterpart of the first example of Python's `multiprocessing`.
//!
//! `cargo run --release --example squares`

use std::process::Command;

use robust_shm::{SharedArray, SharedValue, unique_name};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [] => parent(),
        [squares, sum] => child(squares, sum),
        _ => Err("this example takes no arguments".into()),
    }
}

fn parent() -> Result<()> {
    // Segments have names, so that any program can open them. Here nobody else needs to know them.
    let squares = SharedArray::<i32, 4>::create(&unique_name("squares"))?;
    let sum = SharedValue::<i32>::create(&unique_name("sum"), 0)?;

    // The child is this program again, with the names as its arguments.
    let status = Command::new(std::env::current_exe()?).args([squares.name(), sum.name()]).status()?;
    if !status.success() {
        return Err(format!("the child failed: {status}").into());
    }

    println!("{:?}", squares.to_vec()?);
    println!("{}", sum.get());
    Ok(())
    // The last user leaves here, and the segments go.
}

fn child(squares: &str, sum: &str) -> Result<()> {
    // Both sides state the type. Another one would be an error that says what the segment holds.
    let squares = SharedArray::<i32, 4>::open(squares)?;
    let sum = SharedValue::<i32>::open(sum)?;

    // The guard is the array, in place, until the end of the block.
    let mut squares = squares.lock()?;
    for (square, number) in squares.iter_mut().zip(5..) {
        *square = number * number;
    }
    sum.set(squares.iter().sum())?;
    Ok(())
}
