/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sha256 over libcrypto, and the text form "sha256:<hex>". Every digest that comes from outside passes
 * digest_check() or digest_valid() before it becomes part of a file's name: 64 digits of [0-9a-f], so neither
 * "/" nor "..".
 */
#include "image/digest.h"

#include "base/cleanup.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct digest {
        EVP_MD_CTX *context;
};

int digest_new(struct digest **ret_digest)
{
        struct digest *d = calloc(1, sizeof(*d));
        if (d == NULL)
                return -ENOMEM;
        d->context = EVP_MD_CTX_new();
        if (d->context == NULL || digest_restart(d) < 0) {
                digest_free(d);
                return -ENOMEM;
        }
        *ret_digest = d;
        return 0;
}

void digest_free(struct digest *d)
{
        if (d == NULL)
                return;
        EVP_MD_CTX_free(d->context);
        free(d);
}

int digest_restart(struct digest *d)
{
        return EVP_DigestInit_ex(d->context, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

int digest_update(struct digest *d, const void *bytes, size_t size)
{
        return EVP_DigestUpdate(d->context, bytes, size) == 1 ? 0 : -EIO;
}

static void print_hex(const unsigned char *raw, char ret_text[DIGEST_TEXT_SIZE])
{
        static const char digits[] = "0123456789abcdef";
        memcpy(ret_text, DIGEST_PREFIX, sizeof(DIGEST_PREFIX) - 1);
        char *p = ret_text + sizeof(DIGEST_PREFIX) - 1;
        for (size_t i = 0; i < DIGEST_HEX_SIZE / 2; i++) {
                *p++ = digits[raw[i] >> 4];
                *p++ = digits[raw[i] & 15];
        }
        *p = '\0';
}

int digest_finish(struct digest *d, char ret_text[DIGEST_TEXT_SIZE])
{
        unsigned char raw[EVP_MAX_MD_SIZE];
        unsigned int size = 0;
        if (EVP_DigestFinal_ex(d->context, raw, &size) != 1 || size != DIGEST_HEX_SIZE / 2)
                return -EIO;
        print_hex(raw, ret_text);
        return digest_restart(d);
}

int digest_of(const void *bytes, size_t size, char ret_text[DIGEST_TEXT_SIZE])
{
        unsigned char raw[EVP_MAX_MD_SIZE];
        unsigned int length = 0;
        if (EVP_Digest(bytes, size, raw, &length, EVP_sha256(), NULL) != 1 || length != DIGEST_HEX_SIZE / 2)
                return -EIO;
        print_hex(raw, ret_text);
        return 0;
}

bool digest_valid(const char *text)
{
        if (strncmp(text, DIGEST_PREFIX, sizeof(DIGEST_PREFIX) - 1) != 0)
                return false;
        const char *hex = text + sizeof(DIGEST_PREFIX) - 1;
        return strspn(hex, "0123456789abcdef") == DIGEST_HEX_SIZE && hex[DIGEST_HEX_SIZE] == '\0';
}

int digest_check(const char *text, struct error *err)
{
        if (digest_valid(text))
                return 0;
        const char *colon = strchr(text, ':');
        if (colon != NULL && colon != text && strncmp(text, DIGEST_PREFIX, sizeof(DIGEST_PREFIX) - 1) != 0)
                return error_set(err, -EPROTONOSUPPORT,
                                 "digest '%.80s': the algorithm '%.*s' is not supported, only sha256", text,
                                 (int)(colon - text < 32 ? colon - text : 32), text);
        return error_set(err, -EINVAL, "digest '%.80s': not of the form sha256: and 64 lower-case digits",
                         text);
}

const char *digest_hex(const char *text)
{
        return text + sizeof(DIGEST_PREFIX) - 1;
}
