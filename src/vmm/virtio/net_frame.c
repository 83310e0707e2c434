/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said about a frame without a device: see net_frame.h. */
#include "vmm/virtio/net_frame.h"

#include "vmm/virtio/net.h"

#include <string.h>

/* The sum of size bytes as 16-bit words in memory order, the last one padded with a zero byte. */
static uint64_t sum_bytes(const uint8_t *bytes, size_t size)
{
        uint64_t sum = 0;
        for (; size >= 32; bytes += 32, size -= 32) {
                uint32_t words[8];
                memcpy(words, bytes, sizeof(words));
                for (unsigned i = 0; i < 8; i++)
                        sum += words[i];
        }
        for (; size >= 2; bytes += 2, size -= 2) {
                uint16_t word;
                memcpy(&word, bytes, sizeof(word));
                sum += word;
        }
        return size > 0 ? sum + *bytes : sum;
}

static uint16_t fold(uint64_t sum)
{
        sum = (sum & UINT32_MAX) + (sum >> 32);
        sum = (sum & UINT32_MAX) + (sum >> 32);
        sum = (sum & UINT16_MAX) + (sum >> 16);
        sum = (sum & UINT16_MAX) + (sum >> 16);
        sum = (sum & UINT16_MAX) + (sum >> 16);
        return (uint16_t)sum;
}

uint16_t net_checksum(const struct iovec *iov, unsigned count, size_t skip)
{
        uint64_t sum = 0;
        size_t done = 0;
        for (unsigned i = 0; i < count; i++) {
                size_t length = iov[i].iov_len;
                if (skip >= length) {
                        skip -= length;
                        continue;
                }
                uint16_t part = fold(sum_bytes((const uint8_t *)iov[i].iov_base + skip, length - skip));
                if (done % 2 == 1) /* a segment that begins in the middle of a word */
                        part = (uint16_t)(part << 8 | part >> 8);
                sum += part;
                done += length - skip;
                skip = 0;
        }
        uint16_t checksum = (uint16_t)~fold(sum);
        return checksum == 0 ? UINT16_MAX : checksum;
}

const char *net_check_header(const struct net_header *h, size_t size, size_t head, uint64_t features)
{
        if (size < NET_ETHERNET_HEADER)
                return "shorter than an Ethernet header";
        if (size > NET_FRAME_MAX)
                return "longer than any frame";
        if ((h->flags & NET_NEEDS_CHECKSUM) != 0) {
                size_t place = (size_t)h->csum_start + h->csum_offset;
                if (!(features & NET_F_CSUM))
                        return "checksum left to us without the feature";
                if (h->csum_start < NET_ETHERNET_HEADER || h->csum_start >= size || place + 2 > head)
                        return "checksum outside the headers";
        }
        switch (h->gso_type) {
        case NET_GSO_NONE:
                return NULL;
        case NET_GSO_TCPV4:
        case NET_GSO_TCPV6:
                if (!(features & (h->gso_type == NET_GSO_TCPV4 ? NET_F_HOST_TSO4 : NET_F_HOST_TSO6)))
                        return "segmentation left to us without the feature";
                if (!(h->flags & NET_NEEDS_CHECKSUM) || h->gso_size == 0)
                        return "segmentation without checksum or size";
                return NULL;
        default:
                return "segmentation of a kind that was not offered";
        }
}
