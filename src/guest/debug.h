/* What a debugger sees of a guest CPU: its registers in groups, as gdb's target descriptions have
 * them (GDB manual, appendix "Target Descriptions"). Must not know gdb's protocol. */
#ifndef GUEST_DEBUG_H
#define GUEST_DEBUG_H

#include "base/types.h"

typedef struct GuestRegister {
    const char *name;
    const char *type;  /* a type that gdb knows, or one of the feature's */
    u16 bits;          /* a multiple of 8, at most GUEST_REGISTER_BYTES * 8 */
    u16 source, index; /* the guest's own */
} GuestRegister;

enum { GUEST_REGISTER_BYTES = 64 };

typedef struct GuestFeature {
    const char *name;  /* "org.gnu.gdb.i386.core" */
    const char *types; /* XML elements for the types that gdb has not; "" for none */
    const GuestRegister *registers;
    u32 count;
} GuestFeature;

typedef struct GuestDebug {
    const char *architecture;     /* gdb's name of it */
    const GuestFeature *features; /* gdb counts registers through all of them */
    u32 feature_count;
    /* The register's bytes, in the guest's byte order. The vCPU does not run. */
    void (*read)(const void *state, const GuestRegister *r, u8 *bytes);
    /* False when the register cannot be written. */
    bool (*write)(void *state, const GuestRegister *r, const u8 *bytes);
} GuestDebug;

#endif
