/* Object "secret": see secret.h. Text may be base64; what is encrypted is so with AES-256 in CBC
 * mode and PKCS#7 padding, under a secret of 32 bytes. */
#include "block/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_BYTES = 1 << 20, KEY_BYTES = 32, BLOCK_BYTES = 16 };

static const BlockOption options_table[] = {
    {"data", BLOCK_OPTION_STRING, "the secret itself; anyone may see it in the list of processes"},
    {"file", BLOCK_OPTION_STRING, "a file that holds it"},
    {"format", BLOCK_OPTION_STRING, "raw or base64: how data or file is written", "raw"},
    {"keyid", BLOCK_OPTION_STRING, "the secret with which this one is encrypted; needs base64"},
    {"iv", BLOCK_OPTION_STRING, "the initialisation vector for that, in base64"},
    {"loaded", BLOCK_OPTION_BOOL, "not used"},
    {NULL},
};

static void wipe(Secret *secret)
{
    if (secret->bytes) {
        explicit_bzero(secret->bytes, secret->length);
        free(secret->bytes);
    }
    *secret = (Secret){0};
}

static void take(Secret *secret, const void *bytes, size_t length)
{
    secret->bytes = malloc(length + 1);
    if (!secret->bytes) {
        abort();
    }
    memcpy(secret->bytes, bytes, length);
    secret->length = length;
}

static int read_file(Secret *secret, const char *path, BlockError *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), result = 0;
    u8 *bytes = malloc(MAX_BYTES + 1);
    size_t length = 0;
    ssize_t got = 1;

    if (fd < 0 || !bytes) {
        result = -errno;
    }
    while (!result && got && length <= MAX_BYTES) {
        got = read(fd, bytes + length, MAX_BYTES + 1 - length);
        if (got < 0 && errno != EINTR) {
            result = -errno;
        }
        length += got > 0 ? (size_t)got : 0;
    }
    if (!result && length > MAX_BYTES) {
        result = -EFBIG;
    }
    if (!result) {
        take(secret, bytes, length);
    } else {
        block_error(error, -result, "cannot read the secret in '%s': %s", path, strerror(-result));
    }
    if (bytes) {
        explicit_bzero(bytes, length);
    }
    free(bytes);
    if (fd >= 0) {
        close(fd);
    }
    return result;
}

/* White space is passed over: files end in a newline. */
static int decode_base64(Secret *secret, BlockError *error)
{
    gnutls_datum_t from = {secret->bytes, 0}, to = {0};

    for (size_t i = 0; i < secret->length; i++) {
        if (!strchr(" \t\r\n", secret->bytes[i]) || !secret->bytes[i]) {
            secret->bytes[from.size++] = secret->bytes[i];
        }
    }
    if (gnutls_base64_decode2(&from, &to) < 0) {
        return block_error(error, EINVAL, "the secret is not base64");
    }
    wipe(secret);
    take(secret, to.data, to.size);
    explicit_bzero(to.data, to.size);
    gnutls_free(to.data);
    return 0;
}

/* Bytes without the padding; negative if it is none. */
static int strip_padding(Secret *secret)
{
    size_t pad = secret->length ? secret->bytes[secret->length - 1] : 0;

    if (!pad || pad > BLOCK_BYTES || pad > secret->length) {
        return -EINVAL;
    }
    for (size_t i = 1; i <= pad; i++) {
        if (secret->bytes[secret->length - i] != pad) {
            return -EINVAL;
        }
    }
    secret->length -= pad;
    return 0;
}

static int decrypt(Secret *secret, const Secret *key, const Secret *iv, BlockError *error)
{
    gnutls_datum_t key_datum = {key->bytes, (unsigned)key->length};
    gnutls_datum_t iv_datum = {iv->bytes, (unsigned)iv->length};
    gnutls_cipher_hd_t cipher;

    if (key->length != KEY_BYTES) {
        return block_error(error, EINVAL, "the secret of 'keyid' must be of %d bytes, not %zu",
                           KEY_BYTES, key->length);
    }
    if (iv->length != BLOCK_BYTES) {
        return block_error(error, EINVAL, "'iv' must be of %d bytes, not %zu", BLOCK_BYTES,
                           iv->length);
    }
    if (secret->length % BLOCK_BYTES ||
        gnutls_cipher_init(&cipher, GNUTLS_CIPHER_AES_256_CBC, &key_datum, &iv_datum) < 0) {
        return block_error(error, EINVAL, "the encrypted secret has an impossible length");
    }
    int failed = gnutls_cipher_decrypt(cipher, secret->bytes, secret->length);
    gnutls_cipher_deinit(cipher);
    if (failed < 0 || strip_padding(secret) < 0) {
        return block_error(error, EINVAL, "the secret cannot be decrypted with that of 'keyid'");
    }
    return 0;
}

static int decrypt_by_options(Secret *secret, const BlockOptions *options,
                              const ObjectList *objects, BlockError *error)
{
    const char *iv_text = block_options_get(options, "iv");
    const Secret *key = secret_find(objects, block_options_get(options, "keyid"), error);
    Secret iv = {0};

    if (!key) {
        return -ENOENT;
    }
    if (!iv_text) {
        return block_error(error, EINVAL, "'iv' is needed with 'keyid'");
    }
    take(&iv, iv_text, strlen(iv_text));
    int result = decode_base64(&iv, error);
    result = result ? result : decrypt(secret, key, &iv, error);
    wipe(&iv);
    return result;
}

static int create(void *state, const BlockOptions *options, const ObjectList *objects,
                  BlockError *error)
{
    const char *data = block_options_get(options, "data");
    const char *file = block_options_get(options, "file");
    const char *format = block_option_string(options, options_table, "format");
    bool base64 = !strcmp(format, "base64"), encrypted = block_options_get(options, "keyid");
    Secret *secret = state;
    int result = 0;

    if (!data == !file) {
        return block_error(error, EINVAL,
                           data ? "'data' and 'file' are mutually exclusive"
                                : "Must provide 'file' or 'data'");
    }
    if (!base64 && strcmp(format, "raw") != 0) {
        return block_error(error, EINVAL, "format is raw or base64, not '%s'", format);
    }
    if (data) {
        take(secret, data, strlen(data));
    } else {
        result = read_file(secret, file, error);
    }
    /* Encrypted text may be given as raw bytes only in a file. */
    if (!result && base64) {
        result = decode_base64(secret, error);
    }
    return !result && encrypted ? decrypt_by_options(secret, options, objects, error) : result;
}

static void destroy(void *state)
{
    wipe(state);
}

const ObjectKind object_secret = {
    .name = "secret",
    .options = options_table,
    .state_size = sizeof(Secret),
    .create = create,
    .destroy = destroy,
};

const Secret *secret_find(const ObjectList *objects, const char *id, BlockError *error)
{
    const Secret *secret = object_state(objects, id, &object_secret, error);

    return secret;
}

int secret_old_cipher(SectorCipher **cipher, const ObjectList *objects, const char *id,
                      BlockError *error)
{
    static const CryptoSpec spec = {CRYPTO_AES_128, CRYPTO_CBC, CRYPTO_PLAIN64, CRYPTO_NO_HASH};
    u8 key[CRYPTO_MAX_KEY_BYTES] = {0};

    if (!id) {
        return block_error(error, EINVAL, "Parameter 'encrypt.key-secret' is required for cipher");
    }
    const Secret *secret = secret_find(objects, id, error);
    if (!secret) {
        return -ENOENT;
    }
    memcpy(key, secret->bytes, MIN(secret->length, crypto_key_bytes(&spec)));
    int result = sector_cipher_new(cipher, &spec, key, error);
    explicit_bzero(key, sizeof key);
    return result;
}
