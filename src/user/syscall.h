/* System calls as tables: what each one is called, takes and returns.
 *
 * The rows come from linux/syscalls.def and friends through the generator gen-syscalls; a run-time
 * converter (convert.c), the dispatcher (syscall.c), --strace (strace.c) and the tests read them.
 */
#ifndef USER_SYSCALL_H
#define USER_SYSCALL_H

#include "base/types.h"
#include "user/abi.h"

/* A field of a structure in the guest's and the host's layout. */
typedef struct StructField {
    const char *name;
    u16 guest_offset, host_offset;
    u8 guest_size, host_size; /* bytes of one element; 0: this side lacks the field */
    char kind;                /* 's' signed, 'u' unsigned, 'p' pointer, 'c' text */
    u16 count;                /* elements */
} StructField;

typedef struct StructLayout {
    const char *name;
    u16 guest_size, host_size; /* bytes, with trailing padding */
    bool same;                 /* both layouts and byte orders agree: no conversion */
    u8 field_count;
    const StructField *fields;
} StructLayout;

/* A word of a flag set: (value & mask) == guest means it is there. */
typedef struct BitName {
    const char *name;
    u64 guest, host, mask; /* mask in the guest's encoding; for single bits mask == guest */
} BitName;

typedef struct BitSet {
    const char *name;
    bool same; /* guest and host values agree */
    u8 count;
    const BitName *words;
} BitSet;

typedef enum ArgumentKind {
    ARGUMENT_SIGNED,
    ARGUMENT_UNSIGNED,
    ARGUMENT_HEX,
    ARGUMENT_OCTAL,
    ARGUMENT_DIRECTORY, /* file descriptor or AT_FDCWD */
    ARGUMENT_SIGNAL,
    ARGUMENT_UID16, /* 32-bit ABIs' old calls: 0xffff is -1 */
    ARGUMENT_BITS,
    ARGUMENT_STRING,
    ARGUMENT_PATH,        /* follows a last symbolic link */
    ARGUMENT_PATH_LINK,   /* does not */
    ARGUMENT_PATH_CREATE, /* the last component is about to be made */
    ARGUMENT_PATH_CREAT,  /* creat(2): follows a last symbolic link, makes what is not there */
    ARGUMENT_PATH_FLAGS,  /* as `size_argument`, a flag word, says with AT_SYMLINK_NOFOLLOW */
    ARGUMENT_PATH_OPEN,   /* as `size_argument`, open flags, says with O_NOFOLLOW and O_CREAT */
    ARGUMENT_IN,          /* bytes or structures that the call reads */
    ARGUMENT_OUT,
    ARGUMENT_INOUT,
} ArgumentKind;

enum { NO_ARGUMENT = 0xff };

typedef struct SyscallArgument {
    const char *name;
    u8 kind;                       /* ArgumentKind */
    u8 size_argument;              /* index of the argument with the count, or NO_ARGUMENT */
    u16 count;                     /* fixed count of structures when there is no such argument */
    bool is_signed32;              /* kind SIGNED: an int, not a long */
    u8 first_register;             /* by number of the call convention */
    u8 registers;                  /* 2: a 64-bit value of a 32-bit ABI */
    bool low_first;                /* in either byte order */
    const StructLayout *structure; /* IN, OUT, INOUT: NULL for bytes */
    const BitSet *bits;            /* BITS */
} SyscallArgument;

typedef enum ResultKind {
    RESULT_SIGNED,
    RESULT_HEX,
    RESULT_OCTAL,
    RESULT_NONE,
    RESULT_BITS,
    RESULT_ID16, /* a user or group id that a 16-bit word holds, or 65534 */
} ResultKind;

/* An argument of the host's call: one of the guest's by index, or with NO_ARGUMENT a constant. */
typedef struct SyscallHostArgument {
    u8 index;
    s32 constant;
} SyscallHostArgument;

/* Registers in (guest's, or converted to the host's), result out: a value or -errno. */
typedef s64 SyscallHandler(Thread *thread, const u64 arguments[SYSCALL_ARGUMENTS]);

struct Syscall {
    const char *name; /* NULL: no such number */
    s32 host_number;  /* -1: not on this host */
    u8 argument_count;
    u8 result;               /* ResultKind */
    bool raw;                /* the handler takes the guest's registers as they are */
    bool plain;              /* nothing to convert */
    SyscallHandler *handler; /* NULL: the host's kernel */
    const SyscallArgument *arguments;
    const SyscallHostArgument *host_arguments; /* six; NULL: the guest's in the same order */
};

/* A request of ioctl(2) that differs between the ABIs; a table of them ends with a null name. */
typedef struct Ioctl {
    const char *name;
    u32 guest, host; /* request numbers */
    u8 kind;         /* ARGUMENT_IN, _OUT or _INOUT */
    const StructLayout *structure;
} Ioctl;

/* Result besides values and errnos, never seen by the guest; host_stubs.h has two more. */
enum {
    SYSCALL_NO_RESULT = -514, /* the handler has set the registers */
};

/* Reads the guest's call from its registers, does it, writes the result back. `code` is the exit's.
 */
void syscall_dispatch(Thread *thread, u32 code);

/* The table's row of a number; NULL: there is none. */
const Syscall *syscall_find(const GuestAbi *abi, u64 number);

/* Does a call of the table with arguments in the order of its row, each a 64-bit value. */
s64 call_known(Thread *thread, const Syscall *call, const u64 *arguments);

/* The same for a row of the table by its name; -ENOSYS if there is none. */
s64 call_by_name(Thread *thread, const char *name, const u64 *arguments);

/* The arguments of the host's call, for rows with host_arguments. */
void call_host_arguments(const Syscall *call, const u64 *guest, u64 *host);

/* The kernel's system call, interruptible by a guest signal. For handlers of rows with `by`. */
s64 host_call(Thread *thread, s64 number, const u64 arguments[SYSCALL_ARGUMENTS]);

/* convert.c: performs a call whose arguments need conversion. */
s64 call_converted(Thread *thread, const Syscall *call, const u64 arguments[SYSCALL_ARGUMENTS]);

/* Copies a structure between its layouts. The guest side is bytes in the guest's order. Returns 0
 * or -EOVERFLOW when a value does not fit. */
int struct_to_guest(const StructLayout *layout, u8 *guest, const u8 *host, bool big_endian);
int struct_to_host(const StructLayout *layout, u8 *host, const u8 *guest, bool big_endian);

/* A structure (user/structs.h) at a guest address from and to the host's layout. Returns 0, -EFAULT
 * or -EOVERFLOW. */
int struct_from_guest(const Thread *thread, int structure, void *host, u64 address);
int struct_into_guest(const Thread *thread, int structure, u64 address, const void *host);

/* A long or pointer at a guest address, zero-extended; false: not accessible. */
bool word_from_guest(const Thread *thread, u64 address, u64 *value);
bool word_into_guest(const Thread *thread, u64 address, u64 value);

/* A flag word in the other side's encoding; unknown bits stay. */
u64 bits_to_host(const BitSet *bits, u64 value);
u64 bits_to_guest(const BitSet *bits, u64 value);

/* Every handler named in syscalls.def. */
#define HANDLER(name) SyscallHandler name
#include "user/handlers.h"
#undef HANDLER

#endif
