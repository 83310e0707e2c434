/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_SPEC_H
#define RUNTIME_SPEC_H

/*
 * What a box is to run: from the image's configuration and the options, with docker's meaning of each, to an
 * OCI runtime-spec document that the agent applies to the letter. The same input gives the same bytes.
 */
#include "base/error.h"
#include "base/json.h"
#include "boxlet.h"

struct spec {
        json_t *document; /* OCI runtime-spec 1.0.2 */
        json_t *command;  /* process object that runs beside init as the foreground, or NULL */
        json_t *volumes;  /* array of paths that lie on the box's disk directly */
        json_t *labels;   /* object: the image's, the options' over them */
        int stop_signal;
};
void spec_done(struct spec *spec);

/* image_config: the whole image configuration (image-spec config.md). hostname: what the box is to be called.
 */
int spec_resolve(const json_t *image_config, const struct boxlet_box_options *options, const char *hostname,
                 struct spec *ret_spec, struct error *err);

/* The process object of an exec: only what the options say, the rest is the agent's to fill in. */
int spec_exec_process(const struct boxlet_exec_options *options, json_t **ret_process, struct error *err);

#endif
