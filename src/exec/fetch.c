/* Reading guest code for a translation: see job.h. Runs without the lock: each page is watched
 * before it is read (coherence.c), and its version is compared when the block is added. */
#include <string.h>

#include "exec/job.h"
#include "exec/mmu.h"

void job_restart(Job *job, u64 pc)
{
    job->missing = false;
    job->checked = false;
    job->page_count = 0;
    job->fetches = 0;
    job->exception = 0;
    job->key.next_page = 0;
    u64 start = job->vcpu->mmu ? job->key.ram : job->linear + (pc - job->key.pc);
    job->extents[0] = (CodeExtent){start, start};
    job->extents[1] = (CodeExtent){0, 0};
    job->t = (GuestTranslation){
        .pc = pc,
        .mode = job->vcpu->mode,
        .context = job->vcpu->context,
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
    if (job->key.kind == BLOCK_ONCE) {
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

bool job_read_bytes(Job *job, u64 pc, void *bytes, u32 size)
{
    u64 end = pc + size;
    bool open = end > pc; /* nothing is mapped at the very end of the address space */
    u64 page = ALIGN_DOWN(pc, (u64)CODE_PAGE);

    while (open && page < end && (open = open_page(job, page))) {
        page += CODE_PAGE;
    }
    if (!open) {
        job->missing |= pc == job->extents[0].start;
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

/* Code in a device's memory: what is there now. */
static void read_device(Vcpu *vcpu, u64 physical, u8 *bytes, u32 size)
{
    const GuestBus *board = &vcpu->mmu->board;

    for (u32 i = 0; i < size; i++) {
        bytes[i] = (u8)board->read(board->opaque, physical + i, 1);
    }
}

/* Whether it is the rest of a first instruction that goes across the page's end: nothing else may
 * be looked for in another page, as a block has one, and looking has effects that the guest sees.
 */
static bool is_rest_of_first(const Job *job, u64 address)
{
    const CodeExtent *main = &job->extents[0];

    return job->fetches == 2 && address == ALIGN_DOWN(job->linear, (u64)CODE_PAGE) + CODE_PAGE &&
           (main->end % CODE_PAGE == 0 || !job->key.ram);
}

/* Bytes at a linear address, all in one page. */
static bool fetch_linear(Job *job, u64 address, void *bytes, u32 size)
{
    u64 page = ALIGN_DOWN(address, (u64)CODE_PAGE), offset = address % CODE_PAGE;
    const CodeTlbEntry *entry;

    job->fetches++;
    bool next = page != ALIGN_DOWN(job->linear, (u64)CODE_PAGE);
    if (address != job->linear && debug_is_breakpoint(job->vcpu->engine, address)) {
        return false;
    }
    if (offset + size > CODE_PAGE || (next && !is_rest_of_first(job, address))) {
        return false;
    }
    job->exception = mmu_code(job->vcpu, address, &entry);
    if (job->exception) {
        return false;
    }
    if (!entry->ram || !job->key.ram) {
        if (job->key.kind != BLOCK_ONCE) {
            return false;
        }
        read_device(job->vcpu, entry->physical + offset, bytes, size);
        return true;
    }
    if (next) {
        job->key.next_page = (u64)(uintptr_t)entry->ram;
    }
    return job_read_bytes(job, (u64)(uintptr_t)entry->ram + offset, bytes, size);
}

bool job_fetch(GuestTranslation *t, u64 address, void *bytes, u32 size)
{
    Job *job = t->opaque;

    return job->vcpu->mmu ? fetch_linear(job, address, bytes, size)
                          : job_read_bytes(job, address, bytes, size);
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
