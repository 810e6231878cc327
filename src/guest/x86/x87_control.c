/* x87 helpers: control instructions, and images of the state in parts. */
#include <string.h>

#include "guest/x86/x87.h"
#include "guest/x86/x87_helpers.h"

/* (X87Control, i) */
void x87_control(void *state, IrWord *io)
{
    X86State *s = state;

    switch ((X87Control)io[1].i) {
    case X87_DO_INIT:
        x87_init(s);
        return;
    case X87_DO_CLEAR:
        s->fsw &= X87_CONDITIONS;
        return;
    case X87_DO_INCREMENT:
        s->ftop = (s->ftop + 1) & 7;
        break;
    case X87_DO_DECREMENT:
        s->ftop = (s->ftop - 1) & 7;
        break;
    case X87_DO_FREE:
    case X87_DO_FREE_AND_POP:
        s->ftag_empty |= (u8)(1u << ((s->ftop + io[2].i) & 7));
        if (io[1].i == X87_DO_FREE_AND_POP) {
            x87_pop(s);
        }
        break;
    }
    x87_set_c1(s, false);
}

/* (u16): FLDCW */
void x87_load_control(void *state, IrWord *io)
{
    x87_set_control(state, (u16)io[1].i);
}

/* An image in whole parts. */
typedef struct Image {
    u8 bytes[ALIGN_UP(X87_IMAGE_MAX, 16)];
} Image;

/* (X87Image | part << 8) -> v128: 16 bytes of the image */
void x87_save_part(void *state, IrWord *io)
{
    Image image = {{0}};

    x87_write_image(state, io[1].i % X87_ALL, image.bytes);
    memcpy(io[0].bytes, &image.bytes[io[1].i >> 8 << 4], 16);
}

/* (X87Image | part << 8, v128): the image's state with these 16 bytes replaced. Parts must come in
 * order: what an earlier part says decides how a later one is understood (TOP). */
void x87_restore_part(void *state, IrWord *io)
{
    Image image = {{0}};

    x87_write_image(state, io[1].i % X87_ALL, image.bytes);
    memcpy(&image.bytes[io[1].i >> 8 << 4], io[2].bytes, 16);
    if (io[1].i & X87_ALL) {
        x87_read_image(state, io[1].i % X87_ALL, image.bytes);
    } else {
        x87_read_environment(state, io[1].i % X87_ALL, image.bytes);
    }
}
