/* Argument conversion, driven by the tables of syscall.h.
 *
 * Guest structures are copied into a scratch area on the stack, converted, and copied back after
 * the call. What needs no conversion is passed to the kernel as it is, which checks it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "user/access.h"
#include "user/proc_files.h"
#include "user/process.h"
#include "user/syscall.h"

enum {
    SCRATCH_SIZE = 8192,
    STRUCT_MAX = 512,  /* bytes of the largest structure that is converted */
    COUNT_MAX = 65536, /* structures of one argument that are converted */
};

typedef struct Conversion {
    Thread *thread;
    const Syscall *call;
    const u64 *guest;
    u64 host[SYSCALL_ARGUMENTS];
    u8 scratch[SCRATCH_SIZE];
    size_t used;
    u8 *large[SYSCALL_ARGUMENTS]; /* of arguments that do not fit there; owned */
    char paths[2][PATH_MAX];
    unsigned path_count;
} Conversion;

static s64 get_signed(const u8 *at, unsigned size, bool big_endian)
{
    u64 value = get_value(at, size, big_endian);

    return size == 8 ? (s64)value : (s64)(value << (64 - 8 * size)) >> (64 - 8 * size);
}

/* Copies one field; false when the value does not fit. */
static bool copy_field(const StructField *f, u8 *to, const u8 *from, unsigned to_size,
                       unsigned from_size, bool to_big, bool from_big)
{
    for (unsigned i = 0; i < f->count; i++) {
        const u8 *source = from + i * from_size;
        u64 value = f->kind == 's' ? (u64)get_signed(source, from_size, from_big)
                                   : get_value(source, from_size, from_big);
        u8 *target = to + i * to_size;
        put_value(target, value, to_size, to_big);
        u64 back = f->kind == 's' ? (u64)get_signed(target, to_size, to_big)
                                  : get_value(target, to_size, to_big);
        if (back != value) {
            return false;
        }
    }
    return true;
}

int struct_to_guest(const StructLayout *layout, u8 *guest, const u8 *host, bool big_endian)
{
    const bool host_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

    memset(guest, 0, layout->guest_size);
    for (unsigned i = 0; i < layout->field_count; i++) {
        const StructField *f = &layout->fields[i];
        if (!copy_field(f, guest + f->guest_offset, host + f->host_offset, f->guest_size,
                        f->host_size, big_endian, host_big)) {
            return -EOVERFLOW;
        }
    }
    return 0;
}

int struct_to_host(const StructLayout *layout, u8 *host, const u8 *guest, bool big_endian)
{
    const bool host_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

    memset(host, 0, layout->host_size);
    for (unsigned i = 0; i < layout->field_count; i++) {
        const StructField *f = &layout->fields[i];
        if (!copy_field(f, host + f->host_offset, guest + f->guest_offset, f->host_size,
                        f->guest_size, host_big, big_endian)) {
            return -EOVERFLOW;
        }
    }
    return 0;
}

int struct_from_guest(const Thread *thread, int structure, void *host, u64 address)
{
    const StructLayout *layout = thread->abi->structs[structure];
    u8 guest[STRUCT_MAX];

    return copy_from_guest(guest, address, layout->guest_size)
               ? struct_to_host(layout, host, guest, thread->abi->big_endian)
               : -EFAULT;
}

int struct_into_guest(const Thread *thread, int structure, u64 address, const void *host)
{
    const StructLayout *layout = thread->abi->structs[structure];
    u8 guest[STRUCT_MAX];

    int error = struct_to_guest(layout, guest, host, thread->abi->big_endian);
    return error || copy_to_guest(address, guest, layout->guest_size) ? error : -EFAULT;
}

bool word_from_guest(const Thread *thread, u64 address, u64 *value)
{
    u8 bytes[8];

    if (!copy_from_guest(bytes, address, thread->abi->word_size)) {
        return false;
    }
    *value = get_value(bytes, thread->abi->word_size, thread->abi->big_endian);
    return true;
}

bool word_into_guest(const Thread *thread, u64 address, u64 value)
{
    u8 bytes[8];

    put_value(bytes, value, thread->abi->word_size, thread->abi->big_endian);
    return copy_to_guest(address, bytes, thread->abi->word_size);
}

u64 bits_to_host(const BitSet *bits, u64 value)
{
    u64 result = value;

    if (bits->same) {
        return value;
    }
    for (unsigned i = 0; i < bits->count; i++) {
        if (bits->words[i].guest != bits->words[i].host) {
            result &= ~bits->words[i].guest;
        }
    }
    for (unsigned i = 0; i < bits->count; i++) {
        const BitName *word = &bits->words[i];
        if (word->guest != word->host && (value & word->mask) == word->guest) {
            result |= word->host;
        }
    }
    return result;
}

u64 bits_to_guest(const BitSet *bits, u64 value)
{
    u64 result = value;

    if (bits->same) {
        return value;
    }
    for (unsigned i = 0; i < bits->count; i++) {
        if (bits->words[i].guest != bits->words[i].host) {
            result &= ~bits->words[i].host;
        }
    }
    for (unsigned i = 0; i < bits->count; i++) {
        const BitName *word = &bits->words[i];
        if (word->guest != word->host && (value & word->host) == word->host) {
            result |= word->guest;
        }
    }
    return result;
}

static PathMode path_mode(const Conversion *c, const SyscallArgument *a)
{
    u64 flags = a->size_argument == NO_ARGUMENT ? 0 : c->host[a->size_argument];

    switch (a->kind) {
    case ARGUMENT_PATH_LINK:
        return PATH_NOFOLLOW;
    case ARGUMENT_PATH_CREATE:
        return PATH_CREATE;
    case ARGUMENT_PATH_CREAT:
        return PATH_FOLLOW_CREATE;
    case ARGUMENT_PATH_FLAGS:
        return flags & AT_SYMLINK_NOFOLLOW ? PATH_NOFOLLOW : PATH_FOLLOW;
    case ARGUMENT_PATH_OPEN:
        return flags & O_NOFOLLOW || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)
                   ? (flags & O_CREAT ? PATH_CREATE : PATH_NOFOLLOW)
               : flags & O_CREAT ? PATH_FOLLOW_CREATE
                                 : PATH_FOLLOW;
    default:
        return PATH_FOLLOW;
    }
}

/* What a relative name is relative to. */
static int path_directory(const Conversion *c, unsigned index)
{
    bool given = index > 0 && c->call->arguments[index - 1].kind == ARGUMENT_DIRECTORY;

    return given ? (int)c->guest[index - 1] : AT_FDCWD;
}

static s64 convert_path(Conversion *c, const SyscallArgument *a, unsigned index)
{
    char name[PATH_MAX];

    if (!c->guest[index]) {
        return 0; /* some calls take a null name; the kernel refuses it for the others */
    }
    s64 length = copy_string_from_guest(name, c->guest[index], sizeof name);
    if (length < 0) {
        return length;
    }
    Process *process = c->thread->process;
    PathMode mode = path_mode(c, a);
    char *buffer = c->paths[c->path_count++];
    const char *host =
        mode == PATH_FOLLOW && proc_is_own(name, "exe")
            ? process->executable_host
            : path_to_host(&process->root, path_directory(c, index), name, mode, buffer);
    if (host == name) {
        host = memcpy(buffer, name, (size_t)length + 1);
    }
    c->host[index] = host_to_guest(host);
    return 0;
}

/* How many structures the argument points at. */
static u64 struct_count(const Conversion *c, const SyscallArgument *a)
{
    u64 count = a->count;

    if (a->size_argument != NO_ARGUMENT) {
        count = c->guest[a->size_argument];
        if (c->call->arguments[a->size_argument].is_signed32 && (s32)count < 0) {
            return 0; /* the kernel refuses it */
        }
    }
    return count;
}

/* Room for the host's structures of argument `index`; NULL when there is not enough. */
static u8 *take_scratch(Conversion *c, unsigned index, size_t size)
{
    size = ALIGN_UP(size, 16);
    if (size <= SCRATCH_SIZE - c->used) {
        c->used += size;
        return c->scratch + c->used - size;
    }
    return c->large[index] = calloc(1, size);
}

static s64 convert_struct(Conversion *c, const SyscallArgument *a, unsigned index)
{
    const StructLayout *layout = a->structure;
    u64 count = struct_count(c, a);
    u8 guest[STRUCT_MAX];

    if (!c->guest[index] || layout->guest_size > sizeof guest) {
        return c->guest[index] ? -EINVAL : 0;
    }
    if (count > COUNT_MAX) {
        if (a->kind != ARGUMENT_OUT) {
            return -EINVAL;
        }
        count = COUNT_MAX; /* calls that fill arrays take it for the array's size */
        c->host[a->size_argument] = count;
    }
    u8 *host = take_scratch(c, index, layout->host_size * count);
    if (!host) {
        return -ENOMEM;
    }
    c->host[index] = host_to_guest(host);
    if (a->kind == ARGUMENT_OUT) {
        return 0;
    }
    for (u64 i = 0; i < count; i++) {
        if (!copy_from_guest(guest, c->guest[index] + i * layout->guest_size, layout->guest_size)) {
            return -EFAULT;
        }
        int error =
            struct_to_host(layout, host + i * layout->host_size, guest, c->thread->abi->big_endian);
        if (error) {
            return error;
        }
    }
    return 0;
}

static bool is_path(u8 kind)
{
    return kind >= ARGUMENT_PATH && kind <= ARGUMENT_PATH_OPEN;
}

static bool is_converted_struct(const SyscallArgument *a)
{
    return a->kind >= ARGUMENT_IN && a->structure && !a->structure->same;
}

static s64 convert_in(Conversion *c)
{
    const SyscallArgument *arguments = c->call->arguments;

    memcpy(c->host, c->guest, sizeof c->host);
    for (unsigned i = 0; i < c->call->argument_count; i++) {
        if (arguments[i].kind == ARGUMENT_BITS) { /* before names, which depend on them */
            c->host[i] = bits_to_host(arguments[i].bits, c->guest[i]);
        }
    }
    for (unsigned i = 0; i < c->call->argument_count; i++) {
        s64 error = 0;
        if (is_path(arguments[i].kind)) {
            error = convert_path(c, &arguments[i], i);
        } else if (is_converted_struct(&arguments[i])) {
            error = convert_struct(c, &arguments[i], i);
        }
        if (error) {
            return error;
        }
    }
    return 0;
}

static s64 convert_out(Conversion *c, s64 result)
{
    u8 guest[STRUCT_MAX];

    for (unsigned i = 0; i < c->call->argument_count; i++) {
        const SyscallArgument *a = &c->call->arguments[i];
        if (!is_converted_struct(a) || a->kind == ARGUMENT_IN || !c->guest[i]) {
            continue;
        }
        /* An array that the call filled: as many as it says. */
        u64 count = struct_count(c, a);
        if (a->kind == ARGUMENT_OUT && a->size_argument != NO_ARGUMENT) {
            count = MIN((u64)result, count);
        }
        for (u64 k = 0; k < count; k++) {
            const u8 *host = guest_to_host(c->host[i] + k * a->structure->host_size);
            int error = struct_to_guest(a->structure, guest, host, c->thread->abi->big_endian);
            if (error) {
                return error;
            }
            if (!copy_to_guest(c->guest[i] + k * a->structure->guest_size, guest,
                               a->structure->guest_size)) {
                return -EFAULT;
            }
        }
    }
    return result;
}

s64 call_converted(Thread *thread, const Syscall *call, const u64 arguments[SYSCALL_ARGUMENTS])
{
    Conversion c;

    c.thread = thread;
    c.call = call;
    c.guest = arguments;
    c.used = 0;
    c.path_count = 0;
    memset(c.large, 0, sizeof c.large);
    s64 result = convert_in(&c);
    if (result == 0) {
        const u64 *host = c.host;
        u64 ordered[SYSCALL_ARGUMENTS];
        if (call->host_arguments) {
            call_host_arguments(call, c.host, ordered);
            host = ordered;
        }
        result = call->handler ? call->handler(thread, host)
                               : host_call(thread, call->host_number, host);
        if (result >= 0 || result < -4096) {
            result = convert_out(&c, result);
        }
    }
    for (unsigned i = 0; i < SYSCALL_ARGUMENTS; i++) {
        free(c.large[i]);
    }
    return result;
}
