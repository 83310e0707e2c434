/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of handles. Numbers are an index (low 16 bits) and a serial number, compared whole, as those of
 * nodes are. A release and a read may come at once, from a guest that does not keep order: the descriptor is
 * closed by whoever is last.
 */
#include "vmm/fs/handle.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

#define INDEX_BITS 16
#define INDEX_MASK ((UINT64_C(1) << INDEX_BITS) - 1)

struct handles {
        pthread_mutex_t lock;
        void (*ended)(struct handle *h, void *data);
        void *data;
        uint64_t serial;
        unsigned maximum;
        unsigned count;
        unsigned first_free; /* no slot below it is free */
        struct handle *slots[];
};

static void lock(struct handles *t)
{
        (void)pthread_mutex_lock(&t->lock); /* a plain mutex, never taken twice: cannot fail */
}

static void unlock(struct handles *t)
{
        (void)pthread_mutex_unlock(&t->lock);
}

int handles_new(unsigned maximum, void (*ended)(struct handle *h, void *data), void *data,
                struct handles **ret_handles)
{
        if (maximum > INDEX_MASK)
                maximum = INDEX_MASK;
        struct handles *t = calloc(1, sizeof(*t) + maximum * sizeof(t->slots[0]));
        if (t == NULL)
                return -ENOMEM;
        (void)pthread_mutex_init(&t->lock, NULL); /* cannot fail for a plain one */
        t->maximum = maximum;
        t->ended = ended;
        t->data = data;
        *ret_handles = t;
        return 0;
}

static void end(struct handles *t, struct handle *h)
{
        t->ended(h, t->data);
        close_fd(&h->fd);
        (void)pthread_mutex_destroy(&h->lock);
        free(h);
}

static void take_out(struct handles *t, struct handle *h)
{
        unsigned index = (unsigned)(h->id & INDEX_MASK);
        t->slots[index] = NULL;
        t->count--;
        if (index < t->first_free)
                t->first_free = index;
}

void handles_reset(struct handles *t)
{
        for (unsigned i = 0; i < t->maximum && t->count > 0; i++) {
                struct handle *h = t->slots[i];
                if (h == NULL)
                        continue;
                take_out(t, h);
                end(t, h);
        }
}

void handles_free(struct handles *t)
{
        if (t == NULL)
                return;
        handles_reset(t);
        (void)pthread_mutex_destroy(&t->lock);
        free(t);
}

bool handles_are_full(struct handles *t)
{
        lock(t);
        bool full = t->count >= t->maximum;
        unlock(t);
        return full;
}

int handle_add(struct handles *t, enum handle_kind kind, int fd, struct node *node, uint64_t *ret_id)
{
        struct handle *h = calloc(1, sizeof(*h));
        if (h == NULL)
                return -ENOMEM;
        (void)pthread_mutex_init(&h->lock, NULL); /* cannot fail for a plain one */
        h->kind = kind;
        h->fd = fd;
        h->node = node;
        lock(t);
        unsigned i = t->first_free;
        while (i < t->maximum && t->slots[i] != NULL)
                i++;
        t->first_free = i;
        if (i == t->maximum) {
                unlock(t);
                (void)pthread_mutex_destroy(&h->lock);
                free(h);
                return -ENFILE;
        }
        *ret_id = h->id = ++t->serial << INDEX_BITS | i;
        t->slots[i] = h;
        t->count++;
        unlock(t);
        return 0;
}

struct handle *handle_get(struct handles *t, uint64_t id)
{
        uint64_t index = id & INDEX_MASK;
        lock(t);
        struct handle *h = index < t->maximum ? t->slots[index] : NULL;
        if (h != NULL && h->id == id)
                h->pins++;
        else
                h = NULL;
        unlock(t);
        return h;
}

struct handle *handle_find(struct handles *t, const struct node *node)
{
        struct handle *h = NULL;
        lock(t);
        for (unsigned i = 0, seen = 0; h == NULL && seen < t->count; i++) {
                seen += t->slots[i] != NULL;
                if (t->slots[i] != NULL && t->slots[i]->node == node)
                        h = t->slots[i];
        }
        if (h != NULL)
                h->pins++;
        unlock(t);
        return h;
}

void handle_put(struct handles *t, struct handle *h)
{
        if (h == NULL)
                return;
        lock(t);
        bool last = --h->pins == 0 && h->released;
        unlock(t);
        if (last)
                end(t, h);
}

void handle_release(struct handles *t, struct handle *h)
{
        lock(t);
        if (!h->released)
                take_out(t, h);
        h->released = true;
        unlock(t);
}

unsigned handles_count(struct handles *t)
{
        lock(t);
        unsigned count = t->count;
        unlock(t);
        return count;
}
