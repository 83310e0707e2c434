/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups of execs whose command has ended. The kernel reports on cgroup.events (EPOLLPRI) when one becomes
 * empty.
 */
#include "agent/leaf.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

struct leaf {
        struct agent *agent;
        struct leaf *next;
        char name[32];
        int events_fd;
        struct source *source;
};

static bool remove_cgroup(struct agent *agent, const char *name)
{
        return unlinkat(agent->box_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

static void leaf_free(struct leaf *leaf)
{
        for (struct leaf **p = &leaf->agent->leaves; *p != NULL; p = &(*p)->next) {
                if (*p == leaf) {
                        *p = leaf->next;
                        break;
                }
        }
        source_free(leaf->source);
        close_fd(&leaf->events_fd);
        free(leaf);
}

static void on_change(struct source *s, int fd, uint32_t events, void *data)
{
        struct leaf *leaf = data;
        char text[128];
        (void)s;
        (void)events;
        (void)!pread(fd, text, sizeof(text), 0); /* takes the notice; whether it is empty, rmdir knows best */
        if (remove_cgroup(leaf->agent, leaf->name))
                leaf_free(leaf);
}

static int watch(struct agent *agent, const char *name, int fd)
{
        cleanup_fd int events = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (events < 0)
                return -errno;
        struct leaf *leaf = calloc(1, sizeof(*leaf));
        if (leaf == NULL)
                return -ENOMEM;
        leaf->agent = agent;
        (void)snprintf(leaf->name, sizeof(leaf->name), "%s", name); /* the agent's own short name */
        int r = loop_add_io(agent->loop, events, EPOLLPRI, on_change, leaf, &leaf->source);
        if (r < 0) {
                free(leaf);
                return r;
        }
        leaf->events_fd = take_fd(&events);
        leaf->next = agent->leaves;
        agent->leaves = leaf;
        if (remove_cgroup(agent, name)) /* it may have become empty before it was watched */
                leaf_free(leaf);
        return 0;
}

void leaf_release(struct agent *agent, const char *name, int fd)
{
        cleanup_fd int owned = fd;
        if (remove_cgroup(agent, name))
                return;
        int r = watch(agent, name, owned);
        if (r < 0)
                log_warning("watch cgroup '%s': %s: it stays", name, strerror(-r));
}

void leaf_free_all(struct agent *agent)
{
        while (agent->leaves != NULL)
                leaf_free(agent->leaves);
}
