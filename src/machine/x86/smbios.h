/* SMBIOS: what a machine says of its maker, CPUs and memory. See smbios.c. */
#ifndef MACHINE_X86_SMBIOS_H
#define MACHINE_X86_SMBIOS_H

#include "machine/machine.h"

enum { SMBIOS_ENTRY = 24 };

typedef struct Smbios {
    u8 entry[SMBIOS_ENTRY]; /* of version 3.0 */
    u8 *bytes;              /* the structures; owned */
    size_t size;
} Smbios;

/* Makes them, as options->smbios wants ("type=N,KEY=VALUE,..."). low_size: bytes of RAM below 4
 * GiB; with_bios: also what else firmware says of itself. 0 or -errno with *error. */
int smbios_make(Smbios *smbios, const Machine *machine, u64 low_size, bool with_bios, char **error);
void smbios_free(Smbios *smbios);
/* Puts the entry point, then the structures, into memory of that size that the guest sees at
 * `address`, a multiple of 16. What does not fit is left out. */
void smbios_write(Smbios *smbios, u8 *memory, size_t size, u64 address);

#endif
