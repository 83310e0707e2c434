/* SPDX-License-Identifier: Apache-2.0 */
/* boxlet images: the images of the store, with docker's columns. */
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/value.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

struct images_plan {
        struct text_list operands;
        bool quiet, whole, digests;
        const char *format;
};

#define AT(member) offsetof(struct images_plan, member)

static const struct cli_option options[] = {
    {0, "digests", OPTION_FLAG, AT(digests), NULL, "Show digests"},
    {0, "format", OPTION_CHOICE, AT(format), "FORMAT", "How to print", "table|json", OPERAND_CHOICE},
    {0, "no-trunc", OPTION_FLAG, AT(whole), NULL, "Do not shorten ids"},
    {'q', "quiet", OPTION_FLAG, AT(quiet), NULL, "Print ids only"},
    {0},
};

static const struct refused_option refused[] = {
    {'a', "all", "there are no intermediate images"},
    {'f', "filter", "use --format json with jq"},
    {0, "tree", NULL},
    {0},
};

/* The parts of a full reference as a person knows them. */
struct name {
        char repository[512];
        char tag[160];
};

/* "docker.io/library/alpine:3.19" → "alpine", "3.19" */
static void split_reference(const char *reference, struct name *name)
{
        static const char *const familiar[] = {"docker.io/library/", "docker.io/"};
        for (size_t i = 0; i < 2; i++) {
                size_t length = strlen(familiar[i]);
                if (strncmp(reference, familiar[i], length) == 0) {
                        reference += length;
                        break;
                }
        }
        size_t repository = strcspn(reference, "@");
        const char *slash = memrchr(reference, '/', repository);
        const char *from = slash != NULL ? slash : reference;
        const char *colon = memchr(from, ':', repository - (size_t)(from - reference));
        (void)snprintf(name->tag, sizeof(name->tag), "%.*s",
                       colon != NULL ? (int)(reference + repository - colon - 1) : 6,
                       colon != NULL ? colon + 1 : "<none>");
        repository = colon != NULL ? (size_t)(colon - reference) : repository;
        (void)snprintf(name->repository, sizeof(name->repository), "%.*s",
                       repository > 0 ? (int)repository : 6, repository > 0 ? reference : "<none>");
}

/* Whether the image is what [REPOSITORY[:TAG]] asks for. */
static bool is_wanted(const struct boxlet_image *image, const char *wanted)
{
        struct name name, filter;
        if (wanted == NULL)
                return true;
        split_reference(image->reference, &name);
        split_reference(wanted, &filter);
        return strcmp(name.repository, filter.repository) == 0 &&
               (strcmp(filter.tag, "<none>") == 0 || strcmp(filter.tag, name.tag) == 0);
}

static int add_row(struct table *table, const struct boxlet_image *image, const struct images_plan *plan)
{
        struct name name;
        char id[CLI_SHORT_ID + 1], size[TEXT_SIZE_MAX], span[TEXT_SPAN_MAX], age[TEXT_SPAN_MAX + 8] = "N/A";
        const char *cells[6];
        size_t n = 0;
        split_reference(image->reference, &name);
        if (image->created > 0)
                (void)snprintf(age, sizeof(age), "%s ago",
                               text_span(clock_wall_ns() / 1000000000 - image->created, span));
        cells[n++] = name.repository;
        cells[n++] = name.tag;
        if (plan->digests)
                cells[n++] = image->digest;
        cells[n++] = plan->whole ? image->id : cli_short_id(image->id, id);
        cells[n++] = age;
        cells[n++] = text_size(image->size_bytes, size);
        return table_add(table, cells);
}

static int print_table(struct boxlet_image *const *images, const struct images_plan *plan)
{
        static const char *const plain[] = {"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"};
        static const char *const digests[] = {"REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"};
        cleanup_table struct table table;
        table_init(&table, plan->digests ? 6 : 5);
        int r = table_add(&table, plan->digests ? digests : plain);
        for (size_t i = 0; images[i] != NULL && r == 0; i++) {
                if (is_wanted(images[i], plan->operands.items != NULL ? plan->operands.items[0] : NULL))
                        r = add_row(&table, images[i], plan);
        }
        if (r == 0)
                table_print(&table, stdout);
        return r;
}

static int print_ids(struct boxlet_image *const *images, const struct images_plan *plan)
{
        for (size_t i = 0; images[i] != NULL; i++) {
                char id[CLI_SHORT_ID + 1];
                if (!is_wanted(images[i], plan->operands.items != NULL ? plan->operands.items[0] : NULL))
                        continue;
                printf("%s\n", plan->whole ? images[i]->id : cli_short_id(images[i]->id, id));
        }
        return 0;
}

static json_t *labels_of(const struct boxlet_image *image)
{
        json_t *labels = json_object();
        for (size_t i = 0; image->labels != NULL && image->labels[i] != NULL; i++) {
                const char *equals = strchr(image->labels[i], '=');
                char key[1024];
                if (equals == NULL || (size_t)(equals - image->labels[i]) >= sizeof(key))
                        continue; /* nothing that has this form */
                (void)snprintf(key, sizeof(key), "%.*s", (int)(equals - image->labels[i]), image->labels[i]);
                (void)json_object_set_new(labels, key,
                                          json_string(equals + 1)); /* memory: shows in json_dumps() */
        }
        return labels;
}

static int print_json(struct boxlet_image *const *images, const struct images_plan *plan)
{
        cleanup_json json_t *array = json_array();
        for (size_t i = 0; images[i] != NULL; i++) {
                const struct boxlet_image *image = images[i];
                struct name name;
                if (!is_wanted(image, plan->operands.items != NULL ? plan->operands.items[0] : NULL))
                        continue;
                split_reference(image->reference, &name);
                json_t *one =
                    json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "Reference", image->reference,
                              "Repository", name.repository, "Tag", name.tag, "Id", image->id, "Digest",
                              image->digest, "Created", (json_int_t)image->created, "Size",
                              (json_int_t)image->size_bytes, "Labels", labels_of(image));
                if (json_array_append_new(array, one) < 0)
                        return -ENOMEM;
        }
        cleanup_free char *text = json_dumps(array, JSON_INDENT(4) | JSON_ENSURE_ASCII);
        if (text == NULL)
                return -ENOMEM;
        printf("%s\n", text);
        return 0;
}

static int carry_out(struct cli *cli, void *data)
{
        const struct images_plan *plan = data;
        struct boxlet_error error = {0};
        struct boxlet_image **images = NULL;
        int code = cli_open(cli), r;
        if (code != 0)
                return code;
        if (boxlet_image_list(cli->boxlet, &images, &error) < 0)
                return cli_fail(cli, &error);
        if (plan->quiet)
                r = print_ids(images, plan);
        else if (plan->format != NULL && strcmp(plan->format, "json") == 0)
                r = print_json(images, plan);
        else
                r = print_table(images, plan);
        boxlet_image_list_free(images);
        return r < 0 ? cli_complain(cli, "%s", strerror(-r)) : 0;
}

const struct command command_images = {
    .name = "images",
    .operands = "[REPOSITORY[:TAG]]",
    .summary = "List images",
    .description = "With --format json, prints one array.",
    .options = options,
    .refused = refused,
    .maximum_operands = 1,
    .first = OPERAND_IMAGE,
    .plan_size = sizeof(struct images_plan),
    .carry_out = carry_out,
};

const struct command command_image_ls = {
    .name = "ls",
    .alias = "list",
    .operands = "[REPOSITORY[:TAG]]",
    .summary = "List images",
    .description = "With --format json, prints one array.",
    .options = options,
    .refused = refused,
    .maximum_operands = 1,
    .first = OPERAND_IMAGE,
    .plan_size = sizeof(struct images_plan),
    .carry_out = carry_out,
};
