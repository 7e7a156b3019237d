fn main() {
    let _ = robust_shm::SharedValue::<Option<u32>>::open("name");
}
