/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image's configuration and its HEALTHCHECK, with options chosen by the first byte; what comes of it is
 * shown, and is what the monitor takes.
 */
#include "base/cleanup.h"
#include "runtime/health.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct boxlet_box_options o = BOXLET_BOX_OPTIONS_INIT;
        struct error err = ERROR_INIT;
        cleanup_json json_t *image = NULL;
        cleanup_json json_t *health = NULL;
        if (size == 0 || json_parse((const char *)data + 1, size - 1, "image", &image, &err) < 0)
                return 0;
        o.no_health = data[0] == '!';
        o.health_cmd = data[0] == 'c' ? "true" : NULL;
        o.health_retries = data[0] == 'r' ? 7 : 0;
        o.health_interval_ms = data[0] == 'i' ? 5 : 0;
        int r = health_resolve(image, &o, &health, &err);
        require(r == 0 ? true : err.code == r && err.text[0] != '\0');
        if (health == NULL)
                return 0;
        const json_t *args = json_object_get(health, "args"), *word;
        size_t i;
        require(json_array_size(args) > 0);
        json_array_foreach ((json_t *)args, i, word) {
                require(json_is_string(word));
        }
        require(json_integer_value(json_object_get(health, "interval_ms")) > 0);
        require(json_integer_value(json_object_get(health, "timeout_ms")) > 0);
        require(json_integer_value(json_object_get(health, "retries")) > 0);
        cleanup_json json_t *shown = health_config(health);
        require(shown != NULL && json_integer_value(json_object_get(shown, "Interval")) > 0);
        return 0;
}
