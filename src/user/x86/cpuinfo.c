/* /proc/cpuinfo as x86 kernels write it, from what CPUID says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/feature.h"
#include "user/x86/abi.h"

static const char *const feature_names[] = {
#define FEATURE(name, text, word, bit, since) [X86_FEATURE_##name] = text,
#include "guest/x86/features.def"
#undef FEATURE
};

enum { VENDOR_LEAF = 0, SIGNATURE_LEAF = 1, BRAND_LEAF = 0x80000002, SIZES_LEAF = 0x80000008 };
enum { EAX, EBX, ECX, EDX, REGISTERS };

typedef struct Identity {
    char vendor[13], brand[49];
    u32 highest_leaf, family, model, stepping, physical_bits, linear_bits;
} Identity;

static void read_identity(const X86State *state, Identity *id)
{
    u32 out[REGISTERS];

    x86_cpuid(state, VENDOR_LEAF, 0, out);
    id->highest_leaf = out[EAX];
    memcpy(id->vendor, &out[EBX], 4);
    memcpy(id->vendor + 4, &out[EDX], 4);
    memcpy(id->vendor + 8, &out[ECX], 4);
    id->vendor[12] = 0;
    for (u32 i = 0; i < 3; i++) {
        x86_cpuid(state, BRAND_LEAF + i, 0, out);
        memcpy(id->brand + 16 * i, out, 16);
    }
    id->brand[48] = 0;
    x86_cpuid(state, SIGNATURE_LEAF, 0, out);
    id->stepping = out[EAX] & 0xf;
    id->model = out[EAX] >> 4 & 0xf;
    id->family = out[EAX] >> 8 & 0xf;
    if (id->family == 6 || id->family == 15) {
        id->model |= out[EAX] >> 12 & 0xf0;
    }
    if (id->family == 15) {
        id->family += out[EAX] >> 20 & 0xff;
    }
    x86_cpuid(state, SIZES_LEAF, 0, out);
    id->physical_bits = out[EAX] & 0xff;
    id->linear_bits = out[EAX] >> 8 & 0xff;
}

static void print_processor(FILE *out, const X86State *state, const Identity *id, int cpu, int cpus)
{
    fprintf(out,
            "processor\t: %d\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\n"
            "stepping\t: %u\nphysical id\t: 0\nsiblings\t: %d\ncore id\t\t: %d\ncpu cores\t: %d\n"
            "apicid\t\t: %d\ninitial apicid\t: %d\nfpu\t\t: yes\nfpu_exception\t: yes\n"
            "cpuid level\t: %u\nwp\t\t: yes\nflags\t\t:",
            cpu, id->vendor, id->family, id->model, id->brand + strspn(id->brand, " "),
            id->stepping, cpus, cpu, cpus, cpu, cpu, id->highest_leaf);
    for (unsigned i = 0; i < X86_FEATURE_COUNT; i++) {
        if (x86_has(state->features, i)) {
            fprintf(out, " %s", feature_names[i]);
        }
    }
    fprintf(out,
            "\nbugs\t\t:\nclflush size\t: 64\ncache_alignment\t: 64\n"
            "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n",
            id->physical_bits, id->linear_bits);
}

char *x86_cpuinfo(const void *state, int cpus)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    Identity id;

    if (!out) {
        return NULL;
    }
    read_identity(state, &id);
    for (int cpu = 0; cpu < cpus; cpu++) {
        print_processor(out, state, &id, cpu, cpus);
    }
    fclose(out);
    return text;
}
