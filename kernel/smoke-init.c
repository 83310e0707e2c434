/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of kernel/smoke's guest: asks a freshly built kernel for everything a box needs of it, one line a
 * question.
 *
 * It prints `time-to-init-ms N` first (the kernel's own clock), then `ok NAME` or `FAIL NAME: why` for each
 * check, then `SMOKE OK` or `SMOKE FAILED`, and reboots, which ends the machine. Static, no files needed but
 * itself. The two disks, if there, are found by what is on them: an EROFS with the folder `dir` and the file
 * `file`, and an empty ext4.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int n_failed;

static void report(const char *name, int r)
{
        if (r >= 0) {
                printf("ok %s\n", name);
                return;
        }
        printf("FAIL %s: %s\n", name, strerror(-r));
        n_failed++;
}

static int file_write(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) {
                return -errno;
        }
        ssize_t n = write(fd, text, strlen(text));
        int r = n < 0 ? -errno : 0;
        close(fd);
        return r;
}

static int file_contains(const char *path, const char *word)
{
        char text[8192];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
                return -errno;
        }
        ssize_t n = read(fd, text, sizeof(text) - 1);
        close(fd);
        if (n < 0) {
                return -EIO;
        }
        text[n] = 0;
        return strstr(text, word) ? 0 : -ENODATA;
}

/* Runs a check in a child, which may give up its rights or join a cgroup; the child's exit status is the
 * errno. */
static int in_child(int (*check)(void))
{
        pid_t pid = fork();
        if (pid < 0) {
                return -errno;
        }
        if (pid == 0) {
                _exit(-check());
        }
        int status;
        if (waitpid(pid, &status, 0) != pid) {
                return -errno;
        }
        return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

/* --- What the kernel must have, as tables
 * ------------------------------------------------------------------------- */

static const struct {
        const char *name;
        long nr;
        long arg[4];
} syscalls[] = {
    {"io_uring", SYS_io_uring_setup, {0}},
    {"aio", SYS_io_setup, {0}},
    {"memfd", SYS_memfd_create, {0}},
    {"userfaultfd", SYS_userfaultfd, {O_CLOEXEC}},
    {"signalfd", SYS_signalfd4, {-1}},
    {"timerfd", SYS_timerfd_create, {CLOCK_MONOTONIC}},
    {"eventfd", SYS_eventfd2, {0}},
    {"epoll", SYS_epoll_create1, {0}},
    {"inotify", SYS_inotify_init1, {0}},
    {"fanotify", SYS_fanotify_init, {0}},
    {"landlock", SYS_landlock_create_ruleset, {0, 0, 1}},
    {"sysvipc", SYS_shmget, {0, 4096, 0600 | 01000}},
    {"posix-mqueue", SYS_mq_unlink, {0}},
    {"keys", SYS_keyctl, {0, -3, 1}},
    {"process_vm", SYS_process_vm_readv, {0}},
    {"kcmp", SYS_kcmp, {1, 1, 1}},
    {"name_to_handle", SYS_name_to_handle_at, {-1}},
    {"membarrier", SYS_membarrier, {0}},
    {"rseq", SYS_rseq, {0}},
    {"pidfd", SYS_pidfd_open, {1}},
    {"openat2", SYS_openat2, {-1}},
    {"clone3", SYS_clone3, {0}},
    {"mlock2", SYS_mlock2, {0}},
    {"madvise", SYS_madvise, {0}},
    {"futex", SYS_futex, {0}},
};

static const struct {
        const char *name;
        int domain, type, protocol;
} sockets[] = {
    {"unix", AF_UNIX, SOCK_SEQPACKET, 0},
    {"tcp4", AF_INET, SOCK_STREAM, 0},
    {"udp6", AF_INET6, SOCK_DGRAM, 0},
    {"raw-icmp", AF_INET, SOCK_RAW, IPPROTO_ICMP},
    {"packet", AF_PACKET, SOCK_RAW, 0},
    {"vsock", AF_VSOCK, SOCK_STREAM, 0},
    {"rtnetlink", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
    {"sock-diag", AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG},
};

static const char *const files[] = {
    "/dev/hvc0",
    "/dev/ptmx",
    "/dev/vsock",
    "/sys/class/net/eth0",
    "/sys/bus/virtio/drivers/virtio_balloon",
    "/proc/self/ns/cgroup",
    "/proc/self/ns/ipc",
    "/proc/self/ns/mnt",
    "/proc/self/ns/net",
    "/proc/self/ns/pid",
    "/proc/self/ns/time",
    "/proc/self/ns/user",
    "/proc/self/ns/uts",
    "/proc/self/smaps_rollup",
    "/proc/self/task/1/children",
    "/proc/self/oom_score_adj",
    "/proc/self/cpuset",
    "/proc/sys/net/ipv4/ping_group_range",
    "/proc/sys/net/ipv6/conf/lo/disable_ipv6",
    "/proc/sys/fs/mqueue",
    "/proc/sys/kernel/yama/ptrace_scope",
    "/sys/kernel/mm/transparent_hugepage",
};

/* What must not be there: ways to reach physical memory, or to load code into the kernel. */
static const char *const no_files[] = {
    "/dev/mem", "/dev/port", "/proc/kcore", "/proc/sysrq-trigger", "/proc/modules", "/sys/kernel/debug",
};

static const char *const cgroup_files[] = {
    "memory.max", "memory.swap.max", "memory.oom.group", "cpu.max",     "cpu.weight",
    "io.max",     "pids.max",        "cpuset.cpus",      "cgroup.kill", "cgroup.freeze",
};

static void check_tables(void)
{
        for (size_t i = 0; i < COUNT(syscalls); i++) {
                const long *a = syscalls[i].arg;
                long r = syscall(syscalls[i].nr, a[0], a[1], a[2], a[3], 0, 0);
                report(syscalls[i].name, r < 0 && errno == ENOSYS ? -ENOSYS : 0);
        }
        for (size_t i = 0; i < COUNT(sockets); i++) {
                int fd = socket(sockets[i].domain, sockets[i].type | SOCK_CLOEXEC, sockets[i].protocol);
                report(sockets[i].name, fd < 0 ? -errno : close(fd));
        }
        for (size_t i = 0; i < COUNT(files); i++) {
                report(files[i], access(files[i], F_OK) ? -errno : 0);
        }
        for (size_t i = 0; i < COUNT(no_files); i++) {
                char name[64];
                (void)snprintf(name, sizeof(name), "no %s", no_files[i]);
                report(name, access(no_files[i], F_OK) ? 0 : -EEXIST);
        }
        report("eBPF closed to users", file_contains("/proc/sys/kernel/unprivileged_bpf_disabled", "2"));
        report("virtio-rng", file_contains("/sys/class/misc/hw_random/rng_current", "virtio"));
        report("clock is the TSC",
               file_contains("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc"));
        report("virtiofs", file_contains("/proc/filesystems", "virtiofs"));
        int alg = socket(AF_ALG, SOCK_SEQPACKET, 0);
        report("no AF_ALG", alg >= 0 ? -EEXIST : 0);
}

/* --- cgroup v2
 * ---------------------------------------------------------------------------------------------------- */

/* A device program that refuses everything, attached to a cgroup: from then on no device can be opened in
 * there. */
static int deny_devices(void)
{
        const struct bpf_insn insns[] = {
            {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
            {.code = BPF_JMP | BPF_EXIT},
        };
        union bpf_attr load = {
            .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
            .insns = (unsigned long)insns,
            .insn_cnt = COUNT(insns),
            .license = (unsigned long)"Apache-2.0",
        };
        int prog = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
        if (prog < 0) {
                return -errno;
        }
        int cgroup = open("/cg/t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        union bpf_attr attach = {
            .target_fd = (unsigned)cgroup,
            .attach_bpf_fd = (unsigned)prog,
            .attach_type = BPF_CGROUP_DEVICE,
        };
        if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof(attach)) < 0 ||
            file_write("/cg/t/cgroup.procs", "0")) {
                return -errno;
        }
        if (open("/dev/zero", O_RDONLY | O_CLOEXEC) >= 0) {
                return -EEXIST;
        }
        return errno == EPERM ? 0 : -errno;
}

static int hit_pids_max(void)
{
        int r = file_write("/cg/t/pids.max", "1");
        if (r == 0) {
                r = file_write("/cg/t/cgroup.procs", "0");
        }
        if (r < 0) {
                return r;
        }
        pid_t pid = fork();
        if (pid == 0) {
                _exit(0);
        }
        return pid < 0 && errno == EAGAIN ? 0 : -EEXIST;
}

static void check_cgroup(void)
{
        report("cgroup2", mount("cgroup2", "/cg", "cgroup2", 0, NULL) ? -errno : 0);
        report("controllers", file_write("/cg/cgroup.subtree_control", "+cpuset +cpu +io +memory +pids"));
        report("child cgroup", mkdir("/cg/t", 0755) ? -errno : 0);
        for (size_t i = 0; i < COUNT(cgroup_files); i++) {
                char path[64];
                (void)snprintf(path, sizeof(path), "/cg/t/%s", cgroup_files[i]);
                report(cgroup_files[i], access(path, F_OK) ? -errno : 0);
        }
        report("cpu.max holds", file_write("/cg/t/cpu.max", "50000 100000"));
        report("pids.max holds", in_child(hit_pids_max));
        (void)file_write("/cg/t/pids.max", "max");
        report("device rules hold", in_child(deny_devices));
}

static int seccomp_refuses(void)
{
        const struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTNAM),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog prog = {.len = COUNT(code), .filter = (struct sock_filter *)code};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) {
                return -errno;
        }
        return syscall(SYS_getppid) < 0 && errno == ENOTNAM ? 0 : -EEXIST;
}

/* --- Network over loopback
 * ---------------------------------------------------------------------------------------- */

static int loopback_up(void)
{
        struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
                return -errno;
        }
        int r = ioctl(fd, SIOCSIFFLAGS, &ifr) ? -errno : 0;
        close(fd);
        return r;
}

static int tcp6_echo(void)
{
        struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        socklen_t len = sizeof(addr);
        int server = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(server, (struct sockaddr *)&addr, len) || listen(server, 1) ||
            getsockname(server, (struct sockaddr *)&addr, &len) ||
            connect(client, (struct sockaddr *)&addr, len)) {
                return -errno;
        }
        int end = accept(server, NULL, NULL);
        char byte = 0;
        if (end < 0 || write(client, "x", 1) != 1 || read(end, &byte, 1) != 1) {
                return -errno;
        }
        return byte == 'x' ? 0 : -EIO;
}

static int ping_self(void)
{
        struct icmphdr echo = {.type = ICMP_ECHO, .un.echo.id = 1, .checksum = 0xfef7};
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
        if (fd < 0 || sendto(fd, &echo, sizeof(echo), 0, (struct sockaddr *)&to, sizeof(to)) < 0) {
                return -errno;
        }
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 2000) != 1 || recv(fd, &echo, sizeof(echo), 0) < 0) {
                return -ETIMEDOUT;
        }
        return echo.type == ICMP_ECHOREPLY ? 0 : -EIO;
}

static void check_network(void)
{
        report("lo up", loopback_up());
        report("tcp over ::1", in_child(tcp6_echo));
        report("ping socket open", file_write("/proc/sys/net/ipv4/ping_group_range", "0 0"));
        report("ping 127.0.0.1", in_child(ping_self));
}

/* --- Disks: EROFS under ext4 by overlayfs, as a box's root
 * -------------------------------------------------------- */

static int mount_any_disk(const char *type, const char *where, unsigned long flags)
{
        char dev[] = "/dev/vda";
        for (; dev[7] <= 'd'; dev[7]++) {
                if (mount(dev, where, type, flags, NULL) == 0) {
                        return 0;
                }
        }
        return -ENODEV;
}

static int attributes_hold(const char *path)
{
        /* version 2, three entries: user::rw- group::r-- other::--- */
        static const unsigned char acl[] = {2, 0,   0,   0,   1,   0,  6, 0, 255, 255,  255,  255,  4,   0, 4,
                                            0, 255, 255, 255, 255, 32, 0, 0, 0,   0xff, 0xff, 0xff, 0xff};
        int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
        if (fd < 0) {
                return -errno;
        }
        bool done = fsetxattr(fd, "trusted.test", "1", 1, 0) == 0 &&
                    fsetxattr(fd, "security.test", "1", 1, 0) == 0 &&
                    fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl), 0) == 0;
        int r = done ? 0 : -errno;
        close(fd);
        return r;
}

static int overlay_works(void)
{
        if (mkdir("/rw/upper", 0755) || mkdir("/rw/work", 0755) ||
            mount("overlay", "/root", "overlay", 0,
                  "lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work,redirect_dir=on,metacopy=on,xino=auto")) {
                return -errno;
        }
        if (rename("/root/dir", "/root/moved") || chmod("/root/file", 0600) || unlink("/root/moved/inner")) {
                return -errno;
        }
        struct stat st;
        if (stat("/rw/upper/file", &st) || st.st_blocks > 8) {
                return -EFBIG; /* metacopy must not have copied the data up */
        }
        return access("/root/dir", F_OK) && errno == ENOENT ? 0 : -EEXIST;
}

static void check_disks(void)
{
        report("erofs", mount_any_disk("erofs", "/ro", MS_RDONLY));
        report("ext4", mount_any_disk("ext4", "/rw", 0));
        report("ext4 attributes", attributes_hold("/rw/attributes"));
        report("ext4 user xattr", setxattr("/rw/attributes", "user.test", "1", 1, 0) ? -errno : 0);
        report("tmpfs attributes", attributes_hold("/tmp/attributes"));
        report("overlay", overlay_works());
        report("overlay attributes", attributes_hold("/root/attributes"));
        report("unmount", umount("/root") || umount("/rw") || umount("/ro") ? -errno : 0);
}

static void prepare(void)
{
        static const char *const folders[] = {"/proc", "/sys", "/dev", "/tmp", "/cg", "/ro", "/rw", "/root"};
        for (size_t i = 0; i < COUNT(folders); i++) {
                (void)mkdir(folders[i], 0755); /* the initramfs may have it */
        }
        report("proc", mount("proc", "/proc", "proc", 0, NULL) ? -errno : 0);
        report("sysfs", mount("sysfs", "/sys", "sysfs", 0, NULL) ? -errno : 0);
        report("devtmpfs", mount("dev", "/dev", "devtmpfs", 0, NULL) ? -errno : 0);
        report("tmpfs", mount("tmp", "/tmp", "tmpfs", 0, "size=4m") ? -errno : 0);
}

/* With `dmesg` on the command line: the kernel's log, which `quiet` kept off the console while it ran. */
static void print_log(void)
{
        static char text[1 << 20];
        int n = klogctl(3, text, sizeof(text)); /* SYSLOG_ACTION_READ_ALL */
        if (n > 0) {
                (void)fwrite(text, 1, (size_t)n, stdout);
        }
}

int main(int argc, char **argv)
{
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        printf("time-to-init-ms %ld\n", (long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
        if (argc > 1 && strcmp(argv[1], "dmesg") == 0) {
                print_log();
        } else if (argc < 2 || strcmp(argv[1], "time") != 0) {
                prepare();
                check_tables();
                check_cgroup();
                report("seccomp", in_child(seccomp_refuses));
                check_network();
                check_disks();
                report("hugepages by madvise",
                       file_contains("/sys/kernel/mm/transparent_hugepage/enabled", "[madvise]"));
        }
        printf("SMOKE %s\n", n_failed ? "FAILED" : "OK");
        sync();
        reboot(RB_AUTOBOOT);
        return 1;
}
