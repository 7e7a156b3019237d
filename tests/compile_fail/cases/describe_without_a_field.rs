#[repr(C)]
struct Account {
    balance: i64,
    limit: i64,
}
robust_shm::describe!(Account { balance: i64 });

fn main() {}
