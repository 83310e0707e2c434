/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink(7), as much as it takes: interfaces up, addresses, default routes. One request, one
 * acknowledgement.
 */
#include "agent/network.h"

#include "base/cleanup.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct message {
        struct nlmsghdr header;
        union {
                struct ifinfomsg link;
                struct ifaddrmsg address;
                struct rtmsg route;
                char bytes[256];
        } body;
};

static void begin(struct message *m, uint16_t type, uint16_t flags, size_t body)
{
        memset(m, 0, sizeof(*m));
        m->header.nlmsg_type = type;
        m->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
        m->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
}

static void add(struct message *m, uint16_t type, const void *bytes, size_t size)
{
        /* the largest request here is a route with two addresses of 16 bytes: far below the room there is */
        struct rtattr *a = (struct rtattr *)((char *)m + NLMSG_ALIGN(m->header.nlmsg_len));
        a->rta_type = type;
        a->rta_len = (uint16_t)RTA_LENGTH(size);
        memcpy(RTA_DATA(a), bytes, size);
        m->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(m->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static int request(int fd, const struct message *m)
{
        struct {
                struct nlmsghdr header;
                struct nlmsgerr error;
                char rest[1024];
        } answer;
        if (send(fd, m, m->header.nlmsg_len, 0) < 0)
                return -errno;
        ssize_t n = recv(fd, &answer, sizeof(answer), 0);
        if (n < 0)
                return -errno;
        if ((size_t)n < sizeof(answer.header) + sizeof(answer.error.error) ||
            answer.header.nlmsg_type != NLMSG_ERROR)
                return -EBADMSG;
        return answer.error.error;
}

static int set_link_up(int fd, int index, int mtu)
{
        struct message m;
        begin(&m, RTM_NEWLINK, 0, sizeof(m.body.link));
        m.body.link.ifi_family = AF_UNSPEC;
        m.body.link.ifi_index = index;
        m.body.link.ifi_flags = IFF_UP;
        m.body.link.ifi_change = IFF_UP;
        if (mtu > 0) {
                uint32_t value = (uint32_t)mtu;
                add(&m, IFLA_MTU, &value, sizeof(value));
        }
        return request(fd, &m);
}

static size_t address_size(const struct boot_address *a)
{
        return a->family == AF_INET ? 4 : 16;
}

static int add_address(int fd, int index, const struct boot_address *a)
{
        struct message m;
        begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(m.body.address));
        m.body.address.ifa_family = (uint8_t)a->family;
        m.body.address.ifa_prefixlen = a->prefix;
        m.body.address.ifa_index = (uint32_t)index;
        m.body.address.ifa_scope = RT_SCOPE_UNIVERSE;
        m.body.address.ifa_flags =
            a->family == AF_INET6 ? IFA_F_NODAD : 0; /* alone on this link: no second's wait */
        add(&m, IFA_LOCAL, a->address, address_size(a));
        add(&m, IFA_ADDRESS, a->address, address_size(a));
        return request(fd, &m);
}

static int add_default_route(int fd, int index, const struct boot_address *a)
{
        struct message m;
        uint32_t out = (uint32_t)index;
        begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(m.body.route));
        m.body.route.rtm_family = (uint8_t)a->family;
        m.body.route.rtm_table = RT_TABLE_MAIN;
        m.body.route.rtm_protocol = RTPROT_BOOT;
        m.body.route.rtm_scope = RT_SCOPE_UNIVERSE;
        m.body.route.rtm_type = RTN_UNICAST;
        m.body.route.rtm_flags = RTNH_F_ONLINK; /* the gateway may lie outside of the prefix */
        add(&m, RTA_GATEWAY, a->gateway, address_size(a));
        add(&m, RTA_OIF, &out, sizeof(out));
        return request(fd, &m);
}

/* The name of the interface with that hardware address (all zero: any but loopback). */
static int find_interface(const uint8_t mac[6], char ret_name[IF_NAMESIZE])
{
        static const uint8_t none[6];
        cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        struct if_nameindex *list = if_nameindex();
        int r = -ENODEV;
        for (struct if_nameindex *i = list; i != NULL && i->if_index != 0 && r < 0; i++) {
                struct ifreq ifr = {0};
                (void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s",
                               i->if_name); /* the kernel's own name */
                if (strcmp(i->if_name, "lo") == 0 || ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
                        continue;
                if (memcmp(mac, none, 6) == 0 || memcmp(mac, ifr.ifr_hwaddr.sa_data, 6) == 0) {
                        (void)snprintf(ret_name, IF_NAMESIZE, "%s", i->if_name); /* the same */
                        r = 0;
                }
        }
        if_freenameindex(list);
        return r;
}

/* Addresses are those the host gave and no others: no autoconfiguration by router advertisements. */
static void refuse_advertisements(const char *name)
{
        char path[80];
        (void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra",
                       name); /* IF_NAMESIZE at most */
        cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
                (void)fd_write_full(fd, "0", 1); /* a kernel without IPv6 has nothing to refuse */
}

static int set_up_interface(int fd, const struct boot_plan *plan, struct error *err)
{
        char name[IF_NAMESIZE];
        int r = find_interface(plan->mac, name);
        if (r < 0)
                return error_errno(err, r, "find the network interface");
        int index = (int)if_nametoindex(name);
        refuse_advertisements(name);
        r = set_link_up(fd, index, plan->mtu);
        if (r < 0)
                return error_errno(err, r, "bring '%s' up", name);
        for (size_t i = 0; i < 2; i++) {
                const struct boot_address *a = &plan->addresses[i];
                if (!a->present)
                        continue;
                r = add_address(fd, index, a);
                if (r < 0)
                        return error_errno(err, r, "give '%s' its IPv%d address", name,
                                           a->family == AF_INET ? 4 : 6);
                r = a->has_gateway ? add_default_route(fd, index, a) : 0;
                if (r < 0)
                        return error_errno(err, r, "set the IPv%d default route",
                                           a->family == AF_INET ? 4 : 6);
        }
        return 0;
}

static int open_netlink(struct error *err)
{
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        return fd < 0 ? error_errno(err, -errno, "open a netlink socket") : fd;
}

int network_raise_loopback(struct error *err)
{
        cleanup_fd int fd = open_netlink(err);
        int r = fd < 0 ? fd : set_link_up(fd, (int)if_nametoindex("lo"), 0);
        return r < 0 && fd >= 0 ? error_errno(err, r, "bring loopback up") : r;
}

int network_set_up(const struct boot_plan *plan, struct error *err)
{
        cleanup_fd int fd = open_netlink(err);
        if (fd < 0)
                return fd;
        if (plan->resolver.present) {
                struct boot_address own = {.family = AF_INET, .prefix = 32};
                memcpy(own.address, plan->resolver.listen, sizeof(plan->resolver.listen));
                int r = add_address(fd, (int)if_nametoindex("lo"), &own);
                if (r < 0)
                        return error_errno(err, r, "give loopback the name server's address");
        }
        return plan->has_network ? set_up_interface(fd, plan, err) : 0;
}
