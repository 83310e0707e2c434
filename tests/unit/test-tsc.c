/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"
#include "vmm/qemu/tsc.h"

#include <stdlib.h>

static void two_measurements_agree(void **state)
{
        (void)state;
        unsigned first = qemu_tsc_khz(), second = qemu_tsc_khz();
        if (first == 0)
                unit_skip("the time stamp counter of this machine is not constant");
        assert_in_range(first, 100000, 20000000);
        assert_true(abs((int)first - (int)second) < (int)(first / 500));
}

static const struct CMUnitTest cases[] = {
    cmocka_unit_test(two_measurements_agree),
};

UNIT_TEST_MAIN(cases)
