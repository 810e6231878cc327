/* Hashes, key derivation and sector ciphers: see crypto.h.
 *
 * A gnutls handle serves one thread at a time, so a cipher keeps those that are idle in a list and
 * makes another when it is empty. gnutls has no XTS of 192-bit AES; that is made of its CBC here,
 * one block at a time with a zero vector (IEEE 1619, 5.3). */
#include "block/crypto.h"

#include <assert.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "block/driver.h"

enum { AES_BLOCK = 16, WRITE_CHUNK = 1 << 20 };

/* --- Names -------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    size_t key_bytes;
    gnutls_cipher_algorithm_t cbc, xts;
} ciphers[] = {
    [CRYPTO_AES_128] = {"aes-128", 16, GNUTLS_CIPHER_AES_128_CBC, GNUTLS_CIPHER_AES_128_XTS},
    [CRYPTO_AES_192] = {"aes-192", 24, GNUTLS_CIPHER_AES_192_CBC, GNUTLS_CIPHER_UNKNOWN},
    [CRYPTO_AES_256] = {"aes-256", 32, GNUTLS_CIPHER_AES_256_CBC, GNUTLS_CIPHER_AES_256_XTS},
};

static const char *const modes[] = {[CRYPTO_CBC] = "cbc", [CRYPTO_XTS] = "xts"};

static const char *const ivs[] = {
    [CRYPTO_PLAIN] = "plain",
    [CRYPTO_PLAIN64] = "plain64",
    [CRYPTO_ESSIV] = "essiv",
};

static const struct {
    const char *name;
    gnutls_digest_algorithm_t digest;
    gnutls_mac_algorithm_t mac;
} hashes[] = {
    [CRYPTO_SHA1] = {"sha1", GNUTLS_DIG_SHA1, GNUTLS_MAC_SHA1},
    [CRYPTO_SHA224] = {"sha224", GNUTLS_DIG_SHA224, GNUTLS_MAC_SHA224},
    [CRYPTO_SHA256] = {"sha256", GNUTLS_DIG_SHA256, GNUTLS_MAC_SHA256},
    [CRYPTO_SHA384] = {"sha384", GNUTLS_DIG_SHA384, GNUTLS_MAC_SHA384},
    [CRYPTO_SHA512] = {"sha512", GNUTLS_DIG_SHA512, GNUTLS_MAC_SHA512},
};

bool crypto_cipher_parse(const char *name, CryptoCipher *cipher)
{
    for (size_t i = 0; i < COUNT(ciphers); i++) {
        if (!strcmp(ciphers[i].name, name)) {
            *cipher = (CryptoCipher)i;
            return true;
        }
    }
    return false;
}

bool crypto_mode_parse(const char *name, CryptoMode *mode)
{
    for (size_t i = 0; i < COUNT(modes); i++) {
        if (!strcmp(modes[i], name)) {
            *mode = (CryptoMode)i;
            return true;
        }
    }
    return false;
}

bool crypto_iv_parse(const char *name, CryptoIv *iv)
{
    for (size_t i = 0; i < COUNT(ivs); i++) {
        if (!strcmp(ivs[i], name)) {
            *iv = (CryptoIv)i;
            return true;
        }
    }
    return false;
}

bool crypto_hash_parse(const char *name, CryptoHash *hash)
{
    for (size_t i = 0; i < COUNT(hashes); i++) {
        if (!strcmp(hashes[i].name, name)) {
            *hash = (CryptoHash)i;
            return true;
        }
    }
    return false;
}

const char *crypto_cipher_name(CryptoCipher cipher)
{
    return ciphers[cipher].name;
}

const char *crypto_mode_name(CryptoMode mode)
{
    return modes[mode];
}

const char *crypto_iv_name(CryptoIv iv)
{
    return ivs[iv];
}

const char *crypto_hash_name(CryptoHash hash)
{
    return hashes[hash].name;
}

size_t crypto_key_bytes(const CryptoSpec *spec)
{
    return ciphers[spec->cipher].key_bytes * (spec->mode == CRYPTO_XTS ? 2 : 1);
}

bool crypto_cipher_of_key(CryptoMode mode, size_t key_bytes, CryptoCipher *cipher)
{
    for (size_t i = 0; i < COUNT(ciphers); i++) {
        if (crypto_key_bytes(&(CryptoSpec){.cipher = (CryptoCipher)i, .mode = mode}) == key_bytes) {
            *cipher = (CryptoCipher)i;
            return true;
        }
    }
    return false;
}

/* --- Hashes, keys, random bytes ----------------------------------------------------------------
 */

size_t crypto_digest_bytes(CryptoHash hash)
{
    return gnutls_hash_get_len(hashes[hash].digest);
}

int crypto_hash(CryptoHash hash, const void *data, size_t bytes, u8 *digest)
{
    return gnutls_hash_fast(hashes[hash].digest, data, bytes, digest) < 0 ? -EIO : 0;
}

int crypto_hash_prefixed(CryptoHash hash, u32 prefix, const void *data, size_t bytes, u8 *digest)
{
    gnutls_hash_hd_t state;
    u8 number[4];

    if (gnutls_hash_init(&state, hashes[hash].digest) < 0) {
        return -EIO;
    }
    be32_put(number, prefix);
    bool failed =
        gnutls_hash(state, number, sizeof number) < 0 || gnutls_hash(state, data, bytes) < 0;
    gnutls_hash_deinit(state, digest);
    return failed ? -EIO : 0;
}

int crypto_pbkdf2(CryptoHash hash, const void *secret, size_t secret_bytes, const u8 *salt,
                  size_t salt_bytes, u32 iterations, u8 *key, size_t bytes)
{
    gnutls_datum_t from = {(void *)(uintptr_t)secret, (unsigned)secret_bytes};
    gnutls_datum_t with = {(void *)(uintptr_t)salt, (unsigned)salt_bytes};

    return gnutls_pbkdf2(hashes[hash].mac, &from, &with, iterations, key, bytes) < 0 ? -EIO : 0;
}

static u64 cpu_nanoseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

int crypto_pbkdf2_speed(CryptoHash hash, size_t bytes, u64 *iterations)
{
    enum { LEAST = 1 << 13, MOST = 1 << 30, ENOUGH = 50000000 /* ns */ };
    u8 key[CRYPTO_MAX_KEY_BYTES], salt[32] = {1};
    u64 spent = 0;
    u32 count = LEAST / 2;

    assert(bytes <= sizeof key);
    while (spent < ENOUGH && count < MOST) {
        count *= 2;
        u64 start = cpu_nanoseconds();
        int result = crypto_pbkdf2(hash, "password", 8, salt, sizeof salt, count, key, bytes);
        if (result < 0) {
            return result;
        }
        spent = cpu_nanoseconds() - start;
    }
    *iterations = (u64)((double)count * 1e9 / (double)MAX(spent, 1ull));
    return 0;
}

int crypto_random(void *data, size_t bytes)
{
    return gnutls_rnd(GNUTLS_RND_KEY, data, bytes) < 0 ? -EIO : 0;
}

void *crypto_alloc(size_t bytes)
{
    return calloc(1, MAX(bytes, (size_t)1));
}

void crypto_free(void *secret, size_t bytes)
{
    if (secret) {
        explicit_bzero(secret, bytes);
        free(secret);
    }
}

/* --- Sectors -----------------------------------------------------------------------------------
 */

/* What one thread at a time uses. */
typedef struct Context {
    struct Context *next;
    gnutls_cipher_hd_t data;
    gnutls_cipher_hd_t tweak; /* XTS made of CBC; else NULL */
    gnutls_cipher_hd_t iv;    /* essiv; else NULL */
} Context;

struct SectorCipher {
    CryptoSpec spec;
    u8 key[CRYPTO_MAX_KEY_BYTES];
    u8 iv_key[CRYPTO_MAX_DIGEST_BYTES]; /* essiv: the hash of the key */
    gnutls_cipher_algorithm_t iv_cipher;
    pthread_mutex_t lock;
    Context *idle;
};

static const u8 zeroes[AES_BLOCK];

static bool start(gnutls_cipher_hd_t *handle, gnutls_cipher_algorithm_t algorithm, const u8 *key)
{
    gnutls_datum_t from = {(void *)(uintptr_t)key, (unsigned)gnutls_cipher_get_key_size(algorithm)};
    gnutls_datum_t iv = {(void *)(uintptr_t)zeroes, AES_BLOCK};

    *handle = NULL;
    return gnutls_cipher_init(handle, algorithm, &from, &iv) >= 0;
}

static void context_free(Context *context)
{
    gnutls_cipher_hd_t handles[] = {context->data, context->tweak, context->iv};

    for (size_t i = 0; i < COUNT(handles); i++) {
        if (handles[i]) {
            gnutls_cipher_deinit(handles[i]);
        }
    }
    free(context);
}

static Context *context_new(const SectorCipher *cipher)
{
    CryptoCipher number = cipher->spec.cipher;
    bool xts = cipher->spec.mode == CRYPTO_XTS;
    bool by_hand = xts && ciphers[number].xts == GNUTLS_CIPHER_UNKNOWN;
    gnutls_cipher_algorithm_t algorithm =
        xts && !by_hand ? ciphers[number].xts : ciphers[number].cbc;
    Context *context = calloc(1, sizeof *context);

    bool good = context && start(&context->data, algorithm, cipher->key);
    if (good && by_hand) {
        good = start(&context->tweak, algorithm, cipher->key + ciphers[number].key_bytes);
    }
    if (good && cipher->spec.iv == CRYPTO_ESSIV) {
        good = start(&context->iv, cipher->iv_cipher, cipher->iv_key);
    }
    if (!good && context) {
        context_free(context);
    }
    return good ? context : NULL;
}

static Context *context_take(SectorCipher *cipher)
{
    pthread_mutex_lock(&cipher->lock);
    Context *context = cipher->idle;
    if (context) {
        cipher->idle = context->next;
    }
    pthread_mutex_unlock(&cipher->lock);
    return context ? context : context_new(cipher);
}

static void context_give(SectorCipher *cipher, Context *context)
{
    pthread_mutex_lock(&cipher->lock);
    context->next = cipher->idle;
    cipher->idle = context;
    pthread_mutex_unlock(&cipher->lock);
}

/* The key of essiv is the hash of the key; its length says which AES takes it. */
static int prepare_essiv(SectorCipher *cipher, BlockError *error)
{
    CryptoHash hash = cipher->spec.iv_hash;

    if (hash == CRYPTO_NO_HASH) {
        return block_error(error, EINVAL, "initialisation vectors of kind essiv need a hash");
    }
    for (size_t i = 0; i < COUNT(ciphers); i++) {
        if (ciphers[i].key_bytes == crypto_digest_bytes(hash)) {
            cipher->iv_cipher = ciphers[i].cbc;
            return crypto_hash(hash, cipher->key, crypto_key_bytes(&cipher->spec), cipher->iv_key);
        }
    }
    return block_error(error, EINVAL, "a digest of %s is no AES key, as essiv needs",
                       crypto_hash_name(hash));
}

int sector_cipher_new(SectorCipher **made, const CryptoSpec *spec, const u8 *key, BlockError *error)
{
    SectorCipher *cipher = crypto_alloc(sizeof *cipher);

    *made = NULL;
    if (!cipher) {
        return block_error(error, ENOMEM, "out of memory");
    }
    cipher->spec = *spec;
    memcpy(cipher->key, key, crypto_key_bytes(spec));
    pthread_mutex_init(&cipher->lock, NULL);
    int result = spec->iv == CRYPTO_ESSIV ? prepare_essiv(cipher, error) : 0;
    Context *first = result ? NULL : context_new(cipher);
    if (!result && !first) {
        result = block_error(error, EIO, "the cipher %s-%s cannot be used",
                             ciphers[spec->cipher].name, modes[spec->mode]);
    }
    if (result < 0) {
        sector_cipher_free(cipher);
        return result;
    }
    context_give(cipher, first);
    *made = cipher;
    return 0;
}

void sector_cipher_free(SectorCipher *cipher)
{
    if (!cipher) {
        return;
    }
    while (cipher->idle) {
        Context *next = cipher->idle->next;
        context_free(cipher->idle);
        cipher->idle = next;
    }
    pthread_mutex_destroy(&cipher->lock);
    crypto_free(cipher, sizeof *cipher);
}

/* One block by itself: CBC with a vector of zeroes. */
static bool one_block(gnutls_cipher_hd_t handle, bool encrypt, const u8 *from, u8 *to)
{
    gnutls_cipher_set_iv(handle, (void *)(uintptr_t)zeroes, AES_BLOCK);
    return (encrypt ? gnutls_cipher_encrypt2(handle, from, AES_BLOCK, to, AES_BLOCK)
                    : gnutls_cipher_decrypt2(handle, from, AES_BLOCK, to, AES_BLOCK)) >= 0;
}

static bool make_iv(const SectorCipher *cipher, const Context *context, u64 sector, u8 *iv)
{
    memset(iv, 0, AES_BLOCK);
    le64_put(iv, cipher->spec.iv == CRYPTO_PLAIN ? (u32)sector : sector);
    return !context->iv || one_block(context->iv, true, iv, iv);
}

/* The next tweak: times x in GF(2^128), little-endian. */
static void next_tweak(u8 *tweak)
{
    u64 low = le64_get(tweak), high = le64_get(tweak + 8);

    le64_put(tweak + 8, high << 1 | low >> 63);
    le64_put(tweak, low << 1 ^ (high >> 63 ? 0x87 : 0));
}

static void xor_block(const u8 *a, const u8 *b, u8 *to)
{
    for (int i = 0; i < AES_BLOCK; i++) {
        to[i] = a[i] ^ b[i];
    }
}

static bool xts_by_hand(const Context *context, bool encrypt, const u8 *iv, const u8 *from, u8 *to)
{
    u8 tweak[AES_BLOCK], block[AES_BLOCK];
    bool good = one_block(context->tweak, true, iv, tweak);

    for (size_t at = 0; good && at < CRYPTO_SECTOR; at += AES_BLOCK) {
        xor_block(from + at, tweak, block);
        good = one_block(context->data, encrypt, block, block);
        xor_block(block, tweak, to + at);
        next_tweak(tweak);
    }
    explicit_bzero(block, sizeof block);
    return good;
}

static int crypt(SectorCipher *cipher, bool encrypt, u64 sector, const u8 *from, u8 *to,
                 size_t bytes)
{
    Context *context = context_take(cipher);
    bool good = context;
    u8 iv[AES_BLOCK];

    assert(bytes % CRYPTO_SECTOR == 0);
    for (size_t at = 0; good && at < bytes; at += CRYPTO_SECTOR) {
        good = make_iv(cipher, context, sector++, iv);
        if (good && context->tweak) {
            good = xts_by_hand(context, encrypt, iv, from + at, to + at);
        } else if (good) {
            gnutls_cipher_set_iv(context->data, iv, AES_BLOCK);
            good = (encrypt ? gnutls_cipher_encrypt2(context->data, from + at, CRYPTO_SECTOR,
                                                     to + at, CRYPTO_SECTOR)
                            : gnutls_cipher_decrypt2(context->data, from + at, CRYPTO_SECTOR,
                                                     to + at, CRYPTO_SECTOR)) >= 0;
        }
    }
    if (context) {
        context_give(cipher, context);
    }
    return good ? 0 : -EIO;
}

int sector_encrypt(SectorCipher *cipher, u64 sector, const u8 *from, u8 *to, size_t bytes)
{
    return crypt(cipher, true, sector, from, to, bytes);
}

int sector_decrypt(SectorCipher *cipher, u64 sector, const u8 *from, u8 *to, size_t bytes)
{
    return crypt(cipher, false, sector, from, to, bytes);
}

/* Decrypts where it lies. */
static int decrypt_vector(SectorCipher *cipher, u64 sector, const BlockVector *data)
{
    u8 split[CRYPTO_SECTOR]; /* a sector in more than one piece */
    int result = 0;

    for (size_t at = 0; !result && at < data->bytes;) {
        BlockVector rest = block_vector_part(data, at, data->bytes - at);
        struct iovec piece;
        size_t bytes = 0;
        block_vector_iovecs(&rest, &piece, 1, &bytes);
        bytes = ALIGN_DOWN(bytes, (size_t)CRYPTO_SECTOR);
        if (bytes) {
            result = sector_decrypt(cipher, sector, piece.iov_base, piece.iov_base, bytes);
        } else {
            bytes = CRYPTO_SECTOR;
            block_vector_load(&rest, split, bytes);
            result = sector_decrypt(cipher, sector, split, split, bytes);
            block_vector_store(&rest, split, bytes);
        }
        at += bytes;
        sector += bytes / CRYPTO_SECTOR;
    }
    return result;
}

int sector_cipher_read(SectorCipher *cipher, u64 sector, BlockNode *node, u64 offset,
                       const BlockVector *data)
{
    int result = block_readv(node, offset, data);

    return result ? result : decrypt_vector(cipher, sector, data);
}

int sector_cipher_write(SectorCipher *cipher, u64 sector, BlockNode *node, u64 offset,
                        const BlockVector *data)
{
    size_t room = MIN(data->bytes, (size_t)WRITE_CHUNK);
    u8 *buffer = block_buffer_new(room);
    int result = buffer ? 0 : -ENOMEM;

    for (size_t at = 0; !result && at < data->bytes;) {
        size_t bytes = MIN(data->bytes - at, room);
        BlockVector part = block_vector_part(data, at, bytes);
        block_vector_load(&part, buffer, bytes);
        result = sector_encrypt(cipher, sector + at / CRYPTO_SECTOR, buffer, buffer, bytes);
        result = result ? result : block_pwrite(node, offset + at, buffer, bytes, 0);
        at += bytes;
    }
    free(buffer);
    return result;
}
