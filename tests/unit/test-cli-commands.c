/* SPDX-License-Identifier: Apache-2.0 */
/* From a command line to the calls of the library, and back to output and exit code. */
#include "harness.h"

#include "fake-boxlet.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_calls(const char *calls)
{
        if (strcmp(fake.calls, calls) != 0)
                fail_msg("calls were:\n%s\nnot:\n%s\nstderr: %s", fake.calls, calls, fake_stderr);
}

static void run_fills_the_options(void **state)
{
        (void)state;
        fake_reset();
        fake.exit_code = 42;
        assert_int_equal(fake_run("run --rm --name web -e A=1 -e A=2 -p 8080:80 -p 53/udp -m 1g --cpus=4 "
                                  "--disk-size 20g -u 1000:50 -w /tmp "
                                  "-h host --network none --engine qemu --kernel /k --entrypoint /e --tmpfs "
                                  "/run --ulimit nofile=10 "
                                  "--cap-add NET_ADMIN --cap-drop ALL --label a=b --stop-signal INT "
                                  "--stop-timeout 3 --read-only --init "
                                  "--pull never --platform linux/amd64 -i alpine:3 ls -l --all < nothing"),
                         42);
        expect_calls("create image=alpine:3\n name=web\n command[0]=ls\n command[1]=-l\n command[2]=--all\n "
                     "command[3]=<\n "
                     "command[4]=nothing\n entrypoint=/e\n env[0]=A=2\n user=1000:50\n working_dir=/tmp\n "
                     "hostname=host\n "
                     "publish[0]=8080:80\n publish[1]=53/udp\n network=none\n cpus=4\n memory=1073741824\n "
                     "disk=21474836480\n engine=qemu\n kernel=/k\n tmpfs[0]=/run\n ulimit[0]=nofile=10\n "
                     "cap_add[0]=NET_ADMIN\n cap_drop[0]=ALL\n label[0]=a=b\n stop_signal=INT\n "
                     "stop_timeout=3000\n stdin=1\n "
                     "read_only=1\n init=1\n auto_remove=1\n pull=2\nstart  14\nfree ended\n");
}

static void parts_of_a_cpu_are_a_quota(void **state)
{
        (void)state;
        fake_reset();
        assert_int_equal(fake_run("run --cpus 1.5 --pids-limit 100 alpine"), 0);
        expect_calls(
            "create image=alpine\n cpus=2\n nano_cpus=1500000000\n pids_limit=100\nstart  12\nfree ended\n");
        fake_reset();
        assert_int_equal(fake_run("run --cpus .25 alpine"), 0);
        expect_calls("create image=alpine\n cpus=1\n nano_cpus=250000000\nstart  12\nfree ended\n");
}

static void run_defaults_are_left_to_the_library(void **state)
{
        (void)state;
        fake_reset();
        assert_int_equal(fake_run("run --network bridge alpine"), 0);
        expect_calls("create image=alpine\n network=default\nstart  12\nfree ended\n");
        assert_string_equal(fake_stdout, "");
        assert_string_equal(fake_stderr, "");
}

static void run_detached_prints_the_id_once_it_runs(void **state)
{
        (void)state;
        fake_reset();
        fake.lives = true;
        assert_int_equal(fake_run("run -d -t alpine top"), 0);
        expect_calls("create image=alpine\n command[0]=top\n terminal=1\nstart  1\nfree going\n");
        assert_string_equal(fake_stdout,
                            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n");
        fake_reset();
        fake.failure = "start 'nosuch': not found";
        fake.exit_code = 127;
        assert_int_equal(fake_run("run -d alpine nosuch"), 127);
        assert_string_equal(fake_stdout, "");
        assert_string_equal(fake_stderr, "boxlet: run: start 'nosuch': not found\n");
}

static void a_failure_of_boxlet_is_told_with_its_code(void **state)
{
        (void)state;
        fake_reset();
        fake.failure = "boot the machine: the guest panicked\n\033[31mlast line of the console";
        fake.exit_code = 125;
        assert_int_equal(fake_run("run alpine"), 125);
        assert_string_equal(
            fake_stderr,
            "boxlet: run: boot the machine: the guest panicked\n?[31mlast line of the console\n");
}

static void misuse_has_one_line_and_a_hint(void **state)
{
        static const struct {
                const char *words;
                int code;
                const char *text;
        } table[] = {
            {"run", 125,
             "boxlet: run: needs at least 1 argument: IMAGE [COMMAND [ARG...]]\nsee 'boxlet run --help'\n"},
            {"run --foo a", 125, "boxlet: run: unknown option '--foo'\nsee 'boxlet run --help'\n"},
            {"run -P a", 125,
             "boxlet: run: -P is not supported: name each port with -p\nsee 'boxlet run --help'\n"},
            {"run --network host a", 125,
             "boxlet: run: --network host is not supported: use default or none\nsee 'boxlet run --help'\n"},
            {"run --userns host a", 125,
             "boxlet: run: --userns is not supported: a box is a machine of its own\nsee 'boxlet "
             "run --help'\n"},
            {"run --cpus 1.5.2 a", 125,
             "boxlet: run: invalid value '1.5.2' for --cpus: not a number such as 2 or 1.5\n"
             "see 'boxlet run --help'\n"},
            {"run --pids-limit 1.5 a", 125,
             "boxlet: run: invalid value '1.5' for --pids-limit: not a whole number\n"
             "see 'boxlet run --help'\n"},
            {"run --detach-keys ctrl-1 a", 125,
             "boxlet: run: invalid value 'ctrl-1' for --detach-keys: not a list such as ctrl-p,ctrl-q\nsee "
             "'boxlet run "
             "--help'\n"},
            {"run -e =x a", 125,
             "boxlet: run: invalid environment variable '=x': the name is missing\nsee 'boxlet run "
             "--help'\n"},
            {"run -it a", 125,
             "boxlet: run: the input device is not a TTY: leave out -t, or -i\nsee 'boxlet run --help'\n"},
            {"exec box", 125,
             "boxlet: exec: needs at least 2 arguments: BOX COMMAND [ARG...]\nsee 'boxlet exec --help'\n"},
            {"ls x", 2, "boxlet: ls: takes no argument, but got 'x'\nsee 'boxlet ls --help'\n"},
            {"rnu", 2, "boxlet: unknown command 'rnu', did you mean 'run'?\nsee 'boxlet --help'\n"},
            {"frobnicate", 2, "boxlet: unknown command 'frobnicate'\nsee 'boxlet --help'\n"},
            {"--foo", 2, "boxlet: unknown option '--foo'\nsee 'boxlet --help'\n"},
            {"build .", 2,
             "boxlet: 'build' is not supported: build the image elsewhere, then 'boxlet load' or 'boxlet "
             "import'\n"},
            {"image lss", 2,
             "boxlet: image: unknown command 'lss', did you mean 'ls'?\nsee 'boxlet image --help'\n"},
            {"image prune", 2,
             "boxlet: image prune: there is no terminal to ask on: use -f\nsee 'boxlet image prune "
             "--help'\n"},
            {"inspect -f {{range}} x", 2,
             "boxlet: inspect: --format with '{{range}}' is not supported: use {{.Member.Member}}, {{json "
             ".Member}} or {{index .Member \"key\"}}\nsee 'boxlet inspect --help'\n"},
            {"help nosuch", 1, "boxlet: help: there is no command 'nosuch'\n"},
        };
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        (void)state;
        assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
        (void)close(null);
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                fake_reset();
                int code = fake_run(table[i].words);
                if (code != table[i].code || strcmp(fake_stderr, table[i].text) != 0)
                        fail_msg("%s: %d\n%s", table[i].words, code, fake_stderr);
                assert_string_equal(fake_stdout, "");
                assert_string_equal(fake.calls, "");
        }
}

static void exec_fills_the_options(void **state)
{
        (void)state;
        fake_reset();
        fake.exit_code = 3;
        assert_int_equal(setenv("PASSED_ON", "yes", 1), 0);
        assert_int_equal(
            fake_run("exec -u root -w / -e PASSED_ON -e NOT_THERE_AT_ALL --timeout 1m30s box sh -c true"), 3);
        expect_calls("exec box\n command[0]=sh\n command[1]=-c\n command[2]=true\n env[0]=PASSED_ON=yes\n "
                     "env[1]=NOT_THERE_AT_ALL\n user=root\n "
                     "working_dir=/\n timeout=90000\nfree ended\n");
        fake_reset();
        assert_int_equal(fake_run("exec -dt box sleep 5"), 0);
        expect_calls("exec box\n command[0]=sleep\n command[1]=5\n terminal=1\n detached=1\nfree going\n");
        fake_reset();
        fake.missing = true;
        assert_int_equal(fake_run("exec box true"), 125);
        assert_string_equal(fake_stderr, "boxlet: exec: there is no box 'box'\n");
}

static void several_boxes_are_all_tried(void **state)
{
        (void)state;
        fake_reset();
        assert_int_equal(fake_run("stop -t 2 a b"), 0);
        if (strcmp(fake.calls, "stop b 2000\nstop a 2000\n") != 0) /* at once, so in either order */
                expect_calls("stop a 2000\nstop b 2000\n");
        assert_string_equal(fake_stdout, "a\nb\n");
        fake_reset();
        assert_int_equal(fake_run("kill -s USR1 a"), 0);
        expect_calls("kill a 10\n");
        fake_reset();
        assert_int_equal(fake_run("rm -f a"), 0);
        expect_calls("rm a 1\n");
        fake_reset();
        fake.missing = true;
        assert_int_equal(fake_run("rm a b"), 1);
        assert_string_equal(fake_stderr,
                            "boxlet: rm: there is no box 'a'\nboxlet: rm: there is no box 'b'\n");
        assert_int_equal(fake_run("rm -f a"), 0);
        assert_string_equal(fake_stderr, "");
}

static void start_attach_and_wait(void **state)
{
        (void)state;
        fake_reset();
        fake.lives = true;
        assert_int_equal(fake_run("start a b"), 0);
        assert_string_equal(fake_stdout, "a\nb\n");
        fake_reset();
        fake.exit_code = 5;
        assert_int_equal(fake_run("start -a a"), 5);
        expect_calls("start a 13\nfree ended\n");
        fake_reset();
        fake.exit_code = 6;
        fake.state = "exited";
        assert_int_equal(fake_run("wait a"), 0);
        assert_string_equal(fake_stdout, "6\n");
        assert_int_equal(fake_run("attach a"), 125);
        assert_string_equal(fake_stderr, "boxlet: attach: box 'a' is not running\n");
        fake.state = "running";
        assert_int_equal(fake_run("attach --no-stdin a"), 6);
}

static void logs_are_bytes_with_times_on_demand(void **state)
{
        (void)state;
        fake_reset();
        assert_int_equal(fake_run("logs -n 5 --since 100 -f box"), 0);
        expect_calls("logs box since=100000000000 tail=5 follow=1\n");
        assert_string_equal(fake_stdout, "one\ntwo more\n");
        assert_string_equal(fake_stderr, "bad\n");
        assert_int_equal(fake_run("logs -t box"), 0);
        assert_string_equal(fake_stdout,
                            "1970-01-01T00:00:01.000000000Z one\n1970-01-01T00:00:01.000000000Z two more\n");
        assert_string_equal(fake_stderr, "1970-01-01T00:00:03.000000000Z bad\n");
}

static void listings_have_dockers_columns(void **state)
{
        (void)state;
        fake_reset();
        fake.list = "[{\"Id\":\"0123456789abcdef\",\"Names\":[\"web\"],\"Image\":\"al\\u001bpine\","
                    "\"Command\":\"sh -c 'a very "
                    "long command'\",\"Created\":0,\"State\":\"running\",\"Status\":\"Up 2 "
                    "hours\",\"Ports\":[{\"IP\":\"::1\","
                    "\"PublicPort\":8080,\"PrivatePort\":80,\"Type\":\"tcp\"},{\"PrivatePort\":53,\"Type\":"
                    "\"udp\"}]}]";
        assert_int_equal(fake_run("ps -a"), 0);
        expect_calls("list 1\n");
        char *second = strchr(fake_stdout, '\n') + 1;
        assert_int_equal(strncmp(fake_stdout, "BOX ID         IMAGE     COMMAND ", 33), 0);
        assert_int_equal(strncmp(second, "0123456789ab   al?pine   \"sh -c 'a very long \xe2\x80\xa6\"   ",
                                 52),
                         0);
        assert_non_null(strstr(second, " years ago   Up 2 hours   [::1]:8080->80/tcp, 53/udp   web\n"));
        assert_int_equal(fake_run("ls -q --no-trunc"), 0);
        assert_string_equal(fake_stdout, "0123456789abcdef\n");
        fake.list = "[]";
        assert_int_equal(fake_run("ls --format json"), 0);
        assert_string_equal(fake_stdout, "[]\n");
        fake.list = "not json";
        assert_int_equal(fake_run("ls"), 1);
}

static void images_have_dockers_columns(void **state)
{
        (void)state;
        fake_reset();
        assert_int_equal(fake_run("images"), 0);
        assert_string_equal(fake_stdout,
                            "REPOSITORY                TAG      IMAGE ID       CREATED   SIZE\n"
                            "alpine                    3.19     0123456789ab   N/A       7.05MB\n"
                            "localhost:5000/team/app   <none>   0123456789ab   N/A       7.05MB\n"
                            "<none>                    <none>   0123456789ab   N/A       7.05MB\n");
        assert_int_equal(fake_run("images -q --no-trunc alpine"), 0);
        assert_string_equal(fake_stdout, "sha256:0123456789abcdef0123\n");
        assert_int_equal(fake_run("image ls --digests docker.io/library/alpine:3.19"), 0);
        assert_non_null(strstr(fake_stdout, "sha256:feed"));
        assert_int_equal(fake_run("images --format json alpine"), 0);
        assert_non_null(strstr(fake_stdout, "\"Labels\": {\n            \"a\": \"b\"\n        }"));
}

static void image_commands_reach_the_library(void **state)
{
        (void)state;
        fake_reset();
        assert_int_equal(fake_run("pull -q --platform linux/arm64 alpine"), 0);
        expect_calls("pull alpine\n platform=linux/arm64\n");
        assert_string_equal(fake_stdout, "docker.io/library/alpine:3.19\n");
        assert_string_equal(fake_stderr, "");
        assert_int_equal(fake_run("pull alpine"), 0);
        assert_string_equal(fake_stdout, "Digest: sha256:feed\ndocker.io/library/alpine:3.19\n");
        assert_string_equal(fake_stderr, "aaaabbbbcccc: 10B\n");
        fake_reset();
        assert_int_equal(fake_run("load -i /dev/null"), 0);
        expect_calls("load fd\n");
        assert_string_equal(fake_stdout, "Loaded image: docker.io/library/a:1\nLoaded image ID: sha256:12\n");
        fake_reset();
        const char *const import[] = {"import", "-c",   "CMD [\"sh\"]", "--change",
                                      "USER 1", "/tmp", "name:1",       NULL};
        assert_int_equal(fake_run_words(import), 0);
        expect_calls("import /tmp\n reference=name:1\n change[0]=CMD [\"sh\"]\n change[1]=USER 1\n");
        assert_string_equal(fake_stdout, "sha256:0123\n");
        fake_reset();
        assert_int_equal(fake_run("tag a b"), 0);
        assert_int_equal(fake_run("rmi -f a"), 0);
        assert_int_equal(fake_run("image prune -af"), 0);
        expect_calls("tag a b\nrmi a 1\nprune 1\n");
        assert_string_equal(fake_stdout, "Total reclaimed space: 1.5MB\n");
}

static void volume_commands(void **state)
{
        (void)state;
        assert_int_equal(fake_run("volume create --size 64m --label a=b -d local data"), 0);
        expect_calls("volume create data size=67108864\n labels[0]=a=b\n");
        assert_string_equal(fake_stdout, "data\n");
        assert_int_equal(fake_run("volume create"), 0);
        assert_string_equal(fake_stdout, "made-up\n");
        assert_int_equal(fake_run("volume ls"), 0);
        assert_string_equal(fake_stdout, "DRIVER   VOLUME NAME   SIZE     ON DISK   BOXES\n"
                                         "local    data          1.05MB   4.1kB     a, b, c +2\n");
        assert_int_equal(fake_run("volume ls -q"), 0);
        assert_string_equal(fake_stdout, "data\n");
        assert_int_equal(fake_run("volume inspect -f {{.Name}} x y"), 0);
        assert_string_equal(fake_stdout, "data\ndata\n");
        fake_reset();
        assert_int_equal(fake_run("volume rm -f busy free"), 1);
        assert_string_equal(fake_stdout, "free\n");
        assert_string_equal(fake_stderr, "boxlet: volume rm: remove volume 'busy': box 'b' refers to it\n");
        assert_int_equal(fake_run("volume prune -af"), 0);
        expect_calls("volume rm busy 1\nvolume rm free 1\nvolume prune 1\n");
        assert_string_equal(fake_stdout, "Deleted Volumes:\ndata\n\nTotal reclaimed space: 1.5MB\n");
}

static void snapshot_commands(void **state)
{
        (void)state;
        assert_int_equal(fake_run("snapshot create --timeout 2m web one"), 0);
        assert_string_equal(fake_stdout, "one\n");
        assert_int_equal(fake_run("snapshot create web"), 0);
        assert_string_equal(fake_stdout, "made-up\n");
        assert_int_equal(fake_run("snapshot ls"), 0);
        assert_string_equal(fake_stdout, "BOX   SNAPSHOT   CREATED                SIZE     ON DISK\n"
                                         "web   one        2026-01-31T00:00:00Z   1.05MB   4.1kB\n");
        assert_int_equal(fake_run("snapshot ls -q web"), 0);
        assert_string_equal(fake_stdout, "one\n");
        assert_int_equal(fake_run("snapshot restore web one"), 0);
        assert_int_equal(fake_run("snapshot rm web none one"), 1);
        assert_string_equal(fake_stdout, "one\n");
        assert_string_equal(fake_stderr, "boxlet: snapshot rm: it has no snapshot 'none'\n");
        expect_calls("snapshot create web one timeout=120000\nsnapshot create web - timeout=0\n"
                     "snapshot ls -\nsnapshot ls web\nsnapshot restore web one\n"
                     "snapshot rm web none\nsnapshot rm web one\n");
        assert_int_equal(fake_run("snapshot restore web"), 2);
        fake_reset();
        assert_int_equal(fake_run("clone --name copy --snapshot one --timeout 5 web"), 0);
        expect_calls("clone web\n name=copy\n snapshot=one\n timeout=5000\n");
        assert_int_equal(fake_run("clone"), 2);
}

static void boxes_as_files(void **state)
{
        (void)state;
        int fd;
        const char *folder = unit_folder(&fd);
        char words[600];
        struct stat st;
        (void)snprintf(words, sizeof(words), "export-box --with-image --timeout 1s -o %s/file web", folder);
        assert_int_equal(fake_run(words), 0);
        assert_int_equal(fstatat(fd, "file", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        (void)snprintf(words, sizeof(words), "export-box -o %s/other half", folder);
        assert_int_equal(fake_run(words), 1);
        assert_int_equal(faccessat(fd, "other", F_OK, 0), -1);
        assert_int_equal(faccessat(fd, "other.partial", F_OK, 0), -1);
        assert_int_equal(fake_run("export-box web"), 0);
        assert_string_equal(fake_stdout, "a box\n");
        (void)snprintf(words, sizeof(words), "import-box --trust --name copy %s/file", folder);
        assert_int_equal(fake_run(words), 0);
        expect_calls("save-box web image=1\n timeout=1000\nsave-box half image=0\nsave-box web image=0\n"
                     "load-box 'a box' trusted=1\n name=copy\n");
        assert_int_equal(fake_run("import-box /no/such/file"), 1);
        assert_non_null(strstr(fake_stderr, "'/no/such/file': No such file"));
        assert_int_equal(fake_run("import-box"), 2);
}

static void system_commands(void **state)
{
        (void)state;
        assert_int_equal(fake_run("system df"), 0);
        assert_string_equal(fake_stdout, "TYPE     TOTAL   ACTIVE   SIZE   RECLAIMABLE\n"
                                         "Images   2       1        4MB    1MB (25%)\n"
                                         "Boxes    0       0        0B     0B (0%)\n");
        fake.list = "[{\"Id\": \"aaa\"}, {\"Id\": \"bbb\"}]";
        fake.state = "exited";
        assert_int_equal(fake_run("system prune -f -a --volumes"), 0);
        assert_non_null(strstr(fake.calls, "volume prune 0\nprune 1\n"));
        assert_string_equal(fake_stdout, "Deleted Boxes:\naaa\nbbb\nDeleted Volumes:\ndata\n"
                                         "Total reclaimed space: 3MB\n");
        fake.state = "running";
        assert_int_equal(fake_run("system prune -f"), 0);
        assert_null(strstr(fake_stdout, "aaa"));
        assert_null(strstr(fake_stdout, "Volumes"));
        assert_int_equal(fake_run("system check"), 1);
        assert_string_equal(fake_stdout, "box a: gone: repaired\nimage b: damaged\n");
        fake.missing = true;
        fake.calls[0] = '\0';
        assert_int_equal(fake_run("system check --repair"), 0);
        assert_string_equal(fake_stdout, "all is well\n");
        expect_calls("check 1\n");
        assert_int_equal(fake_run("system info"), 0);
        assert_int_equal(fake_run("system reboot"), 2);
        assert_int_equal(fake_run("doctor"), 0);
        assert_string_equal(fake_stdout, "ok       KVM: serves\n");
        fake.missing = false;
        assert_int_equal(fake_run("doctor"), 1);
        assert_string_equal(fake_stdout,
                            "note     KVM: no\n         to do: try\nMISSING  passt: gone: apt\n");
}

static void save_leaves_no_half_file(void **state)
{
        char path[512], words[600];
        const char *folder = unit_folder(NULL);
        (void)state;
        (void)snprintf(path, sizeof(path), "%s/a.tar", folder);
        (void)snprintf(words, sizeof(words), "save --format oci-archive -o %s one two", path);
        fake_reset();
        fake.failure = "write the archive: no space left on device";
        assert_int_equal(fake_run(words), 1);
        assert_string_equal(fake_stderr, "boxlet: save: write the archive: no space left on device\n");
        assert_int_equal(access(path, F_OK), -1);
        fake_reset();
        assert_int_equal(fake_run(words), 0);
        expect_calls("save oci-archive 2\n image[0]=one\n image[1]=two\n");
        assert_int_equal(access(path, F_OK), 0);
        (void)unlink(path);
}

static void cp_tells_the_box_from_the_host(void **state)
{
        static const struct {
                const char *words;
                int code;
                const char *calls;
        } cases[] = {
            {"cp web:/etc out", 0, "copy web:/etc to out\n"},
            {"cp -a -L in web:/etc", 0, "copy in to web:/etc\n archive=1\n follow_links=1\n"},
            {"cp - web:/etc", 0, "copy a tar to web:/etc\n"},
            {"cp web:/etc -", 0, "copy web:/etc to a tar\n"},
            {"cp ./a:b web:c:d", 0, "copy ./a:b to web:c:d\n"},
            {"cp a b", 2, ""},
            {"cp web:/a web:/b", 2, ""},
            {"cp :/a b", 2, ""},
            {"cp web: b", 2, ""},
            {"cp a", 2, ""},
        };
        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                fake_reset();
                assert_int_equal(fake_run(cases[i].words), cases[i].code);
                expect_calls(cases[i].calls);
        }
        fake_reset();
        fake.failure = "copy to box 'web': make 'x': Read-only file system";
        assert_int_equal(fake_run("cp x web:/"), 1);
        assert_string_equal(fake_stderr, "boxlet: cp: copy to box 'web': make 'x': Read-only file system\n");
}

static void export_leaves_no_half_file(void **state)
{
        char path[512], words[600];
        const char *folder = unit_folder(NULL);
        (void)state;
        (void)snprintf(path, sizeof(path), "%s/a.tar", folder);
        (void)snprintf(words, sizeof(words), "export -o %s web", path);
        fake_reset();
        fake.failure = "export box 'web': no space left on device";
        assert_int_equal(fake_run(words), 1);
        assert_string_equal(fake_stderr, "boxlet: export: export box 'web': no space left on device\n");
        assert_int_equal(access(path, F_OK), -1);
        fake_reset();
        assert_int_equal(fake_run(words), 0);
        expect_calls("export web\n");
        assert_int_equal(access(path, F_OK), 0);
        (void)unlink(path);
        fake_reset();
        assert_int_equal(fake_run("export web"), 0);
        assert_string_equal(fake_stdout, "root");
}

static void diff_prints_a_letter_and_a_path(void **state)
{
        (void)state;
        fake_reset();
        fake.inspect = "[{\"Path\": \"/a\", \"Kind\": 1}, {\"Path\": \"/b\\u001b[0m\", \"Kind\": 0}, "
                       "{\"Path\": \"/c\", \"Kind\": 2}]";
        assert_int_equal(fake_run("diff web"), 0);
        assert_string_equal(fake_stdout, "A /a\nC /b?[0m\nD /c\n");
        fake.inspect = "[{\"Path\": \"/a\", \"Kind\": 3}]";
        assert_int_equal(fake_run("diff web"), 1);
        fake.failure = "compare box 'web' with its image: gone";
        assert_int_equal(fake_run("diff web"), 1);
}

static void commit_passes_on_what_it_is_given(void **state)
{
        (void)state;
        fake_reset();
        assert_int_equal(fake_run("commit web"), 0);
        assert_string_equal(fake_stdout, "sha256:0123\n");
        expect_calls("commit web\n");
        fake_reset();
        assert_int_equal(fake_run("commit -a me -m why -c USER=x --pause=false web mine:1"), 0);
        expect_calls(
            "commit web\n reference=mine:1\n change[0]=USER=x\n message=why\n author=me\n pause=0\n");
}

static void top_prints_a_table(void **state)
{
        (void)state;
        fake_reset();
        fake.inspect = "{\"Titles\": [\"PID\", \"CMD\"], \"Processes\": [[\"1\", \"sleep 1\"]]}";
        assert_int_equal(fake_run("top web"), 0);
        assert_string_equal(fake_stdout, "PID   CMD\n1     sleep 1\n");
        assert_int_equal(fake_run("top web -ef"), 2);
        assert_non_null(strstr(fake_stderr, "exec BOX ps"));
        fake.inspect = "{}";
        assert_int_equal(fake_run("top web"), 1);
}

static void stats_prints_shares_and_sizes(void **state)
{
        (void)state;
        fake_reset();
        fake.inspect = "{\"Id\": \"0123456789abcdef\", \"Name\": \"web\", \"Time\": 5, \"CPUTime\": 1, "
                       "\"MemoryUsage\": 1048576, \"MemoryLimit\": 4194304, \"PIDs\": 3, \"DiskRead\": 1500, "
                       "\"DiskWritten\": 0, \"NetworkReceived\": null, \"NetworkSent\": null, "
                       "\"HostMemory\": 2048, \"HostCPUTime\": null}";
        assert_int_equal(fake_run("stats --no-stream web"), 0);
        assert_non_null(strstr(fake_stdout, "0123456789ab   web "));
        assert_non_null(strstr(fake_stdout, "1MiB / 4MiB"));
        assert_non_null(strstr(fake_stdout, "25.00%"));
        assert_non_null(strstr(fake_stdout, "1.5kB / 0B"));
        assert_non_null(strstr(fake_stdout, "-- / --"));
        assert_non_null(strstr(fake_stdout, "2KiB"));
        expect_calls("stats web\nstats web\n"); /* a share of time needs two looks */
        assert_int_equal(fake_run("stats --no-stream --format {{.Name}}={{.PIDs}} web"), 0);
        assert_string_equal(fake_stdout, "web=3\n");
        assert_int_equal(fake_run("stats --no-stream --format json web"), 0);
        assert_non_null(strstr(fake_stdout, "\"MemPerc\":\"25.00%\""));
        assert_int_equal(fake_run("stats --no-stream --format nonsense web"), 2);
        fake.failure = "measure box 'web': it is not running";
        assert_int_equal(fake_run("stats --no-stream web"), 1);
        assert_string_equal(fake_stderr, "boxlet: stats: measure box 'web': it is not running\n");
}

static void inspect_prints_one_array_or_a_format(void **state)
{
        (void)state;
        fake_reset();
        fake.inspect =
            "{\"Id\":\"x\",\"State\":{\"Status\":\"running\",\"Pid\":7},\"Config\":{\"Env\":[\"A=1\"]}}";
        assert_int_equal(fake_run("inspect a b"), 0);
        assert_non_null(strstr(fake_stdout, "[\n    {\n        \"Id\": \"x\""));
        const char *const format[] = {"inspect", "-f",
                                      "{{.State.Status}}/{{ .State.Pid }} {{json .Config.Env}}", "a", NULL};
        assert_int_equal(fake_run_words(format), 0);
        assert_string_equal(fake_stdout, "running/7 [\"A=1\"]\n");
        assert_int_equal(fake_run("inspect -f {{.Nope}} a"), 1);
        fake.missing = true;
        assert_int_equal(fake_run("inspect a"), 1);
        assert_string_equal(fake_stderr, "boxlet: inspect: there is no box or image 'a'\n");
        assert_string_equal(fake_stdout, "[]\n");
}

static void info_version_and_help(void **state)
{
        (void)state;
        fake_reset();
        assert_int_equal(fake_run("version"), 0);
        assert_string_equal(fake_stdout, "boxlet 9.8.7\n");
        assert_int_equal(fake_run("--version"), 0);
        assert_string_equal(fake_stdout, "boxlet 9.8.7\n");
        assert_int_equal(fake_run("info"), 0);
        assert_string_equal(fake_stdout, "Version: 9.8.7\nEngines:\n  qemu:\n    Usable: true\n");
        assert_int_equal(fake_run("--help"), 0);
        assert_non_null(strstr(fake_stdout, "\n  ls, ps"));
        assert_int_equal(fake_run("help run"), 0);
        assert_non_null(strstr(fake_stdout, "Usage: boxlet run [OPTION...] IMAGE [COMMAND [ARG...]]\n"));
        assert_int_equal(fake_run("run --name x --help"), 0);
        assert_non_null(strstr(fake_stdout, "  -m, --memory SIZE"));
        assert_string_equal(fake.calls, "");
}

static void boxes_are_restarted_paused_renamed_and_updated(void **state)
{
        (void)state;
        fake_reset();
        fake.lives = true;
        assert_int_equal(fake_run("restart -t 3 a b"), 0);
        expect_calls("restart a 3000\nfree going\nrestart b 3000\nfree going\n");
        assert_string_equal(fake_stdout, "a\nb\n");
        fake_reset();
        fake.failure = "no kernel";
        fake.exit_code = 125;
        assert_int_equal(fake_run("restart a"), 125);
        assert_string_equal(fake_stdout, "");
        fake_reset();
        assert_int_equal(fake_run("pause a b"), 0);
        assert_int_equal(fake_run("unpause b"), 0);
        assert_int_equal(fake_run("rename a c"), 0);
        assert_string_equal(fake_stdout, "");
        expect_calls("pause a\npause b\nunpause b\nrename a c\n");
        fake_reset();
        assert_int_equal(fake_run("update --restart on-failure:3 -m 1g --cpus 4 a"), 0);
        expect_calls("update a\n restart=on-failure:3\n cpus=4\n memory=1073741824\n");
        assert_string_equal(fake_stdout, "a\n");
        assert_non_null(strstr(fake_stderr, "its next start has the new size"));
        fake_reset();
        fake.state = "exited";
        assert_int_equal(fake_run("update --memory 1g a"), 0);
        assert_string_equal(fake_stderr, "");
        fake_reset();
        assert_int_equal(fake_run("update a"), 2);
        assert_int_equal(fake_run("update --memory-swap 1g a"), 2);
        assert_int_equal(fake_run("rename a"), 2);
        expect_calls("");
        fake_reset();
        assert_int_equal(fake_run("create --restart always --stop-after 1h --idle-stop 90 alpine"), 0);
        expect_calls("create image=alpine\n restart=always\n stop_after=3600000\n idle_stop=90000\n");
}

static void what_comes_back_after_a_reboot_is_started_oldest_first(void **state)
{
        (void)state;
        fake_reset();
        fake.lives = true;
        fake.list = "[{\"Id\":\"c\"},{\"Id\":\"b\"},{\"Id\":\"a\"}]"; /* newest first */
        assert_int_equal(fake_run("system start-all"), 0);
        expect_calls("list 1\nstart a 1\nfree going\nstart c 1\nfree going\n"); /* b does not want it */
        assert_string_equal(fake_stdout, "a\nc\n");
        fake_reset();
        fake.list = "[{\"Id\":\"a\"},{\"Id\":\"b\"},{\"Id\":\"c\"},{\"Id\":\"d\"}]";
        fake.failure = "no kernel";
        fake.exit_code = 125;
        assert_int_equal(fake_run("system start-all"), 1); /* and goes on */
        assert_non_null(strstr(fake.calls, "start c 1\n"));
        assert_non_null(strstr(fake.calls, "start a 1\n"));
        fake_reset();
        fake.list = "[{\"Id\":\"a\"}]";
        assert_int_equal(fake_run("system stop-all -t 2"), 0);
        expect_calls("list 0\nshutdown a 2000\n");
        assert_string_equal(fake_stdout, "a\n");
        fake_reset();
        assert_int_equal(fake_run("system stop-all"), 0);
        expect_calls("list 0\n");
        assert_int_equal(fake_run("system start-all x"), 2);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(boxes_are_restarted_paused_renamed_and_updated),
    cmocka_unit_test(what_comes_back_after_a_reboot_is_started_oldest_first),
    cmocka_unit_test(run_fills_the_options),
    cmocka_unit_test(parts_of_a_cpu_are_a_quota),
    cmocka_unit_test(run_defaults_are_left_to_the_library),
    cmocka_unit_test(run_detached_prints_the_id_once_it_runs),
    cmocka_unit_test(a_failure_of_boxlet_is_told_with_its_code),
    cmocka_unit_test(misuse_has_one_line_and_a_hint),
    cmocka_unit_test(exec_fills_the_options),
    cmocka_unit_test(several_boxes_are_all_tried),
    cmocka_unit_test(start_attach_and_wait),
    cmocka_unit_test(logs_are_bytes_with_times_on_demand),
    cmocka_unit_test(listings_have_dockers_columns),
    cmocka_unit_test(images_have_dockers_columns),
    cmocka_unit_test(image_commands_reach_the_library),
    cmocka_unit_test(volume_commands),
    cmocka_unit_test(snapshot_commands),
    cmocka_unit_test(boxes_as_files),
    cmocka_unit_test(system_commands),
    cmocka_unit_test(save_leaves_no_half_file),
    cmocka_unit_test(cp_tells_the_box_from_the_host),
    cmocka_unit_test(export_leaves_no_half_file),
    cmocka_unit_test(diff_prints_a_letter_and_a_path),
    cmocka_unit_test(commit_passes_on_what_it_is_given),
    cmocka_unit_test(top_prints_a_table),
    cmocka_unit_test(stats_prints_shares_and_sizes),
    cmocka_unit_test(inspect_prints_one_array_or_a_format),
    cmocka_unit_test(info_version_and_help),
};

UNIT_TEST_MAIN(cases)
