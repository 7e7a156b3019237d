#[repr(C)]
struct Account {
    balance: i64,
}
robust_shm::describe!(Account { balance: u64 });

fn main() {}
