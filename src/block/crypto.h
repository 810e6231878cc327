/* Ciphers on sectors of 512 bytes, and the hashes that go with them: what LUKS and qcow2's older
 * encryption are made of. The primitives are gnutls's.
 *
 * Sectors are encrypted each by itself, with an initialisation vector made of its number as the
 * specification says (the kernel's dm-crypt, "Cipher/IV" in cryptsetup's documentation):
 * plain is the number in 32 bits, plain64 in 64 bits, both little-endian, essiv encrypts the latter
 * with AES under a hash of the key.
 *
 * Invariants: keys are wiped when what holds them goes. A SectorCipher may be used by any number of
 * threads at once.
 * Must not know any format. */
#ifndef BLOCK_CRYPTO_H
#define BLOCK_CRYPTO_H

#include "block/options.h"
#include "block/vector.h"

enum { CRYPTO_SECTOR = 512, CRYPTO_MAX_KEY_BYTES = 64, CRYPTO_MAX_DIGEST_BYTES = 64 };

typedef enum CryptoCipher { CRYPTO_AES_128, CRYPTO_AES_192, CRYPTO_AES_256 } CryptoCipher;
typedef enum CryptoMode { CRYPTO_CBC, CRYPTO_XTS } CryptoMode;
typedef enum CryptoIv { CRYPTO_PLAIN, CRYPTO_PLAIN64, CRYPTO_ESSIV } CryptoIv;
typedef enum CryptoHash {
    CRYPTO_SHA1,
    CRYPTO_SHA224,
    CRYPTO_SHA256,
    CRYPTO_SHA384,
    CRYPTO_SHA512,
    CRYPTO_NO_HASH,
} CryptoHash;

typedef struct CryptoSpec {
    CryptoCipher cipher;
    CryptoMode mode;
    CryptoIv iv;
    CryptoHash iv_hash; /* for essiv; others may name one all the same */
} CryptoSpec;

/* By name: "aes-256", "xts", "plain64", "sha256". False if there is none of that name. */
bool crypto_cipher_parse(const char *name, CryptoCipher *cipher);
bool crypto_mode_parse(const char *name, CryptoMode *mode);
bool crypto_iv_parse(const char *name, CryptoIv *iv);
bool crypto_hash_parse(const char *name, CryptoHash *hash);
const char *crypto_cipher_name(CryptoCipher cipher);
const char *crypto_mode_name(CryptoMode mode);
const char *crypto_iv_name(CryptoIv iv);
const char *crypto_hash_name(CryptoHash hash);

/* Bytes of a key; XTS takes two keys in one. */
size_t crypto_key_bytes(const CryptoSpec *spec);
/* The cipher whose key, in that mode, has so many bytes. False if there is none. */
bool crypto_cipher_of_key(CryptoMode mode, size_t key_bytes, CryptoCipher *cipher);

size_t crypto_digest_bytes(CryptoHash hash);
/* digest: crypto_digest_bytes(). Both fail with -EIO only if gnutls does. */
int crypto_hash(CryptoHash hash, const void *data, size_t bytes, u8 *digest);
/* The same of `prefix` followed by the data. */
int crypto_hash_prefixed(CryptoHash hash, u32 prefix, const void *data, size_t bytes, u8 *digest);

/* PBKDF2 with HMAC (RFC 8018): derives `bytes` bytes. */
int crypto_pbkdf2(CryptoHash hash, const void *secret, size_t secret_bytes, const u8 *salt,
                  size_t salt_bytes, u32 iterations, u8 *key, size_t bytes);
/* Iterations that this machine does in a second of one CPU, for keys of so many bytes. */
int crypto_pbkdf2_speed(CryptoHash hash, size_t bytes, u64 *iterations);

/* Random bytes fit for keys. */
int crypto_random(void *data, size_t bytes);

/* Memory for keys and what else is secret; zeroed. crypto_free() wipes it; NULL is fine. */
void *crypto_alloc(size_t bytes);
void crypto_free(void *secret, size_t bytes);

typedef struct SectorCipher SectorCipher;

/* key: crypto_key_bytes(spec) of it; copied. */
int sector_cipher_new(SectorCipher **cipher, const CryptoSpec *spec, const u8 *key,
                      BlockError *error);
/* NULL is fine. */
void sector_cipher_free(SectorCipher *cipher);

/* From and to may be the same. bytes: whole sectors, the first of number `sector`. 0 or -EIO. */
int sector_encrypt(SectorCipher *cipher, u64 sector, const u8 *from, u8 *to, size_t bytes);
int sector_decrypt(SectorCipher *cipher, u64 sector, const u8 *from, u8 *to, size_t bytes);

typedef struct BlockNode BlockNode;

/* Reads from and writes to a node what is encrypted there. Whole sectors in all, however divided
 * into iovecs; `sector` is the number of the first. */
int sector_cipher_read(SectorCipher *cipher, u64 sector, BlockNode *node, u64 offset,
                       const BlockVector *data);
int sector_cipher_write(SectorCipher *cipher, u64 sector, BlockNode *node, u64 offset,
                        const BlockVector *data);

#endif
