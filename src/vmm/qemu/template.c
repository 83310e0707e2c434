/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu/template.h"

#include "base/cleanup.h"
#include "vmm/qemu/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define WITHOUT_MEMORY "{\"capability\":\"x-ignore-shared\",\"state\":true}"
#define TEXT_OF(x)     #x
#define TEXT(x)        TEXT_OF(x)

/* QEMU runs the guest by itself after the state has come in: it was not told to begin stopped. */
const struct qmp_dialogue template_begin = {
    .commands =
        "{\"execute\":\"qmp_capabilities\"}\n"
        "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[" WITHOUT_MEMORY "]}}\n"
        "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"fd:" TEXT(QEMU_PLAN_STATE) "\"}}\n",
    .passed_fd = -1,
    .event = "RESUME",
};

/* Not stopped beforehand: a copy begins in the state that is saved, and is to run. */
const struct qmp_dialogue template_save = {
    .commands = "{\"execute\":\"qmp_capabilities\"}\n"
                "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"state\"}}\n"
                "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[" WITHOUT_MEMORY
                ",{\"capability\":\"events\",\"state\":true}]}}\n"
                "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"fd:state\"}}\n",
    .passed_fd = -1,
    .event = "MIGRATION completed",
};

int template_memory_new(uint64_t size, int *ret_fd)
{
        cleanup_fd int fd = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        *ret_fd = take_fd(&fd);
        return 0;
}

static int copy_span(int from_fd, int to_fd, off_t from, off_t to)
{
        if (lseek(to_fd, from, SEEK_SET) < 0)
                return -errno;
        while (from < to) {
                ssize_t n = sendfile(to_fd, from_fd, &from, (size_t)(to - from));
                if (n <= 0 && (n == 0 || errno != EINTR))
                        return n == 0 ? -EIO : -errno;
        }
        return 0;
}

int template_copy_memory(int from_fd, int to_fd)
{
        off_t hole = 0, data;
        int r = 0;
        while (r == 0 && (data = lseek(from_fd, hole, SEEK_DATA)) >= 0) {
                hole = lseek(from_fd, data, SEEK_HOLE);
                r = hole < 0 ? -errno : copy_span(from_fd, to_fd, data, hole);
        }
        return r < 0 || errno == ENXIO ? r : -errno;
}
