/* The guest process and its threads.
 *
 * One guest process is one host process, one guest thread one host thread. A Process lives from
 * program start to exit or exec; a Thread is touched by its own host thread only, signal handlers
 * on that thread included. */
#ifndef USER_PROCESS_H
#define USER_PROCESS_H

#include "accel/vcpu.h"
#include "base/arena.h"
#include "user/abi.h"
#include "user/memory.h"
#include "user/path.h"
#include "user/signals.h"

/* What the command line chose. Strings are owned by the caller and live as long as the process. */
typedef struct UserOptions {
    const char *root;      /* NULL: none */
    const char *accel;     /* NULL: the default */
    const char *cpu;       /* NULL: everything the translator supports */
    const char *argv0;     /* NULL: the program's name */
    const char *log_kinds; /* -d; NULL: none */
    const char *log_file;  /* -D; NULL: stderr */
    u64 stack_size;        /* bytes; 0: from the host's limit */
    u64 cache_size;        /* bytes; 0: the engine's default */
    bool single_step;
    const char *self; /* path of our own executable, for exec of guest programs */
} UserOptions;

enum { AUXV_MAX = 32 };

/* What load.c has put into memory, for registers and /proc. */
typedef struct LoadedProgram {
    u64 entry; /* of the interpreter if there is one */
    u64 stack; /* stack pointer at the start */
    u64 arguments_start, arguments_end;
    u64 environment_start, environment_end;
    u64 auxv_address, auxv_size;
    u64 vdso;       /* its address */
    u64 trampoline; /* signal return code in it */
} LoadedProgram;

typedef struct Process {
    const GuestAbi *abi;
    const UserOptions *options;
    Engine *engine;
    MemoryMap memory;
    PathRoot root;
    char *executable;      /* absolute path as the guest sees it; owned */
    char *executable_host; /* the same as the host sees it; owned */
    LoadedProgram program;
    SignalTable signals;
    u32 thread_count; /* atomic */
    void *data;       /* what the ABI keeps of the process; NULL: nothing */
} Process;

struct Thread {
    Process *process;
    const GuestAbi *abi;
    Vcpu *vcpu;
    void *state; /* the guest's registers */
    void *data;  /* what else the ABI keeps of a thread, GuestAbi.data_size bytes; owned */
    ThreadSignals signals;
    u64 clear_child_tid; /* zeroed and woken at exit; 0: none */
    u64 robust_list;     /* head, walked at exit; 0: none */
    bool vfork_child;    /* shares everything with a parent that waits */
    bool ended;          /* exit(2) was called */
    Arena exec_memory;   /* of an exec under way; the parent of a vfork child frees it */
};

/* Loads and starts the program on the calling thread; returns only on error, with a message already
 * printed, the exit status: 126 or 127. `arguments` and `environment` end with NULL. */
int process_run(const UserOptions *options, const char *program, char **arguments,
                char **environment);

/* The calling host thread's guest thread; NULL when it has none. Async-signal-safe. */
Thread *thread_current(void);
void thread_set_current(Thread *thread);

/* Runs guest code until the thread has ended (`ended` is set); the process may end inside. */
void thread_run(Thread *thread);

/* A thread with its vCPU and signal stack; NULL when memory runs out. */
Thread *thread_new(Process *process);
void thread_free(Thread *thread);

#endif
