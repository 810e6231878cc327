/* Forgetting translations of addresses.
 *
 * What was filled since it was flushed last is listed, global entries apart, so that a flush costs
 * what it drops. A large page is kept as its 4 KiB pieces; where such pages are is remembered as a
 * range, and only flushes of a page in there look for other pieces. The entries behind the TLBs are
 * not listed: they have a generation.
 * Where code is found depends on translations as well: jump tables and predicted returns are
 * forgotten, unless no code was looked for in the page that is flushed. */
#include <string.h>

#include "exec/mmu.h"

/* -- Keeping books */

void mmu_clear_entry(TlbEntry *entry)
{
    __atomic_store_n(&entry->write, TLB_NONE, __ATOMIC_RELAXED);
    entry->read = TLB_NONE;
    entry->info &= TLB_LISTED | TLB_LISTED_GLOBAL;
}

void mmu_list_entry(Mmu *mmu, TlbEntry *entry, u32 space, u32 index, const GuestPage *page)
{
    u64 listed = page->global ? TLB_LISTED_GLOBAL : TLB_LISTED;
    EntryList *list = &mmu->lists[space][page->global];

    if (!(entry->info & listed)) {
        list->entry[list->count++] = (u16)index;
    }
    entry->info = (entry->info & (TLB_LISTED | TLB_LISTED_GLOBAL)) | listed |
                  (page->global ? TLB_GLOBAL : 0) | (u64)page->page_bits << 8;
}

/* -- What a flush of one page has to look at */

static u32 seen_index(u64 address)
{
    return hash_u64(address >> TLB_PAGE_BITS, CODE_SEEN_BITS);
}

static void extend(LinearRange *ranges, u64 address, u32 page_bits)
{
    u64 size = (u64)1 << page_bits;
    LinearRange *range = &ranges[address >> 63];

    range->low = MIN(range->low, ALIGN_DOWN(address, size));
    range->high = MAX(range->high, ALIGN_DOWN(address, size) + size - 1);
}

static bool is_in(const LinearRange *ranges, u64 address)
{
    const LinearRange *range = &ranges[address >> 63];

    return address >= range->low && address <= range->high;
}

void mmu_note_large(Mmu *mmu, u64 address, u32 page_bits)
{
    if (page_bits > TLB_PAGE_BITS) {
        extend(mmu->large, address, page_bits);
    }
}

void mmu_forget_large(Mmu *mmu)
{
    for (u32 half = 0; half < 2; half++) {
        mmu->large[half] = mmu->large_code[half] = (LinearRange){.low = ~(u64)0, .high = 0};
    }
}

void mmu_list_code(Mmu *mmu, CodeTlbEntry *entry)
{
    u32 seen = seen_index(entry->tag);

    if (!entry->listed) {
        mmu->code_list[mmu->code_count++] = (u8)(entry - mmu->code);
        entry->listed = true;
    }
    if (entry->page_bits > TLB_PAGE_BITS) {
        extend(mmu->large_code, entry->tag, entry->page_bits);
    } else {
        mmu->code_seen[entry->global][seen / 64] |= (u64)1 << seen % 64;
    }
}

/* Whether code may have been found in the page of the address, as part of a page that is global or
 * not. */
static bool code_was_seen(const Mmu *mmu, u64 address, bool global)
{
    u32 seen = seen_index(address);

    return mmu->code_seen[global][seen / 64] >> seen % 64 & 1 || is_in(mmu->large_code, address);
}

/* -- All pages */

void mmu_forget_shared(Vcpu *vcpu)
{
    u64 *addends = shared_addends(vcpu->common);

    for (u32 i = 0; i < SHARED_ADDENDS; i++) {
        __atomic_store_n(&addends[i], 0, __ATOMIC_RELAXED);
    }
}

void mmu_forget_near(Vcpu *vcpu)
{
    mmu_forget_shared(vcpu);
    for (u32 space = 0; space < vcpu->engine->guest->system->space_count; space++) {
        NearEntry *table = near_table(vcpu->common, space);
        for (u32 i = 0; i < NEAR_ENTRIES; i++) {
            table[i].page = NEAR_NONE;
        }
    }
}

void mmu_forget_near_page(Vcpu *vcpu, u32 space, u64 address)
{
    NearEntry *table = near_table(vcpu->common, space);

    mmu_forget_shared(vcpu);
    for (u32 i = 0; i < NEAR_ENTRIES; i++) {
        if (table[i].page == mmu_page(address)) {
            table[i].page = NEAR_NONE;
        }
    }
}

/* Drops the entries of the list, but those that have become global or not since. */
static void drop_list(TlbEntry *table, EntryList *list, bool global)
{
    u64 listed = global ? TLB_LISTED_GLOBAL : TLB_LISTED;

    for (u32 i = 0; i < list->count; i++) {
        TlbEntry *entry = &table[list->entry[i]];
        if (global == (entry->info & TLB_GLOBAL && 1)) {
            mmu_clear_entry(entry);
        }
        entry->info &= ~listed;
    }
    list->count = 0;
}

static void drop_code(Mmu *mmu, bool global)
{
    u32 kept = 0;

    for (u32 i = 0; i < mmu->code_count; i++) {
        CodeTlbEntry *entry = &mmu->code[mmu->code_list[i]];
        if (!global && entry->global) {
            mmu->code_list[kept++] = mmu->code_list[i];
        } else {
            entry->tag = CODE_TLB_NONE;
            entry->listed = false;
        }
    }
    mmu->code_count = kept;
}

void mmu_flush(void *state, bool global)
{
    Vcpu *vcpu = cpu_common(state)->vcpu;
    Mmu *mmu = vcpu->mmu;

    for (u32 space = 0; space < vcpu->engine->guest->system->space_count; space++) {
        TlbEntry *table = tlb_table(vcpu->common, space);
        drop_list(table, &mmu->lists[space][false], false);
        if (global) {
            drop_list(table, &mmu->lists[space][true], true);
        }
    }
    mmu_forget_near(vcpu);
    mmu->generation[false]++;
    mmu->generation[true] += global;
    drop_code(mmu, global);
    jumps_forget(vcpu, global);
    memset(mmu->code_seen[false], 0, sizeof mmu->code_seen[false]);
    if (global) {
        memset(mmu->code_seen[true], 0, sizeof mmu->code_seen[true]);
        mmu_forget_large(mmu);
    }
}

/* -- One page */

static bool in_page(u64 tag, u64 address, u32 page_bits)
{
    return (tag ^ address) >> page_bits == 0;
}

static void drop_piece(TlbEntry *table, u64 address)
{
    TlbEntry *entry = &table[address >> TLB_PAGE_BITS & (TLB_ENTRIES - 1)];

    if (mmu_page(entry->read) == mmu_page(address)) {
        mmu_clear_entry(entry);
    }
}

/* All pieces of the large page that the address is or was in. */
static void drop_pieces(TlbEntry *table, const EntryList *list, u64 address)
{
    for (u32 i = 0; i < list->count; i++) {
        TlbEntry *entry = &table[list->entry[i]];
        if (in_page(entry->read, address, MAX((u32)(entry->info >> 8 & 0xff), TLB_PAGE_BITS))) {
            mmu_clear_entry(entry);
        }
    }
}

/* Behind the TLBs, where a large page's pieces are not searched for: all goes. */
static void drop_behind(Mmu *mmu, u64 address, bool large)
{
    BackEntry *set = mmu_back_set(mmu, address);

    for (u32 way = 0; way < BACK_WAYS; way++) {
        if (mmu_page(set[way].entry.read) == mmu_page(address)) {
            set[way].entry.read = TLB_NONE;
        }
    }
    mmu->generation[false] += large;
    mmu->generation[true] += large;
}

static void drop_code_pieces(Mmu *mmu, u64 address)
{
    for (u32 i = 0; i < mmu->code_count; i++) {
        CodeTlbEntry *entry = &mmu->code[mmu->code_list[i]];
        if (in_page(entry->tag, address, MAX(entry->page_bits, TLB_PAGE_BITS))) {
            entry->tag = CODE_TLB_NONE;
        }
    }
}

void mmu_flush_page(void *state, u64 address)
{
    Vcpu *vcpu = cpu_common(state)->vcpu;
    Mmu *mmu = vcpu->mmu;
    bool large = is_in(mmu->large, address);
    bool global_code = code_was_seen(mmu, address, true);

    for (u32 space = 0; space < vcpu->engine->guest->system->space_count; space++) {
        TlbEntry *table = tlb_table(vcpu->common, space);
        drop_piece(table, address);
        mmu_forget_near_page(vcpu, space, address);
        if (large) {
            drop_pieces(table, &mmu->lists[space][false], address);
            drop_pieces(table, &mmu->lists[space][true], address);
        }
    }
    if (large) {
        mmu_forget_near(vcpu);
    }
    drop_behind(mmu, address, large);
    if (global_code || code_was_seen(mmu, address, false)) {
        drop_code_pieces(mmu, address);
        jumps_forget(vcpu, global_code);
    }
}
