/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bars for people, lines for logs. Redrawn at most ten times a second, every line cut to the terminal's width
 * (a wrapped line would break moving up over it), and wiped when the operation ends: what stays is the
 * result. Text of messages is safe for a terminal.
 *
 * The library call blocks while it works, so signals are noted by a handler and cancel the operation at its
 * next event. The handler is installed for one delivery: the second signal has its usual effect.
 */
#include "cli/progress.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_MS 100

static volatile sig_atomic_t caught;
static const int signals[2] = {SIGINT, SIGTERM};

static void note_signal(int signal)
{
        caught = signal;
}

void progress_begin(struct progress *progress, struct cli *cli, bool quiet)
{
        *progress = (struct progress){.cli = cli, .mode = PROGRESS_LINES};
        const char *term = getenv("TERM");
        if (isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0)
                progress->mode = PROGRESS_BARS;
        if (quiet)
                progress->mode = PROGRESS_SILENT;
        caught = 0;
        for (size_t i = 0; i < 2; i++) {
                struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};
                if (sigaction(signals[i], NULL, &progress->before[i]) == 0 &&
                    progress->before[i].sa_handler == SIG_DFL)
                        (void)sigaction(signals[i], &action, NULL); /* cannot fail for these */
        }
}

static void wipe(struct progress *progress)
{
        if (progress->drawn > 0)
                fprintf(stderr, "\033[%uA\r\033[J", progress->drawn);
        progress->drawn = 0;
}

void progress_end(struct progress *progress)
{
        if (progress->mode == PROGRESS_BARS)
                wipe(progress);
        for (size_t i = 0; i < 2; i++)
                (void)sigaction(signals[i], &progress->before[i], NULL); /* cannot fail for these */
        progress->cli->signal = caught;
}

static unsigned percent(const struct progress_layer *layer)
{
        if (layer->total == 0)
                return 0;
        return layer->done >= layer->total ? 100
                                           : (unsigned)((double)layer->done * 100 / (double)layer->total);
}

void progress_line(const struct progress_layer *layer, int64_t now, unsigned width,
                   char line[PROGRESS_LINE_MAX])
{
        char done[TEXT_SIZE_MAX], total[TEXT_SIZE_MAX], rate[TEXT_SIZE_MAX], tail[64], bar[64] = "";
        int64_t elapsed = now - layer->first_ms;
        size_t used = 0;
        if (layer->finished)
                (void)snprintf(tail, sizeof(tail), "%s", text_size(layer->done, done));
        else if (layer->total > 0)
                (void)snprintf(tail, sizeof(tail), "%s/%s", text_size(layer->done, done),
                               text_size(layer->total, total));
        else
                (void)snprintf(tail, sizeof(tail), "%s", text_size(layer->done, done));
        if (!layer->finished && elapsed >= 500 && layer->done > layer->first_done) {
                uint64_t per_second =
                    (uint64_t)((double)(layer->done - layer->first_done) * 1000 / (double)elapsed);
                used = strlen(tail);
                (void)snprintf(tail + used, sizeof(tail) - used, "  %s/s", text_size(per_second, rate));
        }
        unsigned room = width > 50 ? width - 50 : 0;
        room = room < 40 ? room : 40;
        if (room >= 10) {
                unsigned filled = layer->finished ? room : percent(layer) * room / 100;
                for (unsigned i = 0; i < room; i++)
                        bar[i] = i < filled ? '=' : i == filled ? '>' : ' ';
                bar[room] = '\0';
        }
        char whole[PROGRESS_LINE_MAX];
        (void)snprintf(whole, sizeof(whole), "%-12s  %s%s%s%s", layer->name, bar[0] != '\0' ? "[" : "", bar,
                       bar[0] != '\0' ? "]  " : "", tail);
        (void)snprintf(line, PROGRESS_LINE_MAX, "%.*s", (int)(width > 1 ? width - 1 : 1), whole);
}

static void draw(struct progress *progress, bool at_once)
{
        unsigned rows = 24, columns = 80, lines = 0;
        int64_t now = clock_monotonic_ms();
        char line[PROGRESS_LINE_MAX];
        if (!at_once && now - progress->drawn_ms < REDRAW_MS)
                return;
        progress->drawn_ms = now;
        (void)terminal_size(STDERR_FILENO, &rows, &columns); /* else the usual one */
        unsigned room = rows > 4 ? rows - 3 : 1;
        if (progress->drawn > 0)
                fprintf(stderr, "\033[%uA\r", progress->drawn);
        /* running ones first go where there is room; finished ones only if all fit */
        bool all = progress->count <= room;
        for (size_t i = 0; i < progress->count && lines < room; i++) {
                if (!all && progress->layers[i].finished)
                        continue;
                progress_line(&progress->layers[i], now, columns, line);
                fprintf(stderr, "%s\033[K\n", line);
                lines++;
        }
        if (progress->convert.name[0] != '\0') {
                progress_line(&progress->convert, now, columns, line);
                fprintf(stderr, "%s\033[K\n", line);
                lines++;
        }
        if (progress->message[0] != '\0') {
                fprintf(stderr, "%.*s\033[K\n", (int)columns - 1, progress->message);
                lines++;
        }
        fprintf(stderr, "\033[J");
        progress->drawn = lines;
}

static struct progress_layer *find_layer(struct progress *progress, const char *digest)
{
        char name[CLI_SHORT_ID + 1];
        cli_short_id(digest, name);
        for (size_t i = 0; i < progress->count; i++) {
                if (strcmp(progress->layers[i].name, name) == 0)
                        return &progress->layers[i];
        }
        if (progress->count == PROGRESS_LAYERS_MAX)
                return NULL;
        struct progress_layer *layer = &progress->layers[progress->count++];
        memcpy(layer->name, name, sizeof(name));
        return layer;
}

/* Returns true when it has just finished. */
static bool advance(struct progress_layer *layer, const struct boxlet_progress *event)
{
        bool was = layer->finished;
        if (layer->first_ms == 0) {
                layer->first_ms = clock_monotonic_ms();
                layer->first_done = event->done;
        }
        layer->done = event->done;
        layer->total = event->total;
        layer->finished = event->total > 0 && event->done >= event->total;
        return layer->finished && !was;
}

static bool advance_layer(struct progress *progress, const struct boxlet_progress *event)
{
        struct progress_layer *layer = find_layer(progress, event->item != NULL ? event->item : "layer");
        char size[TEXT_SIZE_MAX];
        bool finished = layer != NULL && advance(layer, event);
        if (finished && progress->mode == PROGRESS_LINES)
                fprintf(stderr, "%s: %s\n", layer->name, text_size(layer->done, size));
        return finished;
}

static bool advance_convert(struct progress *progress, const struct boxlet_progress *event)
{
        static const char name[] = "root system";
        if (progress->convert.name[0] == '\0') {
                memcpy(progress->convert.name, name, sizeof(name));
                if (progress->mode == PROGRESS_LINES)
                        fprintf(stderr, "making the root file system\n");
        }
        return advance(&progress->convert, event);
}

static bool tell(struct progress *progress, const struct boxlet_progress *event)
{
        cleanup_free char *safe = text_safe(event->text != NULL ? event->text : "", false);
        if (safe == NULL || strcmp(safe, progress->message) == 0)
                return false;
        (void)snprintf(progress->message, sizeof(progress->message), "%s", safe); /* cut is fine */
        if (progress->mode == PROGRESS_LINES && safe[0] != '\0')
                fprintf(stderr, "%s\n", safe);
        return true;
}

int progress_event(const struct boxlet_progress *event, void *data)
{
        struct progress *progress = data;
        bool at_once = false;
        if (caught != 0)
                return 1;
        if (progress->mode == PROGRESS_SILENT)
                return 0;
        switch (event->kind) {
        case BOXLET_PROGRESS_LAYER:
                at_once = advance_layer(progress, event);
                break;
        case BOXLET_PROGRESS_CONVERT:
                at_once = advance_convert(progress, event);
                break;
        case BOXLET_PROGRESS_MESSAGE:
                at_once = tell(progress, event);
                break;
        }
        if (progress->mode == PROGRESS_BARS)
                draw(progress, at_once);
        return 0;
}
