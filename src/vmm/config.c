/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration document. It comes from the monitor, which is trusted, but numbers in it came from a
 * person or an image: all are bounded here. Text that ends up in QEMU's comma-separated options or on the
 * kernel's command line is checked here too, so that it cannot become an option of its own.
 */
#include "vmm/config.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FD_MAX 1023

void config_done(struct config *config)
{
        free(config->kernel_arguments);
        free(config->qemu);
        config->kernel_arguments = NULL;
        config->qemu = NULL;
}

static int get_fd(const json_t *object, const char *key, int *ret_fd, struct error *err)
{
        int64_t fd;
        int r = json_get_integer(object, key, 0, FD_MAX, &fd, err);
        if (r == 0)
                *ret_fd = (int)fd;
        return r;
}

static int get_engine(const json_t *doc, struct config *c, struct error *err)
{
        const char *engine, *accel, *qemu;
        int r;
        c->kvm_fd = -1;
        if ((r = json_get_string(doc, "engine", &engine, err)) < 0 ||
            (r = json_get_bool_or(doc, "debug_console", false, &c->debug_console, err)) < 0)
                return r;
        if (strcmp(engine, "kvm") == 0) {
                c->engine = CONFIG_ENGINE_KVM;
                return get_fd(doc, "kvm_fd", &c->kvm_fd, err);
        }
        if (strcmp(engine, "qemu") != 0)
                return error_set(err, -EINVAL, "engine '%s' is not known", engine);
        if ((r = json_get_string(doc, "accel", &accel, err)) < 0 ||
            (r = json_get_string(doc, "qemu", &qemu, err)) < 0)
                return r;
        if (strcmp(accel, "tcg") != 0 && strcmp(accel, "kvm") != 0)
                return error_set(err, -EINVAL, "accel '%s' is neither tcg nor kvm", accel);
        c->accel = strcmp(accel, "kvm") == 0 ? CONFIG_ACCEL_KVM : CONFIG_ACCEL_TCG;
        if (qemu[0] == '\0')
                return error_set(err, -EINVAL, "qemu is not named");
        c->qemu = strdup(qemu);
        return c->qemu == NULL ? error_errno(err, -ENOMEM, "read configuration") : 0;
}

static int get_jail(const json_t *doc, struct config *c, struct error *err)
{
        const char *jail;
        int r = json_get_string_or(doc, "jail", "auto", &jail, err);
        if (r < 0)
                return r;
        if (strcmp(jail, "auto") != 0 && strcmp(jail, "require") != 0)
                return error_set(err, -EINVAL, "jail '%s' is neither auto nor require", jail);
        c->jail_required = strcmp(jail, "require") == 0;
        return 0;
}

static int get_template(const json_t *doc, struct config *c, struct error *err)
{
        const json_t *template = json_object_get(doc, "template");
        bool make;
        int r;
        c->template_memory_fd = c->template_state_fd = -1;
        if (template == NULL || json_is_null(template))
                return 0;
        if ((r = json_get_bool_or(template, "make", false, &make, err)) < 0 ||
            (r = get_fd(template, "memory_fd", &c->template_memory_fd, err)) < 0 ||
            (r = get_fd(template, "state_fd", &c->template_state_fd, err)) < 0)
                return error_wrap(err, "template");
        c->template = make ? CONFIG_TEMPLATE_MAKE : CONFIG_TEMPLATE_USE;
        if (c->engine == CONFIG_ENGINE_QEMU && c->accel == CONFIG_ACCEL_TCG)
                return 0;
        return error_set(err, -EINVAL, "template: it is for engine qemu with accel tcg");
}

static int get_words(const json_t *doc, struct config *c, struct error *err)
{
        const char *arguments;
        int r = get_engine(doc, c, err);
        if (r == 0)
                r = get_jail(doc, c, err);
        if (r == 0)
                r = get_template(doc, c, err);
        if (r == 0)
                r = json_get_string_or(doc, "kernel_arguments", "", &arguments, err);
        if (r < 0)
                return r;
        if (strlen(arguments) > CONFIG_ARGUMENTS_MAX)
                return error_set(err, -EINVAL, "kernel arguments are longer than %d bytes",
                                 CONFIG_ARGUMENTS_MAX);
        for (const char *p = arguments; *p != '\0'; p++) {
                if (!isprint((unsigned char)*p))
                        return error_set(err, -EINVAL, "kernel arguments have a control byte");
        }
        c->kernel_arguments = strdup(arguments);
        return c->kernel_arguments == NULL ? error_errno(err, -ENOMEM, "read configuration") : 0;
}

static int get_numbers(const json_t *doc, struct config *c, struct error *err)
{
        int64_t cpus, memory;
        int r;
        if ((r = json_get_integer(doc, "cpus", 1, CONFIG_CPUS_MAX, &cpus, err)) < 0 ||
            (r = json_get_integer(doc, "memory_bytes", CONFIG_MEMORY_MIN, CONFIG_MEMORY_MAX, &memory, err)) <
                0)
                return r;
        c->cpus = (unsigned)cpus;
        c->memory_bytes = (uint64_t)memory / 4096 * 4096;
        if ((r = get_fd(doc, "kernel_fd", &c->kernel_fd, err)) < 0 ||
            (r = get_fd(doc, "initrd_fd", &c->initrd_fd, err)) < 0 ||
            (r = get_fd(doc, "console_fd", &c->console_fd, err)) < 0 ||
            (c->template != CONFIG_TEMPLATE_MAKE && (r = get_fd(doc, "vsock_fd", &c->vsock_fd, err)) < 0) ||
            (r = get_fd(doc, "monitor_fd", &c->monitor_fd, err)) < 0 ||
            (r = get_fd(doc, "log_fd", &c->log_fd, err)) < 0)
                return r;
        return 0;
}

static int get_disks(const json_t *doc, struct config *c, struct error *err)
{
        const json_t *disks = json_object_get(doc, "disks");
        size_t i;
        const json_t *disk;
        if (disks == NULL || json_is_null(disks))
                return 0;
        if (!json_is_array(disks) || json_array_size(disks) > CONFIG_DISKS_MAX)
                return error_set(err, -EINVAL, "disks is not an array of at most %d", CONFIG_DISKS_MAX);
        json_array_foreach (disks, i, disk) {
                struct config_disk *d = &c->disks[i];
                int r = get_fd(disk, "fd", &d->fd, err);
                if (r == 0)
                        r = json_get_bool_or(disk, "readonly", false, &d->readonly, err);
                if (r < 0)
                        return error_wrap(err, "disk %zu", i);
        }
        c->disk_count = (unsigned)json_array_size(disks);
        return 0;
}

static int get_cache(const json_t *share, enum config_cache *ret_cache, struct error *err)
{
        static const char *const names[] = {"auto", "always", "none"};
        const char *text;
        int r = json_get_string_or(share, "cache", "auto", &text, err);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                if (strcmp(text, names[i]) == 0) {
                        *ret_cache = (enum config_cache)i;
                        return 0;
                }
        }
        return error_set(err, -EINVAL, "cache '%s' is not auto, always or none", text);
}

static int get_shares(const json_t *doc, struct config *c, struct error *err)
{
        const json_t *shares = json_object_get(doc, "shares");
        size_t i;
        const json_t *share;
        if (shares == NULL || json_is_null(shares))
                return 0;
        if (!json_is_array(shares) || json_array_size(shares) > CONFIG_SHARES_MAX)
                return error_set(err, -EINVAL, "shares is not an array of at most %d", CONFIG_SHARES_MAX);
        json_array_foreach (shares, i, share) {
                struct config_share *s = &c->shares[i];
                int r = get_fd(share, "fd", &s->fd, err);
                if (r == 0)
                        r = json_get_bool_or(share, "readonly", false, &s->readonly, err);
                if (r == 0)
                        r = get_cache(share, &s->cache, err);
                if (r < 0)
                        return error_wrap(err, "share %zu", i);
        }
        c->share_count = (unsigned)json_array_size(shares);
        return 0;
}

static bool is_mac(const char *text)
{
        for (unsigned i = 0; i < 17; i++) {
                if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
                        return false;
        }
        return text[17] == '\0';
}

static int get_net(const json_t *doc, struct config *c, struct error *err)
{
        const json_t *net = json_object_get(doc, "net");
        const char *mac;
        int r;
        c->net_fd = -1;
        if (net == NULL || json_is_null(net))
                return 0;
        if ((r = get_fd(net, "fd", &c->net_fd, err)) < 0 || (r = json_get_string(net, "mac", &mac, err)) < 0)
                return error_wrap(err, "net");
        if (!is_mac(mac))
                return error_set(err, -EINVAL, "net: '%s' is not a MAC address", mac);
        memcpy(c->mac, mac, sizeof(c->mac));
        return 0;
}

static int check_template(const struct config *c, struct error *err)
{
        if (c->template == CONFIG_TEMPLATE_MAKE &&
            (c->disk_count > 0 || c->share_count > 0 || c->net_fd >= 0))
                return error_set(err, -EINVAL, "template: one that is made has no devices");
        return 0;
}

/* Each descriptor may be named once: it will be handed on, or closed, by what it is for. */
static int check_distinct(const struct config *c, struct error *err)
{
        int fds[CONFIG_FDS_MAX];
        unsigned n = 0;
        fds[n++] = c->kernel_fd;
        fds[n++] = c->initrd_fd;
        fds[n++] = c->console_fd;
        fds[n++] = c->monitor_fd;
        const int maybe[] = {c->vsock_fd, c->net_fd, c->kvm_fd, c->template_memory_fd, c->template_state_fd};
        for (unsigned i = 0; i < sizeof(maybe) / sizeof(maybe[0]); i++) {
                if (maybe[i] >= 0)
                        fds[n++] = maybe[i];
        }
        for (unsigned i = 0; i < c->disk_count; i++)
                fds[n++] = c->disks[i].fd;
        for (unsigned i = 0; i < c->share_count; i++)
                fds[n++] = c->shares[i].fd;
        for (unsigned i = 0; i < n; i++) {
                for (unsigned j = 0; j < i; j++) {
                        if (fds[i] == fds[j])
                                return error_set(err, -EINVAL, "descriptor %d is named twice", fds[i]);
                }
        }
        return 0;
}

int config_parse(const char *text, size_t size, struct config *ret_config, struct error *err)
{
        cleanup_json json_t *doc = NULL;
        struct config c = {.net_fd = -1, .kvm_fd = -1, .vsock_fd = -1};
        int r = json_parse(text, size, "configuration", &doc, err);
        if (r < 0)
                return r;
        if (!json_is_object(doc))
                return error_set(err, -EINVAL, "configuration is not an object");
        if ((r = get_words(doc, &c, err)) < 0 || (r = get_numbers(doc, &c, err)) < 0 ||
            (r = get_disks(doc, &c, err)) < 0 || (r = get_shares(doc, &c, err)) < 0 ||
            (r = get_net(doc, &c, err)) < 0 || (r = check_template(&c, err)) < 0 ||
            (r = check_distinct(&c, err)) < 0) {
                config_done(&c);
                return r;
        }
        *ret_config = c;
        return 0;
}

static int check_socket(int fd, int type, bool listening, const char *what, struct error *err)
{
        int value = 0;
        socklen_t length = sizeof(value);
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length) < 0)
                return error_errno(err, -errno, "look at the %s socket (descriptor %d)", what, fd);
        if (value != type)
                return error_set(err, -EINVAL, "the %s socket (descriptor %d) is of the wrong type", what,
                                 fd);
        length = sizeof(value);
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) < 0 || (value != 0) != listening)
                return error_set(err, -EINVAL, "the %s socket (descriptor %d) must%s listen", what, fd,
                                 listening ? "" : " not");
        return 0;
}

/* A file that can be read, or written, as it must be. */
static int check_file(int fd, bool writable, const char *what, struct error *err)
{
        struct stat st;
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fstat(fd, &st) < 0)
                return error_errno(err, -errno, "look at the %s (descriptor %d)", what, fd);
        int mode = flags & O_ACCMODE;
        if (writable ? mode == O_RDONLY : mode == O_WRONLY)
                return error_set(err, -EINVAL, "the %s (descriptor %d) is not open for %s", what, fd,
                                 writable ? "writing" : "reading");
        return 0;
}

/* A folder or a file, by a descriptor with which nothing but that can be reached. */
static int check_share(int fd, struct error *err)
{
        struct stat st;
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fstat(fd, &st) < 0)
                return error_errno(err, -errno, "look at the share (descriptor %d)", fd);
        if (!(flags & O_PATH) || (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)))
                return error_set(err, -EINVAL,
                                 "the share (descriptor %d) is no O_PATH descriptor of a folder or file", fd);
        return 0;
}

int config_check_fds(const struct config *c, struct error *err)
{
        int r;
        if ((r = check_file(c->kernel_fd, false, "kernel", err)) < 0 ||
            (r = check_file(c->initrd_fd, false, "initrd", err)) < 0 ||
            (r = check_file(c->console_fd, true, "console", err)) < 0 ||
            (r = check_socket(c->monitor_fd, SOCK_SEQPACKET, false, "monitor", err)) < 0)
                return r;
        if (c->vsock_fd >= 0 && (r = check_socket(c->vsock_fd, SOCK_STREAM, true, "vsock", err)) < 0)
                return r;
        if (c->template_memory_fd >= 0 &&
            ((r = check_file(c->template_memory_fd, c->template == CONFIG_TEMPLATE_MAKE, "template's memory",
                             err)) < 0 ||
             (r = check_file(c->template_state_fd, c->template == CONFIG_TEMPLATE_MAKE, "template's state",
                             err)) < 0))
                return r;
        if (c->kvm_fd >= 0 && (r = check_file(c->kvm_fd, true, "KVM device", err)) < 0)
                return r;
        if (c->net_fd >= 0 && (r = check_socket(c->net_fd, SOCK_STREAM, false, "network", err)) < 0)
                return r;
        for (unsigned i = 0; i < c->disk_count; i++) {
                if ((r = check_file(c->disks[i].fd, !c->disks[i].readonly, "disk", err)) < 0)
                        return r;
        }
        for (unsigned i = 0; i < c->share_count; i++) {
                if ((r = check_share(c->shares[i].fd, err)) < 0)
                        return r;
        }
        return 0;
}
