/* Passphrases of LUKS: see luks.h. A slot holds the disk's key blown up to 4000 times its size, so
 * that any part lost loses it all (the anti-forensic splitter), encrypted under a key derived from
 * the passphrase. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/luks.h"

enum {
    LEAST_ITERATIONS = 1000,
    DIGEST_SHARE = 8, /* of a slot's time, checking the digest takes one part in so many */
};

/* --- The anti-forensic splitter ----------------------------------------------------------------
 */

static void xor_into(u8 *to, const u8 *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        to[i] ^= from[i];
    }
}

/* Makes every bit of each digest-sized piece depend on all of its bits. */
static int diffuse(CryptoHash hash, u8 *block, size_t bytes)
{
    size_t size = crypto_digest_bytes(hash);
    u8 digest[CRYPTO_MAX_DIGEST_BYTES];
    int result = 0;

    for (u32 i = 0; !result && i * size < bytes; i++) {
        size_t part = MIN(size, bytes - i * size);
        result = crypto_hash_prefixed(hash, i, block + i * size, part, digest);
        memcpy(block + i * size, digest, part);
    }
    explicit_bzero(digest, sizeof digest);
    return result;
}

static int split(const Luks *luks, const u8 *key, u8 *material)
{
    size_t bytes = luks->key_bytes;
    u8 sum[CRYPTO_MAX_KEY_BYTES] = {0};
    u8 *last = material + (LUKS_STRIPES - 1) * bytes;
    int result = crypto_random(material, (LUKS_STRIPES - 1) * bytes);

    for (size_t i = 0; !result && i < LUKS_STRIPES - 1; i++) {
        xor_into(sum, material + i * bytes, bytes);
        result = diffuse(luks->hash, sum, bytes);
    }
    memcpy(last, sum, bytes);
    xor_into(last, key, bytes);
    explicit_bzero(sum, sizeof sum);
    return result;
}

static int merge(const Luks *luks, const u8 *material, u8 *key)
{
    size_t bytes = luks->key_bytes;
    int result = 0;

    memset(key, 0, bytes);
    for (size_t i = 0; !result && i < LUKS_STRIPES - 1; i++) {
        xor_into(key, material + i * bytes, bytes);
        result = diffuse(luks->hash, key, bytes);
    }
    xor_into(key, material + (LUKS_STRIPES - 1) * bytes, bytes);
    return result;
}

/* --- Slots -------------------------------------------------------------------------------------
 */

/* The cipher of a slot's key material. */
static int slot_cipher(const Luks *luks, const LuksSlot *slot, const Secret *passphrase,
                       SectorCipher **cipher, BlockError *error)
{
    u8 *key = crypto_alloc(luks->key_bytes);
    int result = key ? crypto_pbkdf2(luks->hash, passphrase->bytes, passphrase->length, slot->salt,
                                     LUKS_SALT_BYTES, slot->iterations, key, luks->key_bytes)
                     : -ENOMEM;

    result = result ? block_error(error, -result, "cannot derive a key: %s", strerror(-result))
                    : sector_cipher_new(cipher, &luks->spec, key, error);
    crypto_free(key, luks->key_bytes);
    return result;
}

static int make_digest(const Luks *luks, const u8 *key, u8 *digest)
{
    return crypto_pbkdf2(luks->hash, key, luks->key_bytes, luks->digest_salt, LUKS_SALT_BYTES,
                         luks->digest_iterations, digest, LUKS_DIGEST_BYTES);
}

/* Whether the passphrase opens the slot: 1, 0 or an error. */
static int try_slot(const Luks *luks, const LuksSlot *slot, const Secret *passphrase, u8 *key,
                    BlockError *error)
{
    u64 bytes = luks_material_bytes(luks->key_bytes);
    u64 at = luks->base + (u64)slot->sector * CRYPTO_SECTOR;
    u8 *material = crypto_alloc(bytes), digest[LUKS_DIGEST_BYTES];
    SectorCipher *cipher = NULL;
    int result = slot_cipher(luks, slot, passphrase, &cipher, error);

    if (!result) {
        result = material ? block_read_exact(luks->node, at, material, bytes) : -ENOMEM;
        result = result ? result : sector_decrypt(cipher, 0, material, material, bytes);
        result = result ? result : merge(luks, material, key);
        result = result ? result : make_digest(luks, key, digest);
        result = result ? block_error(error, -result, "cannot read a LUKS key slot: %s",
                                      strerror(-result))
                        : !memcmp(digest, luks->digest, sizeof digest);
    }
    sector_cipher_free(cipher);
    crypto_free(material, bytes);
    return result;
}

int luks_unlock(const Luks *luks, const Secret *passphrase, u8 *key, unsigned *slot,
                BlockError *error)
{
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        int result =
            luks->slots[i].active ? try_slot(luks, &luks->slots[i], passphrase, key, error) : 0;
        if (result && slot) {
            *slot = i;
        }
        if (result) {
            return MIN(result, 0);
        }
    }
    return block_error(error, EACCES, "Invalid password, cannot unlock any keyslot");
}

/* Iterations that take so many milliseconds. */
static int choose_iterations(const Luks *luks, u64 milliseconds, size_t bytes, u32 *iterations)
{
    u64 speed;
    int result = crypto_pbkdf2_speed(luks->hash, bytes, &speed);

    if (!result) {
        double count = (double)speed * (double)milliseconds / 1000;
        *iterations = count > LUKS_MAX_ITERATIONS ? LUKS_MAX_ITERATIONS
                                                  : MAX((u32)count, (u32)LEAST_ITERATIONS);
    }
    return result;
}

/* Puts the key into a slot, under the passphrase. */
static int fill_slot(Luks *luks, unsigned index, const u8 *key, const Secret *passphrase,
                     u64 milliseconds, BlockError *error)
{
    LuksSlot slot = luks->slots[index];
    u64 bytes = luks_material_bytes(luks->key_bytes);
    u64 at = luks->base + (u64)slot.sector * CRYPTO_SECTOR;
    u8 *material = crypto_alloc(bytes);
    SectorCipher *cipher = NULL;
    int result = material ? crypto_random(slot.salt, LUKS_SALT_BYTES) : -ENOMEM;

    result =
        result ? result : choose_iterations(luks, milliseconds, luks->key_bytes, &slot.iterations);
    slot.active = true;
    result = result ? result : slot_cipher(luks, &slot, passphrase, &cipher, NULL);
    result = result ? result : split(luks, key, material);
    result = result ? result : sector_encrypt(cipher, 0, material, material, bytes);
    result = result ? result : block_pwrite(luks->node, at, material, bytes, 0);
    result = result ? result : block_flush(luks->node);
    if (!result) {
        LuksSlot old = luks->slots[index];
        luks->slots[index] = slot;
        result = luks_store_slot(luks, index);
        result = result ? result : block_flush(luks->node);
        luks->slots[index] = result ? old : slot;
    }
    sector_cipher_free(cipher);
    crypto_free(material, bytes);
    return result ? block_error(error, -result, "cannot write LUKS key slot %u: %s", index,
                                strerror(-result))
                  : 0;
}

/* Overwrites a slot's key material, so that its passphrase opens nothing, and marks it free. */
static int erase_slot(Luks *luks, unsigned index, BlockError *error)
{
    LuksSlot *slot = &luks->slots[index];
    u64 bytes = luks_material_bytes(luks->key_bytes);
    u64 at = luks->base + (u64)slot->sector * CRYPTO_SECTOR;
    u8 *material = crypto_alloc(bytes);
    int result = material ? crypto_random(material, bytes) : -ENOMEM;

    result = result ? result : block_pwrite(luks->node, at, material, bytes, 0);
    result = result ? result : block_flush(luks->node);
    if (!result) {
        slot->active = false;
        slot->iterations = 0;
        memset(slot->salt, 0, sizeof slot->salt);
        result = luks_store_slot(luks, index);
        result = result ? result : block_flush(luks->node);
    }
    free(material);
    return result ? block_error(error, -result, "cannot erase LUKS key slot %u: %s", index,
                                strerror(-result))
                  : 0;
}

/* --- Opening and creating ----------------------------------------------------------------------
 */

int luks_open(const Luks *luks, const BlockOptions *options, SectorCipher **cipher,
              BlockError *error)
{
    const char *id = block_options_get(options, "key-secret");

    if (!id) {
        return block_error(error, EINVAL, "Parameter 'key-secret' is required for cipher");
    }
    const Secret *passphrase = secret_find(block_options_objects(options), id, error);
    u8 *key = crypto_alloc(luks->key_bytes);
    int result = passphrase ? luks_unlock(luks, passphrase, key, NULL, error) : -ENOENT;
    result = result ? result : sector_cipher_new(cipher, &luks->spec, key, error);
    crypto_free(key, luks->key_bytes);
    return result;
}

static int make_uuid(char text[41])
{
    u8 random[16];
    int result = crypto_random(random, sizeof random);

    random[6] = (random[6] & 0x0f) | 0x40; /* version 4 of RFC 4122: random */
    random[8] = (random[8] & 0x3f) | 0x80;
    for (size_t i = 0; i < sizeof random; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        text += snprintf(text, 4, "%s%02x", dash ? "-" : "", random[i]);
    }
    return result;
}

int luks_create(const LuksWish *wish, const ObjectList *objects, BlockNode *node, u64 base,
                BlockError *error)
{
    Luks luks;

    luks_lay_out(&luks, wish, node, base);
    if (!wish->secret) {
        return block_error(error, EINVAL, "Parameter 'key-secret' is required for cipher");
    }
    const Secret *passphrase = secret_find(objects, wish->secret, error);
    if (!passphrase) {
        return -ENOENT;
    }
    u8 *key = crypto_alloc(luks.key_bytes);
    SectorCipher *cipher = NULL;
    int result = key ? crypto_random(key, luks.key_bytes) : -ENOMEM;
    result = result ? result : crypto_random(luks.digest_salt, LUKS_SALT_BYTES);
    result = result ? result : make_uuid(luks.uuid);
    result = result ? result
                    : choose_iterations(&luks, wish->iteration_time / DIGEST_SHARE,
                                        LUKS_DIGEST_BYTES, &luks.digest_iterations);
    result = result ? result : make_digest(&luks, key, luks.digest);
    if (result < 0) {
        block_error(error, -result, "cannot make a key: %s", strerror(-result));
    }
    /* Finds a cipher that cannot be used before anything is written. */
    result = result ? result : sector_cipher_new(&cipher, &luks.spec, key, error);
    sector_cipher_free(cipher);
    if (!result) {
        result = luks_store(&luks);
        result = result ? block_error(error, -result, "cannot write the LUKS header: %s",
                                      strerror(-result))
                        : fill_slot(&luks, 0, key, passphrase, wish->iteration_time, error);
    }
    crypto_free(key, luks.key_bytes);
    return result;
}

/* --- Amending ----------------------------------------------------------------------------------
 */

typedef struct Amend {
    Luks *luks;
    const BlockOptions *options;
    const char *new_secret, *old_secret, *opened; /* ids, or NULL */
    bool has_slot, force;
    unsigned slot;
    BlockError *error;
} Amend;

static const BlockOption amend_table[] = {LUKS_AMEND_OPTIONS(""), {NULL}};

static const Secret *find_secret(const Amend *a, const char *id)
{
    return secret_find(block_options_objects(a->options), id, a->error);
}

static int find_free_slot(const Amend *a, unsigned *slot)
{
    const Luks *luks = a->luks;

    if (a->has_slot) {
        *slot = a->slot;
        return !luks->slots[*slot].active || a->force
                   ? 0
                   : block_error(a->error, EBUSY,
                                 "Refusing to overwrite active keyslot %u - please erase it first",
                                 *slot);
    }
    for (*slot = 0; *slot < LUKS_SLOTS; ++*slot) {
        if (!luks->slots[*slot].active) {
            return 0;
        }
    }
    return block_error(a->error, ENOSPC, "Can't add a keyslot - all keyslots are in use");
}

static int add_passphrase(const Amend *a)
{
    const char *old = a->old_secret ? a->old_secret : a->opened;
    LuksWish wish; /* for its time */
    unsigned slot;

    if (!a->new_secret) {
        return block_error(a->error, EINVAL, "'new-secret' is required to activate a keyslot");
    }
    if (!old) {
        return block_error(a->error, EINVAL,
                           "'old-secret' or 'key-secret' is needed to add another");
    }
    int result = find_free_slot(a, &slot);
    result = result ? result : luks_wish(&wish, a->options, a->error);
    if (result < 0) {
        return result;
    }
    const Secret *with = find_secret(a, old), *passphrase = find_secret(a, a->new_secret);
    u8 *key = crypto_alloc(a->luks->key_bytes);
    result = with && passphrase ? luks_unlock(a->luks, with, key, NULL, a->error) : -ENOENT;
    result =
        result ? result : fill_slot(a->luks, slot, key, passphrase, wish.iteration_time, a->error);
    crypto_free(key, a->luks->key_bytes);
    return result;
}

/* The slots to erase, as bits: those that the passphrase opens, among `mask`. */
static int find_matching(const Amend *a, unsigned mask, unsigned *found)
{
    const Secret *passphrase = find_secret(a, a->old_secret);
    u8 *key = crypto_alloc(a->luks->key_bytes);
    int result = passphrase ? 0 : -ENOENT;

    *found = 0;
    for (unsigned i = 0; result >= 0 && i < LUKS_SLOTS; i++) {
        const LuksSlot *slot = &a->luks->slots[i];
        if ((mask & 1u << i) && slot->active) {
            result = try_slot(a->luks, slot, passphrase, key, a->error);
            *found |= result == 1 ? 1u << i : 0;
        }
    }
    crypto_free(key, a->luks->key_bytes);
    return MIN(result, 0);
}

static int erase_passphrase(const Amend *a)
{
    Luks *luks = a->luks;
    unsigned chosen = a->has_slot ? 1u << a->slot : (1u << LUKS_SLOTS) - 1, active = 0;
    int result = 0;

    if (a->new_secret) {
        return block_error(a->error, EINVAL,
                           "'new-secret' must not be given when erasing keyslots");
    }
    if (!a->has_slot && !a->old_secret) {
        return block_error(a->error, EINVAL,
                           "To erase keyslots, either 'keyslot' or 'old-secret' must be given");
    }
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        active |= luks->slots[i].active ? 1u << i : 0;
    }
    if (a->has_slot && !(active & chosen) && !a->force) {
        return block_error(a->error, EINVAL, "Given keyslot %u is already erased (inactive)",
                           a->slot);
    }
    if (a->old_secret) {
        result = find_matching(a, chosen, &chosen);
        if (!result && !chosen) {
            result = block_error(a->error, EINVAL,
                                 "No keyslots match given (old) password for erase operation");
        }
    }
    if (!result && (active & ~chosen) == 0 && !a->force) {
        result =
            block_error(a->error, EINVAL,
                        "Attempt to erase all active keyslots, which will make all the data in "
                        "the image unreadable - refusing operation");
    }
    for (unsigned i = 0; !result && i < LUKS_SLOTS; i++) {
        result = chosen & 1u << i ? erase_slot(luks, i, a->error) : 0;
    }
    return result;
}

int luks_amend(Luks *luks, const BlockOptions *options, const char *opened, BlockError *error)
{
    const char *state = block_options_get(options, "state");
    Amend a = {.luks = luks,
               .options = options,
               .new_secret = block_options_get(options, "new-secret"),
               .old_secret = block_options_get(options, "old-secret"),
               .opened = opened,
               .has_slot = block_options_get(options, "keyslot"),
               .force = block_option_bool(options, amend_table, "force"),
               .error = error};
    u64 slot = block_option_number(options, amend_table, "keyslot");

    if (slot >= LUKS_SLOTS) {
        return block_error(error, EINVAL,
                           "Invalid keyslot %llu specified, must be between 0 and %d",
                           (unsigned long long)slot, LUKS_SLOTS - 1);
    }
    a.slot = (unsigned)slot;
    if (!state) {
        return block_error(error, EINVAL, "Parameter 'state' is missing");
    }
    if (!strcmp(state, "active")) {
        return add_passphrase(&a);
    }
    if (!strcmp(state, "inactive")) {
        return erase_passphrase(&a);
    }
    return block_error(error, EINVAL, "state is active or inactive, not '%s'", state);
}
