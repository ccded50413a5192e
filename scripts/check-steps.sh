# shellcheck shell=bash
# The steps of ./check, each a function step_NAME that prints what it does and fails where something is wrong. A step that has
# tests of its own calls count PASSED FAILED SKIPPED and adds a line "skipped: …" to $RESULT for each one that was skipped.
# Sourced by check; needs ROOT, LOGS, RESULT, LONG, INSTALL, fail, say, count and scripts/packages.sh.

# ---- What a log says of a failure

# The first test that failed, with all that is said of it: what failed after it may only be its consequence. That is the first part of
# the section in which node:test repeats what failed; without one (TAP, or a step that was stopped) the first such line and what follows.
first_failure() { # LOG
    if grep -aq '^✖ failing tests:' "$1"; then
        awk '/^✖ failing tests:/ { inside = 1; next } !inside { next } /^test at / && ++tests > 1 { exit }
            NF { print; if (++lines == 60) exit }' "$1"
    else
        awk '/^ *(not ok|✖)/ && !found { found = 1; print; next } !found { next } /^ *(ok|not ok|✔|✖|▶) / { exit }
            { print; if (++lines == 60) exit }' "$1"
    fi | cut -c 1-400
}

# The first failure, the names of all (the first 20), and how it ended.
failure_report() { # LOG
    local first
    first=$(first_failure "$1")
    [ -z "$first" ] || printf 'the first failure:\n%s\n\n' "$first"
    grep -aE '^ *(not ok|✖)|^FAIL|error:|warning:|ERROR: |SUMMARY: |runtime error' "$1" | head -n 20 | cut -c 1-200 || true
    printf '…\n'
    tail -n "$([ -n "$first" ] && echo 20 || echo 50)" "$1" | cut -c 1-400
}

# ---- Installing

step_packages() {
    local missing
    # shellcheck disable=SC2154 # the lists come from scripts/packages.sh
    mapfile -t missing < <(missing_packages "$packages_build" "$packages_run" "$packages_node" "$packages_check")
    [ "${#missing[@]}" -gt 0 ] || { say 'nothing is missing'; return; }
    [ -z "$INSTALL" ] || fail "These Debian packages are missing: ${missing[*]}" "apt-get install --no-install-recommends ${missing[*]}"
    # Mirrors have weak moments.
    again 3 install_packages /dev/stdout "${missing[@]}"
    mapfile -t missing < <(missing_packages "$packages_build" "$packages_run" "$packages_node" "$packages_check")
    [ "${#missing[@]}" -eq 0 ] || fail "apt installed without an error, but these are still missing: ${missing[*]}"
}

# Every folder with a package-lock.json of ours.
step_npm() {
    local lock
    for lock in */package-lock.json */*/package-lock.json; do
        [ -e "$lock" ] || continue
        if npm_is_current "${lock%/*}"; then
            say "${lock%/*}: up to date"
            continue
        fi
        [ -z "$INSTALL" ] || fail "The npm packages of ${lock%/*} are not installed." "npm ci --ignore-scripts --prefix ${lock%/*}"
        again 3 npm_install "${lock%/*}"
    done
}

# npm ci takes a lock file that lacks a package of another platform for broken; npm install does not.
npm_install() { # FOLDER
    local options=(--ignore-scripts --no-audit --no-fund --fetch-retries=5 --prefix "$1")
    say "$1: npm ci"
    # A quickstart of this checkout may be installing the same; it holds this lock meanwhile.
    (
        flock 8
        npm_is_current "$1" || {
            { npm ci "${options[@]}" || npm install --no-save "${options[@]}"; } && touch "$1/node_modules/.package-lock.json"
        }
    ) 8>"$1/.quickstart.lock"
}

npm_is_current() { # FOLDER
    [ -f "$1/node_modules/.package-lock.json" ] && ! [ "$1/package-lock.json" -nt "$1/node_modules/.package-lock.json" ]
}

again() { # TIMES COMMAND…
    local left=$1 pause=5
    shift
    until ("$@"); do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        say "again in $pause s"
        sleep "$pause"
        pause=$((pause * 3))
    done
}

# ---- Building

# configure itself is made once for all builds, and by one at a time; quickstart holds the same lock.
make_configure() {
    mkdir -p build && (
        flock 8 && if ! { [ configure -nt configure.ac ] && [ configure -nt Makefile.am ] && [ config.h.in -nt configure.ac ]; }; then autoreconf -fi; fi
    ) 8>build/.quickstart.lock
}

# Joined by && because it is also called where a failure is looked at, and there bash would go on after one.
build() { # FOLDER CC CONFIGURE-OPTION… -- MAKE-TARGET…
    local folder=$1 cc=$2 options=()
    shift 2
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    mkdir -p "$folder" && make_configure && (
        flock 8 && cd "$folder" \
            && { { [ -f Makefile ] && [ config.status -nt ../configure ]; } || CC=$cc ../configure -q "${options[@]}"; } \
            && make -j"$(nproc)" "$@"
    ) 8>"$folder/.lock"
}

# With line numbers for stacks, and no more of what a debugger needs: that is a quarter of a compiler's work.
gcc_options=(--enable-werror 'CFLAGS=-g1 -O2')
build_gcc() { build build-gcc gcc "${gcc_options[@]}" -- "$@"; }
build_asan() { build build-asan clang --enable-werror --enable-sanitizers --enable-fuzzers 'CFLAGS=-g1 -O1' -- "$@"; }

step_gcc() { build_gcc check TESTS=; }
step_asan() { build_asan check TESTS=; }

# The build checks the types first; what is built from the files as they are has passed that.
step_webui() { scripts/build-web; }

# What a user gets from a release: it must configure, build, pass its unit tests, install and uninstall from there alone. By clang, whose
# warnings and whose optimized code no other step sees. Nobody keeps the archive, so it is made quickly.
step_dist() {
    XZ_OPT=-0 build build-dist gcc --enable-werror -- distcheck "DISTCHECK_CONFIGURE_FLAGS=CC=clang CFLAGS=-O2 --enable-werror"
}

# ---- The source

c_sources() { find src tests/unit tests/fuzz -name '*.[ch]' | sort; }

step_format() {
    c_sources | xargs clang-format --dry-run --Werror
}

# What the compiler is told, without the warnings.
compiler_flags() {
    build_gcc gen/embedded_files.c >/dev/null
    # shellcheck disable=SC2016 # make's variables
    make -s --no-print-directory -C build-gcc --eval 'flags: ; @echo $(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS) $(CPPFLAGS) -std=c17' flags \
        | sed "s#-I\.\./#-I$ROOT/#g; s#-I\.\. #-I$ROOT #g; s#-I\. #-I$ROOT/build-gcc #g; s#-I\./#-I$ROOT/build-gcc/#g"
}

# Most of its time the analyzer takes, which follows every path through a function until it has seen 225,000 states; nearly all functions
# have far fewer than those that it may see here. With --long it goes on.
step_tidy() {
    local flags
    flags=$(compiler_flags)
    [ -n "$LONG" ] || flags+=' -Xclang -analyzer-config -Xclang max-nodes=50000'
    # One file at a time: with several, this version finds faults with every va_list. The flags are words, each one its own.
    # shellcheck disable=SC2016,SC2086
    find src -name '*.c' | sort | xargs -P 2 -n 1 sh -c 'flags=$1; shift; clang-tidy --quiet --warnings-as-errors="*" "$@" -- $flags' sh "$flags"
}

# variableScope: variables stand at the head of a function here. knownConditionTrueFalse: wrong about chains of else if. jansson's loops
# are macros of a header that cppcheck does not read.
step_cppcheck() {
    build_gcc gen/embedded_files.c
    cppcheck --enable=warning,style,performance,portability --inline-suppr --std=c11 --quiet --error-exitcode=1 \
        --suppress=missingIncludeSystem --suppress=variableScope --suppress=knownConditionTrueFalse \
        "-Djson_object_foreach(o, k, v)=while (next(o, &k, &v))" "-Djson_array_foreach(a, i, v)=while (next(a, &i, &v))" -D_GNU_SOURCE -Isrc -Ibuild-gcc -Ibuild-gcc/gen src
}

# All that bash or sh runs: by name, or by its first line.
step_shellcheck() {
    local files
    mapfile -t files < <(find . \( -name node_modules -o -name .git -o -name 'build*' -o -name '.quickstart*' -o -name 'autom4te*' \) -prune \
        -o -type f ! -name configure ! -name '*~' -size -200k -exec awk 'FILENAME ~ /\.sh$/ || /^#!.*[ \/](ba)?sh/ { print FILENAME } { nextfile }' {} +)
    printf '%s\n' "${files[@]}"
    shellcheck -x "${files[@]}"
}

step_deno() {
    local deno
    deno=$(compgen -G "$ROOT/runtime/dev/node_modules/@deno/*/deno" | head -n 1) || fail 'Deno is not installed.' 'npm ci --prefix runtime/dev'
    export DENO_DIR=$TMPDIR/deno NO_COLOR=1
    cd runtime || return
    "$deno" lint .
    "$deno" check --no-lock main/index.ts dev/start.ts dev/worker.ts shim/*.ts
}

step_man() {
    local page complaints failed=0
    for page in docs/man/*.[1-8]; do
        complaints=$(groff -man -Tutf8 -ww -z "$page" 2>&1)
        [ -z "$complaints" ] || { printf '%s\n' "$complaints"; failed=1; }
    done
    return "$failed"
}

# ---- Tests in C

# Counts the lines of TAP in the logs of `make check`.
count_tap_logs() { # FOLDER
    local passed failed skipped logs
    mapfile -t logs < <(find "$1" -name '*.trs' | sed 's/trs$/log/')
    [ "${#logs[@]}" -gt 0 ] || fail 'make check has run no program.'
    skipped=$(cat "${logs[@]}" | grep -cE '^ok .*# SKIP' || true)
    passed=$(($(cat "${logs[@]}" | grep -cE '^ok ' || true) - skipped))
    failed=$(cat "${logs[@]}" | grep -cE '^not ok ' || true)
    count "$passed" "$failed" "$skipped"
    grep -hE '^ok .*# SKIP' "${logs[@]}" | sed 's/^ok [0-9]* */skipped: /' >>"$RESULT" || true
}

step_unit() {
    local status=0
    find build-asan/tests -name '*.trs' -delete 2>/dev/null || true
    CMOCKA_MESSAGE_OUTPUT=TAP VERBOSE=1 build_asan check || status=$?
    count_tap_logs build-asan/tests
    return "$status"
}

step_valgrind() {
    local status=0 program programs=0
    build_gcc check TESTS=
    for program in build-gcc/tests/unit/test_*; do
        [ -f "tests/unit/$(basename "$program").c" ] || continue
        programs=$((programs + 1))
        (cd build-gcc && srcdir=.. valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
            "tests/unit/$(basename "$program")") || { say "$program failed under valgrind"; status=1; }
    done
    [ "$status" -ne 0 ] || count "$programs" 0 0
    return "$status"
}

# Each fuzzer first replays its corpus, then searches on; what it finds is written to build-asan/.
step_fuzz() {
    local fuzzer name seconds=2 dictionary passed=0 failed=0
    [ -z "$LONG" ] || seconds=120
    build_asan all
    for fuzzer in tests/fuzz/fuzz_*.c; do
        name=$(basename "$fuzzer" .c)
        name=${name#fuzz_}
        [ -d "tests/fuzz/corpus/$name" ] || fail "$fuzzer has no corpus." "put one in tests/fuzz/corpus/$name"
        dictionary=tests/fuzz/$name.dict
        mkdir -p "$TMPDIR/corpus/$name"
        say "== $name"
        if build-asan/tests/fuzz/fuzz_"$name" -runs=0 "tests/fuzz/corpus/$name" \
            && build-asan/tests/fuzz/fuzz_"$name" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
                -artifact_prefix="build-asan/$name-" ${dictionary:+$([ ! -f "$dictionary" ] || printf -- '-dict=%s' "$dictionary")} \
                "$TMPDIR/corpus/$name" "tests/fuzz/corpus/$name"; then
            passed=$((passed + 1))
        else
            say "not ok $name"
            failed=$((failed + 1))
        fi
    done
    count "$passed" "$failed" 0
    [ "$failed" -eq 0 ]
}

# ---- Tests in JavaScript

# With points at which the program is killed.
build_faults() {
    [ -d build-faults ] || begin_build_faults
    build build-faults gcc "${gcc_options[@]}" --enable-crash-points -- "$@"
}

# What knows none of them is compiled as in build-gcc, and taken from there.
begin_build_faults() {
    local new=build-faults.new
    build_gcc all
    rm -rf "$new" && mkdir "$new"
    (cd build-gcc && find src gen \( -name '*.o' -o -name '*.Po' -o -name .dirstamp -o -name '*.c' \) -print0 | tar --null -T - -cf -) | tar -C "$new" -xf -
    find "$new" -name '*.Po' -exec grep -l '/core/crash\.h' {} + | sed -E 's#\.deps/(.*)\.Po$#\1.o#' | xargs rm
    mv "$new" build-faults
}

step_node_tests() { # FOLDER of tests/
    local status=0 tap=$TMPDIR/tap options=()
    # From Node 20 on; before, it runs as many files at once as there are processors, less one.
    ! node --help | grep -q -- --test-concurrency || options+=(--test-concurrency=2)
    [ -z "$LONG" ] || export FA_LONG=1
    local folder=build-gcc
    if [ "$1" = faults ]; then
        folder=build-faults
        build_faults all >/dev/null
        # What is tried, for the table of tests/faults/README.md.
        rm -rf build-faults/faults && mkdir -p build-faults/faults
        options+=(--test-reporter=./tests/faults/reporter.mjs --test-reporter-destination=build-faults/faults/tests.lines)
    else
        build_gcc all >/dev/null
    fi
    export FA_BINARY=$ROOT/$folder/functions-admin
    # Each quickstart would start npm to ask for it.
    export NPM_CONFIG_REGISTRY=${NPM_CONFIG_REGISTRY:-${npm_config_registry:-$(npm config get registry)}}
    node --test "${options[@]}" --test-reporter=spec --test-reporter-destination=stdout \
        --test-reporter=tap --test-reporter-destination="$tap" tests/"$1"/*.test.mjs || status=$?
    count "$(tap_total "$tap" pass)" "$(($(tap_total "$tap" fail) + $(tap_total "$tap" cancelled)))" \
        "$(($(tap_total "$tap" skipped) + $(tap_total "$tap" todo)))"
    sed -nE 's/^ *ok [0-9]+ - (.*) # (SKIP|TODO)/skipped: \1: /p' "$tap" >>"$RESULT"
    return "$status"
}

# "# pass 12" of the summary, which is the last that TAP of node:test holds.
tap_total() { # FILE WORD
    sed -nE "s/^# $2 ([0-9]+)\$/\1/p" "$1" | tail -n 1 | grep . || echo 0
}
