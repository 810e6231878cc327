/* Ciphers on sectors and key derivation against published vectors, and secrets as the command line
 * gives them.
 *
 * XTS: IEEE 1619-2007, appendix B, vectors 4 and 10; 192-bit AES has none there and was computed
 * with another implementation, as was essiv. CBC: FIPS 197, appendix C, whose block is the first of
 * a sector with number 0. PBKDF2: RFC 6070 and RFC 7914, section 11. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/crypto.h"
#include "block/secret.h"
#include "tests/tap.h"

static size_t from_hex(const char *text, u8 *bytes)
{
    size_t length = strlen(text) / 2;

    for (size_t i = 0; i < length; i++) {
        unsigned value = 0;
        sscanf(text + 2 * i, "%2x", &value);
        bytes[i] = (u8)value;
    }
    return length;
}

static bool equals(const u8 *bytes, const char *hex)
{
    u8 wanted[128];

    return !memcmp(bytes, wanted, from_hex(hex, wanted));
}

/* 0, 1, ... 255, 0, ... */
static void count_up(u8 *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (u8)i;
    }
}

typedef struct Vector {
    CryptoSpec spec;
    u64 sector;
    const char *key;         /* hex */
    const char *first, *end; /* hex: of the encrypted sector that counted up */
} Vector;

static const Vector vectors[] = {
    {{CRYPTO_AES_128, CRYPTO_XTS, CRYPTO_PLAIN64, CRYPTO_NO_HASH},
     0,
     "27182818284590452353602874713526"
     "31415926535897932384626433832795",
     "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c",
     "eb4a427d1923ce3ff262735779a418f20a282df920147beabe421ee5319d0568"},
    {{CRYPTO_AES_256, CRYPTO_XTS, CRYPTO_PLAIN64, CRYPTO_NO_HASH},
     0xff,
     "2718281828459045235360287471352662497757247093699959574966967627"
     "3141592653589793238462643383279502884197169399375105820974944592",
     "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b",
     "c4f36ffda9fcea70b9c6e693e148c151"},
    {{CRYPTO_AES_192, CRYPTO_XTS, CRYPTO_PLAIN64, CRYPTO_NO_HASH},
     0x123456789a,
     "000102030405060708090a0b0c0d0e0f1011121314151617"
     "18191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f",
     "0944746e4e0d65a71ed9ed4dae9269b9",
     "464f398b20226984ee900daf6e5d08d2"},
    {{CRYPTO_AES_128, CRYPTO_CBC, CRYPTO_ESSIV, CRYPTO_SHA256},
     7,
     "000102030405060708090a0b0c0d0e0f",
     "586c1bc42ced9c66841eacdfe5765fe7",
     "c243d2c05976c972832042e88ea04c48"},
};

static void test_sectors(void)
{
    enum { SECTORS = 3 };
    u8 plain[CRYPTO_SECTOR], data[SECTORS * CRYPTO_SECTOR], key[CRYPTO_MAX_KEY_BYTES];

    for (size_t i = 0; i < COUNT(vectors); i++) {
        const Vector *v = &vectors[i];
        SectorCipher *cipher = NULL;
        count_up(plain, sizeof plain);
        OK(from_hex(v->key, key) == crypto_key_bytes(&v->spec) &&
               !sector_cipher_new(&cipher, &v->spec, key, NULL),
           "cipher %zu", i);
        OK(!sector_encrypt(cipher, v->sector, plain, data, CRYPTO_SECTOR) &&
               equals(data, v->first) && equals(data + CRYPTO_SECTOR - strlen(v->end) / 2, v->end),
           "encrypts as published");
        OK(!sector_decrypt(cipher, v->sector, data, data, CRYPTO_SECTOR) &&
               !memcmp(data, plain, CRYPTO_SECTOR),
           "decrypts in place");
        memset(data, 0, sizeof data);
        memcpy(data + CRYPTO_SECTOR, plain, CRYPTO_SECTOR);
        OK(!sector_encrypt(cipher, v->sector - 1, data, data, sizeof data) &&
               equals(data + CRYPTO_SECTOR, v->first),
           "each sector has its own number");
        sector_cipher_free(cipher);
    }
}

static void test_cbc(void)
{
    static const struct {
        CryptoCipher cipher;
        const char *block;
    } cases[] = {
        {CRYPTO_AES_128, "69c4e0d86a7b0430d8cdb78070b4c55a"},
        {CRYPTO_AES_192, "dda97ca4864cdfe06eaf70a0ec0d7191"},
        {CRYPTO_AES_256, "8ea2b7ca516745bfeafc49904b496089"},
    };
    u8 key[CRYPTO_MAX_KEY_BYTES], data[CRYPTO_SECTOR] = {0};

    count_up(key, sizeof key);
    for (size_t i = 0; i < COUNT(cases); i++) {
        CryptoSpec spec = {cases[i].cipher, CRYPTO_CBC, CRYPTO_PLAIN, CRYPTO_NO_HASH};
        SectorCipher *cipher = NULL;
        for (unsigned n = 0; n < 16; n++) {
            data[n] = (u8)(n * 0x11);
        }
        OK(!sector_cipher_new(&cipher, &spec, key, NULL) &&
               !sector_encrypt(cipher, 1ull << 32, data, data, sizeof data) &&
               equals(data, cases[i].block),
           "%s in CBC; plain numbers have 32 bits", crypto_cipher_name(spec.cipher));
        sector_cipher_free(cipher);
    }
}

static void test_mistakes(void)
{
    CryptoSpec spec = {CRYPTO_AES_128, CRYPTO_CBC, CRYPTO_ESSIV, CRYPTO_SHA1};
    u8 key[CRYPTO_MAX_KEY_BYTES] = {0};
    SectorCipher *cipher = NULL;
    BlockError error = {""};
    CryptoCipher found;

    OK(sector_cipher_new(&cipher, &spec, key, &error) < 0 && !cipher && *error.text,
       "essiv with a hash that gives no AES key: %s", error.text);
    OK(!crypto_cipher_of_key(CRYPTO_XTS, 16, &found) &&
           crypto_cipher_of_key(CRYPTO_XTS, 32, &found) && found == CRYPTO_AES_128,
       "XTS takes two keys");
}

static void test_pbkdf2(void)
{
    u8 key[64];
    u64 speed = 0;

    OK(!crypto_pbkdf2(CRYPTO_SHA1, "password", 8, (const u8 *)"salt", 4, 4096, key, 20) &&
           equals(key, "4b007901b765489abead49d926f721d065a429c1"),
       "PBKDF2 with SHA-1");
    OK(!crypto_pbkdf2(CRYPTO_SHA256, "passwd", 6, (const u8 *)"salt", 4, 1, key, 64) &&
           equals(key, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
                       "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"),
       "PBKDF2 with SHA-256");
    OK(!crypto_pbkdf2_speed(CRYPTO_SHA256, 64, &speed) && speed > 1000, "its speed is known");
}

/* -- Secrets */

static bool is(const ObjectList *list, const char *id, const char *text)
{
    const Secret *secret = secret_find(list, id, NULL);

    return secret && secret->length == strlen(text) && !memcmp(secret->bytes, text, secret->length);
}

static bool refuses(ObjectList *list, const char *text)
{
    BlockError error = {""};

    return object_list_add(list, text, &error) < 0 && *error.text;
}

static void test_secrets(void)
{
    ObjectList *list = object_list_new(NULL);
    char path[] = "secret-test-XXXXXX", text[128];
    int fd = mkstemp(path);

    OK(write(fd, "bWVu\ndXJh\n", 10) == 10 && !close(fd), "a file of base64");
    OK(!object_list_add(list, "secret,id=a,data=a,,b", NULL) && is(list, "a", "a,b"), "raw data");
    OK(!object_list_add(list, "secret,id=b,data=aGVsbG8=,format=base64", NULL) &&
           is(list, "b", "hello"),
       "base64");
    snprintf(text, sizeof text,
             "{\"qom-type\":\"secret\",\"id\":\"c\",\"file\":\"%s\","
             "\"format\":\"base64\"}",
             path);
    OK(!object_list_add(list, text, NULL) && is(list, "c", "menura"), "a file, by JSON");
    OK(!object_list_add(list,
                        "secret,id=key,format=base64,"
                        "data=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                        NULL),
       "a key");
    OK(!object_list_add(list,
                        "secret,id=d,keyid=key,format=base64,iv=ICEiIyQlJicoKSorLC0uLw==,"
                        "data=aJP1EBvhKokC6wSpEZfd30ORqbrId1euNtyp1dfAalM=",
                        NULL) &&
           is(list, "d", "encrypted passphrase"),
       "a secret under another");
    OK(refuses(list, "secret,id=a,data=x"), "an id twice");
    OK(refuses(list, "secret,data=x") && refuses(list, "secret,id=x") &&
           refuses(list, "secret,id=x,data=a,file=b") && refuses(list, "nonsense,id=x") &&
           refuses(list, "secret,id=x,file=/nonexistent") &&
           refuses(list, "secret,id=x,data=a,format=hex") &&
           refuses(list, "secret,id=x,data=a,nonsense=1"),
       "what makes no sense");
    OK(refuses(list, "secret,id=x,keyid=a,format=base64,iv=ICEiIyQlJicoKSorLC0uLw==,data=AAAA") &&
           refuses(list, "secret,id=x,keyid=key,format=base64,data=AAAA") &&
           refuses(list, "secret,id=x,keyid=missing,format=base64,iv=AAAA,data=AAAA"),
       "keys that are none");
    OK(!secret_find(list, "x", NULL), "what was refused is not there");
    object_list_free(list);
    unlink(path);
}

int main(void)
{
    test_sectors();
    test_cbc();
    test_mistakes();
    test_pbkdf2();
    test_secrets();
    return tap_done();
}
