/* From guest code to a block in the cache: fetch, translate, optimise, compile, publish.
 *
 * Fetching, translating and optimising run outside the lock, on the vCPU's own arena. What makes
 * that safe: each guest page is watched before it is read (coherence.c), and when the block is
 * added, under the lock, the pages' versions must not have changed; otherwise the work is done
 * again.
 *
 * A region that does not fit (the host says -ENOSPC although there is room) is translated again
 * with fewer instructions; one instruction always fits. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/log.h"
#include "exec/check.h"
#include "ir/pass.h"
#include "ir/text.h"

/* Bytes of cache that any region of sensible size fits into. */
enum { AMPLE_ROOM = 64 << 10 };

/* -- Logging */

/* Logs a text of any length line by line. */
static void log_lines(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        log_printf("%.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static void log_region(const char *title, const IrRegion *region)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out) {
        return;
    }
    ir_print(region, out);
    fclose(out);
    log_printf("%s 0x%llx\n", title, (unsigned long long)region->guest_pc);
    log_lines(text);
    free(text);
}

static void log_guest_code(Job *job)
{
    const Guest *guest = job->vcpu->engine->guest;
    u8 bytes[16];

    log_printf("in: 0x%llx mode 0x%x\n", (unsigned long long)job->t.pc, job->t.mode);
    for (u64 pc = job->t.pc; pc < job->t.end;) {
        u64 linear = pc - job->key.pc + job->linear;
        u64 room = job->vcpu->mmu ? CODE_PAGE - linear % CODE_PAGE : sizeof bytes;
        u32 size = (u32)MIN(MIN((u64)sizeof bytes, room), job->t.end - pc);
        char text[160] = "";
        if (!job_fetch(&job->t, linear, bytes, size)) {
            return;
        }
        int used = guest->disassemble ? guest->disassemble(bytes, size, pc, text, sizeof text) : 0;
        if (used <= 0) {
            return;
        }
        log_printf("  0x%llx: %s\n", (unsigned long long)pc, text);
        pc += (u64)used;
    }
}

/* As instructions if the host can, else as hexadecimal bytes. */
static void log_host_code(const Engine *engine, const Block *block)
{
    enum { ROW = 16 };

    log_printf("out: 0x%llx, %u bytes at %p\n", (unsigned long long)block->pc, block->code_size,
               (const void *)block->code);
    if (engine->host->disassemble) {
        engine->host->disassemble(block->code, block->code_size);
        return;
    }
    for (u32 at = 0; at < block->code_size; at += ROW) {
        char text[3 * ROW + 1] = "";
        for (u32 i = at; i < MIN(at + ROW, block->code_size); i++) {
            snprintf(text + 3 * (i - at), 4, " %02x", block->code[i]);
        }
        log_printf("  %04x:%s\n", at, text);
    }
}

static void note_time(Job *job, JobStage stage)
{
    struct timespec now;

    if (log_on(LOG_TIME)) {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        job->times[stage] = (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
    }
}

static void log_times(const Job *job)
{
    const u64 *at = job->times;

    if (log_on(LOG_TIME)) {
        log_printf("time: 0x%llx %u instructions: %llu translate, %llu optimize, %llu compile\n",
                   (unsigned long long)job->t.pc, job->t.insn_count,
                   (unsigned long long)(at[JOB_TRANSLATED] - at[JOB_STARTED]),
                   (unsigned long long)(at[JOB_OPTIMIZED] - at[JOB_TRANSLATED]),
                   (unsigned long long)(at[JOB_COMPILED] - at[JOB_OPTIMIZED]));
    }
}

/* -- Translating */

/* In system mode an operand that is no RAM of one page has the instruction repeated without. */
static bool may_use_host_x87(const Job *job)
{
    const Engine *engine = job->vcpu->engine;
    bool is_repeated = job->exact_fp || job->key.kind != BLOCK_NORMAL;

    return engine->config.x87 && engine->host->x87 && !(job->vcpu->mmu && is_repeated);
}

static IrRegion *new_region(Job *job, u64 pc)
{
    Vcpu *vcpu = job->vcpu;
    const Guest *guest = vcpu->engine->guest;

    arena_reset(&vcpu->arena);
    IrRegion *region = ir_region_new(&vcpu->arena);
    region->guest_pc = pc;
    region->exact_fp = job->exact_fp;
    region->linear = job->linear;
    region->space = vcpu->mmu ? guest->system->space(vcpu->mode) : 0;
    region->steady = vcpu->mmu && region->space == guest->system->program_space;
    region->fp_native = vcpu->engine->config.fp_native;
    region->x87 = may_use_host_x87(job) ? guest->x87 : NULL;
    region->helpers = guest->helpers;
    region->helper_count = guest->helper_count;
    region->slots = guest->slots;
    region->slot_count = guest->slot_count;
    return region;
}

static void run_guest_translator(Job *job)
{
    job->vcpu->engine->guest->translate(&job->t);
    job->missing |= job->t.insn_count == 0;
    if (log_on(LOG_IN)) {
        log_guest_code(job);
    }
}

static void run_translator(Job *job, u64 pc, u32 max_insns, bool check)
{
    do {
        IrRegion *region = new_region(job, pc);
        job_restart(job, pc);
        job->t.b = (IrBuilder){.region = region, .block = ir_block_new(region)};
        job->t.max_insns = max_insns;
        if (check) {
            check_begin(job);
        }
    } while (!job_read(job, run_guest_translator));
}

/* The same, as a block that checks itself, cut behind the first store. */
static void make_checked_ir(Job *job, u64 pc, u32 max_insns)
{
    run_translator(job, pc, max_insns, true);
    u32 store = check_first_store(job->t.b.region);
    if (store && store < job->t.insn_count) {
        run_translator(job, pc, store, true);
    }
    if (!job->missing) {
        check_end(job);
        job->checked = true; /* whatever the pages were the last time */
    }
}

/* Says why there is no code: mapped without execute permission, or not at all, for which mincore()
 * fails; or no address that this host could map. */
static void fill_fetch_fault(Job *job)
{
    enum { UNUSED_BITS = 16 };
    Vcpu *vcpu = job->vcpu;
    u64 address = job->missing_address;
    bool invalid = (s64)(address << UNUSED_BITS) >> UNUSED_BITS != (s64)address;
    u8 unused;

    vcpu->fetch_exception = job->exception;
    if (job->bad_count == 0 && !vcpu->mmu) {
        void *page = guest_pointer(vcpu->engine, ALIGN_DOWN(address, (u64)CODE_PAGE));
        vcpu->fault.signal = SIGSEGV;
        vcpu->fault.code = invalid                             ? SI_KERNEL
                           : mincore(page, CODE_PAGE, &unused) ? SEGV_MAPERR
                                                               : SEGV_ACCERR;
    }
    vcpu->fault.access = ACCESS_FETCH;
    vcpu->fault.address = address;
    vcpu->fault.invalid = invalid;
}

/* Leaves optimised IR in the job; false if there is no code at pc, with the fault filled. */
static bool make_ir(Job *job, u64 pc, u32 max_insns)
{
    note_time(job, JOB_STARTED);
    run_translator(job, pc, max_insns, false);
    if (job->checked && !job->missing) {
        make_checked_ir(job, pc, MIN(max_insns, (u32)CHECK_MAX_INSNS));
    }
    if (job->missing) {
        fill_fetch_fault(job);
        return false;
    }
    if (log_on(LOG_IR)) {
        log_region("ir:", job->t.b.region);
    }
    note_time(job, JOB_TRANSLATED);
    ir_optimize(job->t.b.region, false);
    note_time(job, JOB_OPTIMIZED);
    if (log_on(LOG_OPT)) {
        log_region("opt:", job->t.b.region);
    }
    return true;
}

/* -- Publishing, under the lock */

/* Compiles to the cache, going to the next segment when this one is nearly full. Returns 0, -ENOSPC
 * if the region does not fit, or -EAGAIN if there is no next segment at the moment. */
static int compile(Job *job, HostBlock *out)
{
    Engine *engine = job->vcpu->engine;

    for (;;) {
        size_t room;
        u8 *code = cache_room(engine, &room);
        int error = engine->host->compile(job->t.b.region, &engine->config, engine->cache.base,
                                          code, room, &job->vcpu->arena, out);
        if (!error || room >= AMPLE_ROOM || cache_segment_is_empty(engine)) {
            return error;
        }
        if (!cache_next_segment(engine)) {
            return -EAGAIN;
        }
    }
}

static Link *copy_links(Engine *engine, Block *block, const HostBlock *code)
{
    Link *links = cache_alloc(engine, code->link_count * sizeof(Link));

    for (u32 i = 0; i < code->link_count; i++) {
        links[i] = (Link){
            .from = block,
            .target = code->links[i].target,
            .site = code->links[i].site,
            .stub = code->links[i].stub,
            .guard = code->links[i].guard,
        };
    }
    return links;
}

/* The guest bytes that the block was made from. */
static const u8 *copy_source(Engine *engine, const Job *job)
{
    size_t main = job->extents[0].end - job->extents[0].start;
    size_t ahead = job->extents[1].end - job->extents[1].start;
    u8 *source = cache_alloc(engine, main + ahead);

    memcpy(source, job->main_bytes, main);
    memcpy(source + main, job->ahead_bytes, ahead);
    return source;
}

void job_fill_dependencies(const Job *job, Block *block)
{
    block->page_count = job->page_count;
    memcpy(block->pages, job->pages, sizeof block->pages);
    memcpy(block->extents, job->extents, sizeof block->extents);
}

/* Makes the block of compiled code; NULL when the segment can't record more blocks. */
static Block *record(Job *job, const HostBlock *code)
{
    Engine *engine = job->vcpu->engine;
    Block *block = cache_new_block(engine, code->size);

    if (!block) {
        return NULL;
    }
    u8 *side_table = cache_alloc(engine, code->side_table_size);
    if (code->side_table_size) {
        memcpy(side_table, code->side_table, code->side_table_size);
    }
    block->pc = job->key.pc;
    block->mode = job->key.mode;
    block->kind = (u8)job->key.kind;
    block->context = job->key.context;
    block->ram = job->key.ram;
    block->next_page = job->key.next_page;
    block->linear = job->linear;
    block->exact_fp = job->exact_fp;
    block->checked = job->checked;
    block->dead = job->key.kind == BLOCK_ONCE;
    block->side_table = side_table;
    block->side_table_size = code->side_table_size;
    block->links = copy_links(engine, block, code);
    block->link_count = code->link_count;
    block->source = copy_source(engine, job);
    job_fill_dependencies(job, block);
    cache_publish(engine);
    if (!block->dead) {
        coherence_add_block(block);
        if (engine->guest->coherence == CODE_TRANSPARENT) {
            coherence_note_new(block);
        }
        block_insert(engine, block);
    }
    if (log_on(LOG_OUT)) {
        log_host_code(engine, block);
    }
    return block;
}

/* Returns 0 with the block, -EAGAIN if guest code changed meanwhile, -ENOSPC if the region is too
 * large. */
static int publish(Job *job, Block **block)
{
    Engine *engine = job->vcpu->engine;
    HostBlock code;

    if (!job_is_current(job)) {
        return -EAGAIN;
    }
    *block = job->key.kind == BLOCK_ONCE ? NULL : block_find(engine, &job->key);
    if (*block && ((*block)->exact_fp || !job->exact_fp)) {
        return 0; /* another thread was faster */
    }
    if (*block) {
        block_kill(engine, *block, false);
    }
    do {
        int error = compile(job, &code);
        if (error) {
            return error;
        }
        *block = record(job, &code);
        if (!*block && !cache_next_segment(engine)) {
            return -EAGAIN;
        }
    } while (!*block);
    note_time(job, JOB_COMPILED);
    log_times(job);
    return 0;
}

/* An instruction across a page's end may be another one on another second page. */
static Block *revive_block(Job *job)
{
    bool whole = job->key.kind != BLOCK_ONCE && !job->key.next_page;

    return whole ? revive(job, job->key.pc) : NULL;
}

Block *translate(Vcpu *vcpu, const BlockKey *key, bool exact_fp)
{
    Engine *engine = vcpu->engine;
    const GuestSystem *system = engine->guest->system;
    bool single = key->kind != BLOCK_NORMAL || engine->options.single_step;
    u32 max_insns = single ? 1 : JOB_MAX_INSNS;
    Job job;

    safepoint_leave(vcpu);
    job.vcpu = vcpu;
    job.key = *key;
    job.linear = system ? system->code_address(key->context, key->mode, key->pc) : key->pc;
    job.exact_fp = exact_fp || (vcpu->mode & GUEST_MODE_EXACT_FP);
    job.bad_count = 0;
    Block *block = revive_block(&job);
    if (block) {
        return block;
    }
    job.bad_count = 0;
    while (make_ir(&job, key->pc, max_insns)) {
        pthread_mutex_lock(&engine->lock);
        int error = publish(&job, &block);
        if (!error) {
            safepoint_enter(vcpu);
            pthread_mutex_unlock(&engine->lock);
            return block;
        }
        pthread_mutex_unlock(&engine->lock);
        if (error == -ENOSPC) {
            assert(max_insns > 1 && "one guest instruction must fit into an empty segment");
            max_insns = MAX(MIN(max_insns, job.t.insn_count) / 2, 1u);
        }
    }
    safepoint_enter(vcpu);
    return NULL;
}
