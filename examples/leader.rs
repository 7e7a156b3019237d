//! One of several processes leads, and when it is killed, another one does, at once: a lock that guards nothing, and so
//! needs no poison.
//!
//! `cargo run --release --example leader`

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use robust_shm::{SharedLock, unique_name};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [] => parent(),
        [name] => candidate(name),
        _ => Err("this example takes no arguments".into()),
    }
}

/// What each of the processes does: it stands by until it leads.
fn candidate(name: &str) -> Result<()> {
    let leader = SharedLock::options().poison(false).open_or_create(name)?;
    let _lead = leader.lock()?; // sleeps until the leader has left, in whatever way
    println!("{}", std::process::id());
    std::thread::sleep(Duration::from_secs(30)); // its work, which the parent ends long before
    Ok(())
}

fn parent() -> Result<()> {
    let name = unique_name("leader");
    let _keep = SharedLock::options().poison(false).create(&name)?; // so that the segment outlives every candidate
    let (news, heard) = mpsc::channel();
    let mut candidates: Vec<Child> = Vec::new();
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe()?).arg(&name).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        candidates.push(child);
        let news = news.clone();
        std::thread::spawn(move || lines.map_while(std::io::Result::ok).try_for_each(|line| news.send(line)));
    }
    let result = three_leaders(&mut candidates, &heard);
    for mut candidate in candidates {
        candidate.kill()?;
        candidate.wait()?;
    }
    result
}

/// Kills whoever leads, until nobody is left.
fn three_leaders(candidates: &mut [Child], heard: &mpsc::Receiver<String>) -> Result<()> {
    let mut killed: Option<Instant> = None;
    for _ in 0..candidates.len() {
        let leader: u32 = heard.recv_timeout(Duration::from_secs(10))?.parse()?;
        match killed {
            None => println!("process {leader} leads, the others stand by"),
            Some(killed) => println!("killed; {:.1?} later process {leader} leads", killed.elapsed()),
        }
        let leader = candidates.iter_mut().find(|child| child.id() == leader).ok_or("a stranger leads")?;
        killed = Some(Instant::now());
        leader.kill()?; // SIGKILL: it cannot say that it leaves
    }
    Ok(())
}
