/* SPDX-License-Identifier: Apache-2.0 */
/* The small parsers of the runtime: published ports, ulimits, tmpfs, signals, names, log lines. The first
 * byte chooses. */
#include "runtime/logline.h"
#include "runtime/publish.h"
#include "runtime/words.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_publish(const char *text)
{
        struct publish_list list = {0};
        struct error err = ERROR_INIT;
        int r = publish_parse(&list, text, &err);
        if ((r < 0) != (list.count == 0) || list.count > PUBLISH_MAX)
                abort();
        for (size_t i = 0; i < list.count; i++) {
                if (list.entries[i].box_port == 0)
                        abort();
        }
        publish_done(&list);
}

static void fuzz_json(const char *text, int (*parse)(const char *, json_t **, struct error *))
{
        struct error err = ERROR_INIT;
        json_t *json;
        if (parse(text, &json, &err) < 0)
                return;
        char *printed = json_print(json, NULL);
        if (printed == NULL)
                abort(); /* what was taken can always be written */
        free(printed);
        json_decref(json);
}

static void fuzz_capability(const char *text)
{
        const char *const list[] = {text, NULL};
        struct error err = ERROR_INIT;
        uint64_t set;
        if (words_capabilities(0, list, NULL, &set, &err) == 0 &&
            (set == 0 || (set & ~WORDS_ALL_CAPABILITIES)))
                abort();
}

static void fuzz_signal(const char *text)
{
        struct error err = ERROR_INIT;
        int number;
        if (words_signal(text, &number, &err) == 0 && (number < 1 || number > 64))
                abort();
}

static void fuzz_logline(const char *text, size_t size)
{
        struct logline line;
        if (logline_parse(text, size, &line) == 0) {
                if (line.stream != 1 && line.stream != 2)
                        abort();
                free(line.bytes);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct error err = ERROR_INIT;
        if (size == 0)
                return 0;
        char *text = malloc(size);
        if (text == NULL)
                return 0;
        memcpy(text, data + 1, size - 1);
        text[size - 1] = '\0';
        switch (data[0]) {
        case 'p':
                fuzz_publish(text);
                break;
        case 'u':
                fuzz_json(text, words_ulimit);
                break;
        case 't':
                fuzz_json(text, words_tmpfs);
                break;
        case 'c':
                fuzz_capability(text);
                break;
        case 's':
                fuzz_signal(text);
                break;
        case 'l':
                fuzz_logline(text, size - 1);
                break;
        default:
                (void)words_check_name(text, &err); /* only that they read no further */
                (void)words_check_hostname(text, &err);
                break;
        }
        free(text);
        return 0;
}
