#[derive(Clone, Copy)]
#[repr(C)]
struct Point {
    x: f64,
    y: f64,
}

fn main() -> Result<(), robust_shm::Error> {
    let points = robust_shm::SharedSlice::<Point>::create("name", 4)?;
    println!("{}", points.len());
    Ok(())
}
