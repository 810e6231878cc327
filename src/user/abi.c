/* The list of guest ABIs. */
#include "user/abi.h"

#include <elf.h>

#include "user/aarch64/abi.h"
#include "user/x86/abi.h"

static const GuestAbi *const abis[] = {
    &abi_aarch64,
    &abi_x86_64,
    &abi_i386,
};

const GuestAbi *abi_at(size_t index)
{
    return index < COUNT(abis) ? abis[index] : NULL;
}

const GuestAbi *abi_find(u16 elf_machine, bool big_endian, unsigned word_size)
{
    for (size_t i = 0; i < COUNT(abis); i++) {
        const GuestAbi *abi = abis[i];
        if (abi->elf_machine == elf_machine && abi->big_endian == big_endian &&
            abi->word_size == word_size) {
            return abi;
        }
    }
    return NULL;
}

static const struct {
    u16 machine;
    const char *name;
} machines[] = {
    {EM_AARCH64, "AArch64"},     {EM_ARM, "ARM"},         {EM_386, "i386"},
    {EM_X86_64, "x86-64"},       {EM_RISCV, "RISC-V"},    {EM_MIPS, "MIPS"},
    {EM_PPC, "PowerPC"},         {EM_PPC64, "PowerPC64"}, {EM_S390, "s390"},
    {EM_SPARC, "SPARC"},         {EM_SPARCV9, "SPARC64"}, {EM_68K, "m68k"},
    {EM_LOONGARCH, "LoongArch"},
};

const char *elf_machine_name(u16 elf_machine)
{
    for (size_t i = 0; i < COUNT(machines); i++) {
        if (machines[i].machine == elf_machine) {
            return machines[i].name;
        }
    }
    return NULL;
}
