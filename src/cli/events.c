/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boxlet events: what has happened to boxes, images and volumes, and what happens. The library reads the
 * journal; what is wanted of it is chosen and shown here.
 */
#include "cli/cli.h"
#include "cli/filter.h"
#include "cli/format.h"
#include "cli/value.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

struct events_plan {
        struct text_list operands;
        const char *format;
        int64_t since_ns, until_ns;
        bool stream;
        struct text_list filter_texts;
        struct filter filter;
};

#define AT(member) offsetof(struct events_plan, member)

static const struct cli_option options[] = {
    {'f', "filter", OPTION_LIST, AT(filter_texts), "KEY=VALUE",
     "Only events that fit: type, event, box, image, volume, label"},
    {0, "format", OPTION_TEXT, AT(format), "FORMAT", "json, or a template such as {{.Action}}"},
    {0, "since", OPTION_TIME, AT(since_ns), "TIME",
     "Also what has happened from this time on: RFC 3339, unix time, or how long ago (10m)"},
    {0, "stream", OPTION_FLAG, AT(stream), NULL, "Go on with what happens; on by default"},
    {0, "until", OPTION_TIME, AT(until_ns), "TIME", "End at this time"},
    {0},
};

static const char *const keys[] = {"type", "event", "box", "container", "image", "volume", "label", NULL};

static void defaults(void *data)
{
        struct events_plan *plan = data;
        plan->stream = true;
        plan->since_ns = -1;
}

static int check(void *data, struct error *err)
{
        struct events_plan *plan = data;
        int r = 0;
        if (plan->format != NULL && strncmp(plan->format, "table", 5) == 0)
                r = error_set(err, -ENOTSUP, "--format table is not supported: events have no end");
        else if (plan->format != NULL)
                r = format_check(plan->format, err);
        if (r == 0)
                r = filter_parse(&plan->filter_texts, keys, &plan->filter, err);
        /* without a stream, or with an end alone, what has been is meant */
        if (plan->since_ns < 0 && (!plan->stream || plan->until_ns > 0))
                plan->since_ns = 0;
        return r;
}

static void done(void *data)
{
        filter_done(&((struct events_plan *)data)->filter);
}

/* "exec_start" is every "exec_start: ...", as for docker. */
static bool is_action(const char *action, const char *value)
{
        size_t length = strlen(value);
        return strncmp(action, value, length) == 0 && (action[length] == '\0' || action[length] == ':');
}

/* By name, as it was then or is now, or by the beginning of the id. */
static bool is_actor(const json_t *event, const char *type, const struct filter_term *term)
{
        const json_t *actor = json_object_get(event, "Actor");
        const char *id = json_text(actor, "ID"),
                   *name = json_text(json_object_get(actor, "Attributes"), "name");
        return strcmp(json_text(event, "Type"), type) == 0 &&
               (strcmp(name, term->value) == 0 || strncmp(id, term->value, strlen(term->value)) == 0 ||
                (term->id[0] != '\0' && strcmp(id, term->id) == 0));
}

/* A box that was renamed is still the one it was. */
static void find_boxes(struct cli *cli, struct filter *filter)
{
        for (size_t i = 0; i < filter->count; i++) {
                struct filter_term *term = &filter->terms[i];
                struct boxlet_box *box = NULL;
                struct boxlet_error ignored = {0};
                if (strcmp(term->key, "box") != 0 && strcmp(term->key, "container") != 0)
                        continue;
                if (boxlet_box_get(cli->boxlet, term->value, &box, &ignored) < 0)
                        continue; /* gone: its events have its name */
                (void)snprintf(term->id, sizeof(term->id), "%s", boxlet_box_id(box)); /* 64 digits */
                boxlet_box_free(box);
        }
}

static bool is_of_image(const json_t *event, const char *value)
{
        const json_t *actor = json_object_get(event, "Actor"),
                     *attributes = json_object_get(actor, "Attributes");
        if (strcmp(json_text(event, "Type"), "image") == 0)
                return filter_same_image(json_text(attributes, "name"), value) ||
                       strcmp(json_text(actor, "ID"), value) == 0;
        return filter_same_image(json_text(attributes, "image"), value);
}

static bool fits_term(const struct filter_term *term, const json_t *event)
{
        const char *key = term->key, *value = term->value;
        if (strcmp(key, "type") == 0)
                return strcmp(json_text(event, "Type"), strcmp(value, "container") == 0 ? "box" : value) == 0;
        if (strcmp(key, "event") == 0)
                return is_action(json_text(event, "Action"), value);
        if (strcmp(key, "label") == 0)
                return filter_fits_label(json_object_get(json_object_get(event, "Actor"), "Attributes"),
                                         value);
        if (strcmp(key, "image") == 0)
                return is_of_image(event, value);
        return is_actor(event, strcmp(key, "volume") == 0 ? "volume" : "box", term);
}

static bool fits(const struct filter *filter, const json_t *event)
{
        return filter_fits(filter, fits_term, event);
}

/* On one line, whatever is in it. */
static void print_safe(const char *text)
{
        cleanup_free char *safe = text_safe(text, false);
        fputs(safe != NULL ? safe : "?", stdout);
}

/* "2026-01-31T10:00:00.000000000+01:00 box start ID (image=..., name=...)" */
static void print_plain(const json_t *event)
{
        const json_t *actor = json_object_get(event, "Actor");
        int64_t ns = json_integer_value(json_object_get(event, "timeNano"));
        time_t seconds = (time_t)(ns / 1000000000);
        struct tm tm;
        char date[32] = "", zone[8] = "";
        const char *key, *separator = " (";
        json_t *value;
        if (localtime_r(&seconds, &tm) != NULL) {
                (void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm); /* it fits */
                (void)strftime(zone, sizeof(zone), "%z", &tm);
        }
        printf("%s.%09d%.3s:%.2s %s ", date, (int)(ns % 1000000000), zone, zone + 3,
               json_text(event, "Type"));
        print_safe(json_text(event, "Action"));
        printf(" ");
        print_safe(json_text(actor, "ID"));
        json_object_foreach (json_object_get(actor, "Attributes"), key, value) {
                printf("%s", separator);
                print_safe(key);
                printf("=");
                print_safe(json_is_string(value) ? json_string_value(value) : "");
                separator = ", ";
        }
        printf("%s\n", separator[0] == ',' ? ")" : "");
}

/* What docker's templates call otherwise than its JSON. */
static void add_names(json_t *event)
{
        static const char *const names[][2] = {{"time", "Time"},
                                               {"timeNano", "TimeNano"},
                                               {"scope", "Scope"},
                                               {"Action", "Status"}};
        const json_t *actor = json_object_get(event, "Actor");
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                (void)json_object_set(event, names[i][1],
                                      json_object_get(event, names[i][0])); /* one that lacks is told */
        (void)json_object_set(event, "ID", json_object_get(actor, "ID"));
        (void)json_object_set_new(event, "From",
                                  json_string(json_text(json_object_get(actor, "Attributes"), "image")));
}

static int print_event(const struct events_plan *plan, json_t *event, struct error *err)
{
        if (plan->format == NULL) {
                print_plain(event);
                return 0;
        }
        if (strcmp(plan->format, "json") == 0 || strcmp(plan->format, "{{json .}}") == 0)
                return format_print(stdout, "{{json .}}", event, err);
        add_names(event);
        return format_print(stdout, plan->format, event, err);
}

struct printer {
        const struct events_plan *plan;
        struct error err;
        bool closed; /* nobody reads any more */
};

static int on_event(const char *text, void *data)
{
        struct printer *printer = data;
        cleanup_json json_t *event = NULL;
        struct error ignored = ERROR_INIT;
        if (json_parse(text, strlen(text), "event", &event, &ignored) < 0 ||
            !fits(&printer->plan->filter, event))
                return 0;
        if (print_event(printer->plan, event, &printer->err) < 0)
                return 1;
        printer->closed = fflush(stdout) != 0; /* each is to be seen when it happens */
        return printer->closed;
}

static int carry_out(struct cli *cli, void *data)
{
        struct events_plan *plan = data;
        struct boxlet_event_options o = BOXLET_EVENT_OPTIONS_INIT;
        struct boxlet_error error = {0};
        struct printer printer = {.plan = plan};
        int code = cli_open(cli);
        if (code != 0)
                return code;
        find_boxes(cli, &plan->filter);
        o.since_ns = plan->since_ns;
        o.until_ns = plan->until_ns;
        o.follow = plan->stream;
        if (boxlet_events(cli->boxlet, &o, on_event, &printer, &error) < 0)
                return cli_fail(cli, &error);
        return printer.err.code != 0 ? cli_complain(cli, "%s", printer.err.text) : 0;
}

const struct command command_events = {
    .name = "events",
    .summary = "Show what happens to boxes, images and volumes",
    .description =
        "Shows what happens from now on, until it is interrupted; with --since, what has happened before "
        "too; "
        "with --until, up to then. Of several filters with one key any may fit (labels: all), and every key "
        "must.",
    .options = options,
    .plan_size = sizeof(struct events_plan),
    .defaults = defaults,
    .check = check,
    .carry_out = carry_out,
    .done = done,
};
