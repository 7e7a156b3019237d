#!/bin/sh
# Builds the C library and installs it: install.sh PREFIX, for example /usr/local. Needs a Rust toolchain.
#   PREFIX/include/robust_shm.h, robust_shm.hpp
#   PREFIX/lib/librobust_shm.so, .so.0, .a, pkgconfig/robust_shm.pc
# ROBUST_SHM_TARGET=x86_64-unknown-linux-musl: for musl, with its own unwinder as librobust_shm_unwind.a.
set -eu
[ $# = 1 ] || { sed -n '2s/^# //p' "$0" >&2 && exit 2; }
prefix=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here/../.."
cargo build --release --quiet -p robust-shm-capi ${ROBUST_SHM_TARGET:+--target "$ROBUST_SHM_TARGET"}
built=${CARGO_TARGET_DIR:-target}${ROBUST_SHM_TARGET:+/$ROBUST_SHM_TARGET}/release
version=$(sed -n 's/^version = "\(.*\)"/\1/p' crates/capi/Cargo.toml | head -n 1)
mkdir -p "$prefix/include" "$prefix/lib/pkgconfig"
cp crates/capi/include/robust_shm.h crates/capi/include/robust_shm.hpp "$prefix/include/"
cp "$built/librobust_shm_c.a" "$prefix/lib/librobust_shm.a"
if [ -e "$built/librobust_shm_c.so" ]; then # a static C library has none
    cp "$built/librobust_shm_c.so" "$prefix/lib/librobust_shm.so.0"
    ln -sf librobust_shm.so.0 "$prefix/lib/librobust_shm.so"
fi
needs="-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc"
case ${ROBUST_SHM_TARGET-} in
*-musl) # gcc's own unwinder asks for what only glibc has
    cp "$(rustc --print target-libdir --target "$ROBUST_SHM_TARGET")/self-contained/libunwind.a" "$prefix/lib/librobust_shm_unwind.a"
    needs="-lrobust_shm_unwind -lc"
    ;;
esac
cat >"$prefix/lib/pkgconfig/robust_shm.pc" <<END
prefix=$prefix
Name: robust_shm
Description: named, typed shared memory between unrelated processes, that survives kill -9
Version: $version
Cflags: -I\${prefix}/include
Libs: -L\${prefix}/lib -lrobust_shm
Libs.private: $needs
END
