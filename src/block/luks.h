/* LUKS version 1: a header that keeps the key of a disk, each time encrypted under one of up to
 * eight passphrases. The layout is that of the LUKS1 On-Disk Format Specification 1.2.3.
 *
 *   luks_header.c   the header as numbers; what a new one is to be; information
 *   luks_keys.c     passphrases: key slots opened, filled, erased; new headers
 *   luks.c          the format "luks": header, then the encrypted disk
 *
 * qcow2 keeps the same header in clusters of its own, so everything here works on an area of a
 * node.
 *
 * Invariants: the disk's key exists only in memory from crypto_alloc(), and in SectorCiphers. A
 * slot of the header on disk is marked active only when its key material is there; it is erased by
 * overwriting the material, before the mark goes.
 * Must not know what the key encrypts. */
#ifndef BLOCK_LUKS_H
#define BLOCK_LUKS_H

#include "block/crypto.h"
#include "block/driver.h"
#include "block/secret.h"

enum {
    LUKS_HEADER_BYTES = 592,
    LUKS_SLOTS = 8,
    LUKS_STRIPES = 4000,
    LUKS_SALT_BYTES = 32,
    LUKS_DIGEST_BYTES = 20,
    LUKS_SLOTS_OFFSET = 208,
    LUKS_SLOT_BYTES = 48,
    LUKS_SLOT_ACTIVE = 0x00ac71f3,
    LUKS_SLOT_INACTIVE = 0x0000dead,
    LUKS_MAX_ITERATIONS = 1 << 28, /* some minutes: more can only be meant to keep us busy */
};

typedef struct LuksSlot {
    bool active;
    u32 iterations;
    u8 salt[LUKS_SALT_BYTES];
    u32 sector; /* of the key material, in the area */
    u32 stripes;
} LuksSlot;

typedef struct Luks {
    BlockNode *node; /* the area that holds the header: not owned */
    u64 base, bytes;
    CryptoSpec spec;
    CryptoHash hash;
    u32 key_bytes;
    u32 payload; /* sector of the area where the disk begins */
    u8 digest[LUKS_DIGEST_BYTES];
    u8 digest_salt[LUKS_SALT_BYTES];
    u32 digest_iterations;
    char uuid[41];
    LuksSlot slots[LUKS_SLOTS];
} Luks;

/* What a new header is to be. */
typedef struct LuksWish {
    CryptoSpec spec;
    CryptoHash hash;
    u64 iteration_time; /* milliseconds that opening shall take */
    const char *secret; /* id */
    bool detached;      /* the disk is in another file */
} LuksWish;

/* Rows of option tables; `prefix` is "encrypt." for qcow2. */
#define LUKS_CREATE_OPTIONS(prefix)                                                                \
    {prefix "key-secret", BLOCK_OPTION_STRING, "ID of the secret that opens the image"},           \
        {prefix "cipher-alg", BLOCK_OPTION_STRING, "Cipher: aes-128, aes-192, aes-256 (initial)"}, \
        {prefix "cipher-mode", BLOCK_OPTION_STRING, "Cipher mode: xts (initial), cbc"},            \
        {prefix "ivgen-alg", BLOCK_OPTION_STRING,                                                  \
         "IV generator: plain64 (initial), plain, essiv"},                                         \
        {prefix "ivgen-hash-alg", BLOCK_OPTION_STRING, "Hash of the IV generator essiv"},          \
        {prefix "hash-alg", BLOCK_OPTION_STRING, "Hash of the passphrase: sha256 (initial), ..."}, \
    {                                                                                              \
        prefix "iter-time", BLOCK_OPTION_NUMBER, "Milliseconds that opening takes; 2000 initially" \
    }

#define LUKS_AMEND_OPTIONS(prefix)                                                                 \
    {prefix "state", BLOCK_OPTION_STRING, "active: add a passphrase; inactive: erase it"},         \
        {prefix "new-secret", BLOCK_OPTION_STRING, "ID of the secret to add"},                     \
        {prefix "old-secret", BLOCK_OPTION_STRING,                                                 \
         "ID of the secret to erase, or with which to add"},                                       \
        {prefix "keyslot", BLOCK_OPTION_NUMBER, "The key slot to fill or erase, 0 to 7"},          \
        {prefix "iter-time", BLOCK_OPTION_NUMBER, "Milliseconds that opening takes"},              \
    {                                                                                              \
        "force", BLOCK_OPTION_BOOL, "Also what makes the contents unreadable: amend's --force"     \
    }

/* --- luks_header.c */

/* 100 if it starts like LUKS version 1. */
int luks_probe(const u8 *head, size_t size, const char *filename);

/* Reads and checks the header at `base` of the node; the area ends after `bytes`. */
int luks_load(Luks *luks, BlockNode *node, u64 base, u64 bytes, BlockError *error);
/* Writes it whole; without a flush. */
int luks_store(const Luks *luks);
/* Writes one slot's entry; without a flush. */
int luks_store_slot(const Luks *luks, unsigned index);

/* From options as in LUKS_CREATE_OPTIONS(""). */
int luks_wish(LuksWish *wish, const BlockOptions *options, BlockError *error);
/* Bytes that header and key material take. */
u64 luks_area_bytes(const LuksWish *wish);
/* Bytes of a slot's key material, whole sectors. */
u64 luks_material_bytes(u64 key_bytes);
/* Makes the header of a wish, without slots, digest and uuid; area as for luks_load(). */
void luks_lay_out(Luks *luks, const LuksWish *wish, BlockNode *node, u64 base);

/* Adds what qemu-img prints; `format`: with the member that qcow2's has. */
void luks_information(const Luks *luks, struct json_object *data, bool format);

/* --- luks_keys.c */

/* Tries the passphrase on all active slots; *slot (or NULL) says which took it. key: from
 * crypto_alloc(luks->key_bytes). -EACCES if none. */
int luks_unlock(const Luks *luks, const Secret *passphrase, u8 *key, unsigned *slot,
                BlockError *error);

/* The disk's cipher, opened with the secret that the option "key-secret" names. */
int luks_open(const Luks *luks, const BlockOptions *options, SectorCipher **cipher,
              BlockError *error);

/* Makes a new header at `base`, with a key of random bytes and one passphrase. */
int luks_create(const LuksWish *wish, const ObjectList *objects, BlockNode *node, u64 base,
                BlockError *error);

/* Adds or erases passphrases as LUKS_AMEND_OPTIONS("") say; `opened` (id of a secret, or NULL) is
 * what the image was opened with. */
int luks_amend(Luks *luks, const BlockOptions *options, const char *opened, BlockError *error);

#endif
