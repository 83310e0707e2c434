/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet port: which addresses of the host lead to which ports of a box that runs. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/value.h"

#include <errno.h>
#include <string.h>

struct port_plan {
        struct text_list operands;
        char wanted[32]; /* "80/tcp", "" for all */
};

/* "80" or "80/udp" into the name docker has for it. */
static int check(void *data, struct error *err)
{
        struct port_plan *plan = data;
        if (plan->operands.count < 2)
                return 0;
        const char *text = plan->operands.items[1], *slash = strchr(text, '/');
        const char *protocol = slash != NULL ? slash + 1 : "tcp";
        char number[8];
        int64_t port = 0;
        (void)snprintf(number, sizeof(number), "%.*s", slash != NULL ? (int)(slash - text) : 7,
                       text); /* a longer one is no port */
        if (value_count(number, &port) < 0 || port < 1 || port > 65535 ||
            (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0))
                return error_set(err, -EINVAL, "invalid port '%s': not PORT or PORT/tcp or PORT/udp", text);
        (void)snprintf(plan->wanted, sizeof(plan->wanted), "%lld/%s", (long long)port, protocol); /* fits */
        return 0;
}

/* How many lines were printed. */
static size_t print_ports(const struct port_plan *plan, const json_t *ports)
{
        const char *name;
        json_t *addresses;
        size_t printed = 0;
        json_object_foreach ((json_t *)ports, name, addresses) {
                const json_t *one;
                size_t i;
                if (plan->wanted[0] != '\0' && strcmp(plan->wanted, name) != 0)
                        continue;
                json_array_foreach (addresses, i, one) {
                        const char *ip = json_string_value(json_object_get(one, "HostIp")),
                                   *port = json_string_value(json_object_get(one, "HostPort"));
                        bool six = ip != NULL && strchr(ip, ':') != NULL;
                        if (plan->wanted[0] == '\0')
                                printf("%s -> ", name);
                        printf("%s%s%s:%s\n", six ? "[" : "", ip != NULL ? ip : "", six ? "]" : "",
                               port != NULL ? port : "");
                        printed++;
                }
        }
        return printed;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct port_plan *plan = data;
        struct boxlet_error error = {0};
        struct error err = ERROR_INIT;
        struct boxlet_box *box = NULL;
        cleanup_json json_t *json = NULL;
        char *text = NULL;
        int code = cli_open(cli);
        if (code != 0)
                return code;
        int r = boxlet_box_get(cli->boxlet, plan->operands.items[0], &box, &error);
        if (r >= 0)
                r = boxlet_box_inspect(box, &text, &error);
        boxlet_box_free(box);
        if (r < 0)
                return cli_fail(cli, &error);
        r = json_parse(text, strlen(text), "the description", &json, &err);
        boxlet_free(text);
        if (r < 0)
                return cli_complain(cli, "%s", err.text);
        bool runs = json_is_true(json_object_get(json_object_get(json, "State"), "Running"));
        const json_t *ports = json_object_get(json_object_get(json, "NetworkSettings"), "Ports");
        size_t printed = runs ? print_ports(plan, ports) : 0;
        if (printed == 0 && plan->wanted[0] != '\0')
                return cli_complain(cli, "port %s of box '%s' is not published%s", plan->wanted,
                                    plan->operands.items[0], runs ? "" : ": it is not running");
        return 0;
}

const struct command command_port = {
    .name = "port",
    .operands = "BOX [PORT[/PROTO]]",
    .summary = "Show where the ports of a running box are published",
    .description = "A line for each: port of the box, address and port of the host; for one PORT (tcp unless "
                   "PROTO says udp), the latter only.",
    .minimum_operands = 1,
    .maximum_operands = 2,
    .first = OPERAND_BOX,
    .plan_size = sizeof(struct port_plan),
    .check = check,
    .carry_out = carry_out,
};
