/* x87, MMX, SSE and AVX registers in signal frames: see abi.h. The image is the XSAVE area in its
 * standard format (Intel SDM volume 1, 13.4) with what Linux adds: in the bytes that FXSAVE leaves
 * to software a description, after the area a second magic number. */
#include <string.h>

#include "user/access.h"
#include "user/x86/abi.h"

enum {
    MAGIC1 = 0x46505853,
    MAGIC2 = 0x46505845,
    SOFTWARE_BYTES = 464, /* offset of the description */
    HEADER = 512,
    HEADER_SIZE = 64,
    AVX_AREA = HEADER + HEADER_SIZE,
    AVX_SIZE = 256,
    MXCSR = 24,
    FEATURE_X87 = 1,
    FEATURE_SSE = 2,
    FEATURE_AVX = 4,
    CR4_OSXSAVE = 1 << 18,
    MXCSR_VALID = 0xffff,
    FCW_DEFAULT = 0x37f,
    MXCSR_DEFAULT = 0x1f80,
};

typedef struct SoftwareBytes {
    u32 magic, extended_size;
    u64 features;
    u32 xstate_size;
    u32 unused[7];
} SoftwareBytes;

_Static_assert(sizeof(SoftwareBytes) == X86_FX_SIZE - SOFTWARE_BYTES, "struct _fpx_sw_bytes");

static bool has_xsave(const X86State *state)
{
    return state->cr[4] & CR4_OSXSAVE;
}

/* Bytes of the XSAVE area. */
static u32 area_size(const X86State *state)
{
    return state->xcr0 & FEATURE_AVX ? AVX_AREA + AVX_SIZE : AVX_AREA;
}

size_t x86_fpstate_size(const X86State *state)
{
    return has_xsave(state) ? area_size(state) + sizeof(u32) : X86_FX_SIZE;
}

size_t x86_save_fpstate(const X86State *state, u8 image[X86_FPSTATE_MAX], bool long_mode)
{
    const u32 size = area_size(state), magic = MAGIC2;
    const u64 features = state->xcr0 & (FEATURE_X87 | FEATURE_SSE | FEATURE_AVX);
    const SoftwareBytes software = {MAGIC1, size + (u32)sizeof magic, features, size, {0}};

    memset(image, 0, X86_FPSTATE_MAX);
    x86_save_fx(state, image, long_mode);
    if (has_xsave(state)) {
        memcpy(image + SOFTWARE_BYTES, &software, sizeof software);
        memcpy(image + HEADER, &features, sizeof features);
        if (features & FEATURE_AVX) {
            memcpy(image + AVX_AREA, state->ymmh, long_mode ? AVX_SIZE : AVX_SIZE / 2);
        }
        memcpy(image + size, &magic, sizeof magic);
    }
    return x86_fpstate_size(state);
}

/* Which of its parts an image has, judged by its marks: all of FXSAVE's if they are not there. */
static u64 image_features(const X86State *state, u64 address, const u8 *fx)
{
    SoftwareBytes software;
    u64 features;
    u32 magic;

    memcpy(&software, fx + SOFTWARE_BYTES, sizeof software);
    bool extended = has_xsave(state) && software.magic == MAGIC1 &&
                    software.xstate_size >= AVX_AREA && software.xstate_size <= area_size(state) &&
                    copy_from_guest(&magic, address + software.xstate_size, sizeof magic) &&
                    magic == MAGIC2 &&
                    copy_from_guest(&features, address + HEADER, sizeof features);

    return extended ? features & software.features : FEATURE_X87 | FEATURE_SSE;
}

/* What XRSTOR loads for a part that the image does not have. */
static void fill_initial(u8 *fx, u64 features)
{
    enum { X87_REGISTERS = 32, XMM_REGISTERS = 160, XMM_SIZE = 256 };
    const u16 fcw = FCW_DEFAULT;

    if (!(features & FEATURE_X87)) {
        memset(fx, 0, MXCSR);
        memset(fx + X87_REGISTERS, 0, XMM_REGISTERS - X87_REGISTERS);
        memcpy(fx, &fcw, sizeof fcw);
    }
    if (!(features & FEATURE_SSE)) {
        memset(fx + XMM_REGISTERS, 0, XMM_SIZE);
    }
}

bool x86_restore_fpstate(X86State *state, u64 address, bool long_mode, const u8 *fx)
{
    u8 image[X86_FX_SIZE], avx[AVX_SIZE] = {0};
    u32 mxcsr;

    if (!copy_from_guest(image, address, sizeof image)) {
        return false;
    }
    u64 features = image_features(state, address, image);
    if (features & FEATURE_AVX && !copy_from_guest(avx, address + AVX_AREA, sizeof avx)) {
        return false;
    }
    if (fx) {
        memcpy(image, fx, sizeof image);
    }
    fill_initial(image, features);
    memcpy(&mxcsr, image + MXCSR, sizeof mxcsr);
    if (mxcsr & ~(u32)MXCSR_VALID) {
        return false;
    }
    x86_restore_fx(state, image, long_mode);
    if (has_xsave(state) && state->xcr0 & FEATURE_AVX) {
        memcpy(state->ymmh, avx, long_mode ? AVX_SIZE : AVX_SIZE / 2);
    }
    return true;
}

void x86_clear_fpstate(X86State *state)
{
    const u32 mxcsr = MXCSR_DEFAULT;
    u8 image[X86_FX_SIZE] = {0};

    fill_initial(image, 0);
    memcpy(image + MXCSR, &mxcsr, sizeof mxcsr);
    x86_restore_fx(state, image, true);
    memset(state->ymmh, 0, sizeof state->ymmh);
}
