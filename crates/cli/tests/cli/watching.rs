//! `show --watch`: each change that is seen, until the segment is gone.

use std::sync::atomic::{AtomicBool, Ordering};

use robust_shm::{SharedArray, SharedEvent, SharedValue, remove};
use serde_json::json;

use crate::support::{self, Scratch, until};
use crate::tool::{Running, command};

/// A program that is watched: the lines that it prints, one after the other.
struct Watching {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Watching {
    fn of(arguments: &[&str]) -> Self {
        Self::start(command(arguments))
    }

    fn start(mut command: std::process::Command) -> Self {
        use std::io::BufRead;
        let piped = command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(support::LIMIT).unwrap()
    }

    fn end(mut self) -> i32 {
        let status = until("the end of the watch", || self.child.try_wait().unwrap());
        assert!(self.lines.try_recv().is_err(), "nothing more");
        status.code().unwrap()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has the segment go with its handle, also when a neighbouring test forks at this moment: its child is a user for as long, and
/// if it is the last one, the segment is left as an orphan. So the name goes first.
fn take_away<T>(name: &str, handle: T) {
    remove(name).unwrap();
    drop(handle);
}

#[test]
fn a_watcher_sees_changes_until_the_segment_is_gone() {
    let name = Scratch::new("watched");
    let value = SharedValue::create(&name, 1u64).unwrap();
    let (plain, json) =
        (Watching::of(&["show", "--watch", &name]), Watching::of(&["show", "--watch", "--json", &name]));
    for round in 1..4u64 {
        assert_eq!(plain.next(), round.to_string());
        let object: serde_json::Value = serde_json::from_str(&json.next()).unwrap();
        assert_eq!(
            [&object["format"], &object["value"], &object["commits"]],
            [&json!(1), &json!(round), &json!(round - 1)]
        );
        value.set(round + 1).unwrap();
    }
    assert_eq!((plain.next(), json.next().contains("\"value\":4")), ("4".to_owned(), true));
    take_away(&name, value);
    assert_eq!((plain.end(), json.end()), (0, 0));
}

#[test]
fn a_watch_ends_when_the_last_user_is_killed() {
    let name = Scratch::new("killed");
    let child = support::spawn("hold", &name);
    child.expect("ready");
    let watching = Watching::of(&["show", "--watch", &name]);
    watching.next();
    child.kill();
    assert_eq!(watching.end(), 0);
}

#[test]
fn elements_and_states_can_be_watched() {
    let (array, event) = (Scratch::new("array"), Scratch::new("event"));
    let array_handle = SharedArray::<u16, 2>::create(&array).unwrap();
    let event_handle = SharedEvent::create(&event).unwrap();
    let (elements, state) = (Watching::of(&["show", "--watch", &array]), Watching::of(&["show", "--watch", &event]));
    let head = format!("{}: 2 of u16, unlocked", &*array);
    assert_eq!([elements.next(), elements.next(), elements.next()], [&*head, "0  0", "1  0"]);
    assert_eq!(state.next(), "clear");
    array_handle.set(1, 9).unwrap();
    event_handle.set().unwrap();
    assert_eq!([elements.next(), elements.next(), elements.next()], [&*head, "0  0", "1  9"]);
    assert_eq!(state.next(), "set");
    take_away(&array, array_handle);
    take_away(&event, event_handle);
    assert_eq!((elements.end(), state.end()), (0, 0));
}

/// Whoever reads no more is noticed at the next change.
#[test]
fn a_watcher_whose_reader_has_gone_ends_quietly() {
    let name = Scratch::new("unread");
    let value = SharedValue::create(&name, 0u64).unwrap();
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg("\"$1\" show --watch \"$2\" | head -1; echo \"ended\"").args([
        "sh",
        crate::tool::PROGRAM,
        &name,
    ]);
    let running = Running::start(shell);
    let is_over = std::sync::Arc::new(AtomicBool::new(false));
    let stops = std::sync::Arc::clone(&is_over);
    let changing = std::thread::spawn(move || {
        while !stops.load(Ordering::Relaxed) {
            value.update(|value| *value += 1).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    let said = running.end();
    is_over.store(true, Ordering::Relaxed);
    changing.join().unwrap();
    assert_eq!((said.code, &*said.err, said.out.lines().last()), (0, "", Some("ended")), "{said:?}");
}

/// As a terminal gets it.
#[test]
fn on_a_terminal_a_change_takes_the_place_of_the_one_before() {
    if std::process::Command::new("script").arg("--version").output().is_err() {
        return support::skip(support::Need::System, "script(1)");
    }
    let name = Scratch::new("terminal");
    let value = SharedValue::create(&name, [u64::MAX; 8]).unwrap();
    let line = format!("stty rows 10 columns 40; exec {} show --watch {}", crate::tool::PROGRAM, &*name);
    let mut script = std::process::Command::new("script");
    script.args(["-qefc", &line, "/dev/null"]);
    let watching = Watching::start(script);
    let first = watching.next();
    assert_eq!(first.trim_end(), "\u{1b}[J[18446744073709551615, 1844674407370955…", "cut to the width");
    value.set([1; 8]).unwrap();
    let second = watching.next();
    assert_eq!(second.trim_end(), "\u{1b}[1A\u{1b}[J[1, 1, 1, 1, 1, 1, 1, 1]");
    take_away(&name, value);
    assert_eq!(watching.end(), 0);
}
