/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_STATE_H
#define RUNTIME_STATE_H

/*
 * The database: which boxes there are, what they were made of, and whether they were ever started. Whether a
 * box lives is not in it: that is the lock (life.h). One handle may be used by one thread at a time; many
 * processes may have the file open.
 */
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_ID_LENGTH 64
#define STATE_VERSION   3

struct state;

struct state_box {
        char id[STATE_ID_LENGTH + 1];
        char *name;
        char *image_reference; /* as the user named it */
        char *image_id;        /* "sha256:..." */
        char *image_digest;
        char *config; /* JSON, see config.h */
        int64_t created_ns;
        int64_t started_ns; /* last time somebody started it; 0: never */
        bool auto_remove;
};
void state_box_done(struct state_box *box);

/* Opens boxlet.db in the folder `home`, making or upgrading it; an older one is copied to boxlet.db.vN first.
 * -EPROTONOSUPPORT when a newer boxlet made it. */
int state_open(const char *home, int home_fd, struct state **ret_state, struct error *err);
void state_close(struct state *s);

/* -EEXIST when the name is taken (err names the holder). */
int state_insert(struct state *s, const struct state_box *box, struct error *err);

/* By name, id, or id prefix: in this order. -ENOENT, -ENOTUNIQ for a prefix of several. */
int state_find(struct state *s, const char *name_or_id, struct state_box *ret_box, struct error *err);

/* All, newest first; *ret_boxes has *ret_count elements; free each with state_box_done() and then the array.
 */
int state_list(struct state *s, struct state_box **ret_boxes, size_t *ret_count, struct error *err);
void state_list_free(struct state_box *boxes, size_t count);

/* Whether some box uses the image. */
int state_image_used(struct state *s, const char *image_id, bool *ret_used, struct error *err);

int state_set_started(struct state *s, const char *id, int64_t started_ns, struct error *err);

/* -EEXIST when the name is taken (err names the holder), -ENOENT when the box is gone. */
int state_rename(struct state *s, const char *id, const char *name, struct error *err);
/* Lays a JSON object over the configuration (RFC 7396). -ENOENT as above. */
int state_patch_config(struct state *s, const char *id, const char *patch, struct error *err);

/* A record that is not there is fine. */
int state_delete(struct state *s, const char *id, struct error *err);

/* Looks whether the file is sound: 0, or -EBADMSG. */
int state_check(struct state *s, struct error *err);

/* A named disk (volume.c). Which boxes refer to it is in their configurations. */
struct state_volume {
        char *name;
        char *labels; /* JSON object */
        uint64_t size_bytes;
        int64_t created_ns;
        bool made_up; /* nobody chose the name */
};
void state_volume_done(struct state_volume *volume);

/* -EEXIST when there is one. */
int state_volume_insert(struct state *s, const struct state_volume *volume, struct error *err);
/* -ENOENT. */
int state_volume_find(struct state *s, const char *name, struct state_volume *ret_volume, struct error *err);
/* By name; as state_list(). */
int state_volume_list(struct state *s, struct state_volume **ret_volumes, size_t *ret_count,
                      struct error *err);
void state_volume_list_free(struct state_volume *volumes, size_t count);
/* -EBUSY while a box refers to it, in one step with the removal. One that is not there is fine. */
int state_volume_delete(struct state *s, const char *name, struct error *err);

/* The boxes that refer to it, oldest first; as state_list(). */
int state_volume_users(struct state *s, const char *name, struct state_box **ret_boxes, size_t *ret_count,
                       struct error *err);

/* A copy of a box's disk (snapshot.c). It goes with its box. */
struct state_snapshot {
        char box_id[STATE_ID_LENGTH + 1];
        char *name;
        uint64_t size_bytes;
        int64_t created_ns;
        bool running; /* the box ran meanwhile */
};
void state_snapshot_done(struct state_snapshot *snapshot);

/* -EEXIST when the box has one of that name, -ENOENT when the box is gone. */
int state_snapshot_insert(struct state *s, const struct state_snapshot *snapshot, struct error *err);
/* -ENOENT. */
int state_snapshot_find(struct state *s, const char *box_id, const char *name,
                        struct state_snapshot *ret_snapshot, struct error *err);
/* Of one box (NULL: of all), oldest first; as state_list(). */
int state_snapshot_list(struct state *s, const char *box_id, struct state_snapshot **ret_snapshots,
                        size_t *ret_count, struct error *err);
void state_snapshot_list_free(struct state_snapshot *snapshots, size_t count);
/* One that is not there is fine. */
int state_snapshot_delete(struct state *s, const char *box_id, const char *name, struct error *err);

static inline void cleanup_state_snapshot_p(struct state_snapshot *snapshot)
{
        state_snapshot_done(snapshot);
}
#define cleanup_state_snapshot __attribute__((cleanup(cleanup_state_snapshot_p)))

static inline void cleanup_state_volume_p(struct state_volume *volume)
{
        state_volume_done(volume);
}
#define cleanup_state_volume __attribute__((cleanup(cleanup_state_volume_p)))

static inline void cleanup_state_box_p(struct state_box *box)
{
        state_box_done(box);
}
#define cleanup_state_box __attribute__((cleanup(cleanup_state_box_p)))

#endif
