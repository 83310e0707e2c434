/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces, the empty root, and capabilities.
 *
 * The user namespace has no mapping: the process keeps its user for what files let it do, but has no
 * capability outside, even when root started it. In there it has all capabilities until stage 3, which is
 * how a plain user gets the other namespaces. Where there are no user namespaces, root makes the others
 * directly and drops its capabilities in the same place.
 *
 * Process namespace: the caller of unshare(2) stays outside, its next child is the first inside. So the
 * process splits: the keeper outside only waits (its filter allows nothing else), the one inside serves the
 * guest. The death of either is the death of both, and of QEMU: the kernel kills what is in a namespace whose
 * first process dies.
 *
 * The empty root is a tmpfs of one inode, laid over the old root and then made the root. The old one is
 * below it for good: to move or unmount takes capabilities and system calls which the next lines give away.
 * Nothing here waits for RCU, as pivot_root(2) with umount2(2) would (up to 90 ms were seen).
 */
#include "vmm/jail_parts.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "vmm/jail_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECUREBITS                                                                                       \
        (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | \
         SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

void jail_enter_spaces(struct jail *jail)
{
        static const int spaces[] = {CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWPID};
        if (unshare(CLONE_NEWUSER) < 0)
                jail->lacks |= JAIL_LACKS_USER;
        for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
                if (unshare(spaces[i]) < 0)
                        jail->lacks |= JAIL_LACKS_SPACES;
                else if (spaces[i] == CLONE_NEWPID)
                        jail->own_processes = true;
        }
        /* private: what is mounted here must not appear on the host, which root's own copy would do */
        jail->own_mounts =
            unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
        if (!jail->own_mounts)
                jail->lacks |= JAIL_LACKS_ROOT;
}

/* Outside; it has nothing to do but to end when the other does.
 *
 * system calls (init): wait4 exit_group rt_sigreturn restart_syscall
 */
static _Noreturn void keep(pid_t inside)
{
        struct error err = ERROR_INIT;
        int status;
        (void)syscall(SYS_close_range, 0, ~0U, 0); /* before Linux 5.9 it holds what it held */
        if (jail_put_up_walls(&err) < 0 || (!JAIL_WITH_SANITIZER && jail_filter_load(JAIL_INIT, &err) < 0))
                _exit(125); /* takes the other along */
        while (waitpid(inside, &status, 0) < 0) {
                if (errno != EINTR)
                        _exit(125);
        }
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int jail_fork_inside(struct error *err)
{
        cleanup_fd int keeper = (int)syscall(SYS_pidfd_open, getpid(), 0);
        pid_t pid = keeper < 0 ? -1 : fork();
        if (pid < 0)
                return error_errno(err, -errno, "enter a process namespace");
        if (pid > 0)
                keep(pid);
        /* getppid() is 0 in here: whether the keeper is dead already, its pidfd tells */
        struct pollfd dead = {.fd = keeper, .events = POLLIN};
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return error_errno(err, -errno, "tie the process to its keeper");
        return poll(&dead, 1, 0) == 0 ? 0 : error_set(err, -ESRCH, "the keeper has ended");
}

static int make_tmpfs(int *ret_mount)
{
        cleanup_fd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
        if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) < 0 ||
            fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0555", 0) < 0 ||
            fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        *ret_mount = fsmount(fs, FSMOUNT_CLOEXEC,
                             MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        return *ret_mount < 0 ? -errno : 0;
}

int jail_empty_root(struct error *err)
{
        cleanup_fd int root = -1;
        int r = make_tmpfs(&root);
        if (r < 0)
                return error_errno(err, r, "make an empty root");
        if (move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(root) < 0 ||
            chroot(".") < 0)
                return error_errno(err, -errno, "enter an empty root");
        return 0;
}

int jail_empty_thread_root(struct error *err)
{
        cleanup_fd int root = -1, folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
                return error_errno(err, -errno, "keep the working folder");
        int r = make_tmpfs(&root);
        if (r == -EPERM)
                return 0; /* no namespace to do it in; struct jail has noted that */
        if (r < 0)
                return error_errno(err, r, "make an empty root");
        if (fchdir(root) < 0 || chroot(".") < 0 || fchdir(folder) < 0)
                return error_errno(err, -errno, "enter an empty root");
        return 0;
}

int jail_root_is_nobody(struct error *err)
{
        if (prctl(PR_SET_SECUREBITS, SECUREBITS) < 0 &&
            errno != EPERM) /* a plain user's exec gives none anyway */
                return error_errno(err, -errno, "take root's meaning away");
        return 0;
}

int jail_drop_capabilities(struct error *err)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        static const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
        for (unsigned capability = 0; capability < 64; capability++) {
                /* EINVAL: past the last. EPERM: a plain user without any */
                if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
                        break;
        }
        if (syscall(SYS_capset, &header, none) < 0)
                return error_errno(err, -errno, "give up capabilities");
        return 0;
}
