/* The registers that gdb knows of an x86 CPU, in the order of its features "i386.core", ".sse" and
 * ".avx"; what system software adds follows in the core feature, under the names that other
 * emulators use. Selectors and control registers are only read: writing one has consequences that a
 * debugger does not mean. */
#include <stddef.h>
#include <string.h>

#include "guest/x86/feature.h"
#include "guest/x86/internal.h"
#include "guest/x86/x87.h"

enum Source {
    WORD,   /* 64 bits at `index` in the state, of which the register is the low ones */
    CHUNK,  /* its bytes are there */
    FIXED,  /* like WORD, never written */
    EFLAGS, /* status flags and the others together */
    SELECTOR,
    ST,
    ENVIRONMENT, /* a field of an x87 environment, see environment_field() */
    MXCSR,
};

#define AT(member) (u16) offsetof(X86State, member)
#define GPR64(name, n)                                                                             \
    {                                                                                              \
        name, (n) == 4 || (n) == 5 ? "data_ptr" : "int64", 64, WORD, AT(gpr) + 8 * (n)             \
    }
#define GPR32(name, n)                                                                             \
    {                                                                                              \
        name, (n) == 4 || (n) == 5 ? "data_ptr" : "int32", 32, WORD, AT(gpr) + 8 * (n)             \
    }
/* clang-format off */
#define SEGMENT_ROWS                                                                               \
    {"cs", "int32", 32, SELECTOR, X86_CS}, {"ss", "int32", 32, SELECTOR, X86_SS},                  \
    {"ds", "int32", 32, SELECTOR, X86_DS}, {"es", "int32", 32, SELECTOR, X86_ES},                  \
    {"fs", "int32", 32, SELECTOR, X86_FS}, {"gs", "int32", 32, SELECTOR, X86_GS}
#define X87_ROWS                                                                                   \
    {"st0", "i387_ext", 80, ST, 0}, {"st1", "i387_ext", 80, ST, 1},                                \
    {"st2", "i387_ext", 80, ST, 2}, {"st3", "i387_ext", 80, ST, 3},                                \
    {"st4", "i387_ext", 80, ST, 4}, {"st5", "i387_ext", 80, ST, 5},                                \
    {"st6", "i387_ext", 80, ST, 6}, {"st7", "i387_ext", 80, ST, 7},                                \
    {"fctrl", "int", 32, ENVIRONMENT, 0}, {"fstat", "int", 32, ENVIRONMENT, 1},                    \
    {"ftag", "int", 32, ENVIRONMENT, 2}, {"fiseg", "int", 32, ENVIRONMENT, 3},                     \
    {"fioff", "int", 32, ENVIRONMENT, 4}, {"foseg", "int", 32, ENVIRONMENT, 5},                    \
    {"fooff", "int", 32, ENVIRONMENT, 6}, {"fop", "int", 32, ENVIRONMENT, 7}
#define SYSTEM_ROWS(type, bits)                                                                    \
    {"cr0", type, bits, FIXED, AT(cr[0])}, {"cr2", type, bits, FIXED, AT(cr[2])},                  \
    {"cr3", type, bits, FIXED, AT(cr[3])}, {"cr4", type, bits, FIXED, AT(cr[4])},                  \
    {"cr8", type, bits, FIXED, AT(cr8)}, {"efer", type, bits, FIXED, AT(efer)}
#define XMM(n) {"xmm" #n, "vec128", 128, CHUNK, AT(xmm) + 16 * (n)}
#define YMMH(n) {"ymm" #n "h", "uint128", 128, CHUNK, AT(ymmh) + 16 * (n)}
#define FIRST_EIGHT(ROW) ROW(0), ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7)
#define LAST_EIGHT(ROW) ROW(8), ROW(9), ROW(10), ROW(11), ROW(12), ROW(13), ROW(14), ROW(15)

static const GuestRegister core_64[] = {
    GPR64("rax", 0), GPR64("rbx", 3), GPR64("rcx", 1), GPR64("rdx", 2), GPR64("rsi", 6),
    GPR64("rdi", 7), GPR64("rbp", 5), GPR64("rsp", 4), GPR64("r8", 8), GPR64("r9", 9),
    GPR64("r10", 10), GPR64("r11", 11), GPR64("r12", 12), GPR64("r13", 13), GPR64("r14", 14),
    GPR64("r15", 15),
    {"rip", "code_ptr", 64, WORD, AT(rip)},
    {"eflags", "i386_eflags", 32, EFLAGS, 0},
    SEGMENT_ROWS,
    {"fs_base", "int64", 64, WORD, AT(segment[X86_FS].base)},
    {"gs_base", "int64", 64, WORD, AT(segment[X86_GS].base)},
    {"k_gs_base", "int64", 64, WORD, AT(kernel_gs_base)},
    SYSTEM_ROWS("int64", 64),
    X87_ROWS,
};

static const GuestRegister core_32[] = {
    GPR32("eax", 0), GPR32("ecx", 1), GPR32("edx", 2), GPR32("ebx", 3), GPR32("esp", 4),
    GPR32("ebp", 5), GPR32("esi", 6), GPR32("edi", 7),
    {"eip", "code_ptr", 32, WORD, AT(rip)},
    {"eflags", "i386_eflags", 32, EFLAGS, 0},
    SEGMENT_ROWS,
    SYSTEM_ROWS("int32", 32),
    X87_ROWS,
};

static const GuestRegister sse_64[] = {
    FIRST_EIGHT(XMM), LAST_EIGHT(XMM), {"mxcsr", "i386_mxcsr", 32, MXCSR, 0}};
static const GuestRegister sse_32[] = {FIRST_EIGHT(XMM), {"mxcsr", "i386_mxcsr", 32, MXCSR, 0}};
static const GuestRegister avx_64[] = {FIRST_EIGHT(YMMH), LAST_EIGHT(YMMH)};
static const GuestRegister avx_32[] = {FIRST_EIGHT(YMMH)};

#define FLAG(name, bit) "<field name=\"" name "\" start=\"" #bit "\" end=\"" #bit "\"/>"
static const char core_types[] =
    "<flags id=\"i386_eflags\" size=\"4\">"
    FLAG("CF", 0) FLAG("", 1) FLAG("PF", 2) FLAG("AF", 4) FLAG("ZF", 6) FLAG("SF", 7) FLAG("TF", 8)
    FLAG("IF", 9) FLAG("DF", 10) FLAG("OF", 11) FLAG("NT", 14) FLAG("RF", 16) FLAG("VM", 17)
    FLAG("AC", 18) FLAG("VIF", 19) FLAG("VIP", 20) FLAG("ID", 21)
    "</flags>";

#define VECTOR(id, type, count) "<vector id=\"" id "\" type=\"" type "\" count=\"" count "\"/>"
static const char sse_types[] =
    VECTOR("v4f", "ieee_single", "4") VECTOR("v2d", "ieee_double", "2")
    VECTOR("v16i8", "int8", "16") VECTOR("v8i16", "int16", "8")
    VECTOR("v4i32", "int32", "4") VECTOR("v2i64", "int64", "2")
    "<union id=\"vec128\">"
    "<field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
    "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
    "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
    "<field name=\"uint128\" type=\"uint128\"/></union>"
    "<flags id=\"i386_mxcsr\" size=\"4\">"
    FLAG("IE", 0) FLAG("DE", 1) FLAG("ZE", 2) FLAG("OE", 3) FLAG("UE", 4) FLAG("PE", 5)
    FLAG("DAZ", 6) FLAG("IM", 7) FLAG("DM", 8) FLAG("ZM", 9) FLAG("OM", 10) FLAG("UM", 11)
    FLAG("PM", 12) FLAG("FZ", 15)
    "</flags>";
/* clang-format on */

#define FEATURE(name, types, registers)                                                            \
    {                                                                                              \
        "org.gnu.gdb.i386." name, types, registers, COUNT(registers)                               \
    }
static const GuestFeature features_64[] = {FEATURE("core", core_types, core_64),
                                           FEATURE("sse", sse_types, sse_64),
                                           FEATURE("avx", "", avx_64)};
static const GuestFeature features_32[] = {FEATURE("core", core_types, core_32),
                                           FEATURE("sse", sse_types, sse_32),
                                           FEATURE("avx", "", avx_32)};

/* -- Values */

/* Where the fields of gdb's order are in a 32-bit protected mode environment: byte and size. */
static const struct {
    u8 at, size;
} environment_fields[] = {{0, 2}, {4, 2}, {8, 2}, {16, 2}, {12, 4}, {24, 2}, {20, 4}, {18, 2}};

static void read_x87(const X86State *s, const GuestRegister *r, u8 *bytes)
{
    u8 image[X87_IMAGE_MAX];

    x87_write_image(s, X87_IMAGE_32, image);
    if (r->source == ST) {
        memcpy(bytes, &image[28 + 10 * r->index], 10);
    } else {
        memset(bytes, 0, 4);
        memcpy(bytes, &image[environment_fields[r->index].at], environment_fields[r->index].size);
    }
}

static void write_x87(X86State *s, const GuestRegister *r, const u8 *bytes)
{
    u8 image[X87_IMAGE_MAX];

    x87_write_image(s, X87_IMAGE_32, image);
    if (r->source == ST) {
        memcpy(&image[28 + 10 * r->index], bytes, 10);
    } else {
        memcpy(&image[environment_fields[r->index].at], bytes, environment_fields[r->index].size);
    }
    x87_read_image(s, X87_IMAGE_32, image);
}

static void read_register(const void *state, const GuestRegister *r, u8 *bytes)
{
    const X86State *s = state;
    u32 value = 0;

    switch ((enum Source)r->source) {
    case WORD:
    case CHUNK:
    case FIXED:
        memcpy(bytes, (const u8 *)state + r->index, r->bits / 8);
        return;
    case ST:
    case ENVIRONMENT:
        read_x87(s, r, bytes);
        return;
    case EFLAGS:
        value = (u32)x86_get_eflags(s);
        break;
    case SELECTOR:
        value = s->segment[r->index].selector;
        break;
    case MXCSR:
        value = x86_get_mxcsr(s);
        break;
    }
    memcpy(bytes, &value, 4);
}

static bool write_register(void *state, const GuestRegister *r, const u8 *bytes)
{
    X86State *s = state;
    u64 value = 0;

    memcpy(&value, bytes, MIN(r->bits / 8, 8));
    switch ((enum Source)r->source) {
    case WORD:
        memcpy((u8 *)state + r->index, &value, 8);
        return true;
    case CHUNK:
        memcpy((u8 *)state + r->index, bytes, r->bits / 8);
        return true;
    case ST:
    case ENVIRONMENT:
        write_x87(s, r, bytes);
        return true;
    case EFLAGS:
        x86_set_eflags(s, value);
        return true;
    case MXCSR:
        if (value >> 16) {
            return false;
        }
        x86_set_mxcsr(s, (u32)value);
        return true;
    case FIXED:
    case SELECTOR:
        break;
    }
    return false;
}

#define DEBUG_OF(name, list)                                                                       \
    {                                                                                              \
        .architecture = (name), .features = (list), .feature_count = COUNT(list),                  \
        .read = read_register, .write = write_register                                             \
    }

const GuestDebug *x86_debug(const void *state)
{
    static const GuestDebug debug_64 = DEBUG_OF("i386:x86-64", features_64);
    static const GuestDebug debug_32 = DEBUG_OF("i386", features_32);
    const X86State *s = state;

    return x86_has(s->features, X86_FEATURE_LM) ? &debug_64 : &debug_32;
}
