/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes become one line of JSON that jansson reads back to the same bytes. */
#include "base/json.h"
#include "monitor/line.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct buffer out = BUFFER_INIT(8 << 20);
        cleanup_json json_t *json = NULL;
        const char *bytes = (const char *)data;
        if (size > 1 << 20)
                return 0;
        assert(line_whole_characters(bytes, size) <= size);
        assert(size == 0 || line_whole_characters(bytes, size) > 0);
        int r = line_encode(&out, 1700000000000000000, size % 2 != 0, bytes, size, size % 3 == 0);
        assert(r == 0 && out.length <= LINE_ENTRY_MAX(size));
        assert(memchr(buffer_content(&out), '\n', out.length) == buffer_content(&out) + out.length - 1);
        r = json_parse(buffer_content(&out), out.length, "entry", &json, NULL);
        assert(r == 0);
        const json_t *text = json_object_get(json, "l");
        if (text != NULL) {
                assert(json_string_length(text) == size);
                assert(size == 0 || memcmp(json_string_value(text), data, size) == 0);
        } else {
                assert(json_string_length(json_object_get(json, "b")) == (size + 2) / 3 * 4);
        }
        buffer_done(&out);
        return 0;
}
