/* SPDX-License-Identifier: Apache-2.0 */
/* Two Ethernet frames, byte by byte: RFC 826 with RFC 5227 section 3, RFC 4861 section 4.4, RFC 4291 appendix
 * A. Pure. */
#include "monitor/announce.h"

#include <string.h>

static void put16(uint8_t *p, unsigned value)
{
        p[0] = (uint8_t)(value >> 8);
        p[1] = (uint8_t)value;
}

/* Length and Ethernet header; returns the place behind. */
static uint8_t *put_header(uint8_t *p, const uint8_t destination[6], const uint8_t mac[6], unsigned type,
                           unsigned size)
{
        put16(p, 0);
        put16(p + 2, 14 + size);
        memcpy(p + 4, destination, 6);
        memcpy(p + 10, mac, 6);
        put16(p + 16, type);
        return p + 18;
}

void announce_arp(const uint8_t mac[6], const uint8_t ipv4[4], uint8_t ret_bytes[ANNOUNCE_ARP_SIZE])
{
        static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
        static const uint8_t fixed[8] = {0, 1, 8, 0, 6, 4, 0, 1}; /* Ethernet, IPv4, their lengths, request */
        memset(ret_bytes, 0, ANNOUNCE_ARP_SIZE);
        uint8_t *p = put_header(ret_bytes, all, mac, 0x0806, 28);
        memcpy(p, fixed, 8);
        memcpy(p + 8, mac, 6);
        memcpy(p + 14, ipv4, 4);
        memcpy(p + 24, ipv4, 4);
}

static uint32_t sum(uint32_t start, const uint8_t *p, size_t size)
{
        for (size_t i = 0; i + 1 < size; i += 2)
                start += (uint32_t)p[i] << 8 | p[i + 1];
        return start;
}

void announce_neighbour(const uint8_t mac[6], uint8_t ret_bytes[ANNOUNCE_NA_SIZE])
{
        static const uint8_t all_nodes[6] = {0x33, 0x33, 0, 0, 0, 1};
        memset(ret_bytes, 0, ANNOUNCE_NA_SIZE);
        uint8_t *ip = put_header(ret_bytes, all_nodes, mac, 0x86dd, 40 + 32);
        uint8_t *source = ip + 8, *destination = ip + 24, *icmp = ip + 40;
        ip[0] = 0x60;
        put16(ip + 4, 32);
        ip[6] = 58; /* ICMPv6 */
        ip[7] = 255;
        const uint8_t local[16] = {0xfe,       0x80,   0,      0,    0,    0,      0,      0,
                                   mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
        memcpy(source, local, 16);
        destination[0] = 0xff;
        destination[1] = 2;
        destination[15] = 1;
        icmp[0] = 136;  /* neighbour advertisement */
        icmp[4] = 0x20; /* override */
        memcpy(icmp + 8, local, 16);
        icmp[24] = 2; /* target link-layer address */
        icmp[25] = 1;
        memcpy(icmp + 26, mac, 6);
        uint32_t total = sum(sum(32 + 58, source, 32), icmp, 32);
        while (total > 0xffff)
                total = (total & 0xffff) + (total >> 16);
        put16(icmp + 2, ~total & 0xffff);
}
