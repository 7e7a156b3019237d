//! Writes the seeds: the bytes of one persistent and one other segment of each type. From tests/fuzz:
//! `cargo run --example seeds`.

#[path = "../../hostile/faces.rs"]
#[allow(dead_code)]
mod faces;
#[path = "../../support/mod.rs"]
mod support;

fn main() {
    std::fs::create_dir_all("seeds").unwrap();
    for face in faces::all() {
        for (persistent, kind) in [(true, "persistent"), (false, "plain")] {
            let file = format!("seeds/{}-{kind}", face.title.replace(' ', "-"));
            std::fs::write(file, (face.image)(persistent)).unwrap();
        }
    }
}
