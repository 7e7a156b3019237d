// robust-shm for C++17: values, arrays and locks that give back what they have taken, also when an exception passes.
#pragma once

#include "robust_shm.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace robust_shm {

/// What a function of robust_shm.h returned, and why.
struct error : std::runtime_error {
  int code;
  explicit error(int code) : std::runtime_error(rshm_last_error()), code(code) {}
};

/// Throws unless the code is RSHM_OK or positive.
inline int check(int code) {
  if (code < 0) throw error(code);
  return code;
}

/// The schema of a type: `RSHM_SCHEMA(account, "Account{balance:i64,open:bool,_pad:[u8;7]}");` beside it, in no namespace.
template <class T> struct schema;
#define RSHM_SCHEMA(T, TEXT) \
  template <> struct robust_shm::schema<T> { \
    static_assert(std::is_trivially_copyable_v<T>, "shared data are copied byte by byte"); \
    static constexpr const char *text = TEXT; \
  }

} // namespace robust_shm

RSHM_SCHEMA(std::uint8_t, "u8");
RSHM_SCHEMA(std::uint16_t, "u16");
RSHM_SCHEMA(std::uint32_t, "u32");
RSHM_SCHEMA(std::uint64_t, "u64");
RSHM_SCHEMA(std::int8_t, "i8");
RSHM_SCHEMA(std::int16_t, "i16");
RSHM_SCHEMA(std::int32_t, "i32");
RSHM_SCHEMA(std::int64_t, "i64");
RSHM_SCHEMA(float, "f32");
RSHM_SCHEMA(double, "f64");
RSHM_SCHEMA(bool, "bool");

namespace robust_shm {

/// How long to wait: for as long as it takes, unless something else is said.
class timeout {
  std::uint64_t nanos;

public:
  timeout() : nanos(RSHM_FOREVER) {}
  template <class R, class P> timeout(std::chrono::duration<R, P> most) : nanos(0) {
    // In hours first, of any number: as nanoseconds, what is long would be more than there are.
    using hours = std::chrono::duration<double, std::ratio<3600>>;
    if (std::chrono::duration_cast<hours>(most) >= std::chrono::duration_cast<hours>(std::chrono::nanoseconds::max())) {
      nanos = RSHM_FOREVER;
    } else if (most > most.zero()) {
      nanos = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(most).count());
    }
  }
  std::uint64_t ns() const { return nanos; }
};

/// A value that is never torn, and its lock.
template <class T> class shared_value {
  struct closer {
    void operator()(rshm_value *value) const { rshm_value_close(value); }
  };
  std::unique_ptr<rshm_value, closer> raw;

public:
  /// Opens the value that there is, or creates it.
  shared_value(const std::string &name, const T &initial, const rshm_options *options = nullptr) {
    rshm_value *value = nullptr;
    check(rshm_value_open_or_create(name.c_str(), schema<T>::text, &initial, sizeof initial, options, &value));
    raw.reset(value);
  }

  /// A copy, which is committed at the end of the block, and discarded when an exception passes.
  class guard {
    rshm_value *value;
    T copy;
    int exceptions = std::uncaught_exceptions();

  public:
    guard(rshm_value *value, timeout most) : value(value) { check(rshm_value_lock(value, most.ns(), &copy, sizeof copy)); }
    guard(const guard &) = delete;
    guard &operator=(const guard &) = delete;
    /// What the schema does not allow is discarded: `commit` says so.
    ~guard() {
      if (!value) return;
      if (std::uncaught_exceptions() > exceptions || rshm_value_commit(value, &copy, sizeof copy) < 0) rshm_value_discard(value);
    }
    /// Commits now, and throws if the schema does not allow it; the lock is held then.
    void commit() {
      check(rshm_value_commit(value, &copy, sizeof copy));
      value = nullptr;
    }
    void discard() {
      check(rshm_value_discard(value));
      value = nullptr;
    }
    T &operator*() { return copy; }
    T *operator->() { return &copy; }
  };

  guard lock(timeout most = {}) { return guard(raw.get(), most); }
  T get() const {
    T copy;
    check(rshm_value_get(raw.get(), &copy, sizeof copy));
    return copy;
  }
  void set(const T &value) { check(rshm_value_set(raw.get(), &value, sizeof value)); }
  rshm_value *handle() const { return raw.get(); }
};

/// Elements in place, under their lock.
template <class T> class shared_array {
  struct closer {
    void operator()(rshm_array *array) const { rshm_array_close(array); }
  };
  std::unique_ptr<rshm_array, closer> raw;

public:
  /// Opens the array of that length that there is, or creates it.
  shared_array(const std::string &name, std::size_t len, const rshm_options *options = nullptr) {
    rshm_array *array = nullptr;
    check(rshm_array_open_or_create(name.c_str(), schema<T>::text, len, options, &array));
    raw.reset(array);
    if (rshm_array_element_size(array) != sizeof(T)) {
      throw std::invalid_argument(std::string("a schema of another size than its type's: ") + schema<T>::text);
    }
  }

  /// The elements, until the end of the block.
  class guard {
    rshm_array *array;
    void *elements = nullptr;
    std::size_t len = 0;
    bool died;

  public:
    guard(rshm_array *array, timeout most, unsigned flags) : array(array) {
      died = check(rshm_array_lock(array, most.ns(), flags, &elements, &len)) == RSHM_OWNER_DIED;
    }
    guard(const guard &) = delete;
    guard &operator=(const guard &) = delete;
    ~guard() { rshm_array_unlock(array); }
    T *data() { return static_cast<T *>(elements); }
    std::size_t size() const { return len; }
    T *begin() { return data(); }
    T *end() { return data() + len; }
    T &operator[](std::size_t at) { return data()[at]; }
    /// Only with RSHM_EVEN_POISONED: a holder died amid its changes.
    bool owner_died() const { return died; }
    void clear_poison() { check(rshm_array_clear_poison(array)); }
  };

  guard lock(timeout most = {}, unsigned flags = 0) { return guard(raw.get(), most, flags); }
  rshm_array *handle() const { return raw.get(); }
};

/// A lock for anything else, for `std::unique_lock` and `std::lock_guard`.
class shared_lock {
  struct closer {
    void operator()(rshm_lock *lock) const { rshm_lock_close(lock); }
  };
  std::unique_ptr<rshm_lock, closer> raw;

public:
  explicit shared_lock(const std::string &name, const rshm_options *options = nullptr) {
    rshm_lock *made = nullptr;
    check(rshm_lock_open_or_create(name.c_str(), options, &made));
    raw.reset(made);
  }
  // As std's mutexes have them.
  void lock() { check(rshm_lock_lock(raw.get(), RSHM_FOREVER, 0)); }
  bool try_lock() {
    const int code = rshm_lock_lock(raw.get(), 0, 0);
    return code != RSHM_WOULD_BLOCK && check(code) == RSHM_OK;
  }
  void unlock() { check(rshm_lock_unlock(raw.get())); }
  rshm_lock *handle() const { return raw.get(); }
};

} // namespace robust_shm
