/* Code coherence: noticing that guest code bytes changed.
 *
 * Every guest page that code was translated from has a CodePage, which lists its blocks and has a
 * state:
 *   OPEN       nothing is noticed; the page holds no live blocks
 *   WATCHED    the guest's stores fault: either the engine took write permission from the page, or
 *              the guest has none
 *   GIVEN_UP   (CODE_EXPLICIT guests only) data and code share the page, or a JIT fills it: it was
 *              written so often that only the guest's own cache maintenance counts from now on
 *   CHECKED    (the others) the same; blocks compare their bytes whenever they are entered
 * (check.h) The last two also where the host refuses to protect the page, and a version, which
 * changes whenever blocks of the page may have become wrong. State and version are one word. A
 * translator watches a page before it reads it and compares the version when it adds its block, so
 * it needs no lock in between.
 *
 * A store to a watched page drops all blocks of the page and opens it; engine_invalidate() drops
 * those that overlap its range; the guest's own cache maintenance those of its range whose bytes
 * changed. CodePages live as long as the engine; the table is read without a lock.
 *
 * The host's protection is changed under the engine's lock only, and asks page_writable() there, so
 * a page ends up as the last state says. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "exec/mmu.h"

enum { PAGE_OPEN, PAGE_WATCHED, PAGE_GIVEN_UP, PAGE_CHECKED };
enum { PAGE_STATE_MASK = 3, PAGE_VERSION_STEP = 4 };

/* Stores that it takes to give a page up, and to have blocks check themselves, which costs more. */
enum { WRITES_TOLERATED = 4, WRITES_BEFORE_CHECKS = 16 };

struct CodePage {
    u64 address;
    CodePage *next; /* in its hash chain */
    Block *blocks;
    u32 word; /* atomic: version * PAGE_VERSION_STEP + state */
    u32 writes;
    bool protected; /* the engine took write permission from it */
};

int coherence_init(Engine *engine)
{
    engine->pages = calloc((size_t)1 << PAGE_TABLE_BITS, sizeof *engine->pages);
    return engine->pages ? 0 : -1;
}

void coherence_free(Engine *engine)
{
    free(engine->pages);
}

static CodePage **page_chain(const Engine *engine, u64 address)
{
    return &engine->pages[hash_u64(address, PAGE_TABLE_BITS)];
}

static CodePage *find_page(const Engine *engine, u64 address)
{
    CodePage *page = __atomic_load_n(page_chain(engine, address), __ATOMIC_ACQUIRE);

    while (page && page->address != address) {
        page = page->next;
    }
    return page;
}

static CodePage *make_page(Engine *engine, u64 address)
{
    CodePage **chain = page_chain(engine, address);
    CodePage *page = ARENA_NEW(&engine->arena, CodePage);

    page->address = address;
    page->next = *chain;
    engine->page_count++;
    __atomic_store_n(chain, page, __ATOMIC_RELEASE);
    return page;
}

static u32 page_word(const CodePage *page)
{
    return __atomic_load_n(&page->word, __ATOMIC_ACQUIRE);
}

static u32 page_state(const CodePage *page)
{
    return page_word(page) & PAGE_STATE_MASK;
}

/* A new version, in that state. */
static void change_page(CodePage *page, u32 state)
{
    u32 version = (page->word & ~(u32)PAGE_STATE_MASK) + PAGE_VERSION_STEP;

    __atomic_store_n(&page->word, version | state, __ATOMIC_RELEASE);
}

static bool guest_may_write(const Engine *engine, u64 page)
{
    const ExecOptions *options = &engine->options;

    return !options->page_writable || options->page_writable(options->opaque, page);
}

static bool guest_may_execute(const Engine *engine, u64 page)
{
    const ExecOptions *options = &engine->options;

    return !options->page_executable || options->page_executable(options->opaque, page);
}

/* In system mode stores are noticed by the soft MMU instead. A vCPU whose TLB had the page may be
 * about to store to it: when all have been outside, none is. */
static void watch_in_tlbs(Engine *engine, u64 page)
{
    bool found = false;

    for (Vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        found |= mmu_watch_ram(vcpu, (const u8 *)(uintptr_t)page, CODE_PAGE);
    }
    if (found && engine->vcpus->next) {
        safepoint_stop(engine);
        safepoint_resume(engine);
    }
}

static bool host_protect(const Engine *engine, u64 page, int protection)
{
    return mprotect(guest_pointer(engine, page), CODE_PAGE, protection) == 0;
}

static void note_protected(Engine *engine, CodePage *page, bool is_protected)
{
    if (page->protected != is_protected) {
        page->protected = is_protected;
        __atomic_add_fetch(&engine->protected_pages, is_protected ? 1 : -1u, __ATOMIC_SEQ_CST);
    }
}

/* What a page is that is not protected although it holds code. */
static u32 unprotected_state(const Engine *engine)
{
    return engine->guest->coherence == CODE_EXPLICIT ? PAGE_GIVEN_UP : PAGE_CHECKED;
}

/* -- Translating */

CodePage *coherence_watch(Engine *engine, u64 address, u32 *version)
{
    CodePage *page = find_page(engine, address);

    if (page) {
        *version = page_word(page);
        if ((*version & PAGE_STATE_MASK) != PAGE_OPEN) {
            return page;
        }
    }
    pthread_mutex_lock(&engine->lock);
    if (!guest_may_execute(engine, address)) {
        pthread_mutex_unlock(&engine->lock);
        return NULL;
    }
    page = find_page(engine, address);
    page = page ? page : make_page(engine, address);
    if (page_state(page) == PAGE_OPEN && engine->options.system) {
        change_page(page, PAGE_WATCHED);
        watch_in_tlbs(engine, address);
    } else if (page_state(page) == PAGE_OPEN) {
        bool writable = guest_may_write(engine, address);
        bool refused = writable && !host_protect(engine, address, PROT_READ);
        note_protected(engine, page, writable && !refused);
        change_page(page, refused ? unprotected_state(engine) : PAGE_WATCHED);
    }
    *version = page_word(page);
    pthread_mutex_unlock(&engine->lock);
    return page;
}

bool coherence_is_checked(u32 version)
{
    return (version & PAGE_STATE_MASK) == PAGE_CHECKED;
}

bool coherence_unchanged(const CodePage *page, u32 version)
{
    return page_word(page) == version;
}

/* Which of the block's pages it is. */
static u32 index_of_page(const Block *block, const CodePage *page)
{
    u32 i = 0;

    while (block->pages[i] != page) {
        i++;
    }
    return i;
}

static void set_prev(Block *block, const CodePage *page, Block **prev)
{
    if (block) {
        block->page_prev[index_of_page(block, page)] = prev;
    }
}

void coherence_add_block(Block *block)
{
    for (u32 i = 0; i < block->page_count; i++) {
        CodePage *page = block->pages[i];
        block->page_next[i] = page->blocks;
        block->page_prev[i] = &page->blocks;
        set_prev(page->blocks, page, &block->page_next[i]);
        page->blocks = block;
    }
}

/* Code that really changes is a JIT's, say, which is better told by faults than by checks: these
 * are for pages whose blocks are found unchanged after a write. */
void coherence_note_new(Block *block)
{
    for (u32 i = 0; i < block->page_count; i++) {
        CodePage *page = block->pages[i];
        page->writes -= MIN(page->writes, 2u);
    }
}

/* Programs at random addresses have each their own blocks of a page: the list may be long. */
void coherence_remove_block(Block *block)
{
    for (u32 i = 0; i < block->page_count; i++) {
        *block->page_prev[i] = block->page_next[i];
        set_prev(block->page_next[i], block->pages[i], block->page_prev[i]);
    }
}

bool coherence_executable(const Engine *engine, u64 page)
{
    return guest_may_execute(engine, page);
}

/* -- Writes */

/* Drops the page's blocks and opens or gives up the page. The lock is held. */
static void page_written(Engine *engine, CodePage *page)
{
    while (page->blocks) {
        block_kill(engine, page->blocks, true);
    }
    page->writes++;
    u32 tolerated =
        engine->guest->coherence == CODE_EXPLICIT ? WRITES_TOLERATED : WRITES_BEFORE_CHECKS;
    bool give_up = page->writes >= tolerated;
    change_page(page, give_up ? unprotected_state(engine) : PAGE_OPEN);
    note_protected(engine, page, false);
    if (log_on(LOG_CACHE)) {
        log_printf("cache: write to code page 0x%llx%s\n", (unsigned long long)page->address,
                   give_up ? ", no longer protected" : "");
    }
}

/* The lock is held. */
static bool make_writable(Engine *engine, u64 address)
{
    if (!guest_may_write(engine, address)) {
        return false;
    }
    CodePage *page = find_page(engine, address);
    if (page && page_state(page) == PAGE_WATCHED) {
        page_written(engine, page);
    }
    return host_protect(engine, address, PROT_READ | PROT_WRITE);
}

bool coherence_write_fault(Engine *engine, u64 address)
{
    u64 page = ALIGN_DOWN(address, (u64)CODE_PAGE);

    if (!find_page(engine, page)) {
        return false;
    }
    pthread_mutex_lock(&engine->lock);
    bool done = make_writable(engine, page);
    pthread_mutex_unlock(&engine->lock);
    return done;
}

/* Calls `visit` for each known page that overlaps [start, start+size), which may be any range: the
 * walk is over the shorter of the range and the table. The lock is held. */
static void visit_pages(Engine *engine, u64 start, u64 size,
                        void (*visit)(Engine *engine, CodePage *page, u64 start, u64 last))
{
    u64 last = start + MIN(size - 1, ~start);
    u64 first_page = ALIGN_DOWN(start, (u64)CODE_PAGE);
    u64 count = (ALIGN_DOWN(last, (u64)CODE_PAGE) - first_page) / CODE_PAGE + 1;

    if (count <= engine->page_count) {
        for (u64 i = 0; i < count; i++) {
            CodePage *page = find_page(engine, first_page + i * CODE_PAGE);
            if (page) {
                visit(engine, page, start, last);
            }
        }
        return;
    }
    for (u32 i = 0; i < 1u << PAGE_TABLE_BITS; i++) {
        for (CodePage *page = engine->pages[i]; page; page = page->next) {
            if (page->address >= first_page && page->address <= last) {
                visit(engine, page, start, last);
            }
        }
    }
}

static void prepare_page(Engine *engine, CodePage *page, u64 start, u64 last)
{
    (void)start;
    (void)last;
    if (page->protected) {
        make_writable(engine, page->address);
    }
}

void engine_prepare_write(Engine *engine, u64 start, u64 size)
{
    if (size == 0 || !__atomic_load_n(&engine->protected_pages, __ATOMIC_SEQ_CST)) {
        return;
    }
    pthread_mutex_lock(&engine->lock);
    visit_pages(engine, start, size, prepare_page);
    pthread_mutex_unlock(&engine->lock);
}

/* -- Invalidation */

bool coherence_depends(const Block *block, u64 start, u64 last)
{
    for (u32 i = 0; i < BLOCK_EXTENTS; i++) {
        const CodeExtent *extent = &block->extents[i];
        if (extent->start < extent->end && extent->start <= last && start < extent->end) {
            return true;
        }
    }
    return false;
}

static bool source_changed(const Engine *engine, const Block *block)
{
    const u8 *source = block->source;

    for (u32 i = 0; i < BLOCK_EXTENTS; i++) {
        size_t size = block->extents[i].end - block->extents[i].start;
        if (size && memcmp(guest_pointer(engine, block->extents[i].start), source, size)) {
            return true;
        }
        source += size;
    }
    return false;
}

/* Drops the page's blocks that overlap the range, all of them or those whose bytes changed. */
static void drop_blocks(Engine *engine, CodePage *page, u64 start, u64 last, bool changed_only)
{
    Block *next;

    for (Block *block = page->blocks; block; block = next) {
        next = block->page_next[index_of_page(block, page)];
        if (coherence_depends(block, start, last) &&
            !(changed_only && !source_changed(engine, block))) {
            block_kill(engine, block, true);
        }
    }
}

static void invalidate_page(Engine *engine, CodePage *page, u64 start, u64 last)
{
    drop_blocks(engine, page, start, last, false);
    /* A whole page: its mapping changed, so nothing that was learnt about it holds. */
    bool whole = start <= page->address && last - page->address >= CODE_PAGE - 1;
    if (whole && page->protected && guest_may_write(engine, page->address)) {
        host_protect(engine, page->address, PROT_READ | PROT_WRITE);
    }
    if (whole) {
        note_protected(engine, page, false);
        page->writes = 0;
    }
    change_page(page, whole ? PAGE_OPEN : page_state(page));
}

static void flush_page(Engine *engine, CodePage *page, u64 start, u64 last)
{
    drop_blocks(engine, page, start, last, true);
    change_page(page, page_state(page));
}

void coherence_flush(Vcpu *vcpu, u64 start, u64 size)
{
    Engine *engine = vcpu->engine;

    pthread_mutex_lock(&engine->lock);
    if (sigsetjmp(vcpu->fetch_fault, 0) == 0) {
        vcpu->fetching = 1;
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        visit_pages(engine, start, size, flush_page);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        vcpu->fetching = 0;
    } else {
        visit_pages(engine, start, size, invalidate_page); /* being unmapped by another thread */
    }
    pthread_mutex_unlock(&engine->lock);
}

void coherence_code_changed(Engine *engine, BlockKey key)
{
    static const BlockKind kinds[] = {BLOCK_NORMAL, BLOCK_EXACT_STEP};

    pthread_mutex_lock(&engine->lock);
    for (u32 i = 0; i < COUNT(kinds); i++) {
        key.kind = kinds[i];
        Block *block = block_find(engine, &key);
        if (block) {
            block_kill(engine, block, true);
        }
    }
    pthread_mutex_unlock(&engine->lock);
}

/* -- System mode */

bool coherence_is_watched(const Engine *engine, u64 address)
{
    const CodePage *page = find_page(engine, ALIGN_DOWN(address, (u64)CODE_PAGE));

    return page && page_state(page) == PAGE_WATCHED;
}

/* Data may lie in the same page, so other blocks stay. */
static void write_page(Engine *engine, CodePage *page, u64 start, u64 last)
{
    if (page_state(page) == PAGE_WATCHED) {
        drop_blocks(engine, page, start, last, false);
        change_page(page, page->blocks ? PAGE_WATCHED : PAGE_OPEN);
    }
}

void coherence_ram_written(Engine *engine, u64 start, u64 size)
{
    visit_pages(engine, start, size, write_page);
}

void engine_invalidate(Engine *engine, u64 start, u64 size)
{
    if (size) {
        pthread_mutex_lock(&engine->lock);
        visit_pages(engine, start, size, invalidate_page);
        pthread_mutex_unlock(&engine->lock);
    }
}

bool engine_page_is_protected(Engine *engine, u64 address)
{
    CodePage *page = find_page(engine, address);

    if (!page || page_state(page) != PAGE_WATCHED) {
        return false;
    }
    pthread_mutex_lock(&engine->lock);
    bool watched = page_state(page) == PAGE_WATCHED;
    if (watched) {
        /* The caller takes the permission that it just gave. */
        note_protected(engine, page, true);
    }
    pthread_mutex_unlock(&engine->lock);
    return watched;
}
