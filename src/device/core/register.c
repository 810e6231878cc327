/* Register banks: from an offset to a row, from the row to a field and its hooks.
 *
 * An access narrower than a register reads a part of it, or writes a part and takes the rest from
 * the field; a wider one goes to each register in turn. An offset without a register reads as 0. */
#include <string.h>

#include "device/core/internal.h"

typedef struct BankUse BankUse;

static unsigned width_of(const RegisterBank *bank, const Register *r)
{
    return r->width ? r->width : bank->width;
}

/* The register at an offset; *index says which of an array, *within the byte in it. */
static const Register *find(const RegisterBank *bank, u64 offset, u32 *index, unsigned *within)
{
    for (u32 i = 0; i < bank->count; i++) {
        const Register *r = &bank->registers[i];
        unsigned width = width_of(bank, r);
        u32 count = MAX(r->count, 1u), stride = r->stride ? r->stride : width;
        if (offset < r->at || offset >= r->at + (u64)count * stride) {
            continue;
        }
        u64 from = offset - r->at;
        if (from % stride < width) {
            *index = (u32)(from / stride);
            *within = (unsigned)(from % stride);
            return r;
        }
    }
    return NULL;
}

static void *field_of(Device *device, const Register *r, u32 index)
{
    return (u8 *)device + r->offset + (size_t)index * r->size;
}

static u64 read_register(Device *device, const Register *r, u32 index)
{
    if (r->read_at) {
        return r->read_at(device, index);
    }
    if (r->read) {
        return r->read(device);
    }
    return r->size ? get_number(field_of(device, r, index), r->size) : 0;
}

static void write_register(Device *device, const Register *r, u32 index, u64 value)
{
    if (r->size) {
        void *place = field_of(device, r, index);
        u64 old = get_number(place, r->size);
        old = (old & ~r->mask) | (value & r->mask);
        put_number(place, r->size, old & ~(value & r->clear));
    }
    if (r->write_at) {
        r->write_at(device, index, value);
    } else if (r->write) {
        r->write(device, value);
    }
}

static u64 mask_of(unsigned size)
{
    return ~(u64)0 >> (64 - 8 * size);
}

/* Bits to shift by: where the bytes from `within` are in a register. */
static unsigned shift_of(const RegisterBank *bank, unsigned width, unsigned within, unsigned size)
{
    return 8 * (bank->order == BIG ? width - within - size : within);
}

static u64 bank_read(void *opaque, u64 offset, unsigned size)
{
    const BankUse *use = opaque;
    u64 value = 0;

    for (unsigned done = 0, step; done < size; done += step) {
        u32 index;
        unsigned within;
        const Register *r = find(use->bank, offset + done, &index, &within);
        if (!r) {
            device_guest_error(use->device, "%s has no register at %#llx to read", use->bank->name,
                               (unsigned long long)(offset + done));
            step = 1;
            continue;
        }
        unsigned width = width_of(use->bank, r);
        step = MIN(width - within, size - done);
        u64 part = read_register(use->device, r, index);
        part = part >> shift_of(use->bank, width, within, step) & mask_of(step);
        value |= part << 8 * (use->bank->order == BIG ? size - done - step : done);
    }
    return value;
}

static void bank_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    const BankUse *use = opaque;

    for (unsigned done = 0, step; done < size; done += step) {
        u32 index;
        unsigned within;
        const Register *r = find(use->bank, offset + done, &index, &within);
        if (!r) {
            device_guest_error(use->device, "%s has no register at %#llx to write", use->bank->name,
                               (unsigned long long)(offset + done));
            step = 1;
            continue;
        }
        unsigned width = width_of(use->bank, r);
        step = MIN(width - within, size - done);
        unsigned from = 8 * (use->bank->order == BIG ? size - done - step : done);
        u64 part = value >> from & mask_of(step);
        if (step < width) {
            unsigned shift = shift_of(use->bank, width, within, step);
            u64 old = r->size ? get_number(field_of(use->device, r, index), r->size) : 0;
            old &= ~r->clear; /* bits that were not written clear nothing */
            part = (old & ~(mask_of(step) << shift)) | part << shift;
        }
        write_register(use->device, r, index, part);
    }
}

static const RegionOps little_ops = {bank_read, bank_write, 1, 8, true, false, LITTLE};
static const RegionOps big_ops = {bank_read, bank_write, 1, 8, true, false, BIG};

void registers_start(Device *device)
{
    for (u32 i = 0; i < device->def->bank_count; i++) {
        const RegisterBank *bank = &device->def->banks[i];
        Region *region = (Region *)(void *)((u8 *)device + bank->region);
        region->name = bank->name;
        region->size = region->size ? region->size : bank->size;
        if (bank->raw) {
            region->ops = bank->raw;
            region->opaque = device;
        } else {
            device->uses[i] = (BankUse){device, bank};
            region->ops = bank->order == BIG ? &big_ops : &little_ops;
            region->opaque = &device->uses[i];
        }
    }
}

void registers_reset(Device *device)
{
    for (u32 i = 0; i < device->def->bank_count; i++) {
        const RegisterBank *bank = &device->def->banks[i];
        for (u32 n = 0; n < bank->count; n++) {
            const Register *r = &bank->registers[n];
            for (u32 index = 0; r->size && index < MAX(r->count, 1u); index++) {
                put_number(field_of(device, r, index), r->size, r->reset);
            }
        }
    }
}
