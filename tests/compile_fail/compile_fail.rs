//! What must not compile does not, and the message says what to do instead.

#[test]
fn misuse_does_not_compile_and_is_explained() {
    trybuild::TestCases::new().compile_fail("cases/*.rs");
}
