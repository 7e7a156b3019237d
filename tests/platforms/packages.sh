# Packages: installed on this machine, or fetched for another suite or architecture and unpacked, by apt and with the
# mirror that this machine uses. The machine's own apt is left as it is.

# Sees to it that there is a command, by installing a package.
command_of() { # COMMAND PACKAGE
    command -v "$1" >/dev/null || install_package "$2"
}

install_package() {
    command -v apt-get >/dev/null || skip "needs the Debian package $1"
    [ "$(id -u)" = 0 ] || skip "needs the package $1, and root to install it"
    [ -e "$cache/updated" ] || { timeout 300 apt-get update -qq && touch "$cache/updated"; }
    DEBIAN_FRONTEND=noninteractive timeout 900 apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

# A linker and a C library for 64-bit ARM.
cross_compiler() {
    command_of aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
    [ -e /usr/aarch64-linux-gnu/lib/libc.so.6 ] || install_package libc6-dev-arm64-cross
}

# Rust's own, for another target.
standard_library() { # TARGET
    [ -d "$(rustc --print target-libdir --target "$1")" ] || timeout 600 rustup target add "$1" >"$result/rustup" 2>&1 ||
        skip "no standard library for $1: rustup target add says: $(tail -1 "$result/rustup")"
}

# apt with a view of its own, of one suite and architecture.
apt_of() { # SUITE ARCHITECTURE COMMAND...
    local apt=$cache/apt/$1-$2 mirror
    if [ ! -e "$apt/ready" ]; then
        command -v apt-get >/dev/null || skip "needs apt"
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
            grep -vE '/debian-(security|debug)|-security/' | head -1)
        [ -n "$mirror" ] || skip "apt knows no mirror of Debian"
        rm -rf "$apt"
        mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial
        : >"$apt/status"
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$apt/sources.list"
        cat >"$apt/conf" <<I
APT::Architecture "$2";
APT::Architectures { "$2"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
I
        APT_CONFIG=$apt/conf timeout 300 apt-get update -qq >&2
        touch "$apt/ready"
    fi
    shift 2
    (cd "$apt/cache" && APT_CONFIG=$apt/conf timeout 600 "$@")
}

# Unpacks packages into $cache/unpacked/SUITE-ARCHITECTURE/PACKAGE.
fetch() { # SUITE ARCHITECTURE PACKAGE...
    local suite=$1 architecture=$2 package place
    shift 2
    for package in "$@"; do
        place=$(unpacked "$suite" "$architecture" "$package")
        [ ! -d "$place" ] || continue
        mkdir -p "$place.part"
        apt_of "$suite" "$architecture" apt-get download -qq "$package"
        dpkg-deb -x "$cache/apt/$suite-$architecture/cache/$package"_*.deb "$place.part"
        mv "$place.part" "$place"
    done
}

unpacked() { # SUITE ARCHITECTURE PACKAGE
    echo "$cache/unpacked/$1-$2/$3"
}

# The name of the newest kernel image of a version.
kernel_package() { # SUITE ARCHITECTURE VERSION
    apt_of "$1" "$2" apt-cache pkgnames "linux-image-$3" |
        grep -E "^linux-image-$3[.0-9]*-[0-9]+-cloud-$2-unsigned$" | sort -V | tail -1
}
