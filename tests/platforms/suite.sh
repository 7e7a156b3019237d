# The test suite: built for a target, and run in one place or another.

# What says most about a platform comes first, and what takes an emulator minutes comes last: time may run out.
first=(exclusion poison kills elements orphans exec ports_glibc robust_list waiting lib containers namespaces errors life_cycle)
last=(fork leaked_guards identity scale signal_handlers stress_lock storm hostile)

cargo_for() { # TARGET ARGUMENTS...
    local triple=$1 command=$2
    shift 2
    env CARGO_TARGET_DIR="$cache/build${flags:+-$target}" ${flags:+RUSTFLAGS="$flags"} CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL="${optimised:-0}" \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc ROBUST_SHM_TEST_LIMIT_SECONDS=600 \
        timeout 1200 cargo "$command" --target "$triple" "$@"
}

# Builds the tests, and leaves links to them and their order in $result/tests.
build() { # TARGET
    local which=() name path
    if [ -n "$tests" ]; then
        for name in $tests; do
            if [ "$name" = lib ]; then which+=(--lib); else which+=(--test "$name"); fi
        done
    fi
    cargo_for "$1" test --no-run "${which[@]}" >"$result/build" 2>&1 || { tail -40 "$result/build" && return 1; }
    while read -r name path; do
        ln -sfn "$(realpath "$path")" "$result/tests/$name"
    done < <(sed -nE 's/^ *Executable (unittests )?(tests|src)\/([a-z_]+).*\((.*)\)$/\3 \4/p' "$result/build")
    {
        printf '%s\n' "${first[@]}"
        ls "$result/tests" | grep -vxF "$(printf '%s\n' "${last[@]}")" || true
        printf '%s\n' "${last[@]}"
    } | awk '!seen[$0]++' | while read -r name; do [ ! -x "$result/tests/$name" ] || echo "$name"; done >"$result/tests/order"
    [ -s "$result/tests/order" ]
}

# Runs the tests in a folder: each bounded, all of them bounded, what fails is shown.
run_through() { # FOLDER COMMAND...
    local folder=$1 seconds=$((minutes * 60))
    shift
    ROBUST_SHM_TEST_PREFIX="p$$-" RUST_TEST_THREADS=2 nice timeout -k 10 $((seconds + 60)) \
        "$@" sh "$here/run-tests.sh" "$folder" "$seconds" >"$result/log" 2>&1 || true
    report
}

# On this machine, with a /dev/shm of its own where that can be had.
run_here() { # FOLDER
    local private=(unshare --mount --propagation private sh -c 'mount -t tmpfs -o mode=1777 tmpfs /dev/shm && exec "$@"' sh)
    "${private[@]}" true 2>/dev/null || private=(env)
    run_through "$1" "${private[@]}"
}

# Shows what failed in $result/log, and takes the lines of the results out of it.
report() {
    tr -d '\r' <"$result/log" | sed -n 's/^RESULT //p' >"$result/lines"
    tr -d '\r' <"$result/log" | grep -a '^FAILURE' || true
    grep -aq '^END' "$result/log" || { tail -30 "$result/log" && return 1; }
    ! grep -a '^LEFT' "$result/log"
}

run_doc() { # TARGET
    local log=$result/doc status=ok start=$SECONDS
    cargo_for "$1" test --doc >"$log" 2>&1 || { status=failed && tail -40 "$log"; }
    sed -nE "s/^test result: .* ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored.*/doc $status $((SECONDS - start)) \1 \2 \3 0/p" \
        "$log" >>"$result/lines"
}

# By an emulator of the processor alone, on this kernel.
run_emulated() { # FOLDER EMULATOR...
    local folder=$1 name
    shift
    mkdir "$folder/emulated"
    while read -r name; do
        printf '#!/bin/sh\nexec %s %s "$@"\n' "$*" "$(readlink -f "$folder/$name")" >"$folder/emulated/$name"
        chmod +x "$folder/emulated/$name"
    done <"$folder/order"
    cp "$folder/order" "$folder/emulated/"
    ROBUST_SHM_TEST_EMULATOR="$*" run_here "$folder/emulated"
}
