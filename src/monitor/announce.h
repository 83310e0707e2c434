/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MONITOR_ANNOUNCE_H
#define MONITOR_ANNOUNCE_H

#include <stddef.h>
#include <stdint.h>

/*
 * The frames by which a box's interface would make itself known: a gratuitous ARP for ipv4 and an unsolicited
 * neighbour advertisement for the link-local address that Linux derives from the MAC. Each behind its length,
 * 4 bytes, big endian, as they travel to passt (docs/protocol.md, section 2).
 */
#define ANNOUNCE_ARP_SIZE (4 + 14 + 28)
#define ANNOUNCE_NA_SIZE  (4 + 14 + 40 + 32)

void announce_arp(const uint8_t mac[6], const uint8_t ipv4[4], uint8_t ret_bytes[ANNOUNCE_ARP_SIZE]);
void announce_neighbour(const uint8_t mac[6], uint8_t ret_bytes[ANNOUNCE_NA_SIZE]);

#endif
