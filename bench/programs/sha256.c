/* SHA-256 (FIPS 180-4) of a buffer, again and again. */
#include "bench.h"

static uint32_t constants[64];

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static int is_prime(unsigned n)
{
    unsigned divisor = 2;
    while (divisor * divisor <= n && n % divisor) {
        divisor++;
    }
    return divisor * divisor > n;
}

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. None is so
 * close to the next number that a double would not tell them apart. */
static void make_constants(void)
{
    int count = 0;
    for (unsigned n = 2; count < 64; n++) {
        if (!is_prime(n)) {
            continue;
        }
        double root = 7; /* no less than any: Newton's steps go down to it */
        for (int step = 0; step < 20; step++) {
            root -= (root * root * root - n) / (3 * root * root);
        }
        constants[count++] = (uint32_t)((root - (int)root) * 4294967296.0);
    }
}

static void add_block(uint32_t *hash, const uint8_t *block)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
               (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, hash, sizeof(v));
    for (int i = 0; i < 64; i++) {
        uint32_t e = v[4], a = v[0];
        uint32_t t1 = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
                      ((e & v[5]) ^ (~e & v[6])) + constants[i] + w[i];
        uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
                      ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        for (int j = 7; j > 0; j--) {
            v[j] = v[j - 1];
        }
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) {
        hash[i] += v[i];
    }
}

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    static uint8_t data[4096];
    uint32_t hash[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint64_t seed = 7;
    make_constants();
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)bench_random(&seed);
    }
    for (int i = 0; i < size; i++) {
        for (size_t at = 0; at < sizeof(data); at += 64) {
            add_block(hash, data + at);
        }
    }
    return bench_result((uint64_t)hash[0] << 32 | hash[7]);
}
