/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which engine runs a box. A /dev/kvm that opens and answers every ioctl may still be unable to run a kernel,
 * so `auto` trusts it only once it has run real 64-bit kernel code (probe.h), and takes the emulated CPU
 * otherwise. Who names an engine gets it or an error, never another one.
 */
#include "runtime/engine.h"

#include "runtime/probe.h"

#include <errno.h>
#include <string.h>

static const struct engine engines[] = {
    {"kvm", "kvm", "kvm", false},
    {"qemu", "qemu", "tcg", true},
    {"qemu-kvm", "qemu", "kvm", true},
};
enum { ENGINE_KVM, ENGINE_QEMU, ENGINE_QEMU_KVM };

int engine_choose(const char *name, int home_fd, struct engine *ret_engine, struct error *err)
{
        struct probe probe;
        if (name != NULL && strcmp(name, "qemu") == 0) {
                *ret_engine = engines[ENGINE_QEMU];
                return 0;
        }
        bool automatic = name == NULL || strcmp(name, "auto") == 0;
        bool kvm = !automatic && strcmp(name, "kvm") == 0;
        if (!automatic && !kvm && strcmp(name, "qemu-kvm") != 0)
                return error_set(err, -EINVAL, "engine '%s': there are auto, kvm, qemu and qemu-kvm", name);
        probe_kvm(home_fd, &probe);
        if (automatic) {
                *ret_engine = engines[probe.usable ? ENGINE_KVM : ENGINE_QEMU];
                return 0;
        }
        /* qemu-kvm is an experiment of who asks for it: that the device is there is enough */
        if (kvm ? !probe.usable : !probe.opens)
                return error_set(err, -ENODEV, "engine '%s': %s; or use --engine qemu", name, probe.reason);
        *ret_engine = engines[kvm ? ENGINE_KVM : ENGINE_QEMU_KVM];
        return 0;
}

unsigned engine_volume_slots(const struct engine *engine, bool has_network, bool has_shares)
{
        /* QEMU's microvm has eight slots: image, box disk, vsock, perhaps network and shared folders */
        if (strcmp(engine->engine, "qemu") == 0)
                return 5U - has_network - has_shares;
        return 24; /* vdc to vdz */
}

json_t *engine_report(int home_fd)
{
        struct probe probe;
        probe_kvm(home_fd, &probe);
        return json_pack("{s:s, s:s, s:[{s:s, s:b, s:s}, {s:s, s:b, s:s}, {s:s, s:b, s:s}]}", "auto",
                         probe.usable ? "kvm" : "qemu", "reason", probe.reason, "engines", "name", "kvm",
                         "usable", probe.usable, "reason", probe.reason, "name", "qemu", "usable", 1,
                         "reason", "emulated CPU (TCG), needs only QEMU", "name", "qemu-kvm", "usable",
                         probe.opens, "reason", probe.reason);
}
