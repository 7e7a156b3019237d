# Packages: installed on this machine, or fetched for another suite or architecture and unpacked, by apt and with the
# mirror that this machine uses. The machine's own apt is left as it is.

# Sees to it that there is a command, by installing a package.
command_of() { # COMMAND PACKAGE
    command -v "$1" >/dev/null || install_package "$2"
}

install_package() {
    command -v apt-get >/dev/null || skip "needs the Debian package $1"
    [ "$(id -u)" = 0 ] || skip "needs the Debian package $1, and root to install it"
    mirror_view bookworm amd64
    # Some other source of this machine may be dead; whether there is a package shows when it is installed.
    [ -e "$cache/updated" ] || { within 300 apt-get update -qq || true; } && touch "$cache/updated"
    DEBIAN_FRONTEND=noninteractive fetched apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$1"
}

# Asks the network, bounded. Who has not answered within that time is not asked again in this run.
within() { # SECONDS COMMAND...
    local status=0
    [ ! -e "$cache/no-answer" ] || skip "$(<"$cache/no-answer")"
    timeout -k 5 "$@" || status=$?
    [ $status != 124 ] || echo "no answer from the network: '${*:2:3}' had no end within $1 seconds" >"$cache/no-answer"
    return $status
}

# Gets something by apt, or skips: what a mirror does not give says nothing about the crate.
fetched() { # COMMAND...
    local log=$result/fetched said
    ! within 600 "$@" >"$log" 2>&1 || return 0
    [ ! -e "$cache/no-answer" ] || skip "$(<"$cache/no-answer")"
    said=$(grep -m 1 "Failed to fetch" "$log" || grep -m 1 '^E: ' "$log" || tail -1 "$log")
    skip "'${*: -3}' failed; it says: $said"
}

# A linker and a C library for 64-bit ARM.
cross_compiler() {
    command_of aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
    # What programs are linked with: only recommended by the compiler's package.
    [ -e /usr/aarch64-linux-gnu/lib/crt1.o ] || install_package libc6-dev-arm64-cross
}

# Rust's own, for another target.
standard_library() { # TARGET
    command -v cc >/dev/null || { install_package gcc && install_package libc6-dev; }
    [ ! -d "$(rustc --print target-libdir --target "$1")" ] || return 0
    command -v rustup >/dev/null || skip "no standard library for $1, and no rustup to get it"
    within 240 rustup target add "$1" >"$result/rustup" 2>&1 ||
        skip "no standard library for $1; rustup says:" \
            "$(sed '/^Stack backtrace/,$d; /^ *$/d' "$result/rustup" | tail -1 | sed -E 's/.*: (.*: .*)/\1/')"
}

# Makes a view of one suite and architecture, beside this machine's own, on the mirror that this machine uses.
mirror_view() { # SUITE ARCHITECTURE
    local apt=$cache/apt/$1-$2 mirror codename
    [ ! -e "$apt/ready" ] || return 0
    command -v apt-get >/dev/null || skip "needs apt and a mirror of Debian"
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        sed -nE "s/^($codename|stable|oldstable|testing|unstable|sid) main //p" | head -1)
    [ -n "$mirror" ] || skip "apt knows no mirror of Debian"
    rm -rf "$apt"
    mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial
    : >"$apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$apt/sources.list"
    cat >"$apt/conf" <<I
APT::Architecture "$2";
APT::Architectures { "$2"; };
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
I
    APT_CONFIG=$apt/conf within 240 apt-get update -qq >"$result/mirror" 2>&1 ||
        skip "the mirror of Debian has no $1 for $2, or does not answer: apt says: $(grep -m 1 '^[EW]:' "$result/mirror")"
    touch "$apt/ready"
}

# Unpacks packages into $cache/unpacked/SUITE-ARCHITECTURE/PACKAGE.
fetch() { # SUITE ARCHITECTURE PACKAGE...
    local suite=$1 architecture=$2 apt=$cache/apt/$1-$2 package place
    mirror_view "$1" "$2"
    shift 2
    for package in "$@"; do
        place=$(unpacked "$suite" "$architecture" "$package")
        [ ! -d "$place" ] || continue
        mkdir -p "$place.part"
        fetched env -C "$apt/cache" APT_CONFIG="$apt/conf" apt-get download -qq "$package"
        dpkg-deb -x "$apt/cache/$package"_*.deb "$place.part"
        mv "$place.part" "$place"
    done
}

unpacked() { # SUITE ARCHITECTURE PACKAGE
    echo "$cache/unpacked/$1-$2/$3"
}

# The name of the newest kernel image of a version.
kernel_package() { # SUITE ARCHITECTURE VERSION
    APT_CONFIG=$cache/apt/$1-$2/conf apt-cache pkgnames "linux-image-$3" |
        grep -E "^linux-image-$3[.0-9]*-[0-9]+-cloud-$2-unsigned$" | sort -V | tail -1
}
