# An emulated machine: another kernel, a file system in memory with the tests in it, no disk and no network.

# Fetches what an emulated machine needs: a kernel, and the two programs beside the tests.
boots() { # SUITE-OF-THE-KERNEL ARCHITECTURE VERSION
    local package
    mirror_view "$1" "$2"
    package=$(kernel_package "$@")
    [ -n "$package" ] || skip "no kernel $3 in $1"
    fetch "$1" "$2" "$package"
    fetch bookworm "$2" busybox-static util-linux
    kernel=$(ls "$(unpacked "$1" "$2" "$package")"/boot/vmlinuz-*)
    programs=$(unpacked bookworm "$2" "")
}

# Boots that kernel and runs the tests of $result/tests.
boot() { # ARCHITECTURE
    local root=$result/root libraries loader qemu accelerator console library seconds=$((minutes * 60))
    mkdir -p "$root"/{bin,dev,etc,lib,lib64,proc,sys,tmp,tests} "$root$repository"
    case $1 in
    amd64)
        # The standard model has no end of timers that an emulator under load serves late.
        qemu=(qemu-system-x86_64) console="ttyS0 no_timer_check"
        if runs_machines; then accelerator=(-accel kvm -cpu host); else accelerator=(-accel tcg,thread=multi -cpu max); fi
        libraries=$(dirname "$(realpath /lib64/ld-linux-x86-64.so.2)") loader=lib64/ld-linux-x86-64.so.2
        ;;
    arm64)
        qemu=(qemu-system-aarch64 -M virt) console=ttyAMA0 accelerator=(-accel tcg,thread=multi -cpu cortex-a72)
        libraries=/usr/aarch64-linux-gnu/lib loader=lib/ld-linux-aarch64.so.1
        ;;
    esac
    cp -L "$libraries/${loader##*/}" "$root/$loader"
    for library in libc.so.6 libm.so.6 libgcc_s.so.1 libpthread.so.0 libdl.so.2; do
        cp -L "$libraries/$library" "$root/lib/"
    done
    cp "$programs/busybox-static/bin/busybox" "$programs/util-linux/usr/bin/unshare" "$root/bin/"
    cp -L "$result"/tests/* "$here/run-tests.sh" "$root/tests/"
    cp -r src tests "$root$repository/" # read by tests
    sed "s/@SECONDS@/$seconds/" "$here/init.sh" >"$root/init"
    chmod +x "$root/init"
    (cd "$root" && find . | cpio -o -H newc --quiet -R 0:0 | gzip -1) >"$result/initrd.gz"
    rm -rf "$root"
    # Both ends are bounded: the tests by the guest, the guest from here. Against leaks of a real processor an emulated one
    # need do nothing, and what is done against them costs it much.
    nice timeout -k 10 $((seconds + 300)) "${qemu[@]}" "${accelerator[@]}" -smp 2 -m 3072 -nographic -no-reboot -net none \
        -kernel "$kernel" -initrd "$result/initrd.gz" -append "console=$console quiet loglevel=3 panic=-1 mitigations=off" \
        </dev/null >"$result/log" 2>&1 || true
    rm "$result/initrd.gz"
    report
}

# Can this processor run other kernels by itself, nearly as fast as this one? That there is a /dev/kvm does not say so: some
# virtual machines have one that runs only kernels made for it, and is slower than the emulator with all others.
runs_machines() {
    [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo
}
