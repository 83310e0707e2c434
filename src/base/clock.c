/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clocks that everybody reads. Neither can fail: Linux has both, and the pointer is good.
 */
#include "base/clock.h"

#include <time.h>

#define NS_OF_S  INT64_C(1000000000)
#define NS_OF_MS INT64_C(1000000)

int64_t clock_monotonic_ms(void)
{
        struct timespec now = {0};
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NS_OF_MS;
}

int64_t clock_wall_ns(void)
{
        struct timespec now = {0};
        (void)clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * NS_OF_S + now.tv_nsec;
}

int clock_poll_ms(int64_t wall_ns)
{
        const int64_t most = 60LL * 60 * 1000;
        if (wall_ns == 0)
                return -1;
        int64_t left = wall_ns - clock_wall_ns();
        return left <= 0 ? 0 : (int)(left / NS_OF_MS < most ? left / NS_OF_MS + 1 : most);
}
