fn main() {
    let _ = robust_shm::SharedValue::<u32>::options().poison(false).create("name", 1);
}
