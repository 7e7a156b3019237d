fn main() {
    let _ = robust_shm::SharedValue::<(u8, u32)>::create("name", (1, 2));
}
