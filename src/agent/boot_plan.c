/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot request as a plan. Pure. Texts that end up in files of the container (/etc/hosts, resolv.conf)
 * must not hold white space, or one name would be two lines.
 */
#include "agent/boot_plan.h"

#include "agent/spec.h"
#include "base/buffer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX  (1U << 20)
#define DISKS_MAX 64

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

static int parse_entropy(const json_t *request, struct boot_plan *plan, struct error *err)
{
        const char *text;
        int r = json_get_string_or(request, "entropy", "", &text, err);
        if (r < 0)
                return r;
        size_t length = strlen(text);
        if (length % 2 != 0 || length / 2 > sizeof(plan->entropy))
                return error_set(err, -EINVAL, "'entropy' is not up to %zu bytes in hex",
                                 sizeof(plan->entropy));
        for (size_t i = 0; i < length / 2; i++) {
                int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
                if (high < 0 || low < 0)
                        return error_set(err, -EINVAL, "'entropy' is not in hex");
                plan->entropy[i] = (uint8_t)(high << 4 | low);
        }
        plan->entropy_size = length / 2;
        return 0;
}

static int copy_text(char **place, const char *text, struct error *err)
{
        *place = strdup(text);
        return *place == NULL ? error_errno(err, -ENOMEM, "read boot request") : 0;
}

static int parse_root(const json_t *request, struct boot_plan *plan, struct error *err)
{
        const json_t *root = json_object_get(request, "root");
        const char *lower, *upper;
        if (!json_is_object(root))
                return error_set(err, -EINVAL, "'root' is missing or not an object");
        int r = json_get_string(root, "lower", &lower, err);
        if (r == 0)
                r = json_get_string_or(root, "upper", NULL, &upper, err);
        if (r == 0)
                r = json_get_bool_or(root, "readonly", false, &plan->readonly, err);
        if (r == 0)
                r = json_get_strings(root, "volumes", &plan->volumes, NULL, err);
        if (r == 0)
                r = copy_text(&plan->lower, lower, err);
        if (r == 0 && upper != NULL)
                r = copy_text(&plan->upper, upper, err);
        if (r < 0)
                return r;
        for (char **path = plan->volumes; *path != NULL; path++) {
                if (**path != '/' || (*path)[1] == '\0')
                        return error_set(err, -EINVAL, "'root.volumes': '%.200s' is no place for a volume",
                                         *path);
        }
        return 0;
}

static bool is_disk_name(const char *name)
{
        return name[0] != '\0' && name[0] != '.' && strlen(name) <= NAME_MAX && strchr(name, '/') == NULL;
}

static int parse_disk(const json_t *json, struct boot_disk *disk, struct error *err)
{
        const char *name, *device, *path;
        int r = json_get_string(json, "name", &name, err);
        if (r == 0)
                r = json_get_string(json, "device", &device, err);
        if (r == 0)
                r = json_get_string_or(json, "path", NULL, &path, err);
        if (r == 0)
                r = json_get_bool_or(json, "readonly", false, &disk->readonly, err);
        if (r == 0 && (!is_disk_name(name) || device[0] != '/' || (path != NULL && path[0] != '/')))
                r = error_set(err, -EINVAL, "'%.64s' is no disk with a device and a place", name);
        if (r == 0)
                r = copy_text(&disk->name, name, err);
        if (r == 0)
                r = copy_text(&disk->device, device, err);
        if (r == 0 && path != NULL)
                r = copy_text(&disk->path, path, err);
        return r;
}

static int parse_disks(const json_t *request, struct boot_plan *plan, struct error *err)
{
        const json_t *list = json_object_get(request, "disks");
        if (list == NULL || json_is_null(list))
                return 0;
        if (!json_is_array(list) || json_array_size(list) > DISKS_MAX)
                return error_set(err, -EINVAL, "'disks' is not an array of at most %d", DISKS_MAX);
        plan->disks = calloc(json_array_size(list) + 1, sizeof(*plan->disks));
        if (plan->disks == NULL)
                return error_errno(err, -ENOMEM, "read boot request");
        for (size_t i = 0; i < json_array_size(list); i++) {
                int r = parse_disk(json_array_get(list, i), &plan->disks[plan->disk_count++], err);
                if (r < 0)
                        return error_wrap(err, "'disks'");
                for (size_t j = 0; j < i; j++) {
                        if (strcmp(plan->disks[i].name, plan->disks[j].name) == 0)
                                return error_set(err, -EINVAL, "'disks' has two called '%.64s'",
                                                 plan->disks[i].name);
                }
        }
        return 0;
}

/* A word for a line of hosts or resolv.conf. */
static bool is_word(const char *text)
{
        if (*text == '\0' || strlen(text) > 255)
                return false;
        for (; *text != '\0'; text++) {
                if ((unsigned char)*text <= ' ' || *text == 0x7f || *text == '#')
                        return false;
        }
        return true;
}

static int parse_ip(const char *text, int family, uint8_t ret_address[16])
{
        return inet_pton(family, text, ret_address) == 1 ? 0 : -EINVAL;
}

static int parse_address(const json_t *network, const char *key, int family, struct boot_address *ret_address,
                         struct error *err)
{
        const json_t *json = json_object_get(network, key);
        struct boot_address a = {.present = true, .family = family};
        const char *address, *gateway;
        int64_t prefix;
        if (json == NULL || json_is_null(json))
                return 0;
        if (!json_is_object(json))
                return error_set(err, -EINVAL, "'network.%s' is not an object", key);
        int r = json_get_string(json, "address", &address, err);
        if (r == 0)
                r = json_get_integer(json, "prefix", 0, family == AF_INET ? 32 : 128, &prefix, err);
        if (r == 0)
                r = json_get_string_or(json, "gateway", NULL, &gateway, err);
        if (r < 0)
                return error_wrap(err, "'network.%s'", key);
        a.prefix = (uint8_t)prefix;
        a.has_gateway = gateway != NULL;
        if (parse_ip(address, family, a.address) < 0 ||
            (gateway != NULL && parse_ip(gateway, family, a.gateway) < 0))
                return error_set(err, -EINVAL, "'network.%s' holds something that is no address", key);
        *ret_address = a;
        return 0;
}

static int parse_mac(const json_t *network, struct boot_plan *plan, struct error *err)
{
        const char *text;
        int r = json_get_string_or(network, "mac", NULL, &text, err);
        if (r < 0 || text == NULL)
                return r;
        for (int i = 0; i < 6; i++) {
                int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
                if (low < 0 || text[2] != (i < 5 ? ':' : '\0'))
                        return error_set(err, -EINVAL, "'network.mac' is '%.32s'", text);
                plan->mac[i] = (uint8_t)(high << 4 | low);
                text += 3;
        }
        return 0;
}

/* Adds "KEYWORD item" lines, or one line with all of them. */
static int add_lines(struct buffer *b, const json_t *network, const char *key, const char *keyword,
                     bool one_line, struct error *err)
{
        char **items;
        int r = json_get_strings(network, key, &items, NULL, err);
        if (r < 0)
                return r;
        for (char **item = items; r == 0 && *item != NULL; item++) {
                bool first = !one_line || item == items;
                if (!is_word(*item))
                        r = error_set(err, -EINVAL, "'network.%s' holds '%.64s'", key, *item);
                else if (buffer_printf(b, "%s %s", first ? keyword : "", *item) < 0 ||
                         (!one_line && buffer_append_text(b, "\n") < 0))
                        r = error_set(err, -EINVAL, "'network.%s' is too long", key);
        }
        if (r == 0 && one_line && *items != NULL && buffer_append_text(b, "\n") < 0)
                r = error_set(err, -EINVAL, "'network.%s' is too long", key);
        json_free_strings(items);
        return r;
}

static int parse_servers(const json_t *network, struct boot_resolver *resolver, struct error *err)
{
        char **items;
        int r = json_get_strings(network, "dns", &items, NULL, err);
        if (r < 0)
                return r;
        for (char **item = items; r == 0 && *item != NULL && resolver->server_count < BOOT_SERVERS_MAX;
             item++) {
                struct boot_server *server = &resolver->servers[resolver->server_count++];
                *server = (struct boot_server){.family = AF_INET, .port = 53};
                if (parse_ip(*item, AF_INET, server->address) == 0)
                        continue;
                server->family = AF_INET6;
                if (parse_ip(*item, AF_INET6, server->address) < 0)
                        r = error_set(err, -EINVAL, "'network.dns' holds '%.64s'", *item);
        }
        json_free_strings(items);
        return r;
}

static int parse_resolver(const json_t *network, struct boot_resolver *resolver, struct error *err)
{
        const json_t *json = json_object_get(network, "resolver");
        const char *listen, *name, *address;
        uint8_t binary[16];
        if (json == NULL || json_is_null(json))
                return 0;
        if (!json_is_object(json))
                return error_set(err, -EINVAL, "'network.resolver' is not an object");
        int r = json_get_string(json, "listen", &listen, err);
        if (r == 0)
                r = json_get_string(json, "name", &name, err);
        if (r == 0)
                r = json_get_string_or(json, "address", NULL, &address, err);
        if (r < 0)
                return error_wrap(err, "'network.resolver'");
        if (!is_word(name) || strlen(name) >= sizeof(resolver->name))
                return error_set(err, -EINVAL, "'network.resolver' holds no name");
        (void)snprintf(resolver->name, sizeof(resolver->name), "%s", name); /* fits: just checked */
        if (parse_ip(listen, AF_INET, binary) < 0)
                return error_set(err, -EINVAL, "'network.resolver' holds something that is no address");
        memcpy(resolver->listen, binary, sizeof(resolver->listen));
        resolver->has_answer = address != NULL;
        if (address != NULL && parse_ip(address, AF_INET, binary) < 0)
                return error_set(err, -EINVAL, "'network.resolver' holds something that is no address");
        if (address != NULL)
                memcpy(resolver->answer, binary, sizeof(resolver->answer));
        resolver->present = true;
        return parse_servers(network, resolver, err);
}

static int take_text(struct buffer *b, char **place, struct error *err)
{
        *place = buffer_take(b);
        return *place == NULL ? error_errno(err, -ENOMEM, "read boot request") : 0;
}

static int parse_network(const json_t *request, struct boot_plan *plan, struct error *err)
{
        const json_t *network = json_object_get(request, "network");
        cleanup_buffer struct buffer resolv = BUFFER_INIT(FILE_MAX);
        int64_t mtu;
        if (network == NULL || json_is_null(network))
                return 0;
        if (!json_is_object(network))
                return error_set(err, -EINVAL, "'network' is not an object");
        plan->has_network = true;
        int r = parse_mac(network, plan, err);
        if (r == 0)
                r = json_get_integer_or(network, "mtu", 68, 65535, 0, &mtu, err);
        if (r == 0)
                r = parse_address(network, "ipv4", AF_INET, &plan->addresses[0], err);
        if (r == 0)
                r = parse_address(network, "ipv6", AF_INET6, &plan->addresses[1], err);
        if (r == 0)
                r = parse_resolver(network, &plan->resolver, err);
        const uint8_t *own = plan->resolver.listen;
        if (r == 0 && plan->resolver.present)
                r = buffer_printf(&resolv, "nameserver %u.%u.%u.%u\n", own[0], own[1], own[2], own[3]);
        else if (r == 0)
                r = add_lines(&resolv, network, "dns", "nameserver", false, err);
        if (r == 0)
                r = add_lines(&resolv, network, "search", "search", true, err);
        if (r == 0)
                r = take_text(&resolv, &plan->resolv_conf, err);
        if (r == 0)
                plan->mtu = (int)mtu;
        return r;
}

static int add_host(struct buffer *b, const json_t *json, struct error *err)
{
        const char *address;
        uint8_t ignored[16];
        char **names;
        int r = json_get_string(json, "address", &address, err);
        if (r < 0)
                return r;
        if (parse_ip(address, AF_INET, ignored) < 0 && parse_ip(address, AF_INET6, ignored) < 0)
                return error_set(err, -EINVAL, "'%.64s' is no address", address);
        r = json_get_strings(json, "names", &names, NULL, err);
        if (r < 0)
                return r;
        r = buffer_printf(b, "%s", address);
        for (char **name = names; r == 0 && *name != NULL; name++)
                r = is_word(*name) ? buffer_printf(b, "%c%s", name == names ? '\t' : ' ', *name) : -EINVAL;
        json_free_strings(names);
        if (r == 0)
                r = buffer_append_text(b, "\n");
        return r < 0 ? error_errno(err, r, "read the names of '%.64s'", address) : 0;
}

static int parse_hosts(const json_t *request, struct boot_plan *plan, struct error *err)
{
        const json_t *list = json_object_get(request, "hosts");
        cleanup_buffer struct buffer hosts = BUFFER_INIT(FILE_MAX);
        if (list != NULL && !json_is_null(list) && !json_is_array(list))
                return error_set(err, -EINVAL, "'hosts' is not an array");
        for (size_t i = 0; i < json_array_size(list); i++) {
                int r = add_host(&hosts, json_array_get(list, i), err);
                if (r < 0)
                        return error_wrap(err, "'hosts'");
        }
        return take_text(&hosts, &plan->hosts, err);
}

static int parse_sysctls(const json_t *request, struct boot_plan *plan, struct error *err)
{
        json_t *object = json_object_get(request, "sysctl");
        const char *key;
        json_t *value;
        if (object == NULL || json_is_null(object))
                return 0;
        if (!json_is_object(object))
                return error_set(err, -EINVAL, "'sysctl' is not an object");
        plan->sysctls = calloc(json_object_size(object) + 1, sizeof(*plan->sysctls));
        if (plan->sysctls == NULL)
                return error_errno(err, -ENOMEM, "read boot request");
        json_object_foreach (object, key, value) {
                struct boot_sysctl *sysctl = &plan->sysctls[plan->sysctl_count++];
                sysctl->path = sysctl_path(key);
                if (sysctl->path == NULL || !json_is_string(value))
                        return error_set(err, -EINVAL, "'sysctl': '%.64s' is no setting with a text", key);
                int r = copy_text(&sysctl->value, json_string_value(value), err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_shares(const json_t *request, struct boot_plan *plan, struct error *err)
{
        const char *tag;
        int r = json_get_string_or(request, "shares", NULL, &tag, err);
        if (r < 0 || tag == NULL)
                return r;
        if (tag[0] == '\0' || strlen(tag) > 36) /* virtio 1.2 section 5.11.4 */
                return error_set(err, -EINVAL, "'shares' is no tag of 1 to 36 bytes");
        return copy_text(&plan->shares, tag, err);
}

static int parse_all(const json_t *request, struct boot_plan *plan, struct error *err)
{
        const char *hostname;
        int r = json_get_integer_or(request, "time_ns", 0, INT64_MAX, 0, &plan->time_ns, err);
        if (r == 0)
                r = json_get_string_or(request, "hostname", "", &hostname, err);
        if (r == 0 && *hostname != '\0' && (!is_word(hostname) || strlen(hostname) >= sizeof(plan->hostname)))
                r = error_set(err, -EINVAL, "'hostname' is no name of at most 64 bytes");
        if (r == 0)
                (void)snprintf(plan->hostname, sizeof(plan->hostname), "%s",
                               hostname); /* fits: just checked */
        if (r == 0)
                r = parse_entropy(request, plan, err);
        if (r == 0)
                r = parse_root(request, plan, err);
        if (r == 0)
                r = parse_shares(request, plan, err);
        if (r == 0)
                r = parse_disks(request, plan, err);
        if (r == 0)
                r = parse_network(request, plan, err);
        if (r == 0)
                r = parse_hosts(request, plan, err);
        if (r == 0)
                r = parse_sysctls(request, plan, err);
        return r;
}

int boot_plan_parse(const json_t *request, struct boot_plan **ret_plan, struct error *err)
{
        struct boot_plan *plan = calloc(1, sizeof(*plan));
        if (plan == NULL)
                return error_errno(err, -ENOMEM, "read boot request");
        int r = parse_all(request, plan, err);
        if (r < 0) {
                boot_plan_free(plan);
                (void)error_wrap(err, "read boot request");
                return r;
        }
        *ret_plan = plan;
        return 0;
}

void boot_plan_free(struct boot_plan *plan)
{
        if (plan == NULL)
                return;
        for (size_t i = 0; i < plan->sysctl_count; i++) {
                free(plan->sysctls[i].path);
                free(plan->sysctls[i].value);
        }
        free(plan->sysctls);
        for (size_t i = 0; i < plan->disk_count; i++) {
                free(plan->disks[i].name);
                free(plan->disks[i].device);
                free(plan->disks[i].path);
        }
        free(plan->disks);
        free(plan->lower);
        free(plan->upper);
        free(plan->shares);
        json_free_strings(plan->volumes);
        free(plan->hosts);
        free(plan->resolv_conf);
        explicit_bzero(plan->entropy, sizeof(plan->entropy));
        free(plan);
}
