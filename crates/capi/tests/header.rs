//! The header is what the source says. `ROBUST_SHM_WRITE_HEADER=1 cargo test -p robust-shm-capi --test header` makes it anew.

use std::path::Path;

#[test]
fn the_header_is_what_the_source_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut made = Vec::new();
    let builder = cbindgen::Builder::new().with_crate(root).with_config(config);
    builder.generate().expect("the source is one that a header can be made of").write(&mut made);
    let path = root.join("include/robust_shm.h");
    if std::env::var_os("ROBUST_SHM_WRITE_HEADER").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let stands = std::fs::read_to_string(&path).unwrap();
    let made = String::from_utf8(made).unwrap();
    for (at, (is, should_be)) in stands.lines().zip(made.lines()).enumerate() {
        assert_eq!(is, should_be, "line {}: make the header anew", at + 1);
    }
    assert_eq!(stands, made, "make the header anew");
}
