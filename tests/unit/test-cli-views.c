/* SPDX-License-Identifier: Apache-2.0 */
/* ls, rm and port: filters, templates and ports; and the files that run and create read and write. */
#include "harness.h"

#include "fake-boxlet.h"

#include "base/cleanup.h"
#include "base/path.h"
#include "cli/filter.h"
#include "cli/format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char boxes[] =
    "[{\"Id\":\"cc33\",\"Names\":[\"web\"],\"Image\":\"docker.io/library/nginx:1.25\",\"ImageID\":\"sha256:"
    "feedbeef\",\"Command\":\"nginx\",\"Created\":30,\"CreatedNs\":30000000001,\"State\":\"running\","
    "\"Status\":"
    "\"Up 2 "
    "hours (healthy)\",\"ExitCode\":0,\"Health\":\"healthy\",\"Ports\":[],\"Labels\":{\"tier\":\"front\",\"a "
    "b\":\"x\\ty\"},\"Mounts\":[{\"Type\":\"volume\",\"Name\":\"data\",\"Destination\":\"/srv\"}],"
    "\"Networks\":\"default\",\"SizeRw\":2500000},"
    "{\"Id\":\"bb22\",\"Names\":[\"db-1\"],\"Image\":\"postgres\",\"ImageID\":\"sha256:0123\",\"Command\":"
    "\"postgres\",\"Created\":20,\"CreatedNs\":20000000000,\"State\":\"exited\",\"Status\":\"Exited (3)\","
    "\"ExitCode\":3,\"Health\":\"none\",\"Ports\":[],\"Labels\":{\"tier\":\"back\"},\"Mounts\":[{\"Type\":"
    "\"bind\",\"Source\":\"/home/x\",\"Destination\":\"/x\"}],\"Networks\":\"none\"},"
    "{\"Id\":\"bb11\",\"Names\":[\"db-2\"],\"Image\":\"localhost:5000/db:9\",\"ImageID\":\"sha256:4567\","
    "\"Command\":\"db\",\"Created\":10,\"CreatedNs\":10000000000,\"State\":\"created\",\"Status\":"
    "\"Created\","
    "\"ExitCode\":0,\"Health\":\"none\",\"Ports\":[],\"Labels\":{},\"Mounts\":[],\"Networks\":\"default\"}]";

/* The ids that `ls -a -q` prints with these words; "" for a failure. */
static const char *listed(const char *words)
{
        char line[512];
        fake_reset();
        fake.list = boxes;
        (void)snprintf(line, sizeof(line), "ls -q --no-trunc %s", words);
        if (fake_run(line) != 0)
                return "";
        for (char *at = fake_stdout; *at != '\0'; at++)
                *at = *at == '\n' ? ' ' : *at;
        return fake_stdout;
}

static void filters_have_dockers_meaning(void **state)
{
        static const struct {
                const char *words, *ids;
        } table[] = {
            {"-a", "cc33 bb22 bb11 "},
            {"", "cc33 "},
            {"-a -f name=db", "bb22 bb11 "},
            {"-a -f name=^db-[2-9]$", "bb11 "},
            {"-a -f id=bb", "bb22 bb11 "},
            {"-a -f label=tier", "cc33 bb22 "},
            {"-a -f label=tier=back", "bb22 "},
            {"-a -f label=tier -f label=tier=front", "cc33 "},
            {"-f status=exited", "bb22 "},
            {"-f status=exited -f status=created", "bb22 bb11 "},
            {"-f exited=3", "bb22 "},
            {"-f exited=0", ""},
            {"-f exited=0 -f exited=3", "bb22 "},
            {"-a -f ancestor=nginx", "cc33 "},
            {"-a -f ancestor=nginx:1.25", "cc33 "},
            {"-a -f ancestor=nginx:1.2", ""},
            {"-a -f ancestor=postgres:latest", "bb22 "},
            {"-a -f ancestor=feed", "cc33 "},
            {"-a -f ancestor=fee", ""},
            {"-a -f ancestor=localhost", ""},
            {"-a -f ancestor=localhost:5000/db", "bb11 "},
            {"-a -f before=web", "bb22 bb11 "},
            {"-f since=bb11", "cc33 "},
            {"-a -f since=db-2", "cc33 bb22 "},
            {"-a -f volume=data", "cc33 "},
            {"-a -f volume=/srv", "cc33 "},
            {"-a -f volume=/home/x", "bb22 "},
            {"-a -f network=bridge", "cc33 bb11 "},
            {"-a -f health=healthy", "cc33 "},
            {"-a -f health=none", "bb22 bb11 "},
            {"-a -f name=db -f status=exited", "bb22 "},
            {"-n 2", "cc33 bb22 "},
            {"-l", "cc33 "},
            {"-n 1 -f name=db", "bb22 "},
        };
        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                const char *ids = listed(table[i].words);
                if (strcmp(ids, table[i].ids) != 0)
                        fail_msg("%s: '%s' not '%s' %s", table[i].words, ids, table[i].ids, fake_stderr);
        }
}

static void bad_filters_are_refused(void **state)
{
        static const struct {
                const char *words;
                int code;
                const char *text;
        } table[] = {
            {"ls -f name", 2, "invalid value 'name' for --filter: not KEY=VALUE"},
            {"ls -f name=", 2, "invalid value 'name=' for --filter: not KEY=VALUE"},
            {"ls -f colour=red", 2, "there is no filter 'colour': there are id, name, label,"},
            {"ls -f name=(", 2, "invalid value '(' for filter 'name': not a regular expression"},
            {"ls -f status=up", 2, "invalid value 'up' for filter 'status': not one of created, restarting,"},
            {"ls -f health=ill", 2, "not one of starting, healthy, unhealthy, none"},
            {"ls -f exited=256", 2, "invalid value '256' for filter 'exited': not an exit code"},
            {"ls -f before=nobody", 1, "filter 'before': there is no box 'nobody'"},
            {"ls -f since=bb", 1, "filter 'since': several boxes have an id that begins with 'bb'"},
            {"ls --format plain", 2, "not table, json or a text with {{.Field}} in it"},
            {"ls --format {{.Nope}}", 1, "there is no '.Nope' in it"},
            {"rm", 2, "needs at least 1 argument: BOX..., --filter or --all"},
            {"rm -a web", 2, "name boxes, or use --all: not both"},
            {"rm --filter name=x web", 2, "name boxes, or use --filter: not both"},
            {"port web 99999", 2, "invalid port '99999'"},
            {"port web 80/sctp", 2, "invalid port '80/sctp'"},
        };
        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                fake_reset();
                fake.list = boxes;
                int code = fake_run(table[i].words);
                if (code != table[i].code || strstr(fake_stderr, table[i].text) == NULL)
                        fail_msg("%s: %d %s", table[i].words, code, fake_stderr);
        }
}

static void expect_output(const char *const *words, const char *text)
{
        fake_reset();
        fake.list = boxes;
        assert_int_equal(fake_run_words(words), 0);
        assert_string_equal(fake_stdout, text);
}

static void templates_print_rows(void **state)
{
        (void)state;
        expect_output(
            (const char *const[]){"ls", "-a", "--format",
                                  "{{.ID}}|{{.Names}}|{{.State}}|{{.Size}}|{{.Mounts}}|{{.Label \"tier\"}}|"
                                  "{{.LocalVolumes}}|{{.Health}}|{{.ExitCode}}",
                                  NULL},
            "cc33|web|running|2.5MB|data|front|1|healthy|0\n"
            "bb22|db-1|exited|0B|/home/x|back|0|none|3\n"
            "bb11|db-2|created|0B|||0|none|0\n");
        expect_output((const char *const[]){"ls", "--format", "{{json .Labels}}\\t{{.Labels}}", NULL},
                      "\"tier=front,a b=x?y\"\ttier=front,a b=x?y\n");
        expect_output((const char *const[]){"ls", "-a", "--format", "table {{.Names}}\\t{{.Status}}", NULL},
                      "NAMES   STATUS\n"
                      "web     Up 2 hours (healthy)\n"
                      "db-1    Exited (3)\n"
                      "db-2    Created\n");
        expect_output((const char *const[]){"ls", "-f", "name=nobody", "--format", "table {{.ID}}", NULL},
                      "BOX ID\n");
        expect_output((const char *const[]){"ls", "-f", "name=nobody", "--format", "json", NULL}, "[]\n");
        fake_reset();
        fake.list = boxes;
        assert_int_equal(fake_run("ls -s"), 0);
        assert_non_null(strstr(fake_stdout, "NAMES   SIZE\n"));
        assert_non_null(strstr(fake_stdout, " web     2.5MB\n"));
}

static void members_are_found_by_index(void **state)
{
        static const struct {
                const char *format;
                int code;
                const char *text;
        } table[] = {
            {"{{index .L \"a.b/c\"}}", 0, "x\n"},
            {"{{ .L \"a.b/c\" }}!", 0, "x!\n"},
            {"{{index .L \"none\"}}!", 0, "!\n"},
            {"{{index .A 1}}", 0, "two\n"},
            {"{{index .A 9}}", 0, "\n"},
            {"{{index .L}}", -ENOTSUP, NULL},
            {"{{index .L \"a\" \"b\"}}", -ENOTSUP, NULL},
            {"{{.L key}}", -ENOTSUP, NULL},
            {"{{json .L \"a\"}}", -ENOTSUP, NULL},
        };
        json_t *json = json_pack("{s:{s:s}, s:[s, s]}", "L", "a.b/c", "x", "A", "one", "two");
        (void)state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct error err = ERROR_INIT;
                char *text = NULL;
                size_t size = 0;
                FILE *file = open_memstream(&text, &size);
                int r = format_check(table[i].format, &err);
                if (r == 0)
                        r = format_print(file, table[i].format, json, &err);
                (void)fclose(file);
                if (r != table[i].code || (r == 0 && strcmp(text, table[i].text) != 0))
                        fail_msg("%s: %d %s %s", table[i].format, r, text, err.text);
                free(text);
        }
        json_decref(json);
}

static void rm_takes_a_filter_or_all(void **state)
{
        (void)state;
        fake_reset();
        fake.list = boxes;
        assert_int_equal(fake_run("rm -f --filter status=exited"), 0);
        assert_string_equal(fake.calls, "list 1\nrm bb22 1\n");
        assert_string_equal(fake_stdout, "bb22\n");
        fake_reset();
        fake.list = boxes;
        assert_int_equal(fake_run("rm --all"), 0);
        assert_string_equal(fake.calls, "list 1\nrm cc33 0\nrm bb22 0\nrm bb11 0\n");
        fake_reset();
        assert_int_equal(fake_run("rm --all"), 0); /* of none */
        assert_string_equal(fake_stdout, "");
}

static void ports_are_shown_as_docker_does(void **state)
{
        (void)state;
        fake_reset();
        fake.inspect =
            "{\"State\":{\"Running\":true},\"NetworkSettings\":{\"Ports\":{\"80/tcp\":[{\"HostIp\":"
            "\"0.0.0.0\",\"HostPort\":\"8080\"},{\"HostIp\":\"::1\",\"HostPort\":\"8081\"}],\"53/"
            "udp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"53\"}]}}}";
        assert_int_equal(fake_run("port web"), 0);
        assert_string_equal(fake_stdout,
                            "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::1]:8081\n53/udp -> 127.0.0.1:53\n");
        assert_int_equal(fake_run("port web 80"), 0);
        assert_string_equal(fake_stdout, "0.0.0.0:8080\n[::1]:8081\n");
        assert_int_equal(fake_run("port web 53/udp"), 0);
        assert_string_equal(fake_stdout, "127.0.0.1:53\n");
        assert_int_equal(fake_run("port web 53"), 1);
        assert_string_equal(fake_stderr, "boxlet: port: port 53/tcp of box 'web' is not published\n");
        fake.inspect = "{\"State\":{\"Running\":false},\"NetworkSettings\":{\"Ports\":{\"80/tcp\":[]}}}";
        assert_int_equal(fake_run("port web"), 0);
        assert_string_equal(fake_stdout, "");
        assert_int_equal(fake_run("port web 80"), 1);
}

static void labels_come_from_files_too(void **state)
{
        int folder;
        char words[1024];
        const char *path = unit_folder(&folder);
        static const char text[] = "# comment\n a=file\n\nb=two words\nlone\n";
        (void)state;
        assert_int_equal(path_write_atomic_at(folder, "labels", text, strlen(text), 0600), 0);
        fake_reset();
        (void)snprintf(words, sizeof(words),
                       "create --label-file %s/labels --label a=option --annotation x.y=z image", path);
        assert_int_equal(fake_run(words), 0);
        assert_string_equal(fake.calls, "create image=image\n label[0]=a=option\n label[1]=b=two words\n "
                                        "label[2]=lone=\n annotation[0]=x.y=z\n");
        assert_int_equal(fake_run("create --label =x image"), 125);
        assert_non_null(strstr(fake_stderr, "invalid label '=x': the name is missing"));
        assert_int_equal(fake_run("create --label-file /nonexistent image"), 125);
}

static void the_hosts_environment_is_under_the_rest(void **state)
{
        (void)state;
        assert_int_equal(clearenv(), 0);
        assert_int_equal(setenv("A", "host", 1), 0);
        assert_int_equal(setenv("B", "host", 1), 0);
        assert_int_equal(setenv("LATIN", "\xe9", 1), 0);
        fake_reset();
        assert_int_equal(fake_run("create --env-host -e A=option image"), 0);
        assert_string_equal(fake.calls, "create image=image\n env[0]=A=option\n env[1]=B=host\n");
}

static void the_id_goes_into_a_new_file_only(void **state)
{
        int folder;
        char words[1024];
        cleanup_free char *text = NULL;
        const char *path = unit_folder(&folder);
        (void)state;
        fake_reset();
        (void)snprintf(words, sizeof(words), "create --cidfile %s/id --pidfile p image", path);
        assert_int_equal(fake_run(words), 0);
        assert_string_equal(fake.calls, "create image=image\n pid_file=p\n");
        assert_int_equal(path_read_at(folder, "id", 1000, &text, NULL), 0);
        assert_string_equal(text, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        fake_reset();
        assert_int_equal(fake_run(words), 125);
        assert_string_equal(fake.calls, ""); /* refused before anything is made */
        assert_non_null(strstr(fake_stderr, "/id' for the id exists: remove it if its box is gone\n"));
        assert_int_equal(unlinkat(folder, "id", 0), 0);
        fake_reset();
        fake.create_failure = "create box: no";
        assert_int_equal(fake_run(words), 125);
        assert_int_equal(faccessat(folder, "id", F_OK, 0), -1);
        fake_reset();
        assert_int_equal(fake_run("create --cidfile /dev/full image"), 125); /* it exists */
        assert_string_equal(fake.calls, "");
}

static void logs_have_a_limit_and_an_end(void **state)
{
        (void)state;
        fake_reset();
        assert_int_equal(
            fake_run("create --log-driver json-file --log-opt max-size=10m --log-opt max-file=3 image"), 0);
        assert_string_equal(fake.calls, "create image=image\n log_file_bytes=10485760\n log_files=3\n");
        fake_reset();
        assert_int_equal(fake_run("create --log-opt max-size=-1 image"), 125);
        assert_int_equal(fake_run("create --log-opt max-size=0 image"), 125);
        assert_non_null(strstr(fake_stderr, "not a size; a log always has a limit"));
        assert_int_equal(fake_run("create --log-opt max-file=0 image"), 125);
        assert_int_equal(fake_run("create --log-opt max-file=101 image"), 125);
        assert_int_equal(fake_run("create --log-opt compress=true image"), 125);
        assert_non_null(strstr(fake_stderr, "--log-opt compress=true is not supported"));
        assert_int_equal(fake_run("create --log-driver syslog image"), 125);
        assert_string_equal(fake.calls, "");
        assert_int_equal(fake_run("logs --until 100 box"), 0);
        assert_string_equal(fake.calls, "logs box since=0 tail=-1 follow=0\n until=100000000000\n");
}

static void events_are_chosen_and_shown(void **state)
{
        static const char *const journal[] = {
            "{\"time\":1,\"timeNano\":1000000005,\"Type\":\"box\",\"Action\":\"start\",\"Actor\":{\"ID\":"
            "\"abcd\",\"Attributes\":{\"image\":\"alpine\",\"name\":\"web\",\"tier\":\"fr\\nont\"}},"
            "\"scope\":"
            "\"local\"}",
            "{\"time\":2,\"timeNano\":2000000000,\"Type\":\"box\",\"Action\":\"exec_start: sh\",\"Actor\":{"
            "\"ID\":\"abcd\",\"Attributes\":{\"image\":\"alpine\",\"name\":\"web\"}},\"scope\":\"local\"}",
            "{\"time\":3,\"timeNano\":3000000000,\"Type\":\"image\",\"Action\":\"pull\",\"Actor\":{\"ID\":"
            "\"docker.io/library/alpine:latest\",\"Attributes\":{\"name\":\"docker.io/library/"
            "alpine:latest\"}},"
            "\"scope\":\"local\"}",
            "{\"time\":4,\"timeNano\":4000000000,\"Type\":\"volume\",\"Action\":\"create\",\"Actor\":{\"ID\":"
            "\"data\",\"Attributes\":{}},\"scope\":\"local\"}",
            NULL};
        static const struct {
                const char *words, *shown;
        } table[] = {
            {"", "start exec_start: sh pull create "},
            {"-f type=box", "start exec_start: sh "},
            {"-f type=container -f event=start", "start "},
            {"-f event=exec_start -f event=pull", "exec_start: sh pull "},
            {"-f event=exec", ""},
            {"-f box=web", "start exec_start: sh "},
            {"-f container=ab", "start exec_start: sh "},
            {"-f box=we", ""},
            {"-f image=alpine", "start exec_start: sh pull "},
            {"-f volume=data", "create "},
            {"-f label=tier", "start "},
        };
        (void)state;
        assert_int_equal(setenv("TZ", "UTC", 1), 0);
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                char words[256];
                fake_reset();
                fake.events = journal;
                (void)snprintf(words, sizeof(words), "events --format {{.Status}} %s", table[i].words);
                assert_int_equal(fake_run(words), 0);
                for (char *at = fake_stdout; *at != '\0'; at++)
                        *at = *at == '\n' ? ' ' : *at;
                if (strcmp(fake_stdout, table[i].shown) != 0)
                        fail_msg("%s: '%s'", words, fake_stdout);
        }
        assert_int_equal(fake_run("events -f event=start"), 0);
        assert_string_equal(fake_stdout, "1970-01-01T00:00:01.000000005+00:00 box start abcd (image=alpine, "
                                         "name=web, tier=fr?ont)\n");
        assert_int_equal(fake_run("events -f event=create --format json"), 0);
        assert_string_equal(fake_stdout, "{\"time\":4,\"timeNano\":4000000000,\"Type\":\"volume\",\"Action\":"
                                         "\"create\",\"Actor\":{\"ID\":\"data\",\"Attributes\":{}},\"scope\":"
                                         "\"local\"}\n");
        assert_int_equal(fake_run(
                             "events -f event=start --format {{.Time}}/{{.ID}}/{{.Actor.Attributes.name}}"),
                         0);
        assert_string_equal(fake_stdout, "1/abcd/web\n");
}

static void events_have_a_beginning_and_an_end(void **state)
{
        (void)state;
        fake_reset();
        assert_int_equal(fake_run("events"), 0);
        assert_int_equal(fake_run("events --since 10"), 0);
        assert_int_equal(fake_run("events --until 10"), 0);
        assert_int_equal(fake_run("events --stream=false"), 0);
        assert_string_equal(fake.calls, "events since=-1 until=0 follow=1\n"
                                        "events since=10000000000 until=0 follow=1\n"
                                        "events since=0 until=10000000000 follow=1\n"
                                        "events since=0 until=0 follow=0\n");
        assert_int_equal(fake_run("events --format table"), 2);
        assert_int_equal(fake_run("events --filter colour=red"), 2);
        assert_non_null(strstr(fake_stderr, "there is no filter 'colour': there are type, event, box,"));
}

static void health_options_are_handed_on(void **state)
{
        (void)state;
        const char *const words[] = {"create",
                                     "--health-cmd",
                                     "curl -f localhost",
                                     "--health-interval",
                                     "5s",
                                     "--health-timeout=1500ms",
                                     "--health-retries=4",
                                     "--health-start-period=1m",
                                     "--health-start-interval=2",
                                     "image",
                                     NULL};
        fake_reset();
        assert_int_equal(fake_run_words(words), 0);
        assert_string_equal(fake.calls, "create image=image\n health_cmd=curl -f localhost\n "
                                        "health_interval=5000\n health_timeout=1500\n "
                                        "health_start_period=60000\n health_start_interval=2000\n "
                                        "health_retries=4\n");
        fake_reset();
        assert_int_equal(fake_run("create --health-cmd none image"), 0);
        assert_string_equal(fake.calls, "create image=image\n no_health=1\n");
        fake_reset();
        assert_int_equal(fake_run("create --no-healthcheck --health-retries 1 image"), 125);
        assert_int_equal(fake_run("create --no-healthcheck --health-cmd x image"), 125);
        assert_int_equal(fake_run("create --health-retries 4294967296 image"), 125);
        assert_int_equal(fake_run("create --health-interval=-1s image"), 125);
        assert_string_equal(fake.calls, "");
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(filters_have_dockers_meaning),
    cmocka_unit_test(bad_filters_are_refused),
    cmocka_unit_test(templates_print_rows),
    cmocka_unit_test(members_are_found_by_index),
    cmocka_unit_test(rm_takes_a_filter_or_all),
    cmocka_unit_test(ports_are_shown_as_docker_does),
    cmocka_unit_test(labels_come_from_files_too),
    cmocka_unit_test(the_hosts_environment_is_under_the_rest),
    cmocka_unit_test(logs_have_a_limit_and_an_end),
    cmocka_unit_test(events_are_chosen_and_shown),
    cmocka_unit_test(events_have_a_beginning_and_an_end),
    cmocka_unit_test(health_options_are_handed_on),
    cmocka_unit_test(the_id_goes_into_a_new_file_only),
};

UNIT_TEST_MAIN(cases)
