# Windows, as far as Wine is it: a prefix of its own in the cache, and the suite in it.

# Installs Wine and makes the prefix.
prepare_wine() {
    command_of x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64
    command_of wine wine
    [ -e /usr/lib/wine/wine64 ] || install_package wine64
    export WINEPREFIX=$cache/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml=" DISPLAY=
    local library=$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll
    if [ ! -e "$library" ]; then
        rm -rf "$WINEPREFIX"
        timeout -k 5 180 wineboot --init >"$result/wineboot" 2>&1 || { tail -5 "$result/wineboot" && return 1; }
        x86_64-w64-mingw32-gcc -O2 -shared -o "$library.part" "$here/bcryptprimitives.c" -ladvapi32
        mv "$library.part" "$library"
    fi
    # Each look at a file that somebody has locked costs its server a descriptor until nobody has.
    ulimit -n "$(ulimit -Hn)"
    # What others have left who were cut short; and it may have been made by a test's own hand, and so be for everybody.
    segments=$WINEPREFIX/drive_c/users/$(id -un)/AppData/Local/robust-shm
    rm -rf "$segments"
    # One that is still there from making the prefix ends in some seconds, and no other can start beside it.
    timeout 60 wineserver --wait || timeout 20 wineserver --kill || true
    # Until the end: or each program that comes when none is there has the whole of Wine start anew.
    wineserver --persistent
    trap end_wine EXIT
}

# And all programs that run in it.
end_wine() {
    timeout 20 wineserver --kill || true
}

# For what counts the requests to Wine's server: one of its own, which writes them down. It does so for whoever asks, and never
# stops once it has begun; so the others get a new one behind it.
traced() { # PROGRAM
    cat <<END
#!/bin/sh
timeout 20 wineserver --kill
wineserver --debug=1 --persistent >/dev/null 2>"$result/trace"
ROBUST_SHM_TEST_TRACE="Z:$result/trace" wine "$1" "\$@"
code=\$?
timeout 20 wineserver --kill
rm -f "$result/trace"
wineserver --persistent >/dev/null 2>&1
exit \$code
END
}

# Runs the tests of a folder.
run_in_wine() { # FOLDER
    local name
    mkdir "$1/wine"
    while read -r name; do
        printf '#!/bin/sh\nexec wine %s "$@"\n' "$(readlink -f "$1/$name")" >"$1/wine/$name"
        [ "$name" != calls ] || traced "$(readlink -f "$1/$name")" >"$1/wine/$name"
        chmod +x "$1/wine/$name"
    done <"$1/order"
    cp "$1/order" "$1/wine/"
    ROBUST_SHM_TEST_SEGMENTS=$segments run_here "$1/wine"
}

# The two examples of the tutorial print what they print on Linux.
examples_in_wine() {
    cargo_for x86_64-pc-windows-gnu build --examples --quiet
    local folder=$cache/build/x86_64-pc-windows-gnu/debug/examples said
    said=$(timeout 60 wine "$folder/squares.exe" 2>/dev/null)
    [ "$said" = "[25, 36, 49, 64]
174" ] || { echo "squares said: $said" && return 1; }
    said=$(timeout 300 wine "$folder/bank.exe" 2>/dev/null)
    [ "$(grep -c '^without lock: ' <<<"$said")" = 3 ] && [ "$(grep -c '^with lock: 200$' <<<"$said")" = 3 ] ||
        { echo "bank said: $said" && return 1; }
}
