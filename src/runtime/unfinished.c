/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image operations that src/image does not have yet: weak, so that each goes as soon as the real one is
 * linked. They say so; nothing pretends to work.
 */
#include "image/image.h"

#include <errno.h>

#define WEAK __attribute__((weak))

static int missing(struct error *err, const char *what)
{
        return error_set(err, -ENOSYS, "%s image: this build of boxlet cannot do that", what);
}

WEAK int image_pull(struct image_store *store, const char *reference, const char *platform,
                    const struct image_observer *observer, struct image **ret_image, struct error *err)
{
        return missing(err, "pull");
}

WEAK int image_save(struct image_store *store, const char *const *references, size_t count,
                    const char *format, int fd, const struct image_observer *observer, struct error *err)
{
        return missing(err, "save");
}

WEAK int image_import(struct image_store *store, int fd, const char *path, const char *reference,
                      const char *const *changes, const struct image_observer *observer, char **ret_id,
                      struct error *err)
{
        return missing(err, "import");
}

WEAK int image_tag(struct image_store *store, const char *source, const char *target, struct error *err)
{
        return missing(err, "tag");
}

WEAK int image_remove(struct image_store *store, const char *name, bool force, image_in_use_fn in_use,
                      void *data, char **ret_report, struct error *err)
{
        return missing(err, "remove");
}

WEAK int image_prune(struct image_store *store, bool all, image_in_use_fn in_use, void *data,
                     uint64_t *ret_freed, char **ret_report, struct error *err)
{
        return missing(err, "prune");
}
