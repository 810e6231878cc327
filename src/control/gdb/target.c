/* What gdb's packets do to a machine: see target.h. A packet is a letter or a word, in a table, and
 * what follows; an unknown one gets the empty answer, which says so. */
#include "control/gdb/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "guest/guest.h"

enum { MEMORY_MAX = (GDB_PACKET_MAX - 16) / 2 }; /* bytes a packet reads or writes */

typedef GdbTarget T;

static void put_error(GdbWriter *answer, int error)
{
    gdb_printf(answer, "E%02x", (unsigned)error & 0xff);
}

static void put_result(GdbWriter *answer, bool ok, int error)
{
    if (ok) {
        gdb_put_text(answer, "OK");
    } else {
        put_error(answer, error);
    }
}

static Processor *current(const T *t)
{
    return &t->machine->processors[t->thread];
}

static bool select_thread(T *t, s64 thread)
{
    if (thread > (s64)t->machine->processor_count) {
        return false;
    }
    if (thread > 0) {
        t->thread = (u32)thread - 1;
    }
    return true;
}

/* -- Stopping and going */

static bool is_breakpoint(const T *t, u64 address)
{
    for (u32 i = 0; i < t->breakpoint_count; i++) {
        if (t->breakpoints[i] == address) {
            return true;
        }
    }
    return false;
}

static void put_stop(const T *t, GdbSignal signal, bool breakpoint, GdbWriter *answer)
{
    gdb_printf(answer, "T%02xthread:%x;%s", signal, t->thread + 1,
               breakpoint && t->reports_breakpoints ? "swbreak:;" : "");
}

void gdb_target_stopped(T *t, const Processor *processor, u64 pc, GdbWriter *answer)
{
    t->running = false;
    if (processor) {
        t->thread = processor->index;
    }
    put_stop(t, processor ? GDB_SIGNAL_TRAP : GDB_SIGNAL_INT, processor && is_breakpoint(t, pc),
             answer);
}

/* What each processor does from now on. */
static void plan(Processor *p, bool held, bool step)
{
    p->held = held;
    vcpu_single_step(p->vcpu, step);
}

static void go(T *t)
{
    t->running = true;
    machine_resume(t->machine);
}

/* c, s: the current processor; the others run as well. */
static bool go_on(T *t, bool step, const char *text, GdbWriter *answer)
{
    if (*text) {
        put_error(answer, ENOTSUP); /* "at an address": gdb sets the register instead */
        return true;
    }
    for (u32 i = 0; i < t->machine->processor_count; i++) {
        plan(&t->machine->processors[i], false, step && i == t->thread);
    }
    go(t);
    return false;
}

static bool packet_continue(T *t, const char *text, GdbWriter *answer)
{
    return go_on(t, false, text, answer);
}

static bool packet_step(T *t, const char *text, GdbWriter *answer)
{
    return go_on(t, true, text, answer);
}

/* One of vCont's actions: "s", "c", "S05" or "C05", and the thread, -1 for all that have none yet.
 */
static bool take_action(const char **text, bool *step, s64 *thread)
{
    char kind = **text;
    u64 signal;

    if (!gdb_take(text, 's') && !gdb_take(text, 'c')) {
        if ((!gdb_take(text, 'S') && !gdb_take(text, 'C')) || !gdb_take_number(text, &signal)) {
            return false;
        }
    }
    *step = kind == 's' || kind == 'S';
    *thread = -1;
    return !gdb_take(text, ':') || gdb_take_thread(text, thread);
}

static bool packet_vcont(T *t, const char *text, GdbWriter *answer)
{
    u32 count = t->machine->processor_count, planned = 0;
    bool *done = calloc(count, sizeof *done), ok = done;

    for (u32 i = 0; i < count; i++) {
        plan(&t->machine->processors[i], true, false);
    }
    while (ok && gdb_take(&text, ';')) {
        bool step;
        s64 thread;
        ok = take_action(&text, &step, &thread);
        for (u32 i = 0; ok && i < count; i++) {
            if (!done[i] && (thread <= 0 || thread == (s64)i + 1)) {
                plan(&t->machine->processors[i], false, step);
                done[i] = true;
                planned++;
            }
        }
    }
    free(done);
    if (!ok || *text || !planned) {
        put_error(answer, EINVAL);
        return true;
    }
    go(t);
    return false;
}

static bool packet_why(T *t, const char *text, GdbWriter *answer)
{
    (void)text;
    put_stop(t, GDB_SIGNAL_TRAP, false, answer);
    return true;
}

static bool packet_detach(T *t, const char *text, GdbWriter *answer)
{
    (void)text;
    t->detached = true;
    gdb_put_text(answer, "OK");
    return true;
}

static bool packet_kill(T *t, const char *text, GdbWriter *answer)
{
    (void)text;
    t->killed = true;
    gdb_put_text(answer, "OK");
    return true;
}

/* -- Threads */

/* H: 'g' for registers and memory, 'c' for c and s. They are one here. */
static bool packet_thread(T *t, const char *text, GdbWriter *answer)
{
    s64 thread;

    put_result(answer,
               (gdb_take(&text, 'g') || gdb_take(&text, 'c')) && gdb_take_thread(&text, &thread) &&
                   select_thread(t, thread),
               EINVAL);
    return true;
}

static bool packet_is_alive(T *t, const char *text, GdbWriter *answer)
{
    s64 thread;

    put_result(answer,
               gdb_take_thread(&text, &thread) && thread > 0 &&
                   thread <= (s64)t->machine->processor_count,
               ESRCH);
    return true;
}

static bool query_threads(T *t, const char *text, GdbWriter *answer)
{
    (void)text;
    for (u32 i = 0; i < t->machine->processor_count; i++) {
        gdb_printf(answer, "%c%x", i ? ',' : 'm', i + 1);
    }
    return true;
}

static bool query_no_more_threads(T *t, const char *text, GdbWriter *answer)
{
    (void)t;
    (void)text;
    gdb_put_text(answer, "l");
    return true;
}

static bool query_thread(T *t, const char *text, GdbWriter *answer)
{
    (void)text;
    gdb_printf(answer, "QC%x", t->thread + 1);
    return true;
}

static bool query_thread_text(T *t, const char *text, GdbWriter *answer)
{
    s64 thread;
    char line[32];

    if (!gdb_take_thread(&text, &thread) || thread < 1 ||
        thread > (s64)t->machine->processor_count) {
        put_error(answer, ESRCH);
        return true;
    }
    const Processor *p = &t->machine->processors[thread - 1];
    int size = snprintf(line, sizeof line, "CPU %u, %s", p->index,
                        p->stopped  ? "shut down"
                        : p->halted ? "halted"
                                    : "running");
    gdb_put_hex(answer, line, (u32)size);
    return true;
}

/* -- Registers */

/* Register `number`, counted through all features; NULL: there are not so many. */
static const GuestRegister *find_register(const T *t, u64 number)
{
    for (u32 i = 0; i < t->debug->feature_count; i++) {
        const GuestFeature *feature = &t->debug->features[i];
        if (number < feature->count) {
            return &feature->registers[number];
        }
        number -= feature->count;
    }
    return NULL;
}

static void put_register(const T *t, const GuestRegister *r, GdbWriter *answer)
{
    u8 bytes[GUEST_REGISTER_BYTES];

    t->debug->read(vcpu_state(current(t)->vcpu), r, bytes);
    gdb_put_hex(answer, bytes, r->bits / 8);
}

/* False with what is wrong: the text, or the register that cannot be written. */
static bool take_register(const T *t, const GuestRegister *r, const char **text, bool *written)
{
    u8 bytes[GUEST_REGISTER_BYTES];

    if (!gdb_take_hex(text, bytes, r->bits / 8)) {
        return false;
    }
    *written = t->debug->write(vcpu_state(current(t)->vcpu), r, bytes);
    return true;
}

static bool packet_read_registers(T *t, const char *text, GdbWriter *answer)
{
    const GuestRegister *r;

    (void)text;
    for (u32 i = 0; (r = find_register(t, i)) != NULL; i++) {
        put_register(t, r, answer);
    }
    return true;
}

/* All of them; those that only can be read are skipped. */
static bool packet_write_registers(T *t, const char *text, GdbWriter *answer)
{
    const GuestRegister *r;
    bool ok = true, written;

    for (u32 i = 0; ok && *text && (r = find_register(t, i)) != NULL; i++) {
        ok = take_register(t, r, &text, &written);
    }
    put_result(answer, ok && !*text, EINVAL);
    return true;
}

static bool packet_read_register(T *t, const char *text, GdbWriter *answer)
{
    u64 number;
    const GuestRegister *r = gdb_take_number(&text, &number) ? find_register(t, number) : NULL;

    if (r) {
        put_register(t, r, answer);
    } else {
        put_error(answer, EINVAL);
    }
    return true;
}

static bool packet_write_register(T *t, const char *text, GdbWriter *answer)
{
    u64 number;
    const GuestRegister *r = gdb_take_number(&text, &number) ? find_register(t, number) : NULL;
    bool written = false;

    put_result(answer, r && gdb_take(&text, '=') && take_register(t, r, &text, &written) && written,
               EINVAL);
    return true;
}

/* -- Memory, by linear addresses of the current processor */

static bool take_range(const char **text, u64 *address, u64 *size)
{
    return gdb_take_number(text, address) && gdb_take(text, ',') && gdb_take_number(text, size) &&
           *size <= MEMORY_MAX;
}

/* As much from the start as is mapped to RAM. */
static bool packet_read_memory(T *t, const char *text, GdbWriter *answer)
{
    enum { PAGE = 4096 };
    u8 bytes[PAGE];
    u64 address, size;
    bool ok = take_range(&text, &address, &size);
    u32 before = answer->size;

    while (ok && size) {
        u32 part = (u32)MIN(size, PAGE - address % PAGE);
        ok = vcpu_debug_read(current(t)->vcpu, address, bytes, part);
        if (ok) {
            gdb_put_hex(answer, bytes, part);
            address += part;
            size -= part;
        }
    }
    if (!ok && answer->size == before) {
        put_error(answer, EFAULT);
    }
    return true;
}

static void write_memory(T *t, u64 address, const void *bytes, u64 size, GdbWriter *answer)
{
    put_result(answer, vcpu_debug_write(current(t)->vcpu, address, bytes, size), EFAULT);
}

static bool packet_write_memory(T *t, const char *text, GdbWriter *answer)
{
    u8 bytes[MEMORY_MAX];
    u64 address, size;

    if (!take_range(&text, &address, &size) || !gdb_take(&text, ':') ||
        !gdb_take_hex(&text, bytes, (u32)size) || *text) {
        put_error(answer, EINVAL);
        return true;
    }
    write_memory(t, address, bytes, size, answer);
    return true;
}

/* -- Breakpoints */

static bool add_breakpoint(T *t, u64 address)
{
    if (is_breakpoint(t, address)) {
        return true;
    }
    if (t->breakpoint_count == GDB_BREAKPOINTS ||
        engine_add_breakpoint(t->machine->engine, address) < 0) {
        return false;
    }
    t->breakpoints[t->breakpoint_count++] = address;
    return true;
}

static void remove_breakpoint(T *t, u64 address)
{
    for (u32 i = 0; i < t->breakpoint_count; i++) {
        if (t->breakpoints[i] == address) {
            engine_remove_breakpoint(t->machine->engine, address);
            t->breakpoints[i] = t->breakpoints[--t->breakpoint_count];
            return;
        }
    }
}

/* Kinds 0 and 1, software and hardware breakpoints, are the same here; watchpoints (2 to 4) gdb
 * does by single steps. */
static bool change_breakpoint(T *t, const char *text, GdbWriter *answer, bool add)
{
    u64 address, length;

    if (!gdb_take(&text, '0') && !gdb_take(&text, '1')) {
        return true;
    }
    if (!gdb_take(&text, ',') || !gdb_take_number(&text, &address) || !gdb_take(&text, ',') ||
        !gdb_take_number(&text, &length)) {
        put_error(answer, EINVAL);
        return true;
    }
    if (!add) {
        remove_breakpoint(t, address);
    }
    put_result(answer, !add || add_breakpoint(t, address), ENOSPC);
    return true;
}

static bool packet_add_breakpoint(T *t, const char *text, GdbWriter *answer)
{
    return change_breakpoint(t, text, answer, true);
}

static bool packet_remove_breakpoint(T *t, const char *text, GdbWriter *answer)
{
    return change_breakpoint(t, text, answer, false);
}

/* -- Queries */

static bool query_supported(T *t, const char *text, GdbWriter *answer)
{
    t->reports_breakpoints = strstr(text, "swbreak+") != NULL;
    gdb_printf(answer,
               "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+;swbreak+",
               GDB_PACKET_MAX);
    return true;
}

static bool query_description(T *t, const char *text, GdbWriter *answer)
{
    u64 offset, size, whole = strlen(t->description);

    if (!gdb_take_number(&text, &offset) || !gdb_take(&text, ',') ||
        !gdb_take_number(&text, &size) || offset > whole) {
        put_error(answer, EINVAL);
        return true;
    }
    size = MIN(MIN(size, (u64)GDB_PACKET_MAX - 1), whole - offset);
    gdb_put_text(answer, offset + size < whole ? "m" : "l");
    gdb_put_bytes(answer, t->description + offset, (u32)size);
    return true;
}

static bool query_attached(T *t, const char *text, GdbWriter *answer)
{
    (void)t;
    (void)text;
    gdb_put_text(answer, "1");
    return true;
}

static bool set_no_acknowledge(T *t, const char *text, GdbWriter *answer)
{
    (void)text;
    t->no_acknowledge = true;
    gdb_put_text(answer, "OK");
    return true;
}

/* gdb's "monitor": a line for `menura ctl`. */
static bool query_command(T *t, const char *text, GdbWriter *answer)
{
    char line[CONTROL_LINE];
    u32 size = (u32)strlen(text) / 2;
    ControlReply reply = {0};
    char *error = NULL;

    if (size >= sizeof line || !gdb_take_hex(&text, (u8 *)line, size)) {
        put_error(answer, EINVAL);
        return true;
    }
    line[size] = 0;
    int result = control_run(t->machine, line, &reply, &error);
    if (result < 0) {
        reply_line(&reply, "%s", error ? error : strerror(-result));
    }
    if (reply.size) {
        gdb_put_hex(answer, reply.text, (u32)MIN(reply.size, (size_t)MEMORY_MAX));
    } else {
        gdb_put_text(answer, "OK");
    }
    free(reply.text);
    free(error);
    return true;
}

static bool query_vcont(T *t, const char *text, GdbWriter *answer)
{
    (void)t;
    (void)text;
    gdb_put_text(answer, "vCont;c;C;s;S");
    return true;
}

/* -- All packets. What begins with a longer word comes first. */

static const struct {
    const char *word;
    bool (*run)(T *t, const char *text, GdbWriter *answer);
} packets[] = {
    {"qSupported", query_supported},
    {"qXfer:features:read:target.xml:", query_description},
    {"QStartNoAckMode", set_no_acknowledge},
    {"qfThreadInfo", query_threads},
    {"qsThreadInfo", query_no_more_threads},
    {"qThreadExtraInfo,", query_thread_text},
    {"qAttached", query_attached},
    {"qRcmd,", query_command},
    {"qC", query_thread},
    {"vCont?", query_vcont},
    {"vCont", packet_vcont},
    {"vKill", packet_kill},
    {"?", packet_why},
    {"c", packet_continue},
    {"s", packet_step},
    {"D", packet_detach},
    {"k", packet_kill},
    {"H", packet_thread},
    {"T", packet_is_alive},
    {"g", packet_read_registers},
    {"G", packet_write_registers},
    {"p", packet_read_register},
    {"P", packet_write_register},
    {"m", packet_read_memory},
    {"M", packet_write_memory},
    {"Z", packet_add_breakpoint},
    {"z", packet_remove_breakpoint},
};

bool gdb_target_packet(T *t, const char *packet, GdbWriter *answer)
{
    for (size_t i = 0; i < COUNT(packets); i++) {
        size_t length = strlen(packets[i].word);
        if (!strncmp(packet, packets[i].word, length)) {
            machine_pause(t->machine); /* somebody else may have made it run */
            return packets[i].run(t, packet + length, answer);
        }
    }
    return true;
}

/* -- Life */

bool gdb_target_init(T *t, Machine *machine)
{
    *t = (T){.machine = machine};
    return guest_find(machine->def->guest)->debug;
}

void gdb_target_free(T *t)
{
    free(t->description);
}

void gdb_target_attach(T *t)
{
    const Guest *guest = guest_find(t->machine->def->guest);

    t->thread = 0;
    t->running = t->reports_breakpoints = t->no_acknowledge = t->detached = t->killed = false;
    machine_pause(t->machine);
    t->debug = guest->debug(vcpu_state(t->machine->processors[0].vcpu));
    free(t->description);
    t->description = gdb_description(t->debug);
}

void gdb_target_detach(T *t)
{
    while (t->breakpoint_count) {
        remove_breakpoint(t, t->breakpoints[0]);
    }
    for (u32 i = 0; i < t->machine->processor_count; i++) {
        plan(&t->machine->processors[i], false, false);
    }
    if (!t->running) {
        machine_resume(t->machine);
    }
    t->running = false;
}
