/* The LUKS header as numbers: see luks.h. Text in it is of fixed length and ends in a zero; numbers
 * are big-endian. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "block/luks.h"

enum {
    MAGIC_BYTES = 6,
    VERSION = 1,
    /* where things are */
    CIPHER_NAME = 8,
    CIPHER_MODE = 40,
    HASH_NAME = 72,
    PAYLOAD = 104,
    KEY_BYTES = 108,
    DIGEST = 112,
    DIGEST_SALT = 132,
    DIGEST_ITERATIONS = 164,
    UUID = 168,
    NAME_BYTES = 32,
    UUID_BYTES = 40,
    /* of a slot */
    SLOT_STATE = 0,
    SLOT_ITERATIONS = 4,
    SLOT_SALT = 8,
    SLOT_SECTOR = 40,
    SLOT_STRIPES = 44,
    /* what others lay out, too */
    ALIGNMENT = 4096,
    DEFAULT_TIME = 2000, /* milliseconds */
};

static const u8 magic[MAGIC_BYTES] = {'L', 'U', 'K', 'S', 0xba, 0xbe};

int luks_probe(const u8 *head, size_t size, const char *filename)
{
    (void)filename;
    return size >= MAGIC_BYTES + 2 && !memcmp(head, magic, MAGIC_BYTES) &&
                   be16_get(head + MAGIC_BYTES) == VERSION
               ? 100
               : 0;
}

u64 luks_material_bytes(u64 key_bytes)
{
    return ALIGN_UP(key_bytes * LUKS_STRIPES, (u64)CRYPTO_SECTOR);
}

/* --- Reading -----------------------------------------------------------------------------------
 */

/* Splits "xts-plain64" or "cbc-essiv:sha256". */
static bool parse_mode(char *text, CryptoSpec *spec)
{
    char *iv = strchr(text, '-'), *hash = strchr(text, ':');

    if (!iv || (hash && hash < iv)) {
        return false;
    }
    *iv++ = 0;
    if (hash) {
        *hash++ = 0;
    }
    spec->iv_hash = CRYPTO_NO_HASH;
    return crypto_mode_parse(text, &spec->mode) && crypto_iv_parse(iv, &spec->iv) &&
           (!hash || crypto_hash_parse(hash, &spec->iv_hash));
}

static int parse_cipher(Luks *luks, const char *name, const char *mode_text, const char *hash,
                        BlockError *error)
{
    char mode[NAME_BYTES];

    strcpy(mode, mode_text);
    if (strcmp(name, "aes") != 0 || !parse_mode(mode, &luks->spec)) {
        return block_error(error, ENOTSUP, "the LUKS cipher '%s-%s' is not supported", name,
                           mode_text);
    }
    if (!crypto_cipher_of_key(luks->spec.mode, luks->key_bytes, &luks->spec.cipher)) {
        return block_error(error, EINVAL, "the LUKS cipher '%s-%s' takes no key of %u bytes", name,
                           mode_text, luks->key_bytes);
    }
    if (!crypto_hash_parse(hash, &luks->hash)) {
        return block_error(error, ENOTSUP, "the LUKS hash '%s' is not supported", hash);
    }
    return 0;
}

static void decode_slot(const u8 *bytes, LuksSlot *slot)
{
    slot->active = be32_get(bytes + SLOT_STATE) == LUKS_SLOT_ACTIVE;
    slot->iterations = be32_get(bytes + SLOT_ITERATIONS);
    memcpy(slot->salt, bytes + SLOT_SALT, LUKS_SALT_BYTES);
    slot->sector = be32_get(bytes + SLOT_SECTOR);
    slot->stripes = be32_get(bytes + SLOT_STRIPES);
}

/* Key material must lie between header and disk, inside the area, and overlap no other. */
static int check_slot(const Luks *luks, unsigned index, BlockError *error)
{
    const LuksSlot *slot = &luks->slots[index];
    u64 sectors = luks_material_bytes(luks->key_bytes) / CRYPTO_SECTOR;
    u64 end = slot->sector + sectors;

    if (slot->stripes != LUKS_STRIPES) {
        return block_error(error, EINVAL, "LUKS key slot %u has %u stripes, not %d", index,
                           slot->stripes, LUKS_STRIPES);
    }
    if ((u64)slot->sector * CRYPTO_SECTOR < LUKS_HEADER_BYTES) {
        return block_error(error, EINVAL, "LUKS key slot %u overlaps the header", index);
    }
    if ((luks->payload && end > luks->payload) || end * CRYPTO_SECTOR > luks->bytes) {
        return block_error(error, EINVAL, "LUKS key slot %u reaches past the header's area", index);
    }
    for (unsigned i = 0; i < index; i++) {
        if (luks->slots[i].sector < end && slot->sector < luks->slots[i].sector + sectors) {
            return block_error(error, EINVAL, "LUKS key slots %u and %u overlap", i, index);
        }
    }
    if (slot->active && (!slot->iterations || slot->iterations > LUKS_MAX_ITERATIONS)) {
        return block_error(error, EINVAL,
                           "LUKS key slot %u has %u iterations, which is beyond reason", index,
                           slot->iterations);
    }
    return 0;
}

static int check_header(const Luks *luks, BlockError *error)
{
    int result = 0;

    if (!luks->digest_iterations || luks->digest_iterations > LUKS_MAX_ITERATIONS) {
        return block_error(error, EINVAL,
                           "the LUKS key digest has %u iterations, which is beyond "
                           "reason",
                           luks->digest_iterations);
    }
    for (unsigned i = 0; !result && i < LUKS_SLOTS; i++) {
        result = check_slot(luks, i, error);
    }
    return result;
}

static int decode(Luks *luks, const u8 *bytes, BlockError *error)
{
    static const u8 texts[][2] = {
        {CIPHER_NAME, NAME_BYTES},
        {CIPHER_MODE, NAME_BYTES},
        {HASH_NAME, NAME_BYTES},
        {UUID, UUID_BYTES},
    };
    const char *text = (const char *)bytes;

    if (memcmp(bytes, magic, MAGIC_BYTES) != 0) {
        return block_error(error, EINVAL, "this is no LUKS header");
    }
    if (be16_get(bytes + MAGIC_BYTES) != VERSION) {
        return block_error(error, ENOTSUP, "LUKS version %u is not supported",
                           be16_get(bytes + MAGIC_BYTES));
    }
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (!memchr(text + texts[i][0], 0, texts[i][1])) {
            return block_error(error, EINVAL, "a name in the LUKS header does not end");
        }
    }
    luks->payload = be32_get(bytes + PAYLOAD);
    luks->key_bytes = be32_get(bytes + KEY_BYTES);
    memcpy(luks->digest, bytes + DIGEST, LUKS_DIGEST_BYTES);
    memcpy(luks->digest_salt, bytes + DIGEST_SALT, LUKS_SALT_BYTES);
    luks->digest_iterations = be32_get(bytes + DIGEST_ITERATIONS);
    memcpy(luks->uuid, bytes + UUID, UUID_BYTES);
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        decode_slot(bytes + LUKS_SLOTS_OFFSET + i * LUKS_SLOT_BYTES, &luks->slots[i]);
    }
    int result =
        parse_cipher(luks, text + CIPHER_NAME, text + CIPHER_MODE, text + HASH_NAME, error);
    return result ? result : check_header(luks, error);
}

int luks_load(Luks *luks, BlockNode *node, u64 base, u64 bytes, BlockError *error)
{
    u8 header[LUKS_HEADER_BYTES];

    *luks = (Luks){.node = node, .base = base, .bytes = bytes};
    if (bytes < sizeof header) {
        return block_error(error, EINVAL, "there is no room for a LUKS header");
    }
    int result = block_read_exact(node, base, header, sizeof header);
    if (result < 0) {
        return block_error(error, -result, "cannot read the LUKS header: %s", strerror(-result));
    }
    return decode(luks, header, error);
}

/* --- Writing -----------------------------------------------------------------------------------
 */

static void encode_slot(u8 *bytes, const LuksSlot *slot)
{
    be32_put(bytes + SLOT_STATE, slot->active ? LUKS_SLOT_ACTIVE : LUKS_SLOT_INACTIVE);
    be32_put(bytes + SLOT_ITERATIONS, slot->iterations);
    memcpy(bytes + SLOT_SALT, slot->salt, LUKS_SALT_BYTES);
    be32_put(bytes + SLOT_SECTOR, slot->sector);
    be32_put(bytes + SLOT_STRIPES, slot->stripes);
}

int luks_store(const Luks *luks)
{
    const CryptoSpec *spec = &luks->spec;
    bool has_hash = spec->iv_hash != CRYPTO_NO_HASH;
    u8 bytes[LUKS_HEADER_BYTES] = {0};

    memcpy(bytes, magic, MAGIC_BYTES);
    be16_put(bytes + MAGIC_BYTES, VERSION);
    snprintf((char *)bytes + CIPHER_NAME, NAME_BYTES, "aes");
    snprintf((char *)bytes + CIPHER_MODE, NAME_BYTES, "%s-%s%s%s", crypto_mode_name(spec->mode),
             crypto_iv_name(spec->iv), has_hash ? ":" : "",
             has_hash ? crypto_hash_name(spec->iv_hash) : "");
    snprintf((char *)bytes + HASH_NAME, NAME_BYTES, "%s", crypto_hash_name(luks->hash));
    be32_put(bytes + PAYLOAD, luks->payload);
    be32_put(bytes + KEY_BYTES, luks->key_bytes);
    memcpy(bytes + DIGEST, luks->digest, LUKS_DIGEST_BYTES);
    memcpy(bytes + DIGEST_SALT, luks->digest_salt, LUKS_SALT_BYTES);
    be32_put(bytes + DIGEST_ITERATIONS, luks->digest_iterations);
    memcpy(bytes + UUID, luks->uuid, UUID_BYTES);
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        encode_slot(bytes + LUKS_SLOTS_OFFSET + i * LUKS_SLOT_BYTES, &luks->slots[i]);
    }
    return block_pwrite(luks->node, luks->base, bytes, sizeof bytes, 0);
}

int luks_store_slot(const Luks *luks, unsigned index)
{
    u64 at = luks->base + LUKS_SLOTS_OFFSET + (u64)index * LUKS_SLOT_BYTES;
    u8 bytes[LUKS_SLOT_BYTES];

    encode_slot(bytes, &luks->slots[index]);
    return block_pwrite(luks->node, at, bytes, sizeof bytes, 0);
}

/* --- New headers -------------------------------------------------------------------------------
 */

int luks_wish(LuksWish *wish, const BlockOptions *options, BlockError *error)
{
    static const BlockOption table[] = {LUKS_CREATE_OPTIONS(""), {NULL}};
    const char *cipher = block_options_get(options, "cipher-alg");
    const char *mode = block_options_get(options, "cipher-mode");
    const char *iv = block_options_get(options, "ivgen-alg");
    const char *iv_hash = block_options_get(options, "ivgen-hash-alg");
    const char *hash = block_options_get(options, "hash-alg");

    *wish = (LuksWish){.spec = {CRYPTO_AES_256, CRYPTO_XTS, CRYPTO_PLAIN64, CRYPTO_NO_HASH},
                       .hash = CRYPTO_SHA256,
                       .iteration_time = DEFAULT_TIME,
                       .secret = block_options_get(options, "key-secret")};
    if (cipher && !crypto_cipher_parse(cipher, &wish->spec.cipher)) {
        return block_error(error, ENOTSUP, "the cipher '%s' is not supported", cipher);
    }
    if (mode && !crypto_mode_parse(mode, &wish->spec.mode)) {
        return block_error(error, ENOTSUP, "the cipher mode '%s' is not supported", mode);
    }
    if (iv && !crypto_iv_parse(iv, &wish->spec.iv)) {
        return block_error(error, ENOTSUP, "the IV generator '%s' is not supported", iv);
    }
    if (wish->spec.iv == CRYPTO_ESSIV) {
        wish->spec.iv_hash = CRYPTO_SHA256;
    }
    if (iv_hash && !crypto_hash_parse(iv_hash, &wish->spec.iv_hash)) {
        return block_error(error, ENOTSUP, "the hash '%s' is not supported", iv_hash);
    }
    if (hash && !crypto_hash_parse(hash, &wish->hash)) {
        return block_error(error, ENOTSUP, "the hash '%s' is not supported", hash);
    }
    if (block_options_get(options, "iter-time")) {
        wish->iteration_time = block_option_number(options, table, "iter-time");
    }
    return wish->iteration_time <= UINT32_MAX
               ? 0
               : block_error(error, EINVAL, "iter-time is beyond reason");
}

static u64 slot_bytes(u64 key_bytes)
{
    return ALIGN_UP(luks_material_bytes(key_bytes), (u64)ALIGNMENT);
}

u64 luks_area_bytes(const LuksWish *wish)
{
    return ALIGNMENT + LUKS_SLOTS * slot_bytes(crypto_key_bytes(&wish->spec));
}

void luks_lay_out(Luks *luks, const LuksWish *wish, BlockNode *node, u64 base)
{
    u64 bytes = luks_area_bytes(wish);

    *luks = (Luks){.node = node,
                   .base = base,
                   .bytes = bytes,
                   .spec = wish->spec,
                   .hash = wish->hash,
                   .key_bytes = (u32)crypto_key_bytes(&wish->spec),
                   .payload = wish->detached ? 0 : (u32)(bytes / CRYPTO_SECTOR)};
    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        u64 offset = ALIGNMENT + i * slot_bytes(luks->key_bytes);
        luks->slots[i].sector = (u32)(offset / CRYPTO_SECTOR);
        luks->slots[i].stripes = LUKS_STRIPES;
    }
}

/* --- Information -------------------------------------------------------------------------------
 */

static void add_text(json_object *data, const char *key, const char *value)
{
    json_object_object_add(data, key, json_object_new_string(value));
}

static void add_number(json_object *data, const char *key, u64 value)
{
    json_object_object_add(data, key, json_object_new_int64((s64)value));
}

static json_object *slot_information(const LuksSlot *slot)
{
    json_object *data = json_object_new_object();

    json_object_object_add(data, "active", json_object_new_boolean(slot->active));
    if (slot->active) {
        add_number(data, "iters", slot->iterations);
    }
    add_number(data, "key-offset", (u64)slot->sector * CRYPTO_SECTOR);
    if (slot->active) {
        add_number(data, "stripes", slot->stripes);
    }
    return data;
}

void luks_information(const Luks *luks, json_object *data, bool format)
{
    json_object *slots = json_object_new_array();

    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        json_object_array_add(slots, slot_information(&luks->slots[i]));
    }
    add_text(data, "ivgen-alg", crypto_iv_name(luks->spec.iv));
    add_text(data, "hash-alg", crypto_hash_name(luks->hash));
    add_text(data, "cipher-alg", crypto_cipher_name(luks->spec.cipher));
    add_text(data, "uuid", luks->uuid);
    if (luks->spec.iv_hash != CRYPTO_NO_HASH) {
        add_text(data, "ivgen-hash-alg", crypto_hash_name(luks->spec.iv_hash));
    }
    if (format) {
        add_text(data, "format", "luks");
    }
    add_text(data, "cipher-mode", crypto_mode_name(luks->spec.mode));
    json_object_object_add(data, "detached-header", json_object_new_boolean(!luks->payload));
    json_object_object_add(data, "slots", slots);
    add_number(data, "payload-offset", (u64)luks->payload * CRYPTO_SECTOR);
    add_number(data, "master-key-iters", luks->digest_iterations);
}
