/* Packets of gdb's remote protocol: see packet.h. */
#include "control/gdb/packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ESCAPE = '}', ESCAPE_XOR = 0x20 };

/* The value of a hexadecimal digit; -1: it is none. */
static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* -- Packets that come */

static void append(GdbReader *r, u8 byte)
{
    if (r->size < GDB_PACKET_MAX) {
        r->data[r->size++] = (char)byte;
    } else {
        r->overflow = true;
    }
}

static GdbEvent between(GdbReader *r, u8 byte)
{
    switch (byte) {
    case '$':
        r->state = GDB_DATA;
        r->sum = 0;
        r->size = 0;
        r->overflow = false;
        return GDB_MORE;
    case '-':
        return GDB_AGAIN;
    case 3:
        return GDB_INTERRUPT;
    default:
        return GDB_MORE;
    }
}

static GdbEvent end(GdbReader *r)
{
    r->state = GDB_BETWEEN;
    r->data[r->size] = 0;
    return r->wanted == r->sum && !r->overflow ? GDB_PACKET : GDB_BAD;
}

GdbEvent gdb_read_byte(GdbReader *r, u8 byte)
{
    int value = digit((char)byte);

    switch (r->state) {
    case GDB_BETWEEN:
        return between(r, byte);
    case GDB_DATA:
        if (byte == '#') {
            r->state = GDB_SUM_1;
            return GDB_MORE;
        }
        r->sum += byte;
        if (byte == ESCAPE) {
            r->state = GDB_ESCAPED;
        } else {
            append(r, byte);
        }
        return GDB_MORE;
    case GDB_ESCAPED:
        r->sum += byte;
        append(r, byte ^ ESCAPE_XOR);
        r->state = GDB_DATA;
        return GDB_MORE;
    case GDB_SUM_1:
        r->wanted = (u8)((u8)value << 4);
        r->overflow |= value < 0;
        r->state = GDB_SUM_2;
        return GDB_MORE;
    case GDB_SUM_2:
        r->wanted |= (u8)value;
        r->overflow |= value < 0;
        return end(r);
    }
    return GDB_MORE;
}

/* -- Packets that go */

void gdb_put_bytes(GdbWriter *writer, const void *bytes, u32 count)
{
    u32 fits = MIN(count, (u32)sizeof writer->data - writer->size);

    memcpy(writer->data + writer->size, bytes, fits);
    writer->size += fits;
}

void gdb_put_text(GdbWriter *writer, const char *text)
{
    gdb_put_bytes(writer, text, (u32)strlen(text));
}

void gdb_printf(GdbWriter *writer, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    gdb_put_text(writer, text);
}

void gdb_put_hex(GdbWriter *writer, const void *bytes, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        gdb_printf(writer, "%02x", ((const u8 *)bytes)[i]);
    }
}

u32 gdb_frame(const GdbWriter *writer, char *out)
{
    u32 size = 0;
    u8 sum = 0;

    out[size++] = '$';
    for (u32 i = 0; i < writer->size; i++) {
        char c = writer->data[i];
        if (c == '$' || c == '#' || c == '*' || c == ESCAPE) {
            out[size++] = ESCAPE;
            sum += ESCAPE;
            c ^= ESCAPE_XOR;
        }
        out[size++] = c;
        sum += (u8)c;
    }
    return size + (u32)sprintf(out + size, "#%02x", sum);
}

/* -- Parts of packets */

bool gdb_take(const char **text, char wanted)
{
    bool there = **text == wanted;

    *text += there;
    return there;
}

bool gdb_take_number(const char **text, u64 *value)
{
    const char *start = *text;
    int next;

    for (*value = 0; (next = digit(**text)) >= 0; (*text)++) {
        if (*value >> 60) {
            return false;
        }
        *value = *value << 4 | (u64)next;
    }
    return *text != start;
}

/* A number, or -1. */
static bool take_identifier(const char **text, s64 *value)
{
    u64 number = 0;

    if (!strncmp(*text, "-1", 2)) {
        *text += 2;
        *value = -1;
        return true;
    }
    bool ok = gdb_take_number(text, &number) && number <= INT32_MAX;
    *value = (s64)number;
    return ok;
}

bool gdb_take_thread(const char **text, s64 *thread)
{
    if (!gdb_take(text, 'p')) {
        return take_identifier(text, thread);
    }
    if (!take_identifier(text, thread)) {
        return false;
    }
    if (gdb_take(text, '.')) {
        return take_identifier(text, thread);
    }
    *thread = -1; /* all of the process */
    return true;
}

bool gdb_take_hex(const char **text, u8 *bytes, u32 count)
{
    for (u32 i = 0; i < count; i++, *text += 2) {
        int high = digit((*text)[0]), low = high < 0 ? -1 : digit((*text)[1]);
        if (low < 0) {
            return false;
        }
        bytes[i] = (u8)(high << 4 | low);
    }
    return true;
}
