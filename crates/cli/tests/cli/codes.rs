//! The exit codes, in a table; those of `lock` and `wait` are in their files.

use robust_shm::SharedLock;

use crate::support::Scratch;
use crate::tool::run;

#[test]
fn each_is_what_it_is_said_to_be() {
    let name = Scratch::new("codes");
    let lock = SharedLock::create(&name).unwrap();
    let _guard = lock.lock().unwrap();
    let long = "x".repeat(300);
    for (arguments, code) in [
        (&["ls"][..], 0),
        (&["--version"], 0),
        (&["--help"], 0),
        (&["help", "lock"], 0),
        (&["lock", "--help"], 0),
        (&["info", &name], 0),
        (&["holders", &name], 0),
        (&["gc", "--dry-run"], 0),
        (&["info", "no-such-segment"], 1),
        (&["holders", "no-such-segment"], 1),
        (&["rm", "no-such-segment"], 1),
        (&["event", "no-such-segment", "set"], 1),
        (&["create", &name, "lock"], 1),
        (&[], 2),
        (&["no-such-command"], 2),
        (&["ls", "--kind", "queue"], 2),
        (&["rm"], 2),
        (&["wait", &name], 2),
        (&["wait", &name, "--until", "monday"], 2),
        (&["wait", &name, "--until", "gone", "--timeout", "-1"], 2),
        (&["event", &name, "toggle"], 2),
        (&["info", "a/b"], 2),
        (&["info", &long], 2),
        (&["create", "new", "semaphore"], 2),
        (&["create", "new", "semaphore", "0"], 2),
        (&["create", "new", "semaphore", "many"], 2),
        (&["create", "new", "lock", "1"], 2),
        (&["man", "no-such-command"], 2),
        (&["completions", "dos"], 2),
        (&["rm", "--if-unused", &name], 3),
        (&["event", &name, "set"], 65),
        (&["wait", &name, "--until", "set"], 65),
    ] {
        let said = run(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        assert_eq!(code == 0, said.err.is_empty(), "{arguments:?}: {said:?}");
    }
}
