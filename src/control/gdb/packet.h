/* Packets of gdb's remote protocol ("Overview"): "$DATA#CHECKSUM" both ways, acknowledged by '+'
 * until that is switched off. What comes is any bytes. */
#ifndef CONTROL_GDB_PACKET_H
#define CONTROL_GDB_PACKET_H

#include "base/types.h"

enum { GDB_PACKET_MAX = 16384 }; /* bytes of data, either way */

typedef enum GdbEvent {
    GDB_MORE,      /* nothing complete yet */
    GDB_PACKET,    /* data[] holds one, unescaped and ended by 0 */
    GDB_INTERRUPT, /* the byte 3 between packets: stop */
    GDB_BAD,       /* one with a wrong checksum, or too long */
    GDB_AGAIN,     /* '-': the last answer did not arrive */
} GdbEvent;

/* A reader of bytes; zero-initialised it is ready. */
typedef struct GdbReader {
    enum { GDB_BETWEEN, GDB_DATA, GDB_ESCAPED, GDB_SUM_1, GDB_SUM_2 } state;
    u8 sum, wanted;
    bool overflow;
    u32 size;
    char data[GDB_PACKET_MAX + 1];
} GdbReader;

GdbEvent gdb_read_byte(GdbReader *reader, u8 byte);

/* A packet being written; zero-initialised it is empty. What does not fit is cut off. */
typedef struct GdbWriter {
    u32 size;
    char data[GDB_PACKET_MAX];
} GdbWriter;

void gdb_put_text(GdbWriter *writer, const char *text);
void gdb_printf(GdbWriter *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Two digits a byte. */
void gdb_put_hex(GdbWriter *writer, const void *bytes, u32 count);
/* As they are; gdb_frame() escapes them. */
void gdb_put_bytes(GdbWriter *writer, const void *bytes, u32 count);

/* The bytes to send; returns how many. `out` has room for GDB_FRAME_MAX. */
enum { GDB_FRAME_MAX = 2 * GDB_PACKET_MAX + 4 };
u32 gdb_frame(const GdbWriter *writer, char *out);

/* -- Reading what is in a packet: each moves *text past what it took, and is false when the text is
 * not so. */

bool gdb_take(const char **text, char wanted);
/* A hexadecimal number of at least one digit; more than 64 bits are too many. */
bool gdb_take_number(const char **text, u64 *value);
/* "-1" (all) or a number, also the multiprocess form "pPROCESS.THREAD". All: -1, any: 0. */
bool gdb_take_thread(const char **text, s64 *thread);
/* Exactly `count` bytes in hexadecimal. */
bool gdb_take_hex(const char **text, u8 *bytes, u32 count);

#endif
