/* SPDX-License-Identifier: Apache-2.0 */
/* A DNS query of any bytes: an answer repeats the question, says so in its header, and is no longer than it
 * may be. */
#include "agent/question.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const uint8_t address[4] = {10, 0, 2, 2};
        uint8_t *answer = malloc(QUESTION_ANSWER_MAX); /* so that a byte too many is seen */
        if (answer == NULL)
                return 0;
        for (int with = 0; with < 2; with++) {
                size_t n = question_answer(data, size, "host.boxlet.internal", with ? address : NULL, answer);
                if (n == 0)
                        continue;
                size_t question = n - (answer[7] == 1 ? 16 : 0);
                if (n > QUESTION_ANSWER_MAX || question > size || (answer[2] & 0x80) == 0 ||
                    (answer[3] & 15) != 0 || memcmp(answer, data, 2) != 0 ||
                    memcmp(answer + 12, data + 12, question - 12) != 0)
                        abort();
        }
        free(answer);
        return 0;
}
