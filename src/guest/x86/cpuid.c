/* CPU models and the CPUID instruction (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E).
 */
#include "guest/x86/cpuid.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* -- Features */

enum {
    X86_LEVEL_486,
    X86_LEVEL_PENTIUM3,
    X86_LEVEL_QEMU64,
    X86_LEVEL_V2,
    X86_LEVEL_V3,
    X86_LEVEL_MAX,
    X86_LEVEL_ASKED, /* of no model: for those who ask for it */
    X86_LEVEL_NONE,  /* not implemented, or not the model's to say */
};

/* Leaves and registers that hold feature bits. */
enum {
    X86_CPUID_1_EDX,
    X86_CPUID_1_ECX,
    X86_CPUID_7_EBX,
    X86_CPUID_7_ECX,
    X86_CPUID_7_EDX,
    X86_CPUID_D_1_EAX,
    X86_CPUID_80000001_EDX,
    X86_CPUID_80000001_ECX,
    X86_CPUID_80000007_EDX,
};

static const struct {
    const char *name, *text;
    u8 word, bit, since;
} features[X86_FEATURE_COUNT] = {
#define FEATURE(name, text, word, bit, since)                                                      \
    {#name, text, X86_CPUID_##word, bit, X86_LEVEL_##since},
#include "guest/x86/features.def"
#undef FEATURE
};

/* What a feature is of no use without. */
static const u8 foundations[][2] = {
    {X86_FEATURE_SSE, X86_FEATURE_FXSR},     {X86_FEATURE_SSE2, X86_FEATURE_SSE},
    {X86_FEATURE_SSE3, X86_FEATURE_SSE2},    {X86_FEATURE_SSSE3, X86_FEATURE_SSE3},
    {X86_FEATURE_SSE41, X86_FEATURE_SSSE3},  {X86_FEATURE_SSE42, X86_FEATURE_SSE41},
    {X86_FEATURE_AES, X86_FEATURE_SSE2},     {X86_FEATURE_PCLMUL, X86_FEATURE_SSE2},
    {X86_FEATURE_SHA, X86_FEATURE_SSSE3},    {X86_FEATURE_XSAVEOPT, X86_FEATURE_XSAVE},
    {X86_FEATURE_XSAVEC, X86_FEATURE_XSAVE}, {X86_FEATURE_XGETBV1, X86_FEATURE_XSAVE},
    {X86_FEATURE_AVX, X86_FEATURE_SSE42},    {X86_FEATURE_AVX, X86_FEATURE_XSAVE},
    {X86_FEATURE_F16C, X86_FEATURE_AVX},     {X86_FEATURE_FMA, X86_FEATURE_AVX},
    {X86_FEATURE_AVX2, X86_FEATURE_AVX},
};

static void set_feature(u64 *set, unsigned feature, bool on)
{
    u64 bit = (u64)1 << (feature % 64);

    set[feature / 64] = on ? set[feature / 64] | bit : set[feature / 64] & ~bit;
}

/* The list is in an order that needs one pass. */
static void drop_unfounded(u64 *set)
{
    for (unsigned i = 0; i < COUNT(foundations); i++) {
        if (!x86_has(set, foundations[i][1])) {
            set_feature(set, foundations[i][0], false);
        }
    }
}

/* The bits of one CPUID register. */
static u32 feature_word(const X86State *state, unsigned word)
{
    u32 bits = 0;

    for (unsigned i = 0; i < X86_FEATURE_COUNT; i++) {
        if (features[i].word == word && x86_has(state->features, i)) {
            bits |= (u32)1 << features[i].bit;
        }
    }
    return bits;
}

/* -- Models */

const X86Model x86_models[] = {
    {"486", "Intel 486 DX4", X86_LEVEL_486, "GenuineIntel", "486", 4, 8, 0, 1},
    {"pentium3", "Intel Pentium III", X86_LEVEL_PENTIUM3, "GenuineIntel", "Pentium III", 6, 8, 3,
     2},
    {"qemu64", "the least that 64-bit systems need (QEMU's model)", X86_LEVEL_QEMU64,
     "AuthenticAMD", "Menura Virtual CPU", 15, 107, 1, 0xd},
    {"x86-64-v2", "SSE4.2, POPCNT (psABI level 2)", X86_LEVEL_V2, "GenuineIntel",
     "Menura Virtual CPU x86-64-v2", 6, 26, 3, 0x16},
    {"x86-64-v3", "AVX2, FMA, BMI2 (psABI level 3)", X86_LEVEL_V3, "GenuineIntel",
     "Menura Virtual CPU x86-64-v3", 6, 60, 4, 0x16},
    {"max", "everything that is implemented", X86_LEVEL_MAX, "GenuineIntel",
     "Menura Virtual CPU max", 6, 94, 3, 0x16},
    {NULL},
};

const X86Model *x86_default_model(void)
{
    return &x86_models[COUNT(x86_models) - 2];
}

static void model_features(const X86Model *model, u64 set[X86_FEATURE_WORDS])
{
    memset(set, 0, sizeof(u64) * X86_FEATURE_WORDS);
    for (unsigned i = 0; i < X86_FEATURE_COUNT; i++) {
        set_feature(set, i, features[i].since <= model->level);
    }
}

void x86_set_cpu(X86State *state, const X86Cpu *cpu)
{
    state->model = cpu->model;
    memcpy(state->features, cpu->features, sizeof(cpu->features));
}

void x86_set_model(X86State *state, const X86Model *model)
{
    X86Cpu cpu = {.model = model};

    model_features(model, cpu.features);
    x86_set_cpu(state, &cpu);
}

/* -- Names */

/* Spellings differ in case and in dots, dashes and underscores: sse4.1, SSE4_1, sse41. */
static bool same_name(const char *a, const char *b, size_t b_length)
{
    const char *end = b + b_length;

    for (;; a++, b++) {
        while (*a && strchr("._-", *a)) {
            a++;
        }
        while (b < end && strchr("._-", *b)) {
            b++;
        }
        if (!*a || b == end) {
            return !*a && b == end;
        }
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) {
            return false;
        }
    }
}

static unsigned find_feature(const char *name, size_t length)
{
    unsigned i = 0;

    while (i < X86_FEATURE_COUNT && !same_name(features[i].name, name, length) &&
           !same_name(features[i].text, name, length)) {
        i++;
    }
    return i;
}

static const X86Model *find_model(const char *name, size_t length)
{
    for (const X86Model *model = x86_models; model->name; model++) {
        if (strlen(model->name) == length && strncmp(model->name, name, length) == 0) {
            return model;
        }
    }
    return NULL;
}

static bool __attribute__((format(printf, 3, 4)))
refuse(char *message, size_t size, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, size, format, arguments);
    va_end(arguments);
    return false;
}

/* `+FEATURE` or `-FEATURE` of `length` characters. */
static bool change_feature(X86Cpu *cpu, const char *word, size_t length, char *message, size_t size)
{
    unsigned feature;

    if (*word != '+' && *word != '-') {
        return refuse(message, size, "'%.*s' should be +FEATURE or -FEATURE", (int)length, word);
    }
    feature = find_feature(word + 1, length - 1);
    if (feature == X86_FEATURE_COUNT) {
        return refuse(message, size, "unknown CPU feature '%.*s'", (int)length - 1, word + 1);
    }
    if (features[feature].since == X86_LEVEL_NONE) {
        return refuse(message, size, "CPU feature '%.*s' is not implemented", (int)length - 1,
                      word + 1);
    }
    set_feature(cpu->features, feature, *word == '+');
    return true;
}

bool x86_parse_cpu(const char *text, X86Cpu *cpu, char *message, size_t size)
{
    size_t length = strcspn(text, ",");

    cpu->model = find_model(text, length);
    if (!cpu->model) {
        return refuse(message, size,
                      "unknown CPU model '%.*s'; `menura list cpus` names those that exist",
                      (int)length, text);
    }
    model_features(cpu->model, cpu->features);
    for (text += length; *text; text += length) {
        text++;
        length = strcspn(text, ",");
        if (!change_feature(cpu, text, length, message, size)) {
            return false;
        }
    }
    drop_unfounded(cpu->features);
    return true;
}

/* -- CPUID */

enum { EAX, EBX, ECX, EDX };
enum { HYPERVISOR_LEAF = 0x40000000, EXTENDED_LEAF = 0x80000000, LAST_EXTENDED = 0x80000008 };
enum { CACHE_LINE = 64, PHYSICAL_BITS = 40, LINEAR_BITS = 48, LINEAR_BITS_57 = 57 };
enum { CR4_OSXSAVE = 1 << 18, XCR0_AVX = 4, XSAVE_LEGACY = 576, XSAVE_AVX = 256 };

static u32 signature(const X86Model *model)
{
    u32 family = MIN(model->family, 15u), more = model->family - family;

    return model->stepping | (model->model & 0xfu) << 4 | family << 8 | (model->model >> 4) << 16 |
           more << 20;
}

static void vendor_leaf(const X86State *state, u32 highest, u32 out[4])
{
    const char *vendor = state->model->vendor;

    out[EAX] = highest;
    memcpy(&out[EBX], vendor, 4);
    memcpy(&out[EDX], vendor + 4, 4);
    memcpy(&out[ECX], vendor + 8, 4);
}

/* CPUs of the package; each is a core with one thread. */
static u32 core_count(const X86State *state)
{
    return MAX(state->processor_count, 1u);
}

/* Bits of an APIC id that tell them apart. */
static u32 core_bits(const X86State *state)
{
    u32 count = core_count(state);

    return count > 1 ? 32 - (u32)__builtin_clz(count - 1) : 0;
}

static void feature_leaf(const X86State *state, u32 out[4])
{
    enum { HTT = 1 << 28 };

    bool osxsave = state->cr[4] & CR4_OSXSAVE && x86_has(state->features, X86_FEATURE_XSAVE);

    out[EAX] = signature(state->model);
    out[EBX] = CACHE_LINE / 8 << 8 | MIN(1u << core_bits(state), 255u) << 16 | state->apic_id << 24;
    out[ECX] = feature_word(state, X86_CPUID_1_ECX) |
               (osxsave ? (u32)1 << features[X86_FEATURE_OSXSAVE].bit : 0);
    out[EDX] = feature_word(state, X86_CPUID_1_EDX) | (core_count(state) > 1 ? HTT : 0);
    if (!(state->apic_base & X86_APIC_BASE_ENABLE)) {
        out[EDX] &= ~((u32)1 << features[X86_FEATURE_APIC].bit);
    }
}

/* Leaf 4: deterministic cache parameters. */
static void cache_leaf(const X86State *state, u32 subleaf, u32 out[4])
{
    static const struct {
        u8 type, level, ways; /* type: 1 data, 2 code, 3 both */
        u32 sets;
    } caches[] = {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 4, 1024}, {3, 3, 16, 8192}};

    if (subleaf < COUNT(caches)) {
        u32 shared = caches[subleaf].level == 3 ? (1u << core_bits(state)) - 1 : 0;
        out[EAX] = caches[subleaf].type | (u32)caches[subleaf].level << 5 | 1 << 8 |
                   MIN(shared, 0xfffu) << 14 | MIN((1u << core_bits(state)) - 1, 63u) << 26;
        out[EBX] = (CACHE_LINE - 1) | (u32)(caches[subleaf].ways - 1) << 22;
        out[ECX] = caches[subleaf].sets - 1;
    }
}

/* Leaf 0xb: threads of a core, cores of the package. */
static void topology_leaf(const X86State *state, u32 subleaf, u32 out[4])
{
    out[ECX] = subleaf;
    out[EDX] = state->apic_id;
    if (subleaf < 2) {
        out[EAX] = subleaf ? core_bits(state) : 0;
        out[EBX] = subleaf ? core_count(state) : 1;
        out[ECX] |= (subleaf + 1) << 8;
    }
}

static void xsave_leaf(const X86State *state, u32 subleaf, u32 out[4])
{
    bool avx = x86_has(state->features, X86_FEATURE_AVX);
    u32 all = XSAVE_LEGACY + (avx ? XSAVE_AVX : 0);
    u32 enabled = XSAVE_LEGACY + (state->xcr0 & XCR0_AVX ? XSAVE_AVX : 0);

    if (!x86_has(state->features, X86_FEATURE_XSAVE)) {
        return;
    }
    if (subleaf == 0) {
        out[EAX] = avx ? 7 : 3;
        out[EBX] = enabled;
        out[ECX] = all;
    } else if (subleaf == 1) {
        out[EAX] = feature_word(state, X86_CPUID_D_1_EAX);
        out[EBX] = out[EAX] & 2 ? enabled : 0; /* the compacted form has no gaps here */
    } else if (subleaf == 2 && avx) {
        out[EAX] = XSAVE_AVX;
        out[EBX] = XSAVE_LEGACY;
    }
}

/* The TSC's rate as a multiple of the crystal's, which local APICs count: the fraction of numbers
 * below 4294, for some multiply the crystal's kHz with it in 32 bits. Systems that are told need
 * not measure. Nothing, if the board does not know it. */
static void tsc_leaf(const X86State *state, u32 out[4])
{
    enum { CRYSTAL_KHZ = 1000000, LIMIT = 4294 };
    u64 rate = state->tsc_khz, least = ~(u64)0;

    for (u32 divisor = 1; rate && divisor < LIMIT && rate * divisor / CRYSTAL_KHZ < LIMIT;
         divisor++) {
        u64 factor = (rate * divisor + CRYSTAL_KHZ / 2) / CRYSTAL_KHZ;
        u64 found = factor * CRYSTAL_KHZ, wanted = rate * divisor;
        u64 error = (found > wanted ? found - wanted : wanted - found) * LIMIT / divisor;
        if (factor && error < least) {
            least = error;
            out[EAX] = divisor;
            out[EBX] = (u32)factor;
            out[ECX] = CRYSTAL_KHZ * 1000u;
        }
    }
}

static void basic_leaf(const X86State *state, u32 leaf, u32 subleaf, u32 out[4])
{
    switch (leaf) {
    case 0:
        vendor_leaf(state, state->model->last_leaf, out);
        break;
    case 1:
        feature_leaf(state, out);
        break;
    case 2: /* caches: see leaf 4; 64-byte prefetching */
        out[EAX] = 0x00feff01;
        out[EDX] = 0xf0;
        break;
    case 4:
        cache_leaf(state, subleaf, out);
        break;
    case 5: /* MONITOR: lines of 64 bytes; one state, C1 */
        if (x86_has(state->features, X86_FEATURE_MONITOR)) {
            out[EAX] = out[EBX] = CACHE_LINE;
            out[EDX] = 1 << 4;
        }
        break;
    case 7:
        if (subleaf == 0) {
            out[EBX] = feature_word(state, X86_CPUID_7_EBX);
            out[ECX] = feature_word(state, X86_CPUID_7_ECX);
            out[EDX] = feature_word(state, X86_CPUID_7_EDX);
        }
        break;
    case 0xb:
        topology_leaf(state, subleaf, out);
        break;
    case 0xd:
        xsave_leaf(state, subleaf, out);
        break;
    case 0x15:
        tsc_leaf(state, out);
        break;
    case 0x16: /* MHz: usual, largest, of the bus */
        out[EAX] = out[EBX] = state->tsc_khz / 1000;
        out[ECX] = state->tsc_khz ? 100 : 0;
        break;
    default:
        break;
    }
}

static void brand_leaf(const X86State *state, u32 part, u32 out[4])
{
    char brand[48] = {0};

    memcpy(brand, state->model->brand, strlen(state->model->brand));
    memcpy(out, brand + 16 * part, 16);
}

static u32 linear_bits(const X86State *state)
{
    return x86_has(state->features, X86_FEATURE_LA57) ? LINEAR_BITS_57 : LINEAR_BITS;
}

static void extended_leaf(const X86State *state, u32 leaf, u32 out[4])
{
    enum { AMD_COPIES = 0x0183f3ff }; /* bits of leaf 1 that AMD repeats */

    switch (leaf) {
    case EXTENDED_LEAF:
        vendor_leaf(state, LAST_EXTENDED, out);
        break;
    case 0x80000001:
        out[ECX] = feature_word(state, X86_CPUID_80000001_ECX);
        out[EDX] = feature_word(state, X86_CPUID_80000001_EDX);
        if (strcmp(state->model->vendor, "AuthenticAMD") == 0) {
            out[EAX] = signature(state->model);
            out[EDX] |= feature_word(state, X86_CPUID_1_EDX) & AMD_COPIES;
        }
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        brand_leaf(state, leaf - 0x80000002, out);
        break;
    case 0x80000005: /* L1: 32 KiB each, 8 ways */
        out[ECX] = out[EDX] = 32 << 24 | 8 << 16 | 1 << 8 | CACHE_LINE;
        break;
    case 0x80000006: /* L2: 256 KiB, 4 ways; L3: 8 MiB (in units of 512 KiB), 16 ways */
        out[ECX] = 256 << 16 | 4 << 12 | 1 << 8 | CACHE_LINE;
        out[EDX] = 16 << 18 | 8 << 12 | 1 << 8 | CACHE_LINE;
        break;
    case 0x80000007:
        out[EDX] = feature_word(state, X86_CPUID_80000007_EDX);
        break;
    case 0x80000008:
        out[EAX] = PHYSICAL_BITS | linear_bits(state) << 8;
        break;
    default:
        break;
    }
}

void x86_cpuid(const X86State *state, u32 leaf, u32 subleaf, u32 out[4])
{
    bool extended = x86_has(state->features, X86_FEATURE_CX8); /* a 486 has no such leaves */

    memset(out, 0, 4 * sizeof(*out));
    if (leaf <= state->model->last_leaf) {
        basic_leaf(state, leaf, subleaf, out);
    } else if (leaf >= EXTENDED_LEAF && leaf <= LAST_EXTENDED && extended) {
        extended_leaf(state, leaf, out);
    } else if (leaf == HYPERVISOR_LEAF && x86_has(state->features, X86_FEATURE_HYPERVISOR)) {
        out[EAX] = HYPERVISOR_LEAF;
        memcpy(&out[EBX], "MenuraMenura", 12);
    }
}

u64 x86_hwcap(const X86State *state, unsigned word)
{
    enum { HWCAP2_FSGSBASE = 1 << 1 };

    if (word == 0) {
        return feature_word(state, X86_CPUID_1_EDX);
    }
    return x86_has(state->features, X86_FEATURE_FSGSBASE) ? HWCAP2_FSGSBASE : 0;
}
