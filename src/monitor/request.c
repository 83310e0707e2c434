/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the boot, the start and the exec request. Pure but for the clock and the random bytes. */
#include "monitor/request.h"

#include "base/clock.h"
#include "monitor/disks.h"
#include "monitor/state.h"

#include <string.h>
#include <sys/random.h>

#define ENTROPY_SIZE 64

static int add_host(json_t *hosts, const char *address, const char *name, const char *other)
{
        return json_array_append_new(hosts,
                                     json_pack("{s:s, s:[s, s*]}", "address", address, "names", name, other));
}

static json_t *make_hosts(const struct config *c, const struct request_network *network)
{
        json_t *hosts = json_array();
        int r = add_host(hosts, "127.0.0.1", "localhost", NULL);
        if (r == 0)
                r = add_host(hosts, "::1", "localhost", "ip6-localhost");
        if (r == 0 && c->hostname[0] != '\0')
                r = add_host(hosts, network->box_address != NULL ? network->box_address : "127.0.1.1",
                             c->hostname, NULL);
        if (r == 0 && network->host_address != NULL)
                r = add_host(hosts, network->host_address, REQUEST_HOST_NAME, NULL);
        for (size_t i = 0; i < json_array_size(c->hosts) && r == 0; i++)
                r = json_array_append(hosts, json_array_get(c->hosts, i));
        if (r == 0)
                return hosts;
        json_decref(hosts);
        return NULL;
}

static int make_entropy(char ret_text[2 * ENTROPY_SIZE + 1])
{
        static const char digits[] = "0123456789abcdef";
        unsigned char bytes[ENTROPY_SIZE];
        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
                return -1;
        for (size_t i = 0; i < sizeof(bytes); i++) {
                ret_text[2 * i] = digits[bytes[i] >> 4];
                ret_text[2 * i + 1] = digits[bytes[i] & 15];
        }
        ret_text[sizeof(bytes) * 2] = '\0';
        return 0;
}

/* Nobody else is on the box's link: its addresses need not be asked for before they are used. */
static json_t *make_sysctl(const struct config *c, const struct request_network *network)
{
        json_t *sysctl = json_object();
        if (network->ipv6)
                (void)json_object_set_new(sysctl, "net.ipv6.conf.eth0.accept_dad", json_string("0"));
        if (sysctl != NULL && c->sysctl != NULL && json_object_update(sysctl, (json_t *)c->sysctl) < 0) {
                json_decref(sysctl);
                return NULL;
        }
        return sysctl;
}

json_t *request_boot(const struct config *c, const struct request_network *network)
{
        char entropy[2 * ENTROPY_SIZE + 1];
        json_t *hosts = make_hosts(c, network);
        if (hosts == NULL || make_entropy(entropy) < 0) {
                json_decref(hosts);
                return NULL;
        }
        json_t *volumes = c->volumes != NULL ? json_incref((json_t *)c->volumes) : json_array();
        json_t *sysctl = make_sysctl(c, network);
        json_t *net = network->document != NULL ? json_incref((json_t *)network->document) : json_null();
        return json_pack("{s:s, s:I, s:s, s:s, s:{s:s, s:s?, s:b, s:o}, s:o, s:o, s:o, s:s?, s:o}", "op",
                         "boot", "time_ns", (json_int_t)clock_wall_ns(), "entropy", entropy, "hostname",
                         c->hostname, "root", "lower", "/dev/vda", "upper",
                         c->disk != NULL ? "/dev/vdb" : NULL, "readonly", (int)c->readonly, "volumes",
                         volumes, "network", net, "hosts", hosts, "sysctl", sysctl, "shares",
                         json_array_size(c->shares) > 0 ? "boxlet" : NULL, "disks",
                         disks_request(c, c->disk != NULL ? 2 : 1));
}

/* A copy of the process object with the terminal's size, if it has one and it is known. */
static json_t *with_size(const json_t *object, uint16_t rows, uint16_t columns)
{
        json_t *process = json_copy((json_t *)object);
        if (json_is_true(json_object_get(process, "terminal")) && rows > 0 && columns > 0)
                (void)json_object_set_new(process, "consoleSize",
                                          json_pack("{s:i, s:i}", "height", (int)rows, "width",
                                                    (int)columns)); /* only nicer with it */
        return process;
}

json_t *request_start(const struct config *c, uint16_t rows, uint16_t columns)
{
        json_t *spec = json_copy((json_t *)c->spec);
        json_t *process = with_size(json_object_get(spec, "process"), rows, columns);
        if (spec == NULL || json_object_set_new(spec, "process", process) < 0) {
                json_decref(spec);
                return NULL;
        }
        return json_pack("{s:s, s:o, s:b}", "op", "start", "spec", spec, "stdin",
                         (int)(c->stdin_open && !c->has_command));
}

json_t *request_command(const struct config *c, uint16_t rows, uint16_t columns)
{
        return json_pack("{s:s, s:o, s:b}", "op", "exec", "process", with_size(c->command, rows, columns),
                         "stdin", (int)c->stdin_open);
}
