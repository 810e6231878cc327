/* GD5446: its blitter against a reference that goes pixel by pixel, on random rectangles; banks,
 * extended writes, memory-mapped registers, the hidden DAC register, pictures and the cursor. */
#include "backend/display/display.h"
#include "device/pci/pci.h"
#include "tests/device/bare.h"
#include "tests/random.h"

enum { MEMORY = 4 << 20, ROUNDS = 1000 };

static const u64 base = 0xe0000000, registers = 0xf0000000;
static Bare bare;
static PciBus *pci;
static Device *cirrus;
static Display *display;
static u8 *memory, *expected;
static u64 seed = 1;

static u32 any(u32 limit)
{
    return (u32)(random_next(&seed) % limit);
}

/* -- Registers */

static void set_seq(u8 index, u8 value)
{
    bare_out(&bare, 0x3c4, index);
    bare_out(&bare, 0x3c5, value);
}

static u8 get_seq(u8 index)
{
    bare_out(&bare, 0x3c4, index);
    return bare_in(&bare, 0x3c5);
}

static void set_graphics(u8 index, u8 value)
{
    bare_out(&bare, 0x3ce, index);
    bare_out(&bare, 0x3cf, value);
}

static u8 get_graphics(u8 index)
{
    bare_out(&bare, 0x3ce, index);
    return bare_in(&bare, 0x3cf);
}

static void set_crtc(u8 index, u8 value)
{
    bare_out(&bare, 0x3d4, index);
    bare_out(&bare, 0x3d5, value);
}

static void set_bytes(u8 index, u32 value, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        set_graphics((u8)(index + i), (u8)(value >> 8 * i));
    }
}

static void set_color(u8 index, u32 color)
{
    set_graphics(index, (u8)color);
    set_graphics(index + 0x10, (u8)(color >> 8));
    set_graphics(index + 0x12, (u8)(color >> 16));
    set_graphics(index + 0x14, (u8)(color >> 24));
}

static u8 get_memory(u64 offset)
{
    return (u8)map_read(&bare.board.dma, base + offset, 1, NULL);
}

static void set_memory(u64 offset, unsigned size, u64 value)
{
    map_write(&bare.board.dma, base + offset, size, value, NULL);
}

/* -- The reference */

typedef struct Blit {
    u32 width, height, size; /* pixels, rows, bytes of a pixel */
    u32 to, from, to_pitch, from_pitch;
    u32 foreground, background, key;
    u8 rop, skip;
    bool backwards, transparent, pattern, expand, system, solid, invert, dwords;
    u8 data[65536]; /* of the system */
} Blit;

static u8 operate(u8 rop, u8 s, u8 d)
{
    switch (rop) {
    case 0x00:
        return 0;
    case 0x05:
        return s & d;
    case 0x06:
        return d;
    case 0x09:
        return s & ~d;
    case 0x0b:
        return (u8)~d;
    case 0x0d:
        return s;
    case 0x0e:
        return 0xff;
    case 0x50:
        return (u8)~s & d;
    case 0x59:
        return s ^ d;
    case 0x6d:
        return s | d;
    case 0x90:
        return (u8) ~(s | d);
    case 0x95:
        return (u8) ~(s ^ d);
    case 0xad:
        return (u8)(s | ~d);
    case 0xd0:
        return (u8)~s;
    case 0xd6:
        return (u8)(~s | d);
    default: /* 0xda */
        return (u8) ~(s & d);
    }
}

static u32 pixel_at(const u8 *from, u32 at, u32 size)
{
    u32 pixel = 0;

    for (u32 i = 0; i < size; i++) {
        pixel |= (u32)from[(at + i) % MEMORY] << 8 * i;
    }
    return pixel;
}

static u32 bits_pitch(const Blit *b)
{
    return b->system && b->dwords ? (b->width + 31) / 32 * 4 : (b->width + 7) / 8;
}

/* A source pixel; false: it is not drawn. */
static bool source_pixel(const Blit *b, const u8 *before, u32 x, u32 y, u32 *pixel)
{
    const u8 *from = b->system ? b->data : before;
    u32 start = b->system ? 0 : b->pattern ? b->from & ~7u : b->from, at;

    if (b->solid) {
        *pixel = b->foreground;
        return true;
    }
    if (b->pattern) {
        u32 line = (y + b->from) & 7;
        at = start + (b->expand ? line : line * (b->size == 3 ? 32 : 8 * b->size));
        x %= 8;
    } else if (b->expand) {
        at = start + y * bits_pitch(b);
    } else if (b->system) {
        at = y * ((b->width * b->size + 3) & ~3u);
    } else if (b->backwards) {
        at = start - y * b->from_pitch - (b->width * b->size - 1);
    } else {
        at = start + y * b->from_pitch;
    }
    if (!b->expand) {
        *pixel = pixel_at(from, at + x * b->size, b->size);
        return true;
    }
    bool bit = from[(at + x / 8) % MEMORY] >> (7 - x % 8) & 1;
    *pixel = bit ? b->foreground : b->background;
    return !b->transparent || bit != b->invert;
}

/* expected: memory before and after. */
static void reference(const Blit *b)
{
    u8 *before = malloc(MEMORY);

    memcpy(before, expected, MEMORY);
    for (u32 y = 0; y < b->height; y++) {
        for (u32 x = 0; x < b->width; x++) {
            u32 pixel, result = 0;
            u32 at = b->backwards
                         ? b->to - y * b->to_pitch - (b->width - 1 - x) * b->size - (b->size - 1)
                         : b->to + y * b->to_pitch + x * b->size;
            bool drawn = source_pixel(b, before, x, y, &pixel);
            if (!drawn || ((b->pattern || b->expand) && !b->solid && x < b->skip)) {
                continue;
            }
            for (u32 i = 0; i < b->size; i++) {
                u8 old = before[(at + i) % MEMORY];
                result |= (u32)operate(b->rop, (u8)(pixel >> 8 * i), old) << 8 * i;
            }
            if (b->transparent && !b->expand &&
                result == (b->key & (b->size == 1 ? 0xff : 0xffff))) {
                continue;
            }
            for (u32 i = 0; i < b->size; i++) {
                expected[(at + i) % MEMORY] = (u8)(result >> 8 * i);
            }
        }
    }
    free(before);
}

/* -- The same by the device */

/* By the ports, or by BAR 1. */
static void start(const Blit *b)
{
    u8 mode = (u8)(b->backwards | b->system << 2 | b->transparent << 3 | (b->size - 1) << 4 |
                   b->pattern << 6 | b->expand << 7);

    set_bytes(0x20, b->width * b->size - 1, 2);
    set_bytes(0x22, b->height - 1, 2);
    set_bytes(0x24, b->to_pitch, 2);
    set_bytes(0x26, b->from_pitch, 2);
    set_bytes(0x28, b->to, 3);
    set_bytes(0x2c, b->from, 3);
    set_graphics(0x2f, b->size == 3 ? (u8)(b->skip * 3) : b->skip);
    set_graphics(0x30, mode);
    set_graphics(0x32, b->rop);
    set_graphics(0x33, (u8)(b->dwords | b->invert << 1 | b->solid << 2));
    set_bytes(0x34, b->key, 2);
    set_color(1, b->foreground);
    set_color(0, b->background);
    if (any(2)) {
        set_graphics(0x31, 2);
    } else {
        map_write(&bare.board.dma, registers + 0x140, 1, 2, NULL);
    }
}

static u32 system_size(const Blit *b)
{
    if (b->pattern) {
        return b->expand ? 8 : b->size == 3 ? 256 : 64 * b->size;
    }
    return b->height * (b->expand ? bits_pitch(b) : (b->width * b->size + 3) & ~3u);
}

/* Through the window, the frame buffer, or the half of the aperture that is for it. */
static void send(const Blit *b)
{
    static const u64 places[] = {0xa0000, 0xe0000000, 0xe1000000};
    u64 place = places[any(COUNT(places))];
    u32 size = system_size(b), at = 0;

    while (at < size) {
        unsigned step = size - at >= 4 ? 1u << any(3) : 1;
        u64 value = 0;
        memcpy(&value, b->data + at, step);
        map_write(&bare.board.dma, place + at % 4096 / step * step, step, value, NULL);
        at += step;
    }
}

static void choose(Blit *b)
{
    static const u8 rops[] = {0x00, 0x05, 0x06, 0x09, 0x0b, 0x0d, 0x0e, 0x50,
                              0x59, 0x6d, 0x90, 0x95, 0xad, 0xd0, 0xd6, 0xda};

    memset(b, 0, offsetof(Blit, data));
    b->size = 1 + any(4);
    b->width = 1 + any(60);
    b->height = 1 + any(20);
    b->to_pitch = b->width * b->size + any(500);
    b->from_pitch = b->width * b->size + any(500);
    b->to = any(MEMORY);
    b->from = (b->to + MEMORY / 2) % MEMORY; /* they don't meet */
    b->rop = any(2) ? 0x0d : rops[any(COUNT(rops))];
    b->pattern = any(3) == 0;
    b->expand = any(3) == 0;
    b->system = any(3) == 0;
    b->solid = b->pattern && b->expand && !b->system && any(3) == 0;
    b->transparent = !b->solid && (b->expand || b->size <= 2) && any(3) == 0;
    b->invert = any(3) == 0;
    b->dwords = any(2);
    b->backwards = !b->system && !b->pattern && !b->expand && any(2);
    b->skip = (u8)(any(4) ? 0 : any(8));
    b->foreground = (u32)random_next(&seed);
    b->background = (u32)random_next(&seed);
    b->key = expected[b->from] | (u32)expected[(b->from + 1) % MEMORY] << 8;
    for (u32 i = 0; i < sizeof b->data; i++) {
        b->data[i] = (u8)random_next(&seed);
    }
}

static void test_blitter(void)
{
    static Blit b;
    u32 wrong = 0, waits = 0;

    for (u32 i = 0; i < MEMORY; i++) {
        memory[i] = expected[i] = (u8)(random_next(&seed) >> 20);
    }
    for (u32 round = 0; round < ROUNDS && !wrong; round++) {
        choose(&b);
        /* The reference copies all memory: few places are enough. */
        reference(&b);
        start(&b);
        if (b.system) {
            waits += get_graphics(0x31) & 1;
            send(&b);
        }
        wrong += memcmp(memory, expected, MEMORY) != 0 || get_graphics(0x31) & 1;
        if (wrong) {
            printf("# round %u: size %u width %u height %u rop %02x%s%s%s%s%s%s\n", round, b.size,
                   b.width, b.height, b.rop, b.backwards ? " backwards" : "",
                   b.transparent ? " transparent" : "", b.pattern ? " pattern" : "",
                   b.expand ? " expand" : "", b.system ? " system" : "", b.solid ? " solid" : "");
        }
    }
    OK(!wrong, "%d random blits are as the reference has them", ROUNDS);
    OK(waits > 0, "while a blit waits for data it is busy");
    set_graphics(0x30, 4);
    set_graphics(0x31, 2);
    set_graphics(0x31, 4);
    set_graphics(0x31, 0);
    OK(!(get_graphics(0x31) & 1), "a reset ends a blit that waits");
}

static void test_overlap(void)
{
    static Blit b;

    for (unsigned backwards = 0; backwards < 2; backwards++) {
        memset(&b, 0, sizeof b);
        b = (Blit){
            .width = 200, .height = 50, .size = 1, .to_pitch = 640, .from_pitch = 640, .rop = 0x0d};
        b.backwards = backwards;
        b.from = backwards ? 640 * 100 : 640 * 8;
        b.to = backwards ? b.from + 640 * 8 : 0;
        reference(&b);
        start(&b);
        OK(!memcmp(memory, expected, MEMORY), "scrolling %s", backwards ? "down" : "up");
    }
}

/* -- Memory */

static void test_window(void)
{
    MapReader *reader = &bare.board.dma;

    set_seq(7, 1);
    set_graphics(0xb, 0x20); /* 16 KiB steps */
    set_graphics(9, 5);
    map_write(reader, 0xa1234, 4, 0x44332211, NULL);
    OK(memory[5 * 16384 + 0x1234] == 0x11 && memory[5 * 16384 + 0x1237] == 0x44,
       "the window shows the bank of GR9");
    set_graphics(0xb, 1);
    set_graphics(0xa, 100);
    map_write(reader, 0xa8000, 1, 0x77, NULL);
    OK(memory[100 * 4096] == 0x77 && map_read(reader, 0xa8000, 1, NULL) == 0x77,
       "its second half that of GRA");
    set_graphics(9, 0);
    set_graphics(0xb, 4);
    set_graphics(5, 5);
    set_color(1, 0xabcd);
    set_color(0, 0x1234);
    map_write(reader, 0xa0100, 1, 0xa0, NULL);
    OK(memory[0x100] == 0xcd && memory[0x101] == 0x34 && memory[0x102] == 0xcd,
       "write mode 5 makes eight pixels of a byte");
    set_memory(0x200, 1, 0x80);
    OK(memory[0x200] == 0xcd && memory[0x201] == 0x34, "in the linear frame buffer, too");
    set_graphics(0xb, 0x14);
    set_memory(0x30, 1, 0x80);
    OK(memory[0x300] == 0xcd && memory[0x301] == 0xab && memory[0x302] == 0x34 &&
           memory[0x303] == 0x12,
       "of 16 bits, at addresses that count 16 bytes");
    set_graphics(5, 0);
    set_graphics(0xb, 0);
    set_memory(0x30, 1, 0x99);
    OK(memory[0x30] == 0x99 && get_memory(0x30) == 0x99, "then memory is as before");
    set_seq(0x17, 4);
    map_write(reader, 0xb8008, 2, 0x3ff, NULL);
    OK(get_graphics(0x20) == 0xff && get_graphics(0x21) == 3, "blitter registers at 0xb8000");
    set_seq(0x17, 0x44);
    set_memory(MEMORY - 256 + 0xa, 1, 0x55);
    OK(get_graphics(0x22) == 0x55 && get_seq(0x17) == 0x64, "and at the end of the frame buffer");
    set_seq(0x17, 0);
}

/* -- Registers */

static void test_registers(void)
{
    set_seq(6, 0);
    OK(get_seq(6) == 0x0f, "locked");
    set_seq(6, 0x12);
    OK(get_seq(6) == 0x12, "unlocked");
    set_crtc(0x27, 0);
    OK(bare_in(&bare, 0x3d5) == 0xb8, "CR27 says 5446");
    set_crtc(0x1b, 0x22);
    OK(bare_in(&bare, 0x3d5) == 0x22, "CR1B is kept");
    bare_in(&bare, 0x3c8);
    for (unsigned i = 0; i < 4; i++) {
        bare_in(&bare, 0x3c6);
    }
    bare_out(&bare, 0x3c6, 0xc1);
    OK(bare_in(&bare, 0x3c6) == 0xff, "the DAC's mask is another register");
    for (unsigned i = 0; i < 3; i++) {
        bare_in(&bare, 0x3c6);
    }
    OK(bare_in(&bare, 0x3c6) == 0xc1, "after four reads comes the hidden one");
}

/* -- The picture */

/* 64 by 16 pixels. */
static void set_mode(u8 seq_mode, u8 hidden)
{
    set_seq(1, 1);
    set_seq(7, seq_mode);
    set_crtc(0x11, 0);
    set_crtc(1, 7);
    set_crtc(0x12, 15);
    set_crtc(7, 0);
    set_crtc(9, 0);
    set_crtc(0xc, 0);
    set_crtc(0xd, 0x40);  /* start: byte 256 */
    set_crtc(0x13, 0x40); /* 512 bytes a row */
    set_crtc(0x1b, 0);
    bare_in(&bare, 0x3da);
    bare_out(&bare, 0x3c0, 0x20);
    bare_in(&bare, 0x3c8);
    for (unsigned i = 0; i < 4; i++) {
        bare_in(&bare, 0x3c6);
    }
    bare_out(&bare, 0x3c6, hidden);
}

static u32 pixel(u32 x, u32 y)
{
    const DisplaySurface *surface = display_surface(display);

    display_update(display);
    return x < surface->width && y < surface->height ? surface->pixels[y * surface->width + x]
                                                     : 1u << 31;
}

static void test_picture(void)
{
    static const struct {
        u8 mode, hidden;
        u32 bytes, value, color;
    } modes[] = {{0x01, 0x00, 1, 5, 0x0000ff},        {0x07, 0xc0, 2, 0x7c1f, 0xff00ff},
                 {0x07, 0xc1, 2, 0xf81f, 0xff00ff},   {0x03, 0xc1, 2, 0x07e0, 0x00ff00},
                 {0x05, 0xc5, 3, 0x123456, 0x123456}, {0x09, 0xc5, 4, 0xff654321, 0x654321}};

    bare_out(&bare, 0x3c8, 5);
    bare_out(&bare, 0x3c9, 0);
    bare_out(&bare, 0x3c9, 0);
    bare_out(&bare, 0x3c9, 63);
    for (size_t i = 0; i < COUNT(modes); i++) {
        set_mode(modes[i].mode, modes[i].hidden);
        pixel(0, 0);
        for (u32 byte = 0; byte < modes[i].bytes; byte++) {
            set_memory(256 + 3 * 512 + 7 * modes[i].bytes + byte, 1,
                       modes[i].value >> 8 * byte & 0xff);
        }
        OK(pixel(7, 3) == modes[i].color && display_surface(display)->width == 64,
           "mode %02x: pixel is %06x", modes[i].mode, pixel(7, 3));
    }
}

static void test_cursor(void)
{
    u32 below;

    set_mode(9, 0xc5);
    memset(memory, 0x22, 65536);
    set_seq(0x12, 2); /* the cursor's colours */
    bare_out(&bare, 0x3c8, 0);
    for (unsigned i = 0; i < 3; i++) {
        bare_out(&bare, 0x3c9, 63);
    }
    bare_out(&bare, 0x3c8, 15);
    for (unsigned i = 0; i < 3; i++) {
        bare_out(&bare, 0x3c9, i == 0 ? 63 : 0);
    }
    set_seq(0x12, 1);
    set_seq(0x13, 1);
    memset(memory + MEMORY - 16384, 0, 16384);
    memory[MEMORY - 16384 + 256] = 0x30;       /* plane 0 of the first row: 0011 */
    memory[MEMORY - 16384 + 256 + 128] = 0x50; /* plane 1: 0101 */
    set_seq(0x10 | 3 << 5, 1);                 /* x = 11 */
    set_seq(0x11 | 2 << 5, 0);                 /* y = 2 */
    below = pixel(11, 2);
    OK(below == 0x222222 && pixel(12, 2) == 0xffffff && pixel(13, 2) == 0xdddddd &&
           pixel(14, 2) == 0xff0000 && pixel(12, 3) == 0x222222,
       "the cursor: nothing, background, inverse, foreground");
    set_seq(0x12, 0);
    OK(pixel(12, 2) == 0x222222, "and without it");
}

static void interrupt(void *opaque, unsigned line, bool level)
{
    (void)opaque, (void)line, (void)level;
}

static void message(void *opaque, u64 address, u32 data)
{
    (void)opaque, (void)address, (void)data;
}

int main(void)
{
    char *error = NULL;

    bare_start(&bare);
    display = display_new();
    expected = malloc(MEMORY);
    pci = pci_bus_new(&bare.board, &(PciWires){NULL, interrupt, message});
    cirrus = device_new(&device_cirrus_vga, &bare.board, NULL);
    device_set_backend(cirrus, "display", display, NULL);
    if (device_start(cirrus, &error) < 0 || pci_attach(pci, cirrus, 2, 0, &error) < 0) {
        printf("Bail out! %s\n", error);
        return 1;
    }
    device_reset(cirrus);
    pci_config_write(pci, 2, 0, 0x10, 4, (u32)base);
    pci_config_write(pci, 2, 0, 0x14, 4, (u32)registers);
    pci_config_write(pci, 2, 0, 0x04, 2, 7);
    memory = map_ram(&bare.board.dma, base, MEMORY, true);
    OK(memory != NULL, "the frame buffer is memory");
    if (memory) {
        test_registers();
        test_blitter();
        test_overlap();
        test_window();
        test_picture();
        test_cursor();
    }
    device_free(cirrus);
    pci_bus_free(pci);
    display_free(display);
    bare_stop(&bare);
    free(expected);
    return tap_done();
}
