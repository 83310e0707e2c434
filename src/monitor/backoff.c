/* SPDX-License-Identifier: Apache-2.0 */
/* See backoff.h. A change of the policy while the box runs counts from the next end on. */
#include "monitor/backoff.h"

#include <stdbool.h>

static bool is_wanted(const struct backoff *b, const struct restart_policy *policy, int exit_code)
{
        switch (policy->kind) {
        case RESTART_ALWAYS:
        case RESTART_UNLESS_STOPPED:
                return true;
        case RESTART_ON_FAILURE:
                return exit_code != 0 && (policy->maximum == 0 || b->failures <= policy->maximum);
        case RESTART_NO:
                break;
        }
        return false;
}

int64_t backoff_next(struct backoff *b, const struct restart_policy *policy, int exit_code, int64_t ran_ms)
{
        b->failures = exit_code == 0 ? 0 : b->failures + 1;
        if (!is_wanted(b, policy, exit_code))
                return -1;
        if (b->delay_ms == 0 || ran_ms >= BACKOFF_GOOD_MS)
                b->delay_ms = BACKOFF_FIRST_MS;
        else
                b->delay_ms = b->delay_ms < BACKOFF_MOST_MS / 2 ? 2 * b->delay_ms : BACKOFF_MOST_MS;
        b->restarts++;
        return b->delay_ms;
}
