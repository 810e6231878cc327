/* Makes and disassembles x86 instructions for comparison with another disassembler.
 *
 *   x86_words BITS COUNT SEED FILE     makes instructions for 16, 32 or 64 bits, stores them in
 *                                      FILE, each in 16 bytes filled up with NOPs; prints offset,
 *                                      size and text
 *   x86_words BITS file FILE           the same for the code in FILE, which may be anything
 *   x86_words BITS speed COUNT         prints nanoseconds to decode one instruction */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../random.h"
#include "guest/x86/feature.h"
#include "guest/x86/insn.h"

enum { SLOT = 16 };

static const u64 all_features[X86_FEATURE_WORDS] = {~(u64)0, ~(u64)0, ~(u64)0, ~(u64)0};

static void print_insn(const u8 *bytes, size_t available, const X86DecodeMode *mode, u64 at)
{
    X86Insn insn;
    char text[256] = "(bad)";

    if (x86_decode(bytes, available, mode, &insn) == X86_DECODE_OK) {
        x86_disassemble(&insn, mode, at, text, sizeof(text));
    }
    printf("%llx\t%u\t%s\n", (unsigned long long)at, insn.size, text);
}

static size_t make_insn(const X86DecodeMode *mode, u64 *seed, u8 bytes[X86_INSN_MAX])
{
    X86Random how = {.next = random_next,
                     .context = seed,
                     .any_row = true,
                     .mode = *mode,
                     .base = X86_NO_REGISTER};

    return x86_random(&how, bytes);
}

static int make_file(const X86DecodeMode *mode, u64 count, u64 seed, const char *path)
{
    FILE *out = fopen(path, "wb");
    u8 bytes[SLOT];
    u64 at = 0;

    if (!out) {
        perror(path);
        return 1;
    }
    for (u64 i = 0; i < count; i++) {
        size_t size = make_insn(mode, &seed, bytes);
        memset(bytes + size, 0x90, SLOT - size);
        fwrite(bytes, 1, SLOT, out);
        print_insn(bytes, size, mode, at);
        at += SLOT;
    }
    if (fclose(out) != 0) {
        perror(path);
        return 1;
    }
    return 0;
}

static int print_file(const X86DecodeMode *mode, const char *path)
{
    static u8 code[1 << 24];
    FILE *in = fopen(path, "rb");

    if (!in) {
        perror(path);
        return 1;
    }
    size_t size = fread(code, 1, sizeof(code), in);
    fclose(in);
    for (size_t at = 0; at < size;) {
        X86Insn insn;
        size_t available = MIN(size - at, (size_t)X86_INSN_MAX);
        bool known = x86_decode(code + at, available, mode, &insn) == X86_DECODE_OK;
        print_insn(code + at, available, mode, at);
        at += known ? insn.size : 1;
    }
    return 0;
}

static int measure(const X86DecodeMode *mode, u64 count)
{
    enum { INSNS = 4096 };
    static u8 code[INSNS][X86_INSN_MAX];
    struct timespec start, end;
    u64 seed = 1, sum = 0;

    for (unsigned i = 0; i < INSNS; i++) {
        make_insn(mode, &seed, code[i]);
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (u64 i = 0; i < count; i++) {
        X86Insn insn;
        x86_decode(code[i % INSNS], X86_INSN_MAX, mode, &insn);
        sum += insn.size;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double nanoseconds =
        (double)(end.tv_sec - start.tv_sec) * 1e9 + (double)end.tv_nsec - (double)start.tv_nsec;
    printf("%.0f ns (%.1f bytes on average)\n", nanoseconds / (double)count,
           (double)sum / (double)count);
    return 0;
}

int main(int argc, char **argv)
{
    X86DecodeMode mode = {.features = all_features};

    if (argc >= 4) {
        mode.code_size = (u8)(atoi(argv[1]) / 8);
        if (strcmp(argv[2], "file") == 0) {
            return print_file(&mode, argv[3]);
        }
        if (strcmp(argv[2], "speed") == 0) {
            return measure(&mode, strtoull(argv[3], NULL, 0));
        }
        if (argc == 5) {
            return make_file(&mode, strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0),
                             argv[4]);
        }
    }
    fputs("usage: x86_words BITS COUNT SEED FILE, BITS file FILE, or BITS speed COUNT\n", stderr);
    return 2;
}
