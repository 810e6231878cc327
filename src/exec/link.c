/* Jumps between blocks: patched to their targets, and back when a target goes. Direct ones, and the
 * inline caches of indirect ones.
 *
 * A link is known by its site, the address of the jump. It may go to any live block of its target
 * address and its own block's mode (and page, in system mode), so what a thread remembers of an
 * exit (site and target) is checked against the tables under the lock, however old it is. */
#include "exec/engine.h"

static bool holds(const Block *block, const u8 *address)
{
    return address >= block->code && address < block->code + block->code_size;
}

/* `near` is where the site may well be; it may be dead or another block by now, or NULL. */
static Link *find_link(const Engine *engine, const u8 *site, Block *near)
{
    Block *block = near && holds(near, site) ? near : cache_block_at(engine, site);

    if (!block || block->dead) {
        return NULL;
    }
    for (u32 i = 0; i < block->link_count; i++) {
        if (block->code + block->links[i].site == site) {
            return &block->links[i];
        }
    }
    return NULL;
}

static u64 *guard_of(const Link *link)
{
    return (u64 *)(uintptr_t)(link->from->code + link->guard);
}

/* Whether the link may go to that guest address. A guard is never changed once it is set: a thread
 * may be between the comparison and the jump. */
static bool leads_to(const Link *link, u64 pc)
{
    if (!link->guard) {
        return link->target == pc;
    }
    u64 guard = __atomic_load_n(guard_of(link), __ATOMIC_RELAXED);
    return guard == pc || guard == HOST_GUARD_NONE;
}

static void link_to(const Engine *engine, Link *link, Block *target)
{
    link->to = target;
    link->prev = &target->incoming;
    link->next = target->incoming;
    if (link->next) {
        link->next->prev = &link->next;
    }
    target->incoming = link;
    engine->host->link((u8 *)link->from->code + link->site, target->code);
    if (link->guard) {
        __atomic_store_n(guard_of(link), target->pc, __ATOMIC_RELEASE);
    }
}

/* In system mode only inside of a page, the same in the guest's and in RAM: while code runs there,
 * nothing else can be mapped in its place. */
static bool may_link(const Engine *engine, const Block *from, const Block *target)
{
    bool same_page = (from->linear ^ target->linear) < CODE_PAGE &&
                     (from->ram ^ target->ram) < CODE_PAGE && !target->next_page;

    return from->mode == target->mode && from->context == target->context && !target->dead &&
           target->kind == BLOCK_NORMAL && (same_page || !engine->options.system);
}

static void unlink_from_target(const Engine *engine, Link *link)
{
    *link->prev = link->next;
    if (link->next) {
        link->next->prev = link->prev;
    }
    link->to = NULL;
    engine->host->link((u8 *)link->from->code + link->site, link->from->code + link->stub);
}

void link_site(Vcpu *vcpu, const u8 *site, Block *near, Block *target)
{
    Engine *engine = vcpu->engine;

    if (pthread_mutex_trylock(&engine->lock)) {
        return;
    }
    Link *link = find_link(engine, site, near);
    if (link && !link->to && leads_to(link, target->pc) && may_link(engine, link->from, target)) {
        link_to(engine, link, target);
    }
    pthread_mutex_unlock(&engine->lock);
}

void link_remove_all(Engine *engine, Block *block)
{
    while (block->incoming) {
        unlink_from_target(engine, block->incoming);
    }
    for (u32 i = 0; i < block->link_count; i++) {
        if (block->links[i].to) {
            unlink_from_target(engine, &block->links[i]);
        }
    }
}
