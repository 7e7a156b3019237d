//! `gc`: removes what every user was killed of.

use serde_json::json;

use crate::arguments::Gc;
use crate::failure::Failure;
use crate::output::{Out, escape};

pub(crate) fn run(arguments: &Gc, out: &mut Out) -> Result<u8, Failure> {
    let mut names = if arguments.dry_run { robust_shm::orphans()? } else { robust_shm::remove_orphans()? };
    names.sort();
    for name in names {
        if out.is_json() {
            out.object(&json!({"name": name, "removed": !arguments.dry_run}))?;
        } else {
            out.line(escape(&name))?;
        }
    }
    Ok(0)
}
