/* SPDX-License-Identifier: Apache-2.0 */
#include "tar-build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512U

void tar_done(struct tar *tar)
{
        free(tar->bytes);
        free(tar->pax);
        *tar = (struct tar){0};
}

void tar_bytes(struct tar *tar, const void *bytes, size_t size)
{
        if (tar->size + size > tar->room) {
                tar->room = (tar->size + size) * 2;
                if ((tar->bytes = realloc(tar->bytes, tar->room)) == NULL)
                        abort();
        }
        if (size > 0)
                memcpy(tar->bytes + tar->size, bytes, size);
        tar->size += size;
}

static void pad(struct tar *tar)
{
        static const uint8_t zeros[BLOCK];
        tar_bytes(tar, zeros, (BLOCK - tar->size % BLOCK) % BLOCK);
}

void tar_pax(struct tar *tar, const char *key, const void *value, size_t size)
{
        char digits[24];
        size_t rest = strlen(key) + size + 3; /* blank, '=', newline */
        size_t length = rest + 1;
        while (length != rest + (size_t)snprintf(digits, sizeof(digits), "%zu", length))
                length++;
        if ((tar->pax = realloc(tar->pax, tar->pax_size + length + 1)) == NULL)
                abort();
        char *to = (char *)tar->pax + tar->pax_size;
        int head = sprintf(to, "%zu %s=", length, key);
        memcpy(to + head, value, size);
        to[length - 1] = '\n';
        tar->pax_size += length;
}

void tar_pax_text(struct tar *tar, const char *key, const char *value)
{
        tar_pax(tar, key, value, strlen(value));
}

void tar_seal(struct tar *tar, size_t at)
{
        uint8_t *raw = tar->bytes + at;
        char text[16];
        unsigned sum = 0;
        memset(raw + 148, ' ', 8);
        for (size_t i = 0; i < BLOCK; i++)
                sum += raw[i];
        (void)snprintf(text, sizeof(text), "%06o", sum);
        memcpy(raw + 148, text, 7);
}

static void number(uint8_t *field, size_t width, uint64_t value)
{
        char text[32];
        if (value >> (3 * (width - 1)) != 0) { /* base 256 */
                memset(field, 0, width);
                for (size_t i = 0; i < 8 && i < width; i++, value >>= 8)
                        field[width - 1 - i] = (uint8_t)value;
                field[0] |= 0x80;
                return;
        }
        (void)snprintf(text, sizeof(text), "%0*llo", (int)width - 1, (unsigned long long)value);
        memcpy(field, text, width - 1);
}

static void header(struct tar *tar, const struct tar_entry *entry)
{
        uint8_t raw[BLOCK] = {0};
        char type = entry->type != '\0' ? entry->type : '0';
        uint64_t size = entry->said_size > 0 ? entry->said_size : entry->size;
        memcpy(raw, entry->name, strnlen(entry->name, 100));
        number(raw + 100, 8, entry->mode > 0 ? entry->mode : type == '5' ? 0755 : 0644);
        number(raw + 108, 8, entry->uid);
        number(raw + 116, 8, entry->gid);
        number(raw + 124, 12, size);
        number(raw + 136, 12, entry->mtime);
        raw[156] = (uint8_t)type;
        if (entry->link != NULL)
                memcpy(raw + 157, entry->link, strnlen(entry->link, 100));
        memcpy(raw + 257, "ustar\00000", 8);
        number(raw + 329, 8, entry->major);
        number(raw + 337, 8, entry->minor);
        tar_bytes(tar, raw, sizeof(raw));
        tar_seal(tar, tar->size - BLOCK);
}

void tar_add(struct tar *tar, const struct tar_entry *entry)
{
        if (tar->pax_size > 0) {
                struct tar_entry pax = {.name = "pax", .type = 'x', .size = tar->pax_size};
                header(tar, &pax);
                tar_bytes(tar, tar->pax, tar->pax_size);
                pad(tar);
                tar->pax_size = 0;
        }
        header(tar, entry);
        tar_bytes(tar, entry->content, entry->size);
        pad(tar);
}

void tar_file(struct tar *tar, const char *name, const char *text)
{
        tar_add(tar, &(struct tar_entry){.name = name, .content = text, .size = strlen(text)});
}

void tar_folder(struct tar *tar, const char *name)
{
        tar_add(tar, &(struct tar_entry){.name = name, .type = '5'});
}

void tar_symlink(struct tar *tar, const char *name, const char *target)
{
        tar_add(tar, &(struct tar_entry){.name = name, .type = '2', .mode = 0777, .link = target});
}

void tar_hard_link(struct tar *tar, const char *name, const char *target)
{
        tar_add(tar, &(struct tar_entry){.name = name, .type = '1', .link = target});
}

void tar_end(struct tar *tar)
{
        static const uint8_t zeros[2 * BLOCK];
        tar_bytes(tar, zeros, sizeof(zeros));
}
