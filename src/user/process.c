/* Process start and the loop that every guest thread runs. */
#include "user/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "user/load.h"
#include "user/syscall.h"

/* The one thing that signal handlers must find by themselves. */
static __thread Thread *current;

Thread *thread_current(void)
{
    return current;
}

void thread_set_current(Thread *thread)
{
    current = thread;
}

Thread *thread_new(Process *process)
{
    Thread *thread = calloc(1, sizeof *thread);

    if (!thread) {
        return NULL;
    }
    thread->process = process;
    thread->abi = process->abi;
    thread->data = calloc(1, process->abi->data_size + 1);
    thread->vcpu = thread->data ? vcpu_new(process->engine) : NULL;
    if (!thread->vcpu) {
        free(thread->data);
        free(thread);
        return NULL;
    }
    thread->state = vcpu_state(thread->vcpu);
    return thread;
}

void thread_free(Thread *thread)
{
    arena_free(&thread->exec_memory);
    vcpu_free(thread->vcpu);
    free(thread->data);
    free(thread);
}

static void undefined(Thread *thread, const VcpuExit *exit)
{
    if (log_on(LOG_UNIMP)) {
        log_printf("undefined instruction %08x at %#llx\n", exit->code,
                   (unsigned long long)exit->pc);
    }
    signals_force(thread, SIGILL, ILL_ILLOPC, exit->pc, 0);
}

static void memory_fault(Thread *thread, const VcpuExit *exit)
{
    const GuestAbi *abi = thread->abi;
    bool unmapped = exit->host_code == SI_KERNEL && !abi->has_protection_faults;

    signals_force(thread, exit->host_signal, unmapped ? SEGV_MAPERR : exit->host_code,
                  exit->address, abi->fault_status((int)exit->access, exit->host_code));
}

static void cpu_exception(Thread *thread, const VcpuExit *exit)
{
    GuestException e = {.signal = 0};

    thread->abi->exception(thread->state, exit->code, &e);
    if (e.signal) {
        signals_force(thread, e.signal, e.code, e.address, e.status);
    }
}

static void handle_exit(Thread *thread, const VcpuExit *exit)
{
    switch (exit->kind) {
    case VCPU_SYSCALL:
        syscall_dispatch(thread, exit->code);
        break;
    case VCPU_UNDEFINED:
        undefined(thread, exit);
        break;
    case VCPU_BREAKPOINT:
        signals_force(thread, SIGTRAP, TRAP_BRKPT, exit->pc, 0);
        break;
    case VCPU_FAULT:
        if (exit->access == ACCESS_FETCH && thread->abi->serve_fetch &&
            thread->abi->serve_fetch(thread, exit->pc)) {
            break;
        }
        memory_fault(thread, exit);
        break;
    case VCPU_UNALIGNED:
        signals_force(thread, SIGBUS, BUS_ADRALN, exit->address,
                      thread->abi->fault_status((int)exit->access, 0));
        break;
    case VCPU_EXCEPTION:
        cpu_exception(thread, exit);
        break;
    case VCPU_INTERRUPT:
    case VCPU_HALT: /* this and the others: of system mode */
    case VCPU_SHUTDOWN:
    case VCPU_DEBUG:
        break;
    }
}

void thread_run(Thread *thread)
{
    VcpuExit exit;

    while (!thread->ended) {
        vcpu_run(thread->vcpu, &exit);
        handle_exit(thread, &exit);
        if (unlikely(thread->signals.pending)) {
            signals_deliver(thread);
        }
    }
}

/* --- start ---------------------------------------------------------------------------------------
 */

enum { LOWEST_ADDRESS = 65536 };
static const u64 limit_3gb = 0xc0000000;

static int say(const char *program, const char *text, int status)
{
    fprintf(stderr, "menura-user: %s: %s\n", program, text);
    return status;
}

static int refuse(const char *program, const ProgramFile *file, const char *reason)
{
    char text[160];

    if (!reason && !file->image.machine) {
        bool script = file->head_size > 2 && file->head[0] == '#' && file->head[1] == '!';
        reason = file->head_size == 0 ? "empty file"
                 : script             ? "a script: give its interpreter as the program"
                                      : "not an ELF program";
    }
    if (!reason) {
        const char *machine = elf_machine_name(file->image.machine);
        if (machine) {
            snprintf(text, sizeof text, "built for %s%s, which is not supported as a guest",
                     machine,
                     file->image.big_endian && file->image.machine == 183 ? " (big-endian)" : "");
        } else {
            snprintf(text, sizeof text, "built for an unknown machine (ELF number %u)",
                     file->image.machine);
        }
        reason = text;
    }
    return say(program, reason, 126);
}

static char *real_path(const char *name)
{
    char *real = realpath(name, NULL);

    return real ? real : strdup(name);
}

static Engine *start_engine(Process *process, const char **error)
{
    const UserOptions *options = process->options;
    EngineOptions engine = {
        .guest = process->abi->name,
        .accel = options->accel,
        .cache_size = options->cache_size,
        .single_step = options->single_step,
        .page_writable = memory_page_writable,
        .page_executable = memory_page_executable,
        .opaque = &process->memory,
    };

    return engine_new(&engine, error);
}

static u64 current_mask(void)
{
    sigset_t set;
    u64 mask = 0;

    sigprocmask(SIG_SETMASK, NULL, &set);
    memcpy(&mask, &set, sizeof mask);
    return mask;
}

/* Everything after loading: signals, first instruction. */
static int run_main_thread(Thread *thread, const char *program)
{
    Process *process = thread->process;

    thread_set_current(thread);
    thread->signals.mask = current_mask();
    if (!signals_thread_init(thread)) {
        return say(program, "cannot set up a signal stack", 126);
    }
    signals_init(process);
    process->abi->start(thread, process->program.entry, process->program.stack);
    signals_unblock(thread);
    thread_run(thread);
    _exit(0); /* the main thread's exit(2) does not come back */
}

/* Which addresses the program has; a 32-bit one may ask for fewer with setarch(8). */
static void set_up_memory(Process *process, const ElfImage *image)
{
    const GuestAbi *abi = process->abi;
    MemoryMap *map = &process->memory;
    int persona = personality(0xffffffff);

    memory_init(map, abi->address_limit);
    map->read_implies_exec = abi->old_programs_execute_data && !image->has_stack_header;
    if (!abi->mmap_top) {
        return;
    }
    u64 less = persona & ADDR_LIMIT_3GB ? abi->stack_top - limit_3gb : 0;
    map->address_limit -= less;
    map->search_low = LOWEST_ADDRESS;
    map->search_high = abi->mmap_top - less;
    if (persona & ADDR_COMPAT_LAYOUT) {
        map->search_up = true;
        map->search_low = ALIGN_DOWN(map->address_limit / 3, MEMORY_PAGE);
    }
}

static int load_and_run(Process *process, const ProgramFile *file, LoadRequest *request)
{
    char message[512];
    const char *error;

    process->abi = file->abi;
    set_up_memory(process, &file->image);
    process->engine = start_engine(process, &error);
    if (!process->engine) {
        return say(request->name, error, 126);
    }
    process->memory.engine = process->engine;
    request->thread = thread_new(process);
    if (!request->thread) {
        return say(request->name, "out of memory", 126);
    }
    if (process->options->cpu && !process->abi->choose_cpu(request->thread, process->options->cpu,
                                                           message, sizeof message)) {
        return say("--cpu", message, 125);
    }
    if (load_program(request, message)) {
        return say(request->name, message, 126);
    }
    close(file->fd);
    return run_main_thread(request->thread, request->name);
}

int process_run(const UserOptions *options, const char *program, char **arguments,
                char **environment)
{
    static Process process; /* lives until exit; signal handlers reach it through the thread */
    char buffer[PATH_MAX];
    const char *reason;
    ProgramFile file;

    process.options = options;
    process.thread_count = 1;
    int error = path_root_open(&process.root, options->root);
    if (error) {
        return say(options->root, strerror(-error), 125);
    }
    const char *host = path_to_host(&process.root, AT_FDCWD, program, PATH_FOLLOW, buffer);
    error = program_open(&file, host, &reason);
    if (error == -ENOEXEC || (error == 0 && !file.abi)) {
        return refuse(program, &file, reason);
    }
    if (error) {
        return say(program, strerror(-error), error == -ENOENT || error == -ENOTDIR ? 127 : 126);
    }
    process.executable_host = real_path(host);
    process.executable = strdup(path_to_guest(&process.root, process.executable_host));
    LoadRequest request = {&process, NULL, &file, program, arguments, environment};
    return load_and_run(&process, &file, &request);
}
