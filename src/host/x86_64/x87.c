/* Moving the guest's x87 between its slots and the host's unit: C functions that stubs call.
 *
 * FNSAVE's image is the way for both: it has the registers from ST(0) on, where slots are by
 * physical number, and two bits of tag for each register, of which only "empty" says more than the
 * register itself. The control word in its slot is always right. Instruction and data pointers are
 * none of the host's business.
 * Must not be called but by generated code, and by C code on its behalf: only there the x87 belongs
 * to the guest. */
#include <string.h>

#include "host/x86_64/x86_64.h"

enum {
    TOP_SHIFT = 11,
    TOP = 7 << TOP_SHIFT,
    TAG_EMPTY = 3,
    REGISTERS = 8,
    REGISTER_SIZE = 10, /* in the image */
};

/* Intel SDM volume 1, figure 8-9: the 32-bit protected mode format, in 64-bit mode as well. */
typedef struct Image {
    u16 control, _0, status, _1, tags, _2;
    u32 pointers[4];
    u8 registers[REGISTERS * REGISTER_SIZE];
} Image;

static const IrX87 *layout_of(const CpuCommon *common)
{
    return &cache_header((const u8 *)(uintptr_t)common->host[WORD_CACHE])->x87;
}

static u8 *register_slot(u8 *state, const IrX87 *x87, u32 i)
{
    return state + x87->registers + 16 * ((state[x87->top] + i) % REGISTERS);
}

void x86_x87_load(void *state)
{
    const IrX87 *x87 = layout_of(cpu_common(state));
    u8 *slots = state;
    Image image = {0};

    memcpy(&image.control, slots + x87->control, sizeof(u16));
    memcpy(&image.status, slots + x87->status, sizeof(u16));
    image.status |= (u16)(slots[x87->top] << TOP_SHIFT);
    for (u32 i = 0; i < REGISTERS; i++) {
        image.tags |= (u16)((slots[x87->empty] >> i & 1 ? TAG_EMPTY : 0) << 2 * i);
        memcpy(&image.registers[i * REGISTER_SIZE], register_slot(slots, x87, i), REGISTER_SIZE);
    }
    __asm__ volatile("frstor %0" : : "m"(image));
    cpu_common(state)->host_unit = 1;
}

void x86_x87_save(void *state)
{
    const IrX87 *x87 = layout_of(cpu_common(state));
    u8 *slots = state;
    Image image;
    u8 empty = 0;

    __asm__ volatile("fnsave %0" : "=m"(image));
    slots[x87->top] = image.status >> TOP_SHIFT & 7;
    image.status &= (u16)~TOP;
    memcpy(slots + x87->status, &image.status, sizeof(u16));
    for (u32 i = 0; i < REGISTERS; i++) {
        empty |= (u8)((image.tags >> 2 * i & 3) == TAG_EMPTY) << i;
        memcpy(register_slot(slots, x87, i), &image.registers[i * REGISTER_SIZE], REGISTER_SIZE);
    }
    slots[x87->empty] = empty;
    cpu_common(state)->host_unit = 0;
}

bool x86_take_x87(void *state)
{
    bool on_host = cpu_common(state)->host_unit;

    if (on_host) {
        x86_x87_save(state);
    }
    return on_host;
}
