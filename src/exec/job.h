/* A translation, or the revival of an old one, in progress: what it is of, and which guest code
 * bytes and pages it has read. A thread works on one at a time. */
#ifndef EXEC_JOB_H
#define EXEC_JOB_H

#include "exec/engine.h"

enum {
    JOB_MAX_INSNS = 128,   /* guest instructions in a block */
    JOB_MAIN_BYTES = 2048, /* bound of the first extent: the block itself */
    JOB_AHEAD_BYTES = 256, /* bound of the second: what is looked at where it goes */
    JOB_BAD_PAGES = 4,
};

/* For -d time: what the thread had used of the CPU when each of these was done. */
typedef enum JobStage {
    JOB_STARTED,
    JOB_TRANSLATED,
    JOB_OPTIMIZED,
    JOB_COMPILED,
    JOB_STAGES
} JobStage;

typedef struct Job {
    GuestTranslation t;
    Vcpu *vcpu;
    BlockKey key;
    u64 linear; /* address of the first byte of code; in user mode the pc */
    bool exact_fp;
    bool missing;        /* the first instruction could not be fetched */
    u64 exception;       /* in system mode: what that raises */
    u32 fetches;         /* by the guest's translator since it began */
    u64 missing_address; /* the first byte that could not */
    bool checked;        /* a page wants blocks to compare their bytes: see check.h */
    u32 bad_count;       /* pages whose bytes could not be read; with JOB_BAD_PAGES, no page can */
    u64 bad_pages[JOB_BAD_PAGES];
    u32 page_count;
    CodePage *pages[BLOCK_PAGES];
    u64 page_address[BLOCK_PAGES];
    u32 page_version[BLOCK_PAGES];
    CodeExtent extents[BLOCK_EXTENTS];
    const void *candidate;         /* revive.c's own */
    u64 times[JOB_STAGES];         /* nanoseconds; only with -d time */
    u8 main_bytes[JOB_MAIN_BYTES]; /* what was read of each extent */
    u8 ahead_bytes[JOB_AHEAD_BYTES];
} Job;

/* Starts over, having read nothing; t has pc, mode, and fetch. Bad pages are kept. */
void job_restart(Job *job, u64 pc);

/* Guest code bytes, for GuestTranslation.fetch: watches their pages and remembers that the block
 * depends on them. Must run under job_read(). */
bool job_fetch(GuestTranslation *t, u64 pc, void *bytes, u32 size);

/* The same by what code pages go by: in system mode host addresses of RAM. */
bool job_read_bytes(Job *job, u64 address, void *bytes, u32 size);

/* Runs `work`, which may call job_fetch(). Returns false, with the page noted as bad and the fault
 * in vcpu->fault, if bytes that the guest may execute could not be read; `work` was left where it
 * was. */
bool job_read(Job *job, void (*work)(Job *job));

/* Whether what was read is still valid. The lock is held. */
bool job_is_current(const Job *job);

/* -- translate.c */
/* Adds the job's dependencies to its block. */
void job_fill_dependencies(const Job *job, Block *block);

/* -- revive.c */
/* Keeps a killed block, to be found again if its code bytes turn out not to have changed. */
void revive_bury(Engine *engine, Block *block);
/* Forgets it. */
void revive_forget(Block *block);
/* A killed block of the job's kind for `pc` whose code bytes are as they are now; it is live again.
 * NULL if there is none. The caller is outside, and inside if it gets a block. */
Block *revive(Job *job, u64 pc);

#endif
