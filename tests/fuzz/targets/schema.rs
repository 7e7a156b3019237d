//! Fuzzed texts as schemas, and fuzzed bytes read by them: the text ends at the first zero.
#![no_main]

#[path = "../../schema/trial.rs"]
mod trial;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    if let Ok(text) = std::str::from_utf8(parts.next().unwrap_or_default()) {
        trial::holds(text, parts.next().unwrap_or_default());
    }
});
