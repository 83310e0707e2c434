/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/cli.h"

#include <signal.h>

/* An image has at most 127 layers; what is beyond is not drawn. */
#define PROGRESS_LAYERS_MAX 128

enum progress_mode { PROGRESS_SILENT, PROGRESS_LINES, PROGRESS_BARS };

struct progress_layer {
        char name[CLI_SHORT_ID + 1];
        uint64_t done, total, first_done;
        int64_t first_ms;
        bool finished;
};

/* The progress of an image operation on stderr: bars on a terminal, else lines. In between, Ctrl-C and
 * SIGTERM cancel the operation (a second one ends the program). */
struct progress {
        struct cli *cli;
        enum progress_mode mode;
        struct progress_layer layers[PROGRESS_LAYERS_MAX];
        size_t count;
        struct progress_layer convert;
        char message[160];
        unsigned drawn; /* lines on the screen */
        int64_t drawn_ms;
        struct sigaction before[2];
};

void progress_begin(struct progress *progress, struct cli *cli, bool quiet);
void progress_end(struct progress *progress);

/* A boxlet_progress_fn; data is the struct progress. */
int progress_event(const struct boxlet_progress *event, void *data);

/* The line of a layer, at most width columns wide. */
#define PROGRESS_LINE_MAX 200
void progress_line(const struct progress_layer *layer, int64_t now_ms, unsigned width,
                   char line[PROGRESS_LINE_MAX]);

#endif
