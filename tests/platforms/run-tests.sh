#!/bin/sh
# Runs the test programs of a folder, in the order that its file `order` gives, here: on a machine, in an emulated one (where
# sh is busybox), or in a sandbox.
#   run-tests.sh FOLDER SECONDS
# Prints, of each:  RESULT name ok|failed|crashed|late|unfinished|unreached seconds passed failed ignored skipped
folder=$1
end=$(($(date +%s) + $2))
longest=1800
cut=
log=${TMPDIR:-/tmp}/robust-shm-test-$$
trap 'rm -f "$log"' EXIT

number() { # of WORD in the last line of results
    grep -a '^test result: ' "$log" | tail -n 1 | sed -n "s/.* \([0-9]*\) $1.*/\1/p"
}

while read -r test; do
    left=$((end - $(date +%s)))
    if [ "$left" -lt 30 ]; then
        echo "RESULT $test unreached 0 0 0 0 0"
        continue
    fi
    late=unfinished
    [ "$left" -lt "$longest" ] || { left=$longest && late=late; }
    start=$(date +%s)
    timeout -k 5 "$left" "$folder/$test" $ROBUST_SHM_TEST_ARGUMENTS >"$log" 2>&1 </dev/null
    code=$?
    took=$(($(date +%s) - start)) skipped=$(grep -ac 'SKIPPED, needs' "$log")
    passed=$(number passed) failed=$(number failed) ignored=$(number ignored)
    if [ -z "$passed" ]; then
        passed=$(grep -ac '^test .* \.\.\. ok$' "$log") failed=$(grep -ac '^test .* \.\.\. FAILED$' "$log") ignored=0
    fi
    case $code in
    0) status=ok ;;
    101) status=failed ;;
    124 | 137 | 143) status=$late cut=yes ;;
    *) status="crashed-$code" ;;
    esac
    echo "RESULT $test $status $took $passed $failed $ignored $skipped"
    grep -a 'SKIPPED, needs' "$log" | sed "s/.*SKIPPED/SKIPPED $test/" | sort | uniq -c
    if [ $code != 0 ] && { [ "$status" != unfinished ] || [ "${failed:-0}" != 0 ]; }; then
        grep -av '\.\.\. ok$\|^ *[0-9]*: \|^ *at \|^$' "$log" | tail -n 40 | sed "s/^/FAILURE $test: /"
    fi
done <"$folder/order"
# Who was cut short could not tidy up.
segments=${ROBUST_SHM_TEST_SEGMENTS:-/dev/shm}
[ -n "$cut" ] || ls -A "$segments" | grep "^${ROBUST_SHM_TEST_PREFIX:-.}" | sed 's/^/LEFT behind: /'
echo END
