/* Reading guest code for a translation: see job.h. Runs without the lock: each page is watched
 * before it is read (coherence.c), and its version is compared when the block is added. */
#include <string.h>

#include "exec/job.h"

void job_restart(Job *job, u64 pc)
{
    job->missing = false;
    job->checked = false;
    job->page_count = 0;
    job->extents[0] = (CodeExtent){pc, pc};
    job->extents[1] = (CodeExtent){0, 0};
    job->t = (GuestTranslation){
        .pc = pc,
        .mode = job->vcpu->mode,
        .fetch = job_fetch,
        .opaque = job,
        .state = job->vcpu->state,
    };
}

static bool is_bad(const Job *job, u64 address)
{
    for (u32 i = 0; i < job->bad_count; i++) {
        if (job->bad_pages[i] == address) {
            return true;
        }
    }
    return job->bad_count == JOB_BAD_PAGES;
}

/* Watches the page; false if the guest can't execute from it, or this block has enough pages. */
static bool open_page(Job *job, u64 address)
{
    Engine *engine = job->vcpu->engine;
    u32 i;

    for (i = 0; i < job->page_count; i++) {
        if (job->page_address[i] == address) {
            return true;
        }
    }
    if (i == BLOCK_PAGES || is_bad(job, address)) {
        return false;
    }
    if (job->kind == BLOCK_ONCE) {
        return coherence_executable(engine, address);
    }
    job->pages[i] = coherence_watch(engine, address, &job->page_version[i]);
    if (!job->pages[i]) {
        return false;
    }
    job->page_address[i] = address;
    job->page_count++;
    job->checked |= coherence_is_checked(job->page_version[i]);
    return true;
}

/* Remembers that the block depends on these bytes: they continue an extent, or lie in it. Returns
 * where they are kept; NULL if they can't be. */
static u8 *depend_on(Job *job, u64 pc, u32 size)
{
    CodeExtent *main = &job->extents[0], *ahead = &job->extents[1];

    if (pc >= main->start && pc <= main->end && pc + size - main->start <= JOB_MAIN_BYTES) {
        main->end = MAX(main->end, pc + size);
        return job->main_bytes + (pc - main->start);
    }
    if (ahead->start == ahead->end) {
        *ahead = (CodeExtent){pc, pc};
    }
    if (pc >= ahead->start && pc <= ahead->end && pc + size - ahead->start <= JOB_AHEAD_BYTES) {
        ahead->end = MAX(ahead->end, pc + size);
        return job->ahead_bytes + (pc - ahead->start);
    }
    return NULL;
}

/* The mapping may go at any moment: a fault jumps to job_read(). */
static void read_guest(Vcpu *vcpu, void *to, u64 from, u32 size)
{
    vcpu->fetching = 1;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    memcpy(to, guest_pointer(vcpu->engine, from), size);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    vcpu->fetching = 0;
}

bool job_fetch(GuestTranslation *t, u64 pc, void *bytes, u32 size)
{
    Job *job = t->opaque;
    u64 end = pc + size;
    bool open = end > pc; /* nothing is mapped at the very end of the address space */
    u64 page = ALIGN_DOWN(pc, (u64)CODE_PAGE);

    while (open && page < end && (open = open_page(job, page))) {
        page += CODE_PAGE;
    }
    if (!open) {
        job->missing |= pc == t->pc;
        job->missing_address = MAX(pc, page);
        return false;
    }
    u8 *kept = depend_on(job, pc, size);
    if (!kept) {
        return false;
    }
    read_guest(job->vcpu, kept, pc, size);
    memcpy(bytes, kept, size);
    return true;
}

bool job_read(Job *job, void (*work)(Job *job))
{
    Vcpu *vcpu = job->vcpu;

    if (sigsetjmp(vcpu->fetch_fault, 0)) {
        job->bad_pages[job->bad_count++] = ALIGN_DOWN(vcpu->fault.address, (u64)CODE_PAGE);
        return false;
    }
    work(job);
    return true;
}

bool job_is_current(const Job *job)
{
    for (u32 i = 0; i < job->page_count; i++) {
        if (!coherence_unchanged(job->pages[i], job->page_version[i])) {
            return false;
        }
    }
    return true;
}
