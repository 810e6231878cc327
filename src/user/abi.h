/* What the Linux layer must know about one guest ABI: registers, call convention, frame layouts.
 *
 * One const GuestAbi per ABI, in that ABI's folder; the list is in abi.c. Everything outside those
 * folders goes through this struct, so it must never include a guest's register file itself. */
#ifndef USER_ABI_H
#define USER_ABI_H

#include <signal.h>

#include "base/types.h"

typedef struct Thread Thread;
typedef struct Syscall Syscall;
typedef struct GuestFrame GuestFrame;

enum { SYSCALL_ARGUMENTS = 6 };

/* What a signal frame needs besides the registers. */
struct GuestFrame {
    u64 handler;
    u64 restorer; /* 0: the ABI's own trampoline */
    u64 stack;    /* stack pointer to push below */
    u64 old_mask; /* restored by sigreturn */
    const siginfo_t *info;
    stack_t alternate; /* the guest's sigaltstack setting */
    u64 flags;         /* the action's SA_* */
    u64 fault_address; /* 0 when the signal is not a fault */
    u32 fault_status;  /* ABI's syndrome word of a fault, from GuestAbi.fault_status */
};

/* The signal that a CPU exception becomes. */
typedef struct GuestException {
    int signal; /* 0: none, go on */
    int code;   /* si_code */
    u64 address;
    u32 status; /* as from GuestAbi.fault_status */
} GuestException;

typedef struct GuestAbi {
    const char *name;     /* as in engine options and on the command line */
    const char *platform; /* AT_PLATFORM and uname */
    const char *machine;
    const char *machine_32; /* uname's machine under the personality PER_LINUX32 */
    bool of_host;           /* the host's CPU may run such programs itself */
    u16 elf_machine;
    bool big_endian;
    u8 word_size;      /* bytes of a long and of a pointer */
    u32 minimum_stack; /* MINSIGSTKSZ: what sigaltstack(2) takes */
    u32 frame_size;    /* bytes of a signal frame: AT_MINSIGSTKSZ */
    u64 address_limit; /* one past the highest user address */
    u64 pie_base;      /* lowest address for position-independent programs, when it is free */
    /* ABIs with fewer addresses than the host: one past the stack, and where the search for free
     * addresses starts downwards. 0: the host chooses. */
    u64 stack_top, mmap_top;
    bool old_programs_execute_data; /* those without PT_GNU_STACK */
    size_t state_size;              /* bytes of the register struct */
    size_t data_size;               /* bytes of Thread.data */
    const Syscall *syscalls;        /* indexed by number; rows without a name do not exist */
    size_t syscall_count;
    const struct BitSet *open_bits;            /* for fcntl and /proc files */
    const struct StructLayout *const *structs; /* all of structs.def by enum GuestStruct */
    const struct Ioctl *ioctls;

    /* Makes the first thread's CPU, not started yet, the one that the text names (--cpu). False
     * with one line in `message`. */
    bool (*choose_cpu)(Thread *thread, const char *text, char *message, size_t size);
    /* Prints the names that there are, a line each. */
    void (*list_cpus)(void);
    /* Registers at program start: `entry` and stack pointer; everything else as the kernel leaves
     * it. */
    void (*start)(Thread *thread, u64 entry, u64 stack);
    /* Copies registers into a new thread's (or onto themselves), which sees result 0; a new stack
     * unless NULL. */
    void (*copy)(Thread *to, const Thread *from, const u64 *stack);
    /* Sets the thread pointer of a new thread, whose registers are copied, as clone(2) does with
     * CLONE_SETTLS. Returns 0 or -errno. */
    int (*set_tls)(Thread *thread, u64 tls);
    /* Puts back registers that were copied with memcpy (state_size bytes) before. */
    void (*restore)(void *state, const void *saved);
    u64 (*get_pc)(const void *state);
    u64 (*get_stack)(const void *state);
    /* System call number and argument registers; `code` says which instruction it was. */
    u64 (*get_call)(Thread *thread, u32 code, u64 registers[SYSCALL_ARGUMENTS]);
    /* Whose calls the instruction makes; NULL: this ABI's. */
    const struct GuestAbi *(*call_abi)(u32 code);
    void (*set_result)(void *state, s64 result);
    /* Moves pc back onto the system call instruction; arguments are as they were. */
    void (*restart_call)(void *state);
    /* Pushes a signal frame and points the registers at the handler. False: stack not writable. */
    bool (*push_frame)(Thread *thread, int signal, const GuestFrame *frame);
    /* Pops the frame at the stack pointer: mask and alternate stack into the out parameters; the
     * latter stays as it is if the frame has none. `old` for sigreturn, without "rt_". */
    bool (*pop_frame)(Thread *thread, bool old, u64 *mask, stack_t *alternate);
    u32 (*fault_status)(int access, int host_code); /* syndrome of a data or fetch fault */
    bool has_protection_faults; /* programs know SI_KERNEL; otherwise SEGV_MAPERR stands for it */
    /* What VCPU_EXCEPTION with this code means; NULL when the CPU has none. */
    void (*exception)(void *state, u32 code, GuestException *exception);
    /* Whether a fetch fault at a magic address was served; NULL: there are none. */
    bool (*serve_fetch)(Thread *thread, u64 pc);
    /* AT_HWCAP, AT_HWCAP2 of the CPU whose registers `state` are. */
    u64 (*hwcap)(const void *state);
    u64 (*hwcap2)(const void *state);
    /* The vDSO image: ELF with at least the signal return trampoline. Fills `page` (VDSO_SIZE
     * bytes, zeroed) for the address `base`, returns the trampoline's offset. */
    size_t (*make_vdso)(u8 *page, u64 base);
    size_t sysinfo_offset; /* AT_SYSINFO in the vDSO; 0: none */
    /* Text of /proc/cpuinfo for `cpus` processors; owned by the caller (free). */
    char *(*cpuinfo)(const void *state, int cpus);
} GuestAbi;

/* By ELF e_machine, byte order and word size; NULL when no guest fits. */
const GuestAbi *abi_find(u16 elf_machine, bool big_endian, unsigned word_size);

/* All of them, for listings; NULL past the last. */
const GuestAbi *abi_at(size_t index);

/* Name of an ELF e_machine for messages ("x86-64"), or NULL. */
const char *elf_machine_name(u16 elf_machine);

#endif
