/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * An event loop over epoll, for one thread. Sources are made by the loop, belong to the caller, and are ended
 * with source_free(), which is allowed from any callback, also the source's own. The descriptor stays the
 * caller's.
 */
struct loop;
struct source;

/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR, ... as epoll_wait() reports them. */
typedef void (*source_io_fn)(struct source *s, int fd, uint32_t events, void *data);
typedef void (*source_timer_fn)(struct source *s, void *data);
typedef void (*source_child_fn)(struct source *s, int pidfd, void *data);
typedef void (*source_signal_fn)(struct source *s, int signal, pid_t sender, void *data);

int loop_new(struct loop **ret_loop);
void loop_free(struct loop *loop);

/* Watches fd for events (level-triggered unless EPOLLET is given); events may be 0 and changed later. */
int loop_add_io(struct loop *loop, int fd, uint32_t events, source_io_fn fn, void *data,
                struct source **ret_source);
int source_set_events(struct source *s, uint32_t events);

/* A timer, disarmed at first. It fires once after source_arm(); delay_ms below 0 disarms. Monotonic clock. */
int loop_add_timer(struct loop *loop, source_timer_fn fn, void *data, struct source **ret_source);
int source_arm(struct source *s, int64_t delay_ms);

/* Fires when the process behind pidfd has ended (reaping it stays the caller's: waitid(P_PIDFD)). */
int loop_add_child(struct loop *loop, int pidfd, source_child_fn fn, void *data, struct source **ret_source);

/* Blocks the signal for the thread and delivers it here (signalfd). */
int loop_add_signal(struct loop *loop, int signal, source_signal_fn fn, void *data,
                    struct source **ret_source);

/* NULL is fine. */
void source_free(struct source *s);

/* Runs until loop_quit(); returns its code, or -errno when waiting itself fails. */
int loop_run(struct loop *loop);
void loop_quit(struct loop *loop, int code);

/* One round: waits at most timeout_ms (-1: for ever), dispatches what is ready. Returns how many, or -errno.
 */
int loop_step(struct loop *loop, int timeout_ms);

/* The epoll descriptor: readable when loop_step(loop, 0) would dispatch something. */
int loop_fd(const struct loop *loop);

#endif
