/* --strace output: see strace.h. Lines look like strace(1)'s. Reading guest memory for display
 * never fails the call: what cannot be read is printed as an address. */
#include "user/strace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "user/access.h"
#include "user/host_stubs.h"
#include "user/process.h"

enum { LINE = 2048, STRING_SHOWN = 64, ARRAY_SHOWN = 4 };

typedef struct Line {
    char text[LINE];
    size_t used;
} Line;

static void __attribute__((format(printf, 2, 3))) add(Line *line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = vsnprintf(line->text + line->used, LINE - line->used, format, args);
    va_end(args);
    line->used = MIN(line->used + (size_t)MAX(length, 0), (size_t)LINE - 1);
}

static void add_quoted(Line *line, const u8 *bytes, size_t size, bool more)
{
    add(line, "\"");
    for (size_t i = 0; i < size; i++) {
        u8 c = bytes[i];
        if (c == '\n') {
            add(line, "\\n");
        } else if (c == '\t') {
            add(line, "\\t");
        } else if (c == '"' || c == '\\') {
            add(line, "\\%c", c);
        } else if (c >= ' ' && c < 127) {
            add(line, "%c", c);
        } else {
            add(line, "\\x%02x", c);
        }
    }
    add(line, more ? "\"..." : "\"");
}

static void add_bytes(Line *line, u64 address, u64 size)
{
    u8 bytes[STRING_SHOWN];
    size_t shown = MIN(size, (u64)sizeof bytes);

    if (!address || !copy_from_guest(bytes, address, shown)) {
        add(line, address ? "%#llx" : "NULL", (unsigned long long)address);
        return;
    }
    add_quoted(line, bytes, shown, size > shown);
}

static void add_string(Line *line, u64 address)
{
    char text[512];
    s64 length = address ? copy_string_from_guest(text, address, sizeof text) : -EFAULT;

    if (length == -ENAMETOOLONG) {
        add_quoted(line, (u8 *)text, sizeof text, true);
    } else if (length < 0) {
        add(line, address ? "%#llx" : "NULL", (unsigned long long)address);
    } else {
        add_quoted(line, (u8 *)text, (size_t)length, false);
    }
}

static void add_bits(Line *line, const BitSet *bits, u64 value)
{
    const char *separator = "";

    for (unsigned i = 0; i < bits->count; i++) {
        const BitName *word = &bits->words[i];
        if ((value & word->mask) == word->guest && (word->guest || word->mask)) {
            add(line, "%s%s", separator, word->name);
            separator = "|";
            value &= ~word->guest;
        }
    }
    if (value || !*separator) {
        add(line, "%s%#llx", separator, (unsigned long long)value);
    }
}

static void add_field(Line *line, const StructField *f, const u8 *guest, bool big_endian)
{
    add(line, "%s=", f->name);
    if (f->kind == 'c') {
        add_quoted(line, guest + f->guest_offset,
                   strnlen((const char *)guest + f->guest_offset, f->count), false);
        return;
    }
    for (unsigned i = 0; i < f->count; i++) {
        u64 value =
            get_value(guest + f->guest_offset + i * f->guest_size, f->guest_size, big_endian);
        unsigned shift = 64 - 8 * f->guest_size;
        add(line, "%s", i ? "," : "");
        if (f->kind == 's') {
            add(line, "%lld", (long long)((s64)(value << shift) >> shift));
        } else {
            add(line, f->kind == 'p' ? "%#llx" : "%llu", (unsigned long long)value);
        }
    }
}

static void add_struct(Line *line, const Thread *thread, const StructLayout *layout, u64 address)
{
    u8 guest[512];

    if (!address || layout->guest_size > sizeof guest ||
        !copy_from_guest(guest, address, layout->guest_size)) {
        add(line, address ? "%#llx" : "NULL", (unsigned long long)address);
        return;
    }
    add(line, "{");
    for (unsigned i = 0; i < layout->field_count; i++) {
        add(line, "%s", i ? " " : "");
        add_field(line, &layout->fields[i], guest, thread->abi->big_endian);
    }
    add(line, "}");
}

static void add_memory(Line *line, const Thread *thread, const SyscallArgument *a,
                       const u64 *arguments, unsigned index, s64 result)
{
    u64 count = a->size_argument == NO_ARGUMENT ? a->count : arguments[a->size_argument];

    if (a->kind == ARGUMENT_OUT && result < 0) {
        add(line, "%#llx", (unsigned long long)arguments[index]);
    } else if (!a->structure) {
        /* What a call filled: as many bytes as it says. */
        add_bytes(line, arguments[index],
                  a->kind == ARGUMENT_OUT ? MIN(count, (u64)result) : count);
    } else {
        for (u64 i = 0; i < MIN(count, (u64)ARRAY_SHOWN); i++) {
            u64 at = arguments[index] ? arguments[index] + i * a->structure->guest_size : 0;
            add(line, "%s", i ? ", " : count > 1 ? "[" : "");
            add_struct(line, thread, a->structure, at);
        }
        add(line, count > 1 ? count > ARRAY_SHOWN ? ", ...]" : "]" : "");
    }
}

static void add_argument(Line *line, const Thread *thread, const Syscall *call,
                         const u64 *arguments, unsigned index, s64 result)
{
    const SyscallArgument *a = &call->arguments[index];
    u64 value = arguments[index];

    switch (a->kind) {
    case ARGUMENT_SIGNED:
        add(line, "%lld", a->is_signed32 ? (long long)(int)value : (long long)value);
        break;
    case ARGUMENT_UNSIGNED:
        add(line, "%llu",
            a->is_signed32 ? (unsigned long long)(u32)value : (unsigned long long)value);
        break;
    case ARGUMENT_OCTAL:
        add(line, "%#llo", (unsigned long long)value);
        break;
    case ARGUMENT_DIRECTORY:
        if ((int)value == AT_FDCWD) {
            add(line, "AT_FDCWD");
        } else {
            add(line, "%d", (int)value);
        }
        break;
    case ARGUMENT_SIGNAL: {
        const char *name = sigabbrev_np((int)value);
        if (name) {
            add(line, "SIG%s", name);
        } else {
            add(line, "%d", (int)value);
        }
        break;
    }
    case ARGUMENT_BITS:
        add_bits(line, a->bits, value);
        break;
    case ARGUMENT_IN:
    case ARGUMENT_OUT:
    case ARGUMENT_INOUT:
        add_memory(line, thread, a, arguments, index, result);
        break;
    case ARGUMENT_HEX:
        add(line, "%#llx", (unsigned long long)value);
        break;
    default:
        add_string(line, value);
        break;
    }
}

static void add_result(Line *line, const Syscall *call, s64 result)
{
    if (result == SYSCALL_NO_RESULT || (call && call->result == RESULT_NONE)) {
        add(line, " = ?\n");
    } else if (result < 0 && result > -4096) {
        const char *name = strerrorname_np((int)-result);
        if (name) {
            add(line, " = -1 %s (%s)\n", name, strerror((int)-result));
        } else {
            add(line, " = ? ERESTARTSYS\n");
        }
    } else if (call && call->result == RESULT_HEX) {
        add(line, " = %#llx\n", (unsigned long long)result);
    } else {
        add(line, call && call->result == RESULT_OCTAL ? " = %#llo\n" : " = %lld\n",
            (unsigned long long)result);
    }
}

static void add_call(Line *line, const Thread *thread, const Syscall *call, const u64 *arguments,
                     s64 result)
{
    add(line, "%d %s(", (int)gettid(), call->name);
    for (unsigned i = 0; i < call->argument_count; i++) {
        add(line, "%s", i ? ", " : "");
        add_argument(line, thread, call, arguments, i, result);
    }
    add(line, ")");
}

void strace_enter(Thread *thread, const Syscall *call, const u64 *arguments)
{
    Line line = {.used = 0};

    if (call->handler == sys_exit || call->handler == sys_exit_group ||
        call->handler == sys_execve || call->handler == sys_execveat) {
        add_call(&line, thread, call, arguments, 0);
        add(&line, " = ?\n");
        log_printf("%s", line.text);
    }
}

void strace_leave(Thread *thread, const Syscall *call, u64 number, const u64 *arguments, s64 result)
{
    Line line = {.used = 0};

    if (call && (call->handler == sys_exit || result == SYSCALL_RESTART)) {
        return; /* printed already, or comes again */
    }
    if (!call) {
        add(&line, "%d syscall_%llu()", (int)gettid(), (unsigned long long)number);
    } else {
        add_call(&line, thread, call, arguments, result);
    }
    add_result(&line, call, result);
    log_printf("%s", line.text);
}

void strace_signal(Thread *thread, int signal, int code)
{
    const char *name = sigabbrev_np(signal);

    (void)thread;
    log_printf("%d --- SIG%s {si_code=%d} ---\n", (int)gettid(), name ? name : "RT", code);
}
