/* Encrypted qcow2 images: guest data in encrypted clusters, tables in the clear.
 *
 * "luks" keeps a LUKS header in clusters of its own, which a header extension names; sectors are
 * numbered by where they are in the file. "aes" is older and weak (see secret_old_cipher());
 * sectors are numbered as the guest does. A compressed cluster is not encrypted, so none are
 * written. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

static const char *const formats[] = {
    [QCOW2_CRYPT_NONE] = "none",
    [QCOW2_CRYPT_AES] = "aes",
    [QCOW2_CRYPT_LUKS] = "luks",
};

/* --- Opening -----------------------------------------------------------------------------------
 */

static int load_luks(Qcow2 *q, BlockError *error)
{
    const Qcow2Header *h = &q->header;

    if (!h->has_luks) {
        return block_error(error, EINVAL, "the qcow2 image has no LUKS header");
    }
    if (h->luks_offset & (q->cluster_size - 1) || !h->luks_offset || h->luks_offset > INT64_MAX ||
        h->luks_bytes > INT64_MAX - h->luks_offset) {
        return block_error(error, EINVAL, "the LUKS header of the qcow2 image is out of place");
    }
    return luks_load(&q->luks, q->file, h->luks_offset, h->luks_bytes, error);
}

static int open_with(Qcow2 *q, const BlockOptions *below, BlockError *error)
{
    const char *format = block_options_get(below, "format");
    const char *secret = block_options_get(below, "key-secret");
    u32 crypt = q->header.crypt;
    bool luks = crypt == QCOW2_CRYPT_LUKS;

    if (format && strcmp(format, formats[crypt]) != 0) {
        return block_error(error, EINVAL,
                           "Header reported '%s' encryption format but options specify '%s'",
                           formats[crypt], format);
    }
    if (crypt == QCOW2_CRYPT_NONE) {
        return 0;
    }
    int result = luks ? load_luks(q, error) : 0;
    q->node->alignment = CRYPTO_SECTOR;
    q->key_secret = secret ? strdup(secret) : NULL;
    if (result || (q->node->flags & BLOCK_NO_IO)) {
        return result;
    }
    if (!luks) {
        return secret_old_cipher(&q->cipher, block_options_objects(below), secret, error);
    }
    if (!secret) {
        return block_error(error, EINVAL, "Parameter 'encrypt.key-secret' is required for cipher");
    }
    return luks_open(&q->luks, below, &q->cipher, error);
}

int qcow2_crypt_open(Qcow2 *q, const BlockOptions *options, BlockError *error)
{
    BlockOptions *below = block_options_below(options, "encrypt");
    int result = open_with(q, below, error);

    block_options_free(below);
    return result;
}

void qcow2_crypt_close(Qcow2 *q)
{
    sector_cipher_free(q->cipher);
    free(q->key_secret);
    q->cipher = NULL;
    q->key_secret = NULL;
}

/* --- Data --------------------------------------------------------------------------------------
 */

/* The number of the sector for the cipher. */
static u64 sector_of(const Qcow2 *q, u64 host, u64 guest)
{
    return (q->header.crypt == QCOW2_CRYPT_LUKS ? host : guest) / CRYPTO_SECTOR;
}

int qcow2_data_read(Qcow2 *q, u64 host, u64 guest, const BlockVector *data)
{
    if (q->header.crypt == QCOW2_CRYPT_NONE) {
        return block_readv(q->data, host, data);
    }
    return q->cipher ? sector_cipher_read(q->cipher, sector_of(q, host, guest), q->data, host, data)
                     : -EACCES;
}

int qcow2_data_write(Qcow2 *q, u64 host, u64 guest, const BlockVector *data)
{
    if (q->header.crypt == QCOW2_CRYPT_NONE) {
        return block_writev(q->data, host, data, 0);
    }
    return q->cipher
               ? sector_cipher_write(q->cipher, sector_of(q, host, guest), q->data, host, data)
               : -EACCES;
}

/* --- Creating and changing ---------------------------------------------------------------------
 */

int qcow2_crypt_wish(const BlockOptions *options, Qcow2Header *h, LuksWish *wish, BlockError *error)
{
    const char *format = block_options_get(options, "encrypt.format");
    bool old_way = block_option_bool(options, qcow2_create_options, "encryption");
    BlockOptions *below = block_options_below(options, "encrypt");
    int result = 0;

    if (old_way && format) {
        result = block_error(error, EINVAL,
                             "'encrypt.format' and its alias 'encryption' can't be "
                             "used at the same time");
    } else if (old_way || (format && !strcmp(format, "aes"))) {
        h->crypt = QCOW2_CRYPT_AES;
    } else if (format && !strcmp(format, "luks")) {
        h->crypt = QCOW2_CRYPT_LUKS;
        result = luks_wish(wish, below, error);
        h->has_luks = true;
        h->luks_bytes = result ? 0 : luks_area_bytes(wish);
    } else if (format) {
        result = block_error(error, EINVAL, "encrypt.format is aes or luks, not '%s'", format);
    } else if (below) {
        result = block_error(error, EINVAL, "Parameter 'encrypt.format' is missing");
    }
    if (!result && h->crypt == QCOW2_CRYPT_AES) {
        const char *key, *value;
        for (size_t i = 0; !result && block_options_at(below, i, &key, &value); i++) {
            if (strcmp(key, "format") != 0 && strcmp(key, "key-secret") != 0) {
                result = block_error(error, EINVAL, "Parameter 'encrypt.%s' is unexpected", key);
            }
        }
    }
    block_options_free(below);
    return result;
}

int qcow2_crypt_create(BlockNode *file, const Qcow2Header *h, const BlockOptions *options,
                       BlockError *error)
{
    BlockOptions *below = block_options_below(options, "encrypt");
    const char *id = block_options_get(below, "key-secret");
    LuksWish wish;
    int result = 0;

    if (h->crypt != QCOW2_CRYPT_NONE && !id) {
        result =
            block_error(error, EINVAL, "Parameter 'encrypt.key-secret' is required for cipher");
    } else if (h->crypt == QCOW2_CRYPT_AES) {
        result = secret_find(block_options_objects(options), id, error) ? 0 : -ENOENT;
    } else if (h->crypt == QCOW2_CRYPT_LUKS) {
        result = luks_wish(&wish, below, error);
        result = result ? result
                        : luks_create(&wish, block_options_objects(options), file, h->luks_offset,
                                      error);
    }
    block_options_free(below);
    return result;
}

int qcow2_crypt_amend(Qcow2 *q, const BlockOptions *options, BlockError *error)
{
    BlockOptions *below = block_options_below(options, "encrypt");
    int result = 0;

    if (below && q->header.crypt != QCOW2_CRYPT_LUKS) {
        result = block_error(error, ENOTSUP,
                             "Only LUKS encryption options can be amended for qcow2 images");
    } else if (below) {
        block_options_set(below, "force", block_options_get(options, "force"));
        result = luks_amend(&q->luks, below, q->key_secret, error);
    }
    block_options_free(below);
    return result;
}

void qcow2_crypt_information(const Qcow2 *q, json_object *data)
{
    json_object *encrypt;

    if (q->header.crypt == QCOW2_CRYPT_NONE) {
        return;
    }
    encrypt = json_object_new_object();
    if (q->header.crypt == QCOW2_CRYPT_LUKS) {
        luks_information(&q->luks, encrypt, true);
    } else {
        json_object_object_add(encrypt, "format", json_object_new_string("aes"));
    }
    json_object_object_add(data, "encrypt", encrypt);
}
