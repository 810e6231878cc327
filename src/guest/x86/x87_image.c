/* x87: its state in memory, as FNSAVE (8.1.10) and FXSAVE (10.5.1) lay it out. */
#include <string.h>

#include "guest/x86/x87.h"

static void put16(u8 *at, u64 value)
{
    memcpy(at, &(u16){(u16)value}, 2);
}

static void put32(u8 *at, u64 value)
{
    memcpy(at, &(u32){(u32)value}, 4);
}

static void put64(u8 *at, u64 value)
{
    memcpy(at, &value, 8);
}

static u16 get16(const u8 *at)
{
    u16 value;
    memcpy(&value, at, 2);
    return value;
}

static u32 get32(const u8 *at)
{
    u32 value;
    memcpy(&value, at, 4);
    return value;
}

static u64 get64(const u8 *at)
{
    u64 value;
    memcpy(&value, at, 8);
    return value;
}

/* The full tag word: two bits a register, from what is in it. */
static u16 tag_word(const X86State *s)
{
    enum { VALID, ZERO, SPECIAL, EMPTY };
    u16 word = 0;

    for (unsigned i = 0; i < 8; i++) {
        const X86Fpr *r = &s->fpr[i];
        unsigned field = r->sign_exponent & F80_TOP_EXPONENT, tag = VALID;
        if (s->ftag_empty >> i & 1) {
            tag = EMPTY;
        } else if (field == 0 && r->significand == 0) {
            tag = ZERO;
        } else if (field == 0 || field == F80_TOP_EXPONENT || !(r->significand >> 63)) {
            tag = SPECIAL;
        }
        word |= (u16)(tag << 2 * i);
    }
    return word;
}

static u8 empty_of_tag_word(u16 word)
{
    u8 empty = 0;

    for (unsigned i = 0; i < 8; i++) {
        empty |= (u8)((word >> 2 * i & 3) == 3) << i;
    }
    return empty;
}

/* -- FNSTENV and FNSAVE. Words of 2 or 4 bytes; what they hold is the same, except for the
 * pointers (figures 8-9 to 8-12). */

unsigned x87_environment_size(unsigned format)
{
    return format & X87_IMAGE_32 ? 28 : 14;
}

/* The seven words of an environment. Unused halves of 32-bit words are ones in the first three. */
static void environment_words(const X86State *s, unsigned format, u32 words[7])
{
    words[0] = 0xffff0000 | s->fcw;
    words[1] = 0xffff0000 | x87_status(s);
    words[2] = 0xffff0000 | tag_word(s);
    if (!(format & X87_IMAGE_REAL)) {
        words[3] = (u32)s->fip;
        words[4] = s->fcs | (u32)(s->fop & 0x7ff) << 16;
        words[5] = (u32)s->fdp;
        words[6] = 0xffff0000 | s->fds;
    } else {
        u32 instruction = s->fcs * 16u + (u32)s->fip, data = s->fds * 16u + (u32)s->fdp;
        words[3] = 0xffff0000 | instruction;
        words[4] = (instruction >> 16 << 12) | (s->fop & 0x7ff);
        words[5] = 0xffff0000 | data;
        words[6] = data >> 16 << 12;
    }
}

void x87_write_image(const X86State *s, unsigned format, u8 image[X87_IMAGE_MAX])
{
    u32 words[7];

    environment_words(s, format, words);
    for (unsigned i = 0; i < 7; i++) {
        if (format & X87_IMAGE_32) {
            put32(&image[4 * i], words[i]);
        } else {
            put16(&image[2 * i], words[i]);
        }
    }
    u8 *registers = image + x87_environment_size(format);
    for (unsigned i = 0; i < 8; i++) {
        F80 r = x87_get(s, i);
        put64(&registers[10 * i], r.significand);
        put16(&registers[10 * i + 8], r.sign_exponent);
    }
}

void x87_read_environment(X86State *s, unsigned format, const u8 *image)
{
    u32 words[7];

    for (unsigned i = 0; i < 7; i++) {
        words[i] = format & X87_IMAGE_32 ? get32(&image[4 * i]) : get16(&image[2 * i]);
    }
    s->ftag_empty = empty_of_tag_word((u16)words[2]);
    if (!(format & X87_IMAGE_REAL)) {
        s->fip = words[3];
        s->fcs = (u16)words[4];
        s->fop = words[4] >> 16 & 0x7ff;
        s->fdp = words[5];
        s->fds = (u16)words[6];
    } else {
        s->fip = (words[3] & 0xffff) | (words[4] & 0xffff000) << 4;
        s->fdp = (words[5] & 0xffff) | (words[6] & 0xffff000) << 4;
        s->fop = words[4] & 0x7ff;
        s->fcs = s->fds = 0;
    }
    x87_set_control(s, (u16)words[0]);
    x87_set_status(s, (u16)words[1]);
}

static void read_registers(X86State *s, const u8 *image, unsigned stride)
{
    for (unsigned i = 0; i < 8; i++) {
        X86Fpr *r = x87_register(s, i);
        r->significand = get64(&image[stride * i]);
        r->sign_exponent = get16(&image[stride * i + 8]);
    }
}

void x87_read_image(X86State *s, unsigned format, const u8 image[X87_IMAGE_MAX])
{
    x87_read_environment(s, format, image);
    read_registers(s, image + x87_environment_size(format), 10);
}

void x87_init(X86State *s)
{
    s->ftop = 0;
    s->ftag_empty = 0xff;
    s->fcw = X87_CONTROL_DEFAULT;
    s->fsw = s->fop = s->fcs = s->fds = 0;
    s->fip = s->fdp = 0;
}

/* -- FXSAVE */

enum { FX_STATUS = 2, FX_TAGS = 4, FX_OPCODE = 6, FX_IP = 8, FX_DP = 16, FX_REGISTERS = 32 };

void x87_write_fx(const X86State *s, bool wide, u8 image[160])
{
    put16(image, s->fcw);
    put16(image + FX_STATUS, x87_status(s));
    put16(image + FX_TAGS, (u8)~s->ftag_empty);
    put16(image + FX_OPCODE, s->fop);
    if (wide) {
        put64(image + FX_IP, s->fip);
        put64(image + FX_DP, s->fdp);
    } else {
        put64(image + FX_IP, (u32)s->fip | (u64)s->fcs << 32);
        put64(image + FX_DP, (u32)s->fdp | (u64)s->fds << 32);
    }
    for (unsigned i = 0; i < 8; i++) {
        F80 r = x87_get(s, i);
        put64(&image[FX_REGISTERS + 16 * i], r.significand);
        put64(&image[FX_REGISTERS + 16 * i + 8], r.sign_exponent);
    }
}

void x87_read_fx(X86State *s, bool wide, const u8 image[160])
{
    s->ftag_empty = (u8)~image[FX_TAGS];
    s->fop = get16(image + FX_OPCODE) & 0x7ff;
    s->fip = wide ? get64(image + FX_IP) : get32(image + FX_IP);
    s->fdp = wide ? get64(image + FX_DP) : get32(image + FX_DP);
    s->fcs = wide ? 0 : get16(image + FX_IP + 4);
    s->fds = wide ? 0 : get16(image + FX_DP + 4);
    x87_set_control(s, get16(image));
    x87_set_status(s, get16(image + FX_STATUS));
    read_registers(s, image + FX_REGISTERS, 16);
}
