#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The command line where it needs no box: help, misuse, completion, manual pages. Runs alone too:
# BOXLET=build/boxlet bats tests/box/cli.bats

setup() {
        ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
        BOXLET=$(realpath "${BOXLET:-$ROOT/build/boxlet}")
        export BOXLET_HOME=$BATS_TEST_TMPDIR/home
        PATH=$(dirname "$BOXLET"):$PATH
        COMMANDS=$("$BOXLET" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\).*/\1/p')
}

# misuse CODE TEXT HINT -- WORD...: exactly these two lines on standard error, nothing on standard output.
misuse() {
        local code=$1 text=$2 hint=$3 out
        shift 4
        out=$("$BOXLET" "$@" 2>"$BATS_TEST_TMPDIR/err" </dev/null) && status=0 || status=$?
        echo "exit code $status, standard output '$out', standard error:"
        cat "$BATS_TEST_TMPDIR/err"
        [ "$status" -eq "$code" ]
        [ -z "$out" ]
        if [ -n "$hint" ]; then
                [ "$(cat "$BATS_TEST_TMPDIR/err")" = "$(printf 'boxlet: %s\nsee '\''%s'\''' "$text" "$hint")" ]
        else
                [ "$(cat "$BATS_TEST_TMPDIR/err")" = "boxlet: $text" ]
        fi
}

@test "every command has --help, on standard output, and exits 0" {
        [ "$(wc -w <<<"$COMMANDS")" -ge 24 ]
        for command in $COMMANDS; do
                "$BOXLET" "$command" --help >"$BATS_TEST_TMPDIR/help" 2>"$BATS_TEST_TMPDIR/err"
                [ ! -s "$BATS_TEST_TMPDIR/err" ]
                head -n 1 "$BATS_TEST_TMPDIR/help" | grep -q "^Usage: boxlet $command"
                "$BOXLET" help "$command" | cmp - "$BATS_TEST_TMPDIR/help"
                [ "$(awk '{ print length }' "$BATS_TEST_TMPDIR/help" | sort -n | tail -n 1)" -le 100 ]
        done
        for command in ls pull rm prune inspect load save import tag; do
                "$BOXLET" image "$command" --help | head -n 1 | grep -q "^Usage: boxlet image $command"
        done
}

@test "without a command the overview is shown" {
        run "$BOXLET"
        [ "$status" -eq 0 ]
        [[ "${lines[0]}" == "Usage: boxlet COMMAND"* ]]
        [ "$("$BOXLET" -h)" = "$output" ]
        [ "$("$BOXLET" help)" = "$output" ]
}

@test "the version has three numbers, as text and as JSON" {
        "$BOXLET" version | grep -Eqx 'boxlet [0-9]+\.[0-9]+\.[0-9]+'
        [ "$("$BOXLET" --version)" = "$("$BOXLET" version)" ]
        "$BOXLET" version --format json | grep -Eq '"Version": "[0-9]+\.[0-9]+\.[0-9]+"'
}

@test "misuse is one exact line and a hint" {
        misuse 125 "run: unknown option '--foo'" 'boxlet run --help' -- run --foo image
        misuse 125 "run: unknown option '--memroy', did you mean '--memory'?" 'boxlet run --help' -- run --memroy=1g image
        misuse 125 "run: needs at least 1 argument: IMAGE [COMMAND [ARG...]]" 'boxlet run --help' -- run --rm
        misuse 125 "run: -m needs a value" 'boxlet run --help' -- run -m
        misuse 125 "run: invalid value 'much' for --memory: not a size such as 512m, 1g or 10GiB" 'boxlet run --help' \
                -- run --memory much image
        misuse 125 "run: the input device is not a TTY: leave out -t, or -i" 'boxlet run --help' -- run -it image
        misuse 125 "exec: needs at least 2 arguments: BOX COMMAND [ARG...]" 'boxlet exec --help' -- exec box
        misuse 2 "ls: unknown option '--x'" 'boxlet ls --help' -- ls --x
        misuse 2 "ls: takes no argument, but got 'x'" 'boxlet ls --help' -- ls x
        misuse 2 "unknown command 'rnu', did you mean 'run'?" 'boxlet --help' -- rnu
        misuse 2 "unknown command 'xyzzy'" 'boxlet --help' -- xyzzy
        misuse 2 "unknown option '--xyzzy'" 'boxlet --help' -- --xyzzy
        misuse 2 "completion: unknown shell 'tcsh': bash, zsh and fish are known" 'boxlet completion --help' -- completion tcsh
}

@test "what docker has and boxlet has not is refused by name" {
        misuse 125 "run: -P is not supported: name each port with -p" 'boxlet run --help' -- run -P image
        misuse 125 "run: --userns is not supported: a box is a machine of its own" 'boxlet run --help' -- run --userns host image
        misuse 125 "run: --gpus is not supported: a box sees no device of the host" 'boxlet run --help' -- run --gpus all image
        misuse 125 "run: --network host is not supported: use default or none" 'boxlet run --help' -- run --network host image
        misuse 2 "'build' is not supported: build the image elsewhere, then 'boxlet load' or 'boxlet import'" '' -- build .
        for option in --device=/dev/x --link=a --pid=host --ipc=host --security-opt=x \
                --volumes-from=a --shm-size=1m --dns=1.1.1.1 --add-host=a:1 -P -c=1 --cpuset-cpus=0 --sysctl=a=b --userns=host; do
                run "$BOXLET" run "$option" image
                [ "$status" -eq 125 ]
                [[ "${lines[0]}" == "boxlet: run: ${option%%=*} is not supported"* ]]
        done
}

@test "environment files that cannot be read are told before anything is made" {
        misuse 125 "run: open '$BATS_TEST_TMPDIR/none': No such file or directory" 'boxlet run --help' \
                -- run --env-file "$BATS_TEST_TMPDIR/none" image
        printf 'A=1\nB C=2\n' >"$BATS_TEST_TMPDIR/env"
        misuse 125 "run: $BATS_TEST_TMPDIR/env: line 2: the name 'B C' has blanks in it" 'boxlet run --help' \
                -- run --env-file "$BATS_TEST_TMPDIR/env" image
        [ ! -e "$BOXLET_HOME" ]
}

@test "output that cannot be written is an error" {
        [ -w /dev/full ] || skip "there is no /dev/full"
        run bash -c '"$0" --help >/dev/full' "$BOXLET"
        [ "$status" -ne 0 ]
        [[ "$output" == *"No space left on device"* ]]
}

@test "closed standard streams do no harm" {
        run bash -c '"$0" version <&- 2>&-' "$BOXLET"
        [ "$status" -eq 0 ]
        run bash -c '"$0" version >&-' "$BOXLET"
        [ "$status" -eq 0 ]
}

# words LINE: what bash would offer at its end.
words() {
        local reply
        reply=$(bash --norc -c '
                source <("$1" completion bash)
                read -ra COMP_WORDS <<<"$2"
                [[ $2 == *" " ]] && COMP_WORDS+=("")
                COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
                _boxlet
                printf "%s\n" "${COMPREPLY[@]}"' - "$BOXLET" "$1")
        echo "$reply"
}

@test "bash completion is valid and knows commands, options and values" {
        "$BOXLET" completion bash >"$BATS_TEST_TMPDIR/boxlet"
        bash -n "$BATS_TEST_TMPDIR/boxlet"
        [ "$(words 'boxlet comp')" = completion ]
        [ "$(words 'boxlet r' | tr '\n' ' ')" = "run restart rm rename rmi " ]
        words 'boxlet run --' | grep -qx -- --disk-size
        words 'boxlet run --mem' | grep -qx -- --memory
        [ "$(words 'boxlet run --pull n')" = never ]
        [ "$(words 'boxlet image pr')" = prune ]
        [ "$(words 'boxlet image rm --f')" = --force ]
        [ "$(words 'boxlet volume c')" = create ]
        [ "$(words 'boxlet volume list --q')" = --quiet ]
        [ "$(words 'boxlet snapshot re' | tr '\n' ' ')" = "restore remove " ]
        [ "$(words 'boxlet system check --r')" = --repair ]
        [ "$(words 'boxlet ls --format ' | tr '\n' ' ')" = "table json " ]
        [ "$(words 'boxlet ps --no')" = --no-trunc ]
}

@test "zsh completion is valid" {
        "$BOXLET" completion zsh >"$BATS_TEST_TMPDIR/_boxlet"
        head -n 1 "$BATS_TEST_TMPDIR/_boxlet" | grep -qx '#compdef boxlet'
        grep -q -- "(-m --memory)" "$BATS_TEST_TMPDIR/_boxlet"
        for group in image volume snapshot system; do grep -qx "_boxlet_${group}_commands() {" "$BATS_TEST_TMPDIR/_boxlet"; done
        command -v zsh >/dev/null || skip "zsh is not installed"
        zsh -n "$BATS_TEST_TMPDIR/_boxlet"
}

@test "fish completion is valid" {
        "$BOXLET" completion fish >"$BATS_TEST_TMPDIR/boxlet.fish"
        grep -q -- "-s m -l memory" "$BATS_TEST_TMPDIR/boxlet.fish"
        command -v fish >/dev/null || skip "fish is not installed"
        fish --no-execute "$BATS_TEST_TMPDIR/boxlet.fish"
}

@test "every manual page is one that man can show" {
        command -v scdoc >/dev/null || skip "scdoc is not installed"
        for command in $COMMANDS; do
                scdoc <"$ROOT/docs/man/boxlet-$command.1.scd" >"$BATS_TEST_TMPDIR/page.1"
                grep -q "boxlet-$command" "$BATS_TEST_TMPDIR/page.1"
        done
        scdoc <"$ROOT/docs/man/boxlet.1.scd" >/dev/null
}

@test "errors of the home folder name it" {
        BOXLET_HOME=/proc/no/such/place run "$BOXLET" ls
        [ "$status" -eq 1 ]
        [[ "${lines[0]}" == "boxlet: ls: "*"/proc/no"* ]]
}
