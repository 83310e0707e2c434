/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which engine runs a box. A /dev/kvm that opens and answers every ioctl may still be unable to run a stock
 * kernel, so `auto` trusts it only once it has run real 64-bit kernel code; that probe does not exist yet,
 * hence `auto` is the emulated CPU, and qemu-kvm is for who asks for it.
 */
#include "runtime/engine.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define REASON_MAX 160

/* Whether KVM answers; reason says what was seen. */
static bool probe_kvm(char reason[REASON_MAX])
{
        cleanup_fd int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        if (fd < 0) {
                (void)snprintf(reason, REASON_MAX, "open '/dev/kvm': %s", strerror(errno));
                return false;
        }
        int version = ioctl(fd, KVM_GET_API_VERSION, 0);
        if (version != KVM_API_VERSION) {
                (void)snprintf(reason, REASON_MAX, "/dev/kvm speaks version %d, not %d", version,
                               KVM_API_VERSION);
                return false;
        }
        cleanup_fd int vm = ioctl(fd, KVM_CREATE_VM, 0);
        if (vm < 0) {
                (void)snprintf(reason, REASON_MAX, "/dev/kvm cannot create a VM: %s", strerror(errno));
                return false;
        }
        (void)snprintf(reason, REASON_MAX,
                       "/dev/kvm creates VMs; not proven to run a 64-bit kernel, so only on request");
        return true;
}

int engine_choose(const char *name, struct engine *ret_engine, struct error *err)
{
        static const struct engine emulated = {"qemu", "qemu", "tcg"}, kvm = {"qemu-kvm", "qemu", "kvm"};
        char reason[REASON_MAX];
        if (name == NULL || strcmp(name, "auto") == 0 || strcmp(name, "qemu") == 0) {
                *ret_engine = emulated;
                return 0;
        }
        if (strcmp(name, "qemu-kvm") != 0)
                return error_set(err, -EINVAL, "engine '%s': there are auto, qemu and qemu-kvm", name);
        if (!probe_kvm(reason))
                return error_set(err, -ENODEV, "engine 'qemu-kvm': %s: use --engine qemu", reason);
        *ret_engine = kvm;
        return 0;
}

unsigned engine_volume_slots(const struct engine *engine, bool has_network, bool has_shares)
{
        /* QEMU's microvm has eight slots: image, box disk, vsock, perhaps network and shared folders */
        if (strcmp(engine->engine, "qemu") == 0)
                return 5U - has_network - has_shares;
        return 24; /* vdc to vdz */
}

json_t *engine_report(void)
{
        char reason[REASON_MAX];
        bool usable = probe_kvm(reason);
        return json_pack("{s:s, s:s, s:[{s:s, s:b, s:s}, {s:s, s:b, s:s}]}", "auto", "qemu", "reason",
                         "KVM is not proven to run a 64-bit kernel here; the emulated CPU always does",
                         "engines", "name", "qemu", "usable", 1, "reason",
                         "emulated CPU (TCG), needs only QEMU", "name", "qemu-kvm", "usable", usable,
                         "reason", reason);
}
