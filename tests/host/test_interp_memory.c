/* The interpreter's memory accesses: sizes, byte orders, alignment, and each atomic operation. */
#include <string.h>

#include "../tap.h"
#include "host/interp/memory.h"

static void test_loads(void)
{
    u8 memory[48] __attribute__((aligned(16)));
    IrWord word;

    for (u32 i = 0; i < sizeof(memory); i++) {
        memory[i] = (u8)(i + 0x80);
    }
    interp_load(memory + 1, 4, 0, &word);
    OK(word.v[0] == 0x84838281 && !word.v[1], "4 bytes, misaligned, zero-extended");
    interp_load(memory + 3, 8, IR_MEM_ACQUIRE, &word);
    OK(word.i == 0x8a89888786858483, "8 bytes, acquiring");
    interp_load(memory, 2, IR_MEM_BIG_ENDIAN, &word);
    OK(word.i == 0x8081, "2 bytes, big-endian");
    interp_load(memory + 1, 16, 0, &word);
    OK(!memcmp(&word, memory + 1, 16) && !word.v[2], "16 bytes");
    interp_load(memory, 16, IR_MEM_BIG_ENDIAN, &word);
    OK(word.v[0] == 0x88898a8b8c8d8e8f && word.v[1] == 0x8081828384858687, "16, big-endian");
}

static void test_stores(void)
{
    u8 memory[32] = {0};
    IrWord word = {.v = {0x0807060504030201, 0x100f0e0d0c0b0a09}};

    interp_store(memory + 1, 2, 0, &word);
    OK(!memcmp(memory, "\0\1\2\0", 4), "2 bytes and no more");
    interp_store(memory + 5, 8, IR_MEM_BIG_ENDIAN | IR_MEM_RELEASE, &word);
    OK(!memcmp(memory + 4, "\0\10\7\6\5\4\3\2\1\0", 10), "8 bytes, big-endian, releasing");
    interp_store(memory + 3, 16, 0, &word);
    OK(!memcmp(memory + 3, &word, 16) && memory[19] == 0, "16 bytes");
}

static void test_rmw(void)
{
    static const struct {
        IrRmw op;
        const char *name;
        u8 expected; /* of 0x85 and 0x13 */
    } cases[] = {
        {IR_RMW_ADD, "add", 0x98},   {IR_RMW_AND, "and", 0x01},   {IR_RMW_OR, "or", 0x97},
        {IR_RMW_XOR, "xor", 0x96},   {IR_RMW_XCHG, "xchg", 0x13}, {IR_RMW_SMAX, "smax", 0x13},
        {IR_RMW_SMIN, "smin", 0x85}, {IR_RMW_UMAX, "umax", 0x85}, {IR_RMW_UMIN, "umin", 0x13},
    };

    for (u32 i = 0; i < COUNT(cases); i++) {
        for (u32 size = 1; size <= 8; size *= 2) {
            u8 memory[8] __attribute__((aligned(8))) = {0};
            u32 top = size - 1; /* little-endian: the operands are the top bytes */
            memory[top] = 0x85;
            u64 old = interp_rmw(memory, size, 0, cases[i].op, (u64)0x13 << top * 8);
            OK(old == (u64)0x85 << top * 8 && memory[top] == cases[i].expected, "%s of %u bytes",
               cases[i].name, size);
        }
    }
    u8 memory[4] __attribute__((aligned(4))) = {0, 0, 0, 0xff};
    u64 old = interp_rmw(memory, 4, IR_MEM_BIG_ENDIAN, IR_RMW_ADD, 1);
    OK(old == 0xff && memory[2] == 1 && memory[3] == 0, "big-endian carry");
}

static void test_cas(void)
{
    u8 memory[8] __attribute__((aligned(8))) = {1, 2, 3, 4, 5, 6, 7, 8};

    OK(interp_cas(memory, 2, 0, 0x0201, 0xaabb) == 0x0201 && memory[0] == 0xbb && memory[2] == 3,
       "compare and swap, equal");
    OK(interp_cas(memory, 4, 0, 0x12345678, 0) == 0x0403aabb && memory[0] == 0xbb, "and unequal");
    OK(interp_cas(memory + 4, 4, IR_MEM_BIG_ENDIAN, 0x05060708, 0x01020304) == 0x05060708 &&
           memory[4] == 1,
       "and big-endian");
}

int main(void)
{
    test_loads();
    test_stores();
    test_rmw();
    test_cas();
    return tap_done();
}
