/* Disassembles words for comparison with another disassembler.
 *
 *   aarch64_words KIND COUNT SEED FILE     makes words, stores them in FILE, prints their text
 *   aarch64_words file FILE                prints the text of the words in FILE
 *
 * KIND: uniform; near (a row's fixed bits with up to two flipped); valid (as the random maker makes
 * them). One line a word; its address is its offset in the file. */
#include <stdlib.h>
#include <string.h>

#include "../random.h"
#include "guest/aarch64/aarch64_insn.h"

static u32 near_word(u64 *seed)
{
    const InsnRow *row = &aarch64_rows[random_next(seed) % AARCH64_ROW_COUNT];
    u32 word = row->value | ((u32)random_next(seed) & ~row->mask);

    for (u64 flips = random_next(seed) % 3; flips; flips--) {
        word ^= 1u << random_next(seed) % 32;
    }
    return word;
}

static u32 make_word(const char *kind, u64 *seed)
{
    InsnRandom how = {.next = random_next, .context = seed, .features = ~0u};

    if (strcmp(kind, "uniform") == 0) {
        return (u32)random_next(seed);
    }
    return strcmp(kind, "near") == 0 ? near_word(seed) : aarch64_random(&how);
}

static void make_file(const char *kind, u64 count, u64 seed, const char *path)
{
    FILE *out = fopen(path, "wb");

    if (!out) {
        perror(path);
        exit(1);
    }
    for (u64 i = 0; i < count; i++) {
        u32 word = make_word(kind, &seed);
        u8 bytes[4] = {(u8)word, (u8)(word >> 8), (u8)(word >> 16), (u8)(word >> 24)};
        fwrite(bytes, 1, sizeof(bytes), out);
    }
    if (fclose(out) != 0) {
        perror(path);
        exit(1);
    }
}

static void print_file(const char *path)
{
    FILE *in = fopen(path, "rb");
    u8 b[4];
    char text[256];

    if (!in) {
        perror(path);
        exit(1);
    }
    for (u64 pc = 0; fread(b, 1, sizeof(b), in) == sizeof(b); pc += 4) {
        aarch64_disasm(b[0] | b[1] << 8 | b[2] << 16 | (u32)b[3] << 24, pc, text, sizeof(text));
        puts(text);
    }
    fclose(in);
}

int main(int argc, char **argv)
{
    if (argc == 5) {
        make_file(argv[1], strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0), argv[4]);
        print_file(argv[4]);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "file") == 0) {
        print_file(argv[2]);
        return 0;
    }
    fputs("usage: aarch64_words uniform|near|valid COUNT SEED FILE, or file FILE\n", stderr);
    return 2;
}
