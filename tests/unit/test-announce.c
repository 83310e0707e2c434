/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "monitor/announce.h"

#include <string.h>

static const uint8_t mac[6] = {0x06, 0xf0, 0xa6, 0x4e, 0x17, 0xa9};

static void arp_is_gratuitous(void **state)
{
        (void)state;
        static const uint8_t ipv4[4] = {10, 0, 2, 15};
        static const uint8_t expected[ANNOUNCE_ARP_SIZE] =
            "\0\0\0\x2a\xff\xff\xff\xff\xff\xff\x06\xf0\xa6\x4e\x17\xa9\x08\x06\0\x01\x08\0\x06\x04\0\x01"
            "\x06\xf0\xa6\x4e\x17\xa9\x0a\0\x02\x0f\0\0\0\0\0\0\x0a\0\x02\x0f";
        uint8_t bytes[ANNOUNCE_ARP_SIZE];
        announce_arp(mac, ipv4, bytes);
        assert_memory_equal(bytes, expected, sizeof(bytes));
}

/* The one's complement sum over pseudo header and message, checksum included, is all ones (RFC 4443, 2.3). */
static void neighbour_advertisement_is_whole(void **state)
{
        (void)state;
        uint8_t b[ANNOUNCE_NA_SIZE];
        uint32_t sum = 32 + 58;
        announce_neighbour(mac, b);
        assert_memory_equal(b, "\0\0\0\x56", 4);
        const uint8_t *ip = b + 18;
        for (size_t i = 8; i < 72; i += 2)
                sum += (uint32_t)ip[i] << 8 | ip[i + 1];
        while (sum > 0xffff)
                sum = (sum & 0xffff) + (sum >> 16);
        assert_int_equal(sum, 0xffff);
        assert_memory_equal(ip + 8, "\xfe\x80\0\0\0\0\0\0\x04\xf0\xa6\xff\xfe\x4e\x17\xa9", 16);
        assert_int_equal(ip[40], 136);
        assert_memory_equal(ip + 48, ip + 8, 16);
        assert_memory_equal(ip + 66, mac, 6);
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(arp_is_gratuitous),
    cmocka_unit_test(neighbour_advertisement_is_whole),
};

UNIT_TEST_MAIN(cases)
